//! OpenSSH's `known_hosts` file, read and matched as sshd(8) describes it: lists of patterns, `*` and `?`, negation,
//! `[host]:port`, names hashed with HMAC-SHA1, `@revoked` and `@cert-authority`. Pure: text in, findings out.
//!
//! ssh skips lines it cannot read. So is done here, but not where skipping would be trusting too much: a line about
//! this host with a marker that is unknown, or a revoked key that cannot be read, is a problem to be told.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha1::Sha1;

/// A parsed file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct KnownHosts {
    lines: Vec<Line>,
}

/// A line that says something about hosts.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Line {
    /// Position in the file, from 1.
    number: usize,
    marker: Marker,
    hosts: Hosts,
    /// The key's wire form (RFC 4253, 6.6); `None` if the line has none that can be read.
    key: Option<Vec<u8>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Marker {
    None,
    Revoked,
    CertificateAuthority,
    Unknown(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Hosts {
    Patterns(Vec<String>),
    Hashed { salt: Vec<u8>, hash: Vec<u8> },
    Unreadable,
}

/// What the file says about a host.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Findings {
    /// Keys it is known by.
    pub(super) keys: Vec<KnownKey>,
    /// Keys it must not have.
    pub(super) revoked: Vec<KnownKey>,
    /// Lines that trust whatever an authority signs.
    pub(super) authorities: Vec<usize>,
    /// Lines about this host that could not be understood and must not be passed over.
    pub(super) problems: Vec<(usize, String)>,
}

/// A key and the line that has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct KnownKey {
    /// Its wire form.
    pub(super) key: Vec<u8>,
    /// The line, from 1.
    pub(super) line: usize,
}

/// The name that a host has in the file: `host`, or `[host]:port` on another port than 22; in lower case.
pub(super) fn name_of(address: &str, port: u16) -> String {
    let address = address.to_ascii_lowercase();
    if port == 22 { address } else { format!("[{address}]:{port}") }
}

/// The type at the beginning of a key's wire form, as `ssh-ed25519`.
pub(super) fn type_of(key: &[u8]) -> Option<&str> {
    let (length, rest) = key.split_first_chunk::<4>()?;
    let name = rest.get(..usize::try_from(u32::from_be_bytes(*length)).ok()?)?;
    core::str::from_utf8(name).ok().filter(|name| !name.is_empty() && name.len() < 128)
}

/// A line as it is appended to the file.
pub(super) fn line_of(address: &str, port: u16, key: &[u8]) -> Option<String> {
    Some(format!("{} {} {}\n", name_of(address, port), type_of(key)?, STANDARD.encode(key)))
}

impl KnownHosts {
    /// Reads a file's content. Comments, blank lines and lines of SSH 1 say nothing.
    pub(super) fn parse(text: &str) -> Self {
        let lines = text.lines().enumerate().filter_map(|(index, line)| Line::parse(index + 1, line)).collect();
        Self { lines }
    }

    /// What the file says about a host. As in OpenSSH, on another port than 22 the keys of the bare name count too when
    /// there are none for the name with the port.
    pub(super) fn find(&self, address: &str, port: u16) -> Findings {
        let mut findings = self.find_name(&name_of(address, port));
        if port != 22 {
            let bare = self.find_name(&name_of(address, 22));
            findings.revoked.extend(bare.revoked);
            if findings.keys.is_empty() {
                findings.keys = bare.keys;
            }
        }
        findings
    }

    fn find_name(&self, name: &str) -> Findings {
        let mut findings = Findings::default();
        for line in &self.lines {
            // Names that cannot be read may be this one: reason enough to distrust, none to trust.
            let distrusts = matches!(line.marker, Marker::Revoked | Marker::Unknown(_));
            if !line.hosts.matches(name).unwrap_or(distrusts) {
                continue;
            }
            let number = line.number;
            match (&line.marker, &line.key) {
                (Marker::None, Some(key)) => findings.keys.push(KnownKey { key: key.clone(), line: number }),
                (Marker::Revoked, Some(key)) => findings.revoked.push(KnownKey { key: key.clone(), line: number }),
                (Marker::CertificateAuthority, Some(_)) => findings.authorities.push(number),
                (Marker::Revoked, None) => findings.problems.push((number, "a revoked key cannot be read".to_owned())),
                (Marker::Unknown(marker), _) => {
                    findings.problems.push((number, format!("the marker {marker} is not known")));
                }
                (Marker::None | Marker::CertificateAuthority, None) => {}
            }
        }
        findings
    }
}

impl Line {
    fn parse(number: usize, line: &str) -> Option<Self> {
        let mut words = line.split_ascii_whitespace().peekable();
        if words.peek()?.starts_with('#') {
            return None;
        }
        let marker = match words.next_if(|word| word.starts_with('@')) {
            None => Marker::None,
            Some("@revoked") => Marker::Revoked,
            Some("@cert-authority") => Marker::CertificateAuthority,
            Some(other) => Marker::Unknown(other.to_owned()),
        };
        let hosts = words.next().map_or(Hosts::Unreadable, Hosts::parse);
        let kind = words.next();
        let key = words.next().and_then(|word| STANDARD.decode(word).ok());
        let key = key.filter(|key| kind.is_some() && type_of(key) == kind);
        Some(Self { number, marker, hosts, key })
    }
}

impl Hosts {
    fn parse(word: &str) -> Self {
        let Some(hashed) = word.strip_prefix('|') else {
            return Self::Patterns(word.split(',').map(str::to_ascii_lowercase).collect());
        };
        let mut parts = hashed.split('|');
        let (Some("1"), Some(salt), Some(hash), None) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
            return Self::Unreadable;
        };
        match (STANDARD.decode(salt), STANDARD.decode(hash)) {
            (Ok(salt), Ok(hash)) => Self::Hashed { salt, hash },
            _ => Self::Unreadable,
        }
    }

    /// Whether a name in lower case is meant; `None` if that cannot be told.
    fn matches(&self, name: &str) -> Option<bool> {
        match self {
            Self::Unreadable => None,
            Self::Hashed { salt, hash } => Some(Hmac::<Sha1>::new_from_slice(salt).is_ok_and(|mut mac| {
                mac.update(name.as_bytes());
                mac.verify_slice(hash).is_ok()
            })),
            Self::Patterns(patterns) => {
                let negated = |pattern: &String| pattern.strip_prefix('!').is_some_and(|rest| matches(rest, name));
                Some(patterns.iter().any(|pattern| matches(pattern, name)) && !patterns.iter().any(negated))
            }
        }
    }
}

/// Whether a pattern of `*` (any text), `?` (any character) and literal characters is the whole of a name.
fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name) = (pattern.as_bytes(), name.as_bytes());
    let (mut at, mut of) = (0, 0);
    // Where to go on if what followed the last `*` turns out not to fit: that much more is the `*`.
    let mut retry = None;
    while of < name.len() {
        match pattern.get(at) {
            Some(b'*') => {
                retry = Some((at, of));
                at += 1;
            }
            Some(&expected) if expected == b'?' || expected == name[of] => {
                at += 1;
                of += 1;
            }
            _ => {
                let Some((star, taken)) = retry else { return false };
                retry = Some((star, taken + 1));
                at = star + 1;
                of = taken + 1;
            }
        }
    }
    pattern[at..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBXPpE6b4MaqTTkJBtRG7hKc9Ft8vzQ4a0cFsTGx8tUt";

    /// Which of a file's lines know, revoke, vouch for or are a problem of a host.
    fn found(file: &str, address: &str, port: u16) -> (Vec<usize>, Vec<usize>, Vec<usize>, Vec<usize>) {
        let findings = KnownHosts::parse(&file.replace("KEY", KEY)).find(address, port);
        let lines = |keys: &[KnownKey]| keys.iter().map(|key| key.line).collect();
        (
            lines(&findings.keys),
            lines(&findings.revoked),
            findings.authorities,
            findings.problems.iter().map(|problem| problem.0).collect(),
        )
    }

    #[test]
    fn lines_are_matched_as_openssh_does() {
        let none = Vec::<usize>::new;
        for (file, address, port, keys) in [
            ("db1 KEY", "db1", 22, vec![1]),
            ("db1 KEY a comment", "db1", 22, vec![1]),
            ("  db1\tKEY", "db1", 22, vec![1]),
            ("# db1 KEY\n\ndb1 KEY", "db1", 22, vec![3]),
            ("DB1.Example KEY", "db1.EXAMPLE", 22, vec![1]),
            ("db1 KEY", "db10", 22, none()),
            ("db1,10.0.0.1 KEY", "10.0.0.1", 22, vec![1]),
            ("db* KEY", "db1", 22, vec![1]),
            ("*.example KEY", "a.b.example", 22, vec![1]),
            ("*.example KEY", "example", 22, none()),
            ("db? KEY", "db1", 22, vec![1]),
            ("db? KEY", "db", 22, none()),
            ("*a*b KEY", "xaxbxab", 22, vec![1]),
            ("10.0.*,!10.0.0.7 KEY", "10.0.0.8", 22, vec![1]),
            ("10.0.*,!10.0.0.7 KEY", "10.0.0.7", 22, none()),
            ("!10.0.0.7,10.0.* KEY", "10.0.0.7", 22, none()),
            ("!db1 KEY", "db2", 22, none()),
            ("[db1]:2222 KEY", "db1", 2222, vec![1]),
            ("[db1]:2222 KEY", "db1", 22, none()),
            ("[db1]:2222 KEY", "db1", 2223, none()),
            ("[fe80::1]:2222 KEY", "fe80::1", 2222, vec![1]),
            ("fe80::1 KEY", "fe80::1", 22, vec![1]),
            ("[*.example]:* KEY", "a.example", 2222, vec![1]),
            // A key of the bare name counts when the name with the port has none.
            ("db1 KEY", "db1", 2222, vec![1]),
            ("db1 KEY\n[db1]:2222 KEY", "db1", 2222, vec![2]),
            ("db1 KEY\nother KEY\ndb* KEY", "db1", 22, vec![1, 3]),
            // Not a key at all, of another type than said, of SSH 1.
            ("db1 ssh-ed25519 %%%", "db1", 22, none()),
            ("db1 ssh-rsa AAAAC3NzaC1lZDI1NTE5AAAAIBXPpE6b4MaqTTkJBtRG7hKc9Ft8vzQ4a0cFsTGx8tUt", "db1", 22, none()),
            ("db1 2048 65537 1234567890", "db1", 22, none()),
            ("db1", "db1", 22, none()),
            ("|2|abc|def KEY", "db1", 22, none()),
            ("|1|abc KEY", "db1", 22, none()),
        ] {
            assert_eq!(found(file, address, port), (keys, none(), none(), none()), "{file:?} for {address} {port}");
        }
    }

    #[test]
    fn markers_are_understood_or_told() {
        let none = Vec::<usize>::new;
        for (file, port, expected) in [
            ("@revoked * KEY\ndb1 KEY", 22, (vec![2], vec![1], none(), none())),
            ("@revoked db1 KEY", 2222, (none(), vec![1], none(), none())),
            ("@revoked db2 KEY", 22, (none(), none(), none(), none())),
            ("@revoked db1 ssh-ed25519 %%", 22, (none(), none(), none(), vec![1])),
            ("@revoked", 22, (none(), none(), none(), vec![1])),
            ("@revoked |1|abc KEY", 22, (none(), vec![1], none(), none())),
            ("@cert-authority |1|abc KEY", 22, (none(), none(), none(), none())),
            ("@cert-authority *.example,db1 KEY", 22, (none(), none(), vec![1], none())),
            ("@cert-authority db2 KEY", 22, (none(), none(), none(), none())),
            ("@pinned db1 KEY", 22, (none(), none(), none(), vec![1])),
            ("@pinned db2 KEY", 22, (none(), none(), none(), none())),
        ] {
            assert_eq!(found(file, "db1", port), expected, "{file:?} on port {port}");
        }
    }

    #[test]
    fn names_hashed_by_ssh_keygen_are_found() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("known_hosts");
        std::fs::write(&file, format!("db1 {KEY}\n[db1]:2222,10.0.0.1 {KEY}\n")).unwrap();
        let hashed = std::process::Command::new("ssh-keygen").arg("-H").arg("-f").arg(&file).output().unwrap();
        assert!(hashed.status.success(), "{hashed:?}");
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(!text.contains("db1"), "{text}");
        // ssh-keygen gives each name of a list a line of its own.
        assert_eq!(found(&text, "db1", 22).0, [1]);
        assert_eq!(found(&text, "DB1", 2222).0, [2]);
        assert_eq!(found(&text, "10.0.0.1", 22).0, [3]);
        assert_eq!(found(&text, "db2", 22).0, Vec::<usize>::new());
    }

    #[test]
    fn what_is_appended_is_found_again() {
        let key = STANDARD.decode(KEY.split(' ').nth(1).unwrap()).unwrap();
        for (address, port) in [("db1", 22), ("10.0.0.1", 2222), ("::1", 2222)] {
            let known = KnownHosts::parse(&line_of(address, port, &key).unwrap());
            assert_eq!(known.find(address, port).keys, [KnownKey { key: key.clone(), line: 1 }]);
        }
    }
}
