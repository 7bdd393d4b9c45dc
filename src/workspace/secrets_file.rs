//! The site's secrets on disk: JSON, encrypted with age for an age identity or an SSH key, mode 0600.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use wire_deploy_agent::digest::Digest;
use zeroize::{Zeroize as _, Zeroizing};

use super::files::{self, Existing};
use crate::site::secrets::{SecretText, Secrets};

/// Version of the content's form.
const FORMAT: u32 = 1;

/// Something is wrong with the secrets file or what opens it.
#[derive(Debug, thiserror::Error)]
#[error("{}: {reason}", path.display())]
pub struct SecretsError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub reason: String,
    /// What to do about it.
    pub hint: String,
}

/// An opened secrets file.
pub struct SecretsFile {
    path: PathBuf,
    keys: Keys,
    content: Content,
    /// Digest of the file as it was read: a change by someone else is not overwritten.
    read: Digest,
}

/// What is in it.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Content {
    format: u32,
    /// When the seed was made, milliseconds since the epoch.
    created: i64,
    /// 32 bytes, base64.
    seed: String,
    /// What the operator brought, by name.
    provided: BTreeMap<String, String>,
}

impl Drop for Content {
    fn drop(&mut self) {
        self.seed.zeroize();
        self.provided.values_mut().for_each(zeroize::Zeroize::zeroize);
    }
}

/// What opens the file, and for whom it is encrypted again.
struct Keys {
    identities: Vec<Box<dyn age::Identity>>,
    recipients: Vec<Box<dyn age::Recipient + Send>>,
}

impl SecretsFile {
    /// Makes a new seed and writes it, for the identity alone.
    ///
    /// # Errors
    /// When there is such a file already, it cannot be written, or the identity cannot be used.
    pub fn create(path: &Path, identity: &Path) -> Result<Self, SecretsError> {
        let keys = Keys::read(identity)?;
        let mut seed = Zeroizing::new([0; 32]);
        getrandom::fill(seed.as_mut_slice()).map_err(|error| {
            failure(path, format!("no random numbers are to be had: {error}"), "try again; nothing was written")
        })?;
        let created = jiff::Timestamp::now().as_millisecond();
        let seed = STANDARD.encode(seed.as_slice());
        let content = Content { format: FORMAT, created, seed, provided: BTreeMap::new() };
        let bytes = encrypt(path, &keys, &content)?;
        files::write(path, &bytes, 0o600, Existing::Keep).map_err(|error| unwritable(path, &error))?;
        Ok(Self { path: path.to_owned(), keys, content, read: Digest::of(&bytes) })
    }

    /// Opens a file.
    ///
    /// # Errors
    /// When it cannot be read, is not for this identity, or is damaged.
    pub fn open(path: &Path, identity: &Path) -> Result<Self, SecretsError> {
        let bytes = fs::read(path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => failure(
                path,
                "there is no such file",
                "`wire-deploy init` makes it; a site's secrets cannot be made anew",
            ),
            _ => failure(path, error.to_string(), "make it readable for yourself: `chmod 600 FILE`"),
        })?;
        let keys = Keys::read(identity)?;
        let content = decrypt(path, identity, &keys, &bytes)?;
        Ok(Self { path: path.to_owned(), keys, content, read: Digest::of(&bytes) })
    }

    /// The secrets, with the generations that the site file says.
    ///
    /// # Errors
    /// When the seed in the file is not one.
    pub fn secrets(&self, generations: &BTreeMap<String, u32>) -> Result<Secrets, SecretsError> {
        let bytes = STANDARD.decode(&self.content.seed).map(Zeroizing::new).ok();
        let seed = bytes.and_then(|bytes| <[u8; 32]>::try_from(bytes.as_slice()).ok());
        let seed = seed.ok_or_else(|| damaged(&self.path, "its seed is not 32 bytes"))?;
        let provided = self.content.provided.iter().map(|(name, text)| (name.clone(), SecretText::new(text.clone())));
        Ok(Secrets::new(seed, self.content.created, provided.collect(), generations.clone()))
    }

    /// Adds what the operator brings, or replaces it.
    pub fn provide(&mut self, name: &str, secret: &SecretText) {
        if let Some(mut before) = self.content.provided.insert(name.to_owned(), secret.expose().to_owned()) {
            before.zeroize();
        }
    }

    /// Removes what the operator brought; false if there was no such thing.
    pub fn remove(&mut self, name: &str) -> bool {
        let removed = self.content.provided.remove(name);
        removed.map(Zeroizing::new).is_some()
    }

    /// Writes it.
    ///
    /// # Errors
    /// When it is read-only, was changed by someone else meanwhile, or cannot be written.
    pub fn save(&mut self) -> Result<(), SecretsError> {
        let metadata = fs::metadata(&self.path).map_err(|error| unwritable(&self.path, &error))?;
        if metadata.permissions().mode() & 0o222 == 0 {
            return Err(failure(&self.path, "it is read-only", "make it writable first: `chmod 600 FILE`"));
        }
        let there = fs::read(&self.path).map_err(|error| unwritable(&self.path, &error))?;
        if Digest::of(&there) != self.read {
            return Err(failure(&self.path, "it was changed by someone else meanwhile", "do it again"));
        }
        let bytes = encrypt(&self.path, &self.keys, &self.content)?;
        files::write(&self.path, &bytes, 0o600, Existing::Replace).map_err(|error| unwritable(&self.path, &error))?;
        self.read = Digest::of(&bytes);
        Ok(())
    }
}

/// Makes an age identity, mode 0600; an existing one is left. Returns whether one was made.
///
/// # Errors
/// When it cannot be written.
pub fn make_identity(path: &Path) -> Result<bool, SecretsError> {
    let identity = age::x25519::Identity::generate();
    let secret = identity.to_string();
    let text = Zeroizing::new(format!(
        "# Opens the secrets of a wire-deploy site. Keep it out of version control.\n# public key: {}\n{}\n",
        identity.to_public(),
        age::secrecy::ExposeSecret::expose_secret(&secret)
    ));
    match files::write(path, text.as_bytes(), 0o600, Existing::Keep) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(unwritable(path, &error)),
    }
}

impl Keys {
    fn read(path: &Path) -> Result<Self, SecretsError> {
        let metadata = fs::metadata(path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => failure(
                path,
                "there is no such identity",
                "`secrets: {identity: FILE}` in the site file names an age identity file or an SSH private key",
            ),
            _ => failure(path, error.to_string(), "make the identity readable for yourself"),
        })?;
        if metadata.permissions().mode() & 0o077 != 0 {
            return Err(failure(path, "others than its owner have rights to this identity", "`chmod 600 FILE`"));
        }
        let bytes = fs::read(path).map(Zeroizing::new);
        let bytes =
            bytes.map_err(|error| failure(path, error.to_string(), "make the identity readable for yourself"))?;
        let no_identity = || {
            let hint = "expected an age identity file (`AGE-SECRET-KEY-1…`) or an SSH private key, ed25519 or RSA";
            failure(path, "this is no identity", hint)
        };
        let text = str::from_utf8(&bytes).map_err(|_| no_identity())?;
        if text.starts_with("-----BEGIN") {
            Self::of_ssh(path, text, no_identity)
        } else {
            Self::of_age(path, text, no_identity)
        }
    }

    fn of_age(path: &Path, text: &str, no_identity: impl Fn() -> SecretsError) -> Result<Self, SecretsError> {
        if text.starts_with("age-encryption.org/") {
            let hint = "use one without passphrase, or an SSH key: a run must not wait for somebody";
            return Err(failure(path, "this identity is protected by a passphrase", hint));
        }
        let mut keys = Self { identities: Vec::new(), recipients: Vec::new() };
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let identity: age::x25519::Identity = line.parse().map_err(|_| no_identity())?;
            keys.recipients.push(Box::new(identity.to_public()));
            keys.identities.push(Box::new(identity));
        }
        if keys.identities.is_empty() { Err(no_identity()) } else { Ok(keys) }
    }

    fn of_ssh(path: &Path, text: &str, no_identity: impl Fn() -> SecretsError) -> Result<Self, SecretsError> {
        let read = || age::ssh::Identity::from_buffer(text.as_bytes(), None).map_err(|_| no_identity());
        match read()? {
            age::ssh::Identity::Unencrypted(_) => {
                let recipient = age::ssh::Recipient::try_from(read()?).map_err(|_| no_identity())?;
                Ok(Self { identities: vec![Box::new(read()?)], recipients: vec![Box::new(recipient)] })
            }
            age::ssh::Identity::Encrypted(_)
            | age::ssh::Identity::Unsupported(
                age::ssh::UnsupportedKey::EncryptedPem | age::ssh::UnsupportedKey::EncryptedSsh(_),
            ) => {
                let hint = "use a key without passphrase, or an age identity: a run must not wait for somebody";
                Err(failure(path, "this SSH key is protected by a passphrase", hint))
            }
            age::ssh::Identity::Unsupported(_) => Err(no_identity()),
        }
    }
}

fn encrypt(path: &Path, keys: &Keys, content: &Content) -> Result<Vec<u8>, SecretsError> {
    let failed = |reason: String| failure(path, format!("it cannot be encrypted: {reason}"), "nothing was written");
    let text = serde_json::to_vec_pretty(content).map(Zeroizing::new).map_err(|error| failed(error.to_string()))?;
    let recipients = keys.recipients.iter().map(|recipient| recipient.as_ref() as &dyn age::Recipient);
    let encryptor = age::Encryptor::with_recipients(recipients).map_err(|error| failed(error.to_string()))?;
    let mut bytes = Vec::new();
    let written = encryptor.wrap_output(&mut bytes).and_then(|mut writer| {
        writer.write_all(&text)?;
        writer.finish().map(|_| ())
    });
    written.map_err(|error| failed(error.to_string()))?;
    Ok(bytes)
}

fn decrypt(path: &Path, identity: &Path, keys: &Keys, bytes: &[u8]) -> Result<Content, SecretsError> {
    let refused = |error: &age::DecryptError| match error {
        age::DecryptError::NoMatchingKeys | age::DecryptError::DecryptionFailed => failure(
            path,
            format!("it is not encrypted for the identity {}", identity.display()),
            "use the identity that it was made with: `secrets: {identity: FILE}` in the site file",
        ),
        _ => damaged(path, "it is no age file, or a part of one"),
    };
    let decryptor = age::Decryptor::new(bytes).map_err(|error| refused(&error))?;
    let identities = keys.identities.iter().map(AsRef::as_ref);
    let mut reader = decryptor.decrypt(identities).map_err(|error| refused(&error))?;
    let mut text = Zeroizing::new(Vec::new());
    reader.read_to_end(&mut text).map_err(|_| damaged(path, "its end is missing or was altered"))?;
    // What serde says could hold a part of the content.
    let content: Content =
        serde_json::from_slice(&text).map_err(|_| damaged(path, "what is in it is not a site's secrets"))?;
    if content.format != FORMAT {
        let reason = format!("it is of format {}; this program reads format {FORMAT}", content.format);
        return Err(failure(path, reason, "use the version of wire-deploy that wrote it, or a newer one"));
    }
    Ok(content)
}

fn failure(path: &Path, reason: impl Into<String>, hint: &str) -> SecretsError {
    SecretsError { path: path.to_owned(), reason: reason.into(), hint: hint.to_owned() }
}

fn damaged(path: &Path, reason: &str) -> SecretsError {
    failure(path, format!("the secrets file is damaged: {reason}"), "restore it from a backup or version control")
}

fn unwritable(path: &Path, error: &io::Error) -> SecretsError {
    let reason = match error.kind() {
        io::ErrorKind::AlreadyExists => "there is such a file already".to_owned(),
        io::ErrorKind::NotFound => "its folder does not exist".to_owned(),
        _ => format!("it cannot be written: {error}"),
    };
    failure(path, reason, "nothing was changed")
}

#[cfg(test)]
mod tests;
