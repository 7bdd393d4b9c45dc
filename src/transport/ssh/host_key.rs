//! Whether a host is who it should be: its key against a pinned fingerprint or the known hosts file.

use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use sha2::{Digest as _, Sha256};

use super::known_hosts::{Findings, KnownHosts, KnownKey, line_of, name_of, type_of};
use crate::transport::Problem;

/// Key types in the order of our liking, each with the signature algorithms asked for. SHA-1 is not among them, nor are
/// certificates: what is negotiated is always a key that can be looked up.
const KINDS: &[(&str, &[&str])] = &[
    ("ssh-ed25519", &["ssh-ed25519"]),
    ("ecdsa-sha2-nistp256", &["ecdsa-sha2-nistp256"]),
    ("ecdsa-sha2-nistp384", &["ecdsa-sha2-nistp384"]),
    ("ecdsa-sha2-nistp521", &["ecdsa-sha2-nistp521"]),
    ("ssh-rsa", &["rsa-sha2-512", "rsa-sha2-256"]),
];

/// How a host's key is judged.
#[derive(Debug, Clone)]
pub(in crate::transport) struct Policy {
    /// Name or address that is connected to.
    pub(in crate::transport) address: String,
    /// TCP port.
    pub(in crate::transport) port: u16,
    /// The pinned fingerprint, `SHA256:…`.
    pub(in crate::transport) fingerprint: Option<String>,
    /// The known hosts file; none means an empty one.
    pub(in crate::transport) file: PathBuf,
    /// Append the key of a host that the file says nothing about.
    pub(in crate::transport) accept_new: bool,
}

/// A policy with what the file says.
#[derive(Debug)]
pub(super) struct Expectation {
    policy: Policy,
    findings: Findings,
}

/// Why a key is not taken.
#[derive(Debug)]
pub(super) enum Refusal {
    /// Another key is pinned; the host may have that one too. Holds the type of the key that was presented.
    NotPinned(String, Problem),
    /// For good.
    Final(Problem),
}

/// A key's fingerprint as OpenSSH shows it.
pub(super) fn fingerprint(key: &[u8]) -> String {
    format!("SHA256:{}", STANDARD_NO_PAD.encode(Sha256::digest(key)))
}

impl Policy {
    /// Reads the file.
    pub(super) fn read(self) -> Result<Expectation, Problem> {
        let text = match std::fs::read_to_string(&self.file) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(error) => {
                return Err(Problem::new(
                    format!("the known hosts file {} cannot be read: {error}", self.file.display()),
                    "make it readable, or name another one as ssh.known_hosts",
                ));
            }
        };
        let findings = KnownHosts::parse(&text).find(&self.address, self.port);
        Ok(Expectation { policy: self, findings })
    }
}

impl Expectation {
    /// The algorithms to ask for, comma-separated: first those of the keys that are known, since a host with several
    /// keys would else look changed. Types in `without` are left out; `None` when none is left.
    pub(super) fn algorithms(&self, without: &[String]) -> Option<String> {
        let known = |kind: &str| self.findings.keys.iter().any(|known| type_of(&known.key) == Some(kind));
        let (first, rest): (Vec<_>, Vec<_>) = KINDS
            .iter()
            .filter(|(kind, _)| !without.iter().any(|left_out| left_out == kind))
            .partition(|(kind, _)| known(kind));
        let algorithms: Vec<&str> =
            first.iter().chain(&rest).flat_map(|(_, algorithms)| algorithms.iter().copied()).collect();
        if algorithms.is_empty() { None } else { Some(algorithms.join(",")) }
    }

    /// Judges the key that a host presents. `Ok` may hold something that the operator should know.
    pub(super) fn check(&self, key: &[u8]) -> Result<Option<String>, Refusal> {
        let policy = &self.policy;
        let (name, file) = (name_of(&policy.address, policy.port), policy.file.display());
        let kind = type_of(key).unwrap_or("of an unreadable type");
        let presented = format!("{} ({kind})", fingerprint(key));
        let same = |known: &&KnownKey| known.key == key;
        if let Some((line, problem)) = self.findings.problems.first() {
            return Err(Refusal::Final(Problem::new(
                format!("{file}:{line} may be about {name}, but {problem}"),
                "correct or remove the line",
            )));
        }
        if let Some(revoked) = self.findings.revoked.iter().find(same) {
            return Err(Refusal::Final(Problem::new(
                format!("the host key {presented} of {name} is revoked by {file}:{}", revoked.line),
                "do not connect; give the host a new key, or find out who answers there",
            )));
        }
        if let Some(pinned) = &policy.fingerprint {
            if pinned.trim_end_matches('=') == fingerprint(key) {
                return Ok(None);
            }
            let problem = Problem::new(
                format!("the host key is not the pinned one: {name} presents {presented}, but {pinned} is pinned"),
                "if the host was reinstalled, pin its new key as ssh.fingerprint; else find out who answers there",
            );
            return Err(Refusal::NotPinned(kind.to_owned(), problem));
        }
        if self.findings.keys.iter().any(|known| same(&known)) {
            return Ok(None);
        }
        Err(Refusal::Final(if let Some(known) = self.findings.keys.first() {
            Problem::new(
                format!(
                    "the host key has changed: {name} presents {presented}, but {file}:{} has {} ({})",
                    known.line,
                    fingerprint(&known.key),
                    type_of(&known.key).unwrap_or("?"),
                ),
                format!(
                    "someone may be listening in; if the host was reinstalled, remove the old key with \
                     `ssh-keygen -R '{name}' -f {file}` and check the new one"
                ),
            )
        } else if let Some(line) = self.findings.authorities.first() {
            Problem::new(
                format!(
                    "the host key cannot be judged: {file}:{line} trusts an authority for {name}, which presents {presented}"
                ),
                "host certificates are not supported: pin the key as ssh.fingerprint, or add it to the file",
            )
        } else if policy.accept_new {
            return self.append(key).map(Some).map_err(Refusal::Final);
        } else {
            Problem::new(
                format!("the host key is not known: {name} presents {presented}, and {file} has none for it"),
                "compare it with `ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub` on the host, then pin it as \
                 ssh.fingerprint or run once with --accept-new-host-keys",
            )
        }))
    }

    /// Adds the key to the file: one line in one write, on the disk before anything relies on it.
    fn append(&self, key: &[u8]) -> Result<String, Problem> {
        let policy = &self.policy;
        let name = name_of(&policy.address, policy.port);
        let write = || -> std::io::Result<()> {
            let line = line_of(&policy.address, policy.port, key)
                .ok_or_else(|| std::io::Error::other("the key has no type"))?;
            if let Some(folder) = policy.file.parent() {
                std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
            }
            let mut file =
                std::fs::OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(&policy.file)?;
            file.lock()?;
            let mut last = [b'\n'];
            if file.metadata()?.len() > 0 {
                file.seek(SeekFrom::End(-1))?;
                file.read_exact(&mut last)?;
            }
            let line = if last == [b'\n'] { line } else { format!("\n{line}") };
            file.write_all(line.as_bytes())?;
            file.sync_all()
        };
        write().map_err(|error| {
            Problem::new(
                format!("the new host key of {name} cannot be added to {}: {error}", policy.file.display()),
                "make the file writable, or name another one as ssh.known_hosts",
            )
        })?;
        let kind = type_of(key).unwrap_or("?");
        Ok(format!("accepted the new host key {} ({kind}) of {name} into {}", fingerprint(key), policy.file.display()))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    fn key(kind: &str, content: u8) -> Vec<u8> {
        let mut key = u32::try_from(kind.len()).unwrap().to_be_bytes().to_vec();
        key.extend(kind.as_bytes());
        key.extend([0, 0, 0, 1, content]);
        key
    }

    fn expectation(folder: &tempfile::TempDir, text: &str, pinned: Option<&str>, accept_new: bool) -> Expectation {
        let file = folder.path().join("ssh/known_hosts");
        if !text.is_empty() {
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(&file, text).unwrap();
        }
        Policy { address: "db1".to_owned(), port: 22, fingerprint: pinned.map(str::to_owned), file, accept_new }
            .read()
            .unwrap()
    }

    fn refusal(expectation: &Expectation, key: &[u8]) -> String {
        match expectation.check(key).unwrap_err() {
            Refusal::Final(problem) => problem.reason,
            Refusal::NotPinned(kind, problem) => format!("{kind}: {}", problem.reason),
        }
    }

    #[test]
    fn known_kinds_are_asked_for_first() {
        let folder = tempfile::tempdir().unwrap();
        let text = line_of("db1", 22, &key("ssh-rsa", 1)).unwrap();
        let known = expectation(&folder, &text, None, false);
        assert_eq!(
            known.algorithms(&[]).unwrap(),
            "rsa-sha2-512,rsa-sha2-256,ssh-ed25519,ecdsa-sha2-nistp256,ecdsa-sha2-nistp384,ecdsa-sha2-nistp521"
        );
        assert_eq!(known.algorithms(&["ssh-rsa".to_owned()]).unwrap().split(',').next(), Some("ssh-ed25519"));
        let all: Vec<String> = KINDS.iter().map(|(kind, _)| (*kind).to_owned()).collect();
        assert_eq!(known.algorithms(&all), None);
    }

    #[test]
    fn a_new_key_is_appended_once_and_whole() {
        let folder = tempfile::tempdir().unwrap();
        let presented = key("ssh-ed25519", 1);
        assert!(refusal(&expectation(&folder, "", None, false), &presented).starts_with("the host key is not known"));
        for text in ["", "# no end of line"] {
            let note = expectation(&folder, text, None, true).check(&presented).unwrap().unwrap();
            assert!(note.contains(&fingerprint(&presented)), "{note}");
            let file = folder.path().join("ssh/known_hosts");
            let line = line_of("db1", 22, &presented).unwrap();
            assert_eq!(
                std::fs::read_to_string(&file).unwrap(),
                if text.is_empty() { line } else { format!("{text}\n{line}") }
            );
        }
        assert!(matches!(expectation(&folder, "", None, false).check(&presented), Ok(None)));
    }

    #[test]
    fn accepting_new_keys_accepts_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let (old, new) = (key("ssh-ed25519", 1), key("ssh-ed25519", 2));
        let line = line_of("db1", 22, &old).unwrap();
        for (text, expected) in [
            (line.clone(), "the host key has changed"),
            (format!("@revoked {}", line_of("*", 22, &new).unwrap()), "is revoked by"),
            (format!("@cert-authority {line}"), "trusts an authority"),
            (format!("@pinned {line}"), "the marker @pinned is not known"),
        ] {
            let reason = refusal(&expectation(&folder, &text, None, true), &new);
            assert!(reason.contains(expected), "{reason}");
        }
        let reason = refusal(&expectation(&folder, &line, None, true), &key("ssh-rsa", 1));
        assert!(reason.contains(&fingerprint(&old)) && reason.contains("known_hosts:1 has"), "{reason}");
    }

    #[test]
    fn a_pin_decides_alone_but_for_revocation() {
        let folder = tempfile::tempdir().unwrap();
        let (pinned, other) = (key("ssh-ed25519", 1), key("ecdsa-sha2-nistp256", 2));
        let pin = fingerprint(&pinned);
        let known_otherwise = line_of("db1", 22, &other).unwrap();
        let expected = expectation(&folder, &known_otherwise, Some(&pin), false);
        assert!(matches!(expected.check(&pinned), Ok(None)));
        assert!(refusal(&expected, &other).starts_with("ecdsa-sha2-nistp256: the host key is not the pinned one"));
        let revoked = format!("@revoked {}", line_of("db1", 22, &pinned).unwrap());
        assert!(refusal(&expectation(&folder, &revoked, Some(&pin), false), &pinned).contains("is revoked by"));
    }
}
