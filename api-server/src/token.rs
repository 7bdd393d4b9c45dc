//! Tokens: what a client proves itself with. Text form, as nginx front ends of Wire backends know it:
//! `<signature>.v=1.k=<key>.d=<expiry>.t=<type>.l=<tag>.<data>` where the signature is Ed25519 over all that follows it, base64url; `k` is
//! the key's index from 1, so that keys rotate with an overlap; `d` is in seconds since 1970.
//!
//! Access tokens (`t=a`) carry `u=<user>.c=<connection>[.i=<client>]`, user tokens (`t=u`, in the cookie) `u=<user>.r=<cookie>[.i=<client>]`.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE, URL_SAFE_NO_PAD};
use ed25519_dalek::{Signature, Signer as _, SigningKey, Verifier as _, VerifyingKey};

use crate::domain::{ClientId, Time, UserId};
use crate::secret::ConfiguredSecret;

/// What a token says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Token {
    /// When it ends, in seconds since 1970.
    pub expires: i64,
    /// Whose it is.
    pub user: UserId,
    /// Access or user, with what only such a one carries.
    pub kind: TokenKind,
    /// The device it is for.
    pub client: Option<ClientId>,
}

/// Access token or user token.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum TokenKind {
    /// Sent with every request.
    Access {
        /// Names the connection: kept when a token is renewed.
        connection: String,
    },
    /// In the cookie.
    User {
        /// The cookie's id.
        cookie: u32,
        /// Whether the cookie ends with the session.
        session: bool,
    },
}

/// Why a text is no good token.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum TokenError {
    /// Not of the form, or by an unknown key, or not signed.
    #[error("Invalid token")]
    Invalid,
    /// It was good once.
    #[error("Token expired")]
    Expired,
}

/// Keys that could not be read.
#[derive(Debug, thiserror::Error)]
#[error("{0} key {1} is not 32 bytes in base64")]
pub struct BadKey(&'static str, usize);

/// The public keys.
#[derive(Clone)]
pub struct Verifier {
    keys: Vec<VerifyingKey>,
    known: Arc<Known>,
}

/// Access tokens whose signatures were found good: a client sends the same one for minutes, and checking a signature costs as much
/// as asking a store.
#[derive(Default)]
struct Known(Mutex<HashMap<String, Token>>);

/// More tokens than these are not kept; each takes some hundred bytes.
const KNOWN: usize = 10_000;

impl Known {
    fn get(&self, text: &str) -> Option<Token> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(text).cloned()
    }

    fn keep(&self, text: &str, token: &Token) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= KNOWN {
            // Those in use are back soon.
            known.clear();
        }
        known.insert(text.to_owned(), token.clone());
    }
}

/// The private keys; the last one signs.
pub struct Signer {
    key: SigningKey,
    index: usize,
}

impl Signer {
    /// From 32-byte seeds in base64, the newest last. The verifier knows all of them.
    ///
    /// # Errors
    /// A key that is none.
    pub fn from_seeds(seeds: &[ConfiguredSecret]) -> Result<Option<(Self, Verifier)>, BadKey> {
        let keys = seeds
            .iter()
            .enumerate()
            .map(|(index, seed)| {
                let seed = bytes_of(seed.0.expose()).ok_or(BadKey("private", index + 1))?;
                Ok(SigningKey::from_bytes(&seed))
            })
            .collect::<Result<Vec<_>, _>>()?;
        let verifier = Verifier::of(keys.iter().map(SigningKey::verifying_key).collect());
        let index = keys.len();
        Ok(keys.into_iter().next_back().map(|key| (Self { key, index }, verifier)))
    }

    /// Keys for a server that lives no longer than its tokens.
    ///
    /// # Errors
    /// No randomness.
    pub fn random() -> Result<(Self, Verifier), getrandom::Error> {
        let mut seed = [0; 32];
        getrandom::fill(&mut seed)?;
        let key = SigningKey::from_bytes(&seed);
        let verifier = Verifier::of(vec![key.verifying_key()]);
        Ok((Self { key, index: 1 }, verifier))
    }

    /// The token's text.
    pub fn sign(&self, token: &Token) -> String {
        let (kind, tag, extra) = match &token.kind {
            TokenKind::Access { connection } => ("a", "", format!("c={connection}")),
            TokenKind::User { cookie, session } => ("u", if *session { "s" } else { "" }, format!("r={cookie:08x}")),
        };
        let mut text = format!("v=1.k={}.d={}.t={kind}.l={tag}.u={}.{extra}", self.index, token.expires, token.user);
        if let Some(client) = token.client {
            // Writing to a String cannot fail.
            let _ = write!(text, ".i={client}");
        }
        let signature = self.key.sign(text.as_bytes());
        format!("{}.{text}", URL_SAFE.encode(signature.to_bytes()))
    }
}

impl Verifier {
    /// From 32-byte public keys in base64, in the order of their indices.
    ///
    /// # Errors
    /// A key that is none.
    pub fn from_public_keys(keys: &[String]) -> Result<Self, BadKey> {
        let keys = keys
            .iter()
            .enumerate()
            .map(|(index, text)| {
                bytes_of(text)
                    .and_then(|bytes| VerifyingKey::from_bytes(&bytes).ok())
                    .ok_or(BadKey("public", index + 1))
            })
            .collect::<Result<_, _>>()?;
        Ok(Self::of(keys))
    }

    fn of(keys: Vec<VerifyingKey>) -> Self {
        Self { keys, known: Arc::default() }
    }

    /// What the token says, if it is ours and has not ended.
    ///
    /// # Errors
    /// [`TokenError`].
    pub fn verify(&self, text: &str, now: Time) -> Result<Token, TokenError> {
        let known = self.known.get(text);
        let is_new = known.is_none();
        let token = known.map_or_else(|| self.verify_ended(text), Ok)?;
        if token.expires <= now.seconds() {
            return Err(TokenError::Expired);
        }
        if is_new && matches!(token.kind, TokenKind::Access { .. }) {
            self.known.keep(text, &token);
        }
        Ok(token)
    }

    /// What the token says, if it is ours, even if it has ended.
    ///
    /// # Errors
    /// [`TokenError::Invalid`].
    pub fn verify_ended(&self, text: &str) -> Result<Token, TokenError> {
        let invalid = TokenError::Invalid;
        let (signature, signed) = text.split_once('.').ok_or(invalid)?;
        let signature = URL_SAFE_NO_PAD.decode(signature.trim_end_matches('=')).map_err(|_| invalid)?;
        let signature = Signature::from_slice(&signature).map_err(|_| invalid)?;
        let fields = Fields::parse(signed)?;
        let index: usize = fields.need("k")?.parse().map_err(|_| invalid)?;
        let key = index.checked_sub(1).and_then(|index| self.keys.get(index)).ok_or(invalid)?;
        key.verify(signed.as_bytes(), &signature).map_err(|_| invalid)?;
        fields.token()
    }
}

fn bytes_of(text: &str) -> Option<[u8; 32]> {
    STANDARD.decode(text.trim()).ok()?.try_into().ok()
}

/// The `key=value` parts of a token; each at most once.
struct Fields<'a>(Vec<(&'a str, &'a str)>);

impl<'a> Fields<'a> {
    fn parse(text: &'a str) -> Result<Self, TokenError> {
        let mut fields: Vec<(&str, &str)> = Vec::new();
        for part in text.split('.') {
            let (key, value) = part.split_once('=').ok_or(TokenError::Invalid)?;
            if fields.iter().any(|(known, _)| *known == key) {
                return Err(TokenError::Invalid);
            }
            fields.push((key, value));
        }
        Ok(Self(fields))
    }

    fn get(&self, key: &str) -> Option<&'a str> {
        self.0.iter().find(|(known, _)| *known == key).map(|(_, value)| *value)
    }

    fn need(&self, key: &str) -> Result<&'a str, TokenError> {
        self.get(key).ok_or(TokenError::Invalid)
    }

    fn token(&self) -> Result<Token, TokenError> {
        let invalid = TokenError::Invalid;
        if self.need("v")? != "1" {
            return Err(invalid);
        }
        let kind = match self.need("t")? {
            "a" => TokenKind::Access { connection: self.need("c")?.to_owned() },
            "u" => TokenKind::User {
                cookie: u32::from_str_radix(self.need("r")?, 16).map_err(|_| invalid)?,
                session: self.get("l") == Some("s"),
            },
            _ => return Err(invalid),
        };
        Ok(Token {
            expires: self.need("d")?.parse().map_err(|_| invalid)?,
            user: self.need("u")?.parse().map_err(|_| invalid)?,
            kind,
            client: self.get("i").map(str::parse).transpose().map_err(|_| invalid)?,
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn token(client: Option<ClientId>) -> Token {
        Token { expires: 1000, user: UserId::random(), kind: TokenKind::Access { connection: "7".to_owned() }, client }
    }

    fn at(seconds: i64) -> Time {
        Time::from_milliseconds(seconds * 1000)
    }

    #[test]
    fn a_signed_token_reads_back_until_it_ends() {
        let (signer, verifier) = Signer::random().unwrap();
        for token in [token(None), token(Some(ClientId(0xabc)))] {
            let text = signer.sign(&token);
            assert_eq!(verifier.verify(&text, at(999)), Ok(token));
            assert_eq!(verifier.verify(&text, at(1000)), Err(TokenError::Expired));
        }
    }

    #[test]
    fn whatever_is_changed_is_refused() {
        let (signer, verifier) = Signer::random().unwrap();
        let text = signer.sign(&token(Some(ClientId(0xabc))));
        assert!(verifier.verify(&text, at(0)).is_ok());
        for position in 0..text.len() {
            let mut changed = text.clone().into_bytes();
            changed[position] = if changed[position] == b'1' { b'2' } else { b'1' };
            let changed = String::from_utf8(changed).unwrap();
            assert_eq!(verifier.verify(&changed, at(0)), Err(TokenError::Invalid), "{changed}");
        }
        assert_eq!(verifier.verify(&format!("{text}.x=1"), at(0)), Err(TokenError::Invalid));
    }

    #[test]
    fn old_keys_stay_good_and_the_newest_signs() {
        let seeds = [[1; 32], [2; 32]].map(|seed| ConfiguredSecret(crate::secret::Secret::new(STANDARD.encode(seed))));
        let (old, _) = Signer::from_seeds(&seeds[..1]).unwrap().unwrap();
        let (new, both) = Signer::from_seeds(&seeds).unwrap().unwrap();
        let token = token(None);
        assert!(new.sign(&token).contains(".k=2."));
        for text in [old.sign(&token), new.sign(&token)] {
            assert_eq!(both.verify(&text, at(0)), Ok(token.clone()));
        }
    }
}
