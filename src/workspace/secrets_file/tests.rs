//! Secrets files, good and bad, with real age and SSH identities.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::process::Command;

use super::*;
use crate::site::names::ServiceName;
use crate::site::secrets::Purpose;

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// An SSH key made by OpenSSH.
    fn ssh_key(&self, name: &str, arguments: &[&str], passphrase: &str) -> PathBuf {
        let path = self.path(name);
        let status = Command::new("ssh-keygen")
            .args(["-q", "-N", passphrase, "-f"])
            .arg(&path)
            .args(arguments)
            .status()
            .expect("ssh-keygen is needed by this test: apt-get install openssh-client");
        assert!(status.success());
        path
    }

    fn text(&self, name: &str, text: &str, mode: u32) -> PathBuf {
        let path = self.path(name);
        files::write(&path, text.as_bytes(), mode, Existing::Replace).unwrap();
        path
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn password(file: &SecretsFile, generations: &BTreeMap<String, u32>) -> String {
    let service = ServiceName::from("redis");
    let secrets = file.secrets(generations).unwrap();
    secrets.password(&Purpose { service: &service, host: None, name: "user/brig" }).expose().to_owned()
}

fn error<T>(result: Result<T, SecretsError>) -> String {
    let error = result.err().expect("this must fail");
    assert!(!error.hint.is_empty());
    error.to_string()
}

#[test]
fn secrets_survive_with_every_kind_of_identity() {
    let folder = Folder::new();
    let age = folder.path("identity");
    assert!(make_identity(&age).unwrap());
    assert!(!make_identity(&age).unwrap(), "an identity is never overwritten");
    assert_eq!(mode(&age), 0o600);
    let ed25519 = folder.ssh_key("ed25519", &["-t", "ed25519"], "");
    let rsa = folder.ssh_key("rsa", &["-t", "rsa", "-b", "2048"], "");
    for (index, identity) in [age, ed25519, rsa].iter().enumerate() {
        let path = folder.path(&format!("secrets{index}.age"));
        let mut file = SecretsFile::create(&path, identity).unwrap();
        let none = BTreeMap::new();
        let first = password(&file, &none);
        file.provide("sudo", &SecretText::new("hunter2".to_owned()));
        file.provide("smtp", &SecretText::new("hunter3".to_owned()));
        file.save().unwrap();
        assert!(file.remove("smtp"));
        assert!(!file.remove("smtp"));
        file.save().unwrap();
        assert_eq!(mode(&path), 0o600);
        let bytes = fs::read(&path).unwrap();
        assert!(!bytes.windows(7).any(|window| window == b"hunter2"));

        let opened = SecretsFile::open(&path, identity).unwrap();
        assert_eq!(password(&opened, &none), first);
        assert_ne!(password(&opened, &BTreeMap::from([("redis/user/brig".to_owned(), 2)])), first);
        let secrets = opened.secrets(&none).unwrap();
        assert_eq!(secrets.provided("sudo").unwrap().expose(), "hunter2");
        assert_eq!(secrets.provided_names().collect::<Vec<_>>(), ["sudo"]);
        assert!(secrets.created > 0);
    }
}

#[test]
fn two_sites_have_nothing_in_common() {
    let folder = Folder::new();
    let identity = folder.path("identity");
    make_identity(&identity).unwrap();
    let one = SecretsFile::create(&folder.path("one.age"), &identity).unwrap();
    let two = SecretsFile::create(&folder.path("two.age"), &identity).unwrap();
    assert_ne!(password(&one, &BTreeMap::new()), password(&two, &BTreeMap::new()));
}

#[test]
fn an_identity_that_cannot_be_used_is_named() {
    let folder = Folder::new();
    let good = folder.path("good");
    make_identity(&good).unwrap();
    let good_text = fs::read_to_string(&good).unwrap();
    let passphrase = folder.ssh_key("passphrase", &["-t", "ed25519"], "secret");
    let old_passphrase = folder.ssh_key("old", &["-t", "rsa", "-b", "2048", "-m", "PEM"], "secret");
    let ecdsa = folder.ssh_key("ecdsa", &["-t", "ecdsa"], "");
    let cases = [
        (folder.path("none"), "there is no such identity"),
        (folder.text("open", &good_text, 0o644), "others than its owner have rights"),
        (folder.text("garbage", "hello\n", 0o600), "this is no identity"),
        (folder.text("empty", "", 0o600), "this is no identity"),
        (folder.text("half", &good_text[..good_text.len() - 10], 0o600), "this is no identity"),
        (folder.text("locked", "age-encryption.org/v1\n", 0o600), "protected by a passphrase"),
        (passphrase, "this SSH key is protected by a passphrase"),
        (old_passphrase, "this SSH key is protected by a passphrase"),
        (ecdsa, "this is no identity"),
    ];
    let path = folder.path("secrets.age");
    SecretsFile::create(&path, &good).unwrap();
    for (identity, expected) in cases {
        for text in
            [error(SecretsFile::open(&path, &identity)), error(SecretsFile::create(&folder.path("new"), &identity))]
        {
            assert!(text.contains(expected), "{text}");
            assert!(text.starts_with(&identity.display().to_string()), "{text}");
        }
        assert!(!folder.path("new").exists());
    }
}

#[test]
fn a_file_that_is_not_right_is_refused() {
    let folder = Folder::new();
    let (identity, other, path) = (folder.path("identity"), folder.path("other"), folder.path("secrets.age"));
    make_identity(&identity).unwrap();
    make_identity(&other).unwrap();
    assert!(error(SecretsFile::open(&path, &identity)).contains("there is no such file"));
    assert!(
        error(SecretsFile::create(&folder.path("none/secrets.age"), &identity)).contains("its folder does not exist")
    );
    SecretsFile::create(&path, &identity).unwrap();
    assert!(error(SecretsFile::create(&path, &identity)).contains("there is such a file already"));
    assert!(error(SecretsFile::open(&path, &other)).contains("it is not encrypted for the identity"));

    let bytes = fs::read(&path).unwrap();
    for end in [0, 10, 100, bytes.len() - 20, bytes.len() - 1] {
        fs::write(&path, &bytes[..end]).unwrap();
        assert!(error(SecretsFile::open(&path, &identity)).contains("the secrets file is damaged"), "{end}");
    }
    for content in ["{}", "not json", r#"{"format":1,"created":0,"seed":"","provided":{},"more":1}"#] {
        write_content(&path, &identity, content);
        assert!(error(SecretsFile::open(&path, &identity)).contains("not a site's secrets"), "{content}");
    }
    write_content(&path, &identity, r#"{"format":9,"created":0,"seed":"","provided":{}}"#);
    assert!(error(SecretsFile::open(&path, &identity)).contains("it is of format 9"));
    write_content(&path, &identity, r#"{"format":1,"created":0,"seed":"aGVsbG8=","provided":{}}"#);
    let opened = SecretsFile::open(&path, &identity).unwrap();
    assert!(error(opened.secrets(&BTreeMap::new())).contains("its seed is not 32 bytes"));
}

fn write_content(path: &Path, identity: &Path, content: &str) {
    let keys = Keys::read(identity).unwrap();
    let recipients = keys.recipients.iter().map(|recipient| recipient.as_ref() as &dyn age::Recipient);
    let mut bytes = Vec::new();
    let mut writer = age::Encryptor::with_recipients(recipients).unwrap().wrap_output(&mut bytes).unwrap();
    writer.write_all(content.as_bytes()).unwrap();
    writer.finish().unwrap();
    fs::write(path, bytes).unwrap();
}

#[test]
fn nothing_is_lost_when_it_cannot_be_saved() {
    let folder = Folder::new();
    let (identity, path) = (folder.path("identity"), folder.path("secrets.age"));
    make_identity(&identity).unwrap();
    let mut file = SecretsFile::create(&path, &identity).unwrap();
    let mut other = SecretsFile::open(&path, &identity).unwrap();
    let before = fs::read(&path).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
    file.provide("a", &SecretText::new("b".to_owned()));
    assert!(error(file.save()).contains("it is read-only"));
    assert_eq!(fs::read(&path).unwrap(), before);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    file.save().unwrap();
    other.provide("c", &SecretText::new("d".to_owned()));
    assert!(error(other.save()).contains("changed by someone else"));
    let names = SecretsFile::open(&path, &identity).unwrap().secrets(&BTreeMap::new()).unwrap();
    assert_eq!(names.provided_names().collect::<Vec<_>>(), ["a"]);
}
