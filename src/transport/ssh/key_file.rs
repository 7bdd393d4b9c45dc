//! A private key file: there, readable by its owner alone, not encrypted.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use crate::transport::Problem;

/// The beginning of OpenSSH's own key format; the name of the cipher follows.
const OPENSSH_MAGIC: &[u8] = b"openssh-key-v1\0";

/// The file's text, once nothing is wrong with it.
pub(in crate::transport) fn read(path: &Path) -> Result<Zeroizing<String>, Problem> {
    let name = path.display();
    let metadata = std::fs::metadata(path).map_err(|error| {
        Problem::new(
            format!("the key file {name} cannot be read: {error}"),
            "name an existing private key as ssh.key, or use the SSH agent with ssh.agent: true",
        )
    })?;
    let text = std::fs::read_to_string(path).map(Zeroizing::new).map_err(|error| {
        Problem::new(
            format!("the key file {name} cannot be read: {error}"),
            "it should be the text file that ssh-keygen writes",
        )
    })?;
    judge(&text).map_err(|(what, hint)| Problem::new(format!("the key file {name} {what}"), hint))?;
    // As OpenSSH has it: someone else's file is someone else's business.
    if metadata.uid() == rustix::process::getuid().as_raw() && metadata.mode() & 0o077 != 0 {
        return Err(Problem::new(
            format!("the key file {name} can be read by others (mode {:04o})", metadata.mode() & 0o7777),
            format!("run `chmod 600 {name}`; if others had access to it, make a new key"),
        ));
    }
    Ok(text)
}

fn judge(text: &str) -> Result<(), (&'static str, &'static str)> {
    let encrypted = || {
        Err((
            "is encrypted with a passphrase",
            "add it to the SSH agent with ssh-add and say ssh.agent: true, or use a key without a passphrase",
        ))
    };
    let mut lines = text.lines().map(str::trim);
    let first = lines.find(|line| !line.is_empty()).unwrap_or_default();
    let Some(kind) = first.strip_prefix("-----BEGIN ").and_then(|rest| rest.strip_suffix("PRIVATE KEY-----")) else {
        let public = first.starts_with("ssh-") || first.starts_with("ecdsa-");
        return Err(if public {
            ("holds a public key", "name the private key, which has the same name without .pub")
        } else {
            ("holds no private key", "it should be the file that ssh-keygen writes")
        });
    };
    match kind.trim_end() {
        "ENCRYPTED" => encrypted(),
        "OPENSSH" => {
            let body: Zeroizing<String> = Zeroizing::new(lines.take_while(|line| !line.starts_with('-')).collect());
            let bytes = STANDARD.decode(body.as_bytes()).map(Zeroizing::new).unwrap_or_default();
            // string ciphername; "none" when it is not encrypted.
            match bytes.strip_prefix(OPENSSH_MAGIC) {
                Some(rest) if rest.starts_with(b"\0\0\0\x04none") => Ok(()),
                Some(_) => encrypted(),
                None => Err(("is damaged", "it should be the file that ssh-keygen writes")),
            }
        }
        _ if lines.any(|line| line.starts_with("Proc-Type:") && line.ends_with("ENCRYPTED")) => encrypted(),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use std::os::unix::fs::PermissionsExt as _;
    use std::process::Command;

    use super::*;

    #[test]
    fn keys_of_ssh_keygen_are_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        for (arguments, expected) in [
            (&["-t", "ed25519", "-N", ""][..], None),
            (&["-t", "ecdsa", "-N", ""], None),
            (&["-t", "rsa", "-b", "2048", "-m", "PEM", "-N", ""], None),
            (&["-t", "rsa", "-b", "2048", "-m", "PKCS8", "-N", ""], None),
            (&["-t", "ed25519", "-N", "secret"], Some("is encrypted")),
            (&["-t", "rsa", "-b", "2048", "-m", "PEM", "-N", "secret"], Some("is encrypted")),
            (&["-t", "rsa", "-b", "2048", "-m", "PKCS8", "-N", "secret"], Some("is encrypted")),
        ] {
            let path = folder.path().join("key");
            let _ = std::fs::remove_file(&path);
            let made = Command::new("ssh-keygen").args(arguments).arg("-q").arg("-f").arg(&path).output().unwrap();
            assert!(made.status.success(), "{made:?}");
            let reason = read(&path).err().map(|problem| problem.reason);
            assert_eq!(reason.is_some(), expected.is_some(), "{arguments:?}: {reason:?}");
            assert!(expected.is_none_or(|text| reason.unwrap().contains(text)), "{arguments:?}");
        }
        let public = read(&folder.path().join("key.pub")).unwrap_err();
        assert!(public.reason.contains("holds a public key"), "{public:?}");
    }

    #[test]
    fn keys_that_others_can_read_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        let made =
            Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&path).output().unwrap();
        assert!(made.status.success(), "{made:?}");
        for (mode, fine) in [(0o600, true), (0o400, true), (0o640, false), (0o604, false), (0o620, false)] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            let reason = read(&path).err().map(|problem| problem.reason);
            assert_eq!(reason.is_none(), fine, "{mode:o}: {reason:?}");
        }
    }

    #[test]
    fn what_is_no_key_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        assert!(read(&path).unwrap_err().reason.contains("cannot be read"));
        for (text, expected) in [
            ("", "holds no private key"),
            ("hello", "holds no private key"),
            ("ssh-ed25519 AAAA comment", "holds a public key"),
            ("-----BEGIN OPENSSH PRIVATE KEY-----\nb3Blb\n-----END OPENSSH PRIVATE KEY-----", "is damaged"),
        ] {
            std::fs::write(&path, text).unwrap();
            let problem = read(&path).unwrap_err();
            assert!(problem.reason.contains(expected), "{problem:?}");
        }
    }
}
