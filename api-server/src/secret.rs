//! Secrets of the configuration, passwords, codes: never shown, compared in constant time.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Deserializer};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

/// A text that no log, error or debug output shows.
#[derive(Clone, Default)]
pub struct Secret(String);

impl Secret {
    /// Wraps a text.
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// The text.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self)
    }
}

/// A secret of the configuration file: its text, or `{file: path}` of a file that holds it. Never part of a request.
#[derive(Clone, Debug)]
pub struct ConfiguredSecret(pub Secret);

impl<'de> Deserialize<'de> for ConfiguredSecret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "a text, or {file: path}")]
        enum Source {
            Text(String),
            File { file: std::path::PathBuf },
        }
        match Source::deserialize(deserializer)? {
            Source::Text(text) => Ok(Self(Secret(text))),
            Source::File { file } => match std::fs::read_to_string(&file) {
                Ok(text) => Ok(Self(Secret(text.trim_end().to_owned()))),
                Err(error) => Err(serde::de::Error::custom(format!("{}: {error}", file.display()))),
            },
        }
    }
}

/// Whether two texts are the same, in a time that does not tell where they differ.
pub fn same(left: &str, right: &str) -> bool {
    left.as_bytes().ct_eq(right.as_bytes()).into()
}

/// What is kept of a code, so that the store's content proves nothing.
pub fn digest(code: &str) -> String {
    hex::encode(Sha256::digest(code.as_bytes()))
}

/// `bytes` random bytes as base64url text.
///
/// # Errors
/// No randomness.
pub fn random_text(bytes: usize) -> Result<String, getrandom::Error> {
    let mut buffer = vec![0; bytes];
    getrandom::fill(&mut buffer)?;
    Ok(URL_SAFE_NO_PAD.encode(buffer))
}

/// A random code of six decimal digits.
///
/// # Errors
/// No randomness.
pub fn random_digits() -> Result<String, getrandom::Error> {
    loop {
        // The largest multiple of a million below 2^32, so that every code is equally likely.
        let number = getrandom::u32()?;
        if number < 4_294_000_000 {
            return Ok(format!("{:06}", number % 1_000_000));
        }
    }
}
