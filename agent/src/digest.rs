//! Digests: how content is named, compared and checked without being shown.

use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// A sha256 as 64 lower-case hexadecimal digits: the name of a blob in the store, in a lock and on a host.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(with = "String"))]
pub struct Digest(String);

/// A text that is not 64 lower-case hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected a sha256 of 64 lower-case hexadecimal digits, found {0:?}")]
pub struct InvalidDigest(String);

impl Digest {
    /// The digest of `bytes`.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(hex::encode(Sha256::digest(bytes)))
    }

    /// The digest that a finished hasher holds, for content that is streamed.
    #[must_use]
    pub fn from_hasher(hasher: Sha256) -> Self {
        Self(hex::encode(hasher.finalize()))
    }

    /// The digest's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first twelve digits, enough for a person to tell two apart.
    #[must_use]
    pub fn short(&self) -> &str {
        &self.0[..12]
    }
}

impl std::fmt::Display for Digest {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl TryFrom<String> for Digest {
    type Error = InvalidDigest;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let valid = text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if valid { Ok(Self(text)) } else { Err(InvalidDigest(text)) }
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.0
    }
}

/// A key under which secrets are fingerprinted: one per host, derived from the site's seed, so that a fingerprint
/// neither reveals the secret to someone who guesses nor compares between hosts.
#[derive(Clone, Serialize, Deserialize)]
pub struct FingerprintKey(#[serde(with = "crate::protocol::base64_bytes")] pub Vec<u8>);

impl std::fmt::Debug for FingerprintKey {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("FingerprintKey(…)")
    }
}

impl FingerprintKey {
    /// HMAC-SHA256 (RFC 2104) of `content` under this key, in the form of a digest.
    #[must_use]
    pub fn fingerprint(&self, content: &[u8]) -> Digest {
        // HMAC takes a key of any length, so this cannot fail; an empty MAC would still never equal a real one.
        Hmac::<Sha256>::new_from_slice(&self.0).map_or_else(
            |_| Digest::of(b"hmac key refused"),
            |mut mac| {
                mac.update(content);
                Digest(hex::encode(mac.finalize().into_bytes()))
            },
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digest_of_the_empty_string_is_the_published_one() {
        assert_eq!(Digest::of(b"").as_str(), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    }

    #[test]
    fn only_sha256_text_is_a_digest() {
        for text in ["", "E3B0", &"g".repeat(64), &"a".repeat(63)] {
            assert!(Digest::try_from(text.to_owned()).is_err(), "{text}");
        }
    }

    #[test]
    fn fingerprints_follow_rfc_4231_case_2() {
        let key = FingerprintKey(b"Jefe".to_vec());
        let expected = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        assert_eq!(key.fingerprint(b"what do ya want for nothing?").as_str(), expected);
    }
}
