//! What MinIO's admin interface takes encrypted under the asking user's secret key, on top of TLS.
//!
//! The form is that of `madmin.EncryptData` (github.com/minio/madmin-go, `encrypt.go`):
//!
//! ```text
//! salt | algorithm | nonce | data in pieces of 16 KiB, each with its tag
//!  32       1          8
//! ```
//!
//! The key comes from the password by Argon2id (one pass over 64 MiB, four lanes). A piece's nonce is the nonce followed by the
//! piece's number (32 bits, little-endian, from 1); its associated data is a byte (0x80 for the last piece, else 0) and the tag of an
//! empty message under number 0 (github.com/secure-io/sio-go, `sio.go`).

use anyhow::anyhow;
use argon2::{Algorithm, Argon2, Params, Version};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use zeroize::Zeroizing;

use crate::site::secrets::SecretText;

/// Argon2id and AES-256-GCM.
const ALGORITHM: u8 = 0;
const SALT: usize = 32;
const NONCE: usize = 8;
const PIECE: usize = 16 * 1024;
/// KiB that Argon2id fills.
const MEMORY: u32 = 64 * 1024;
const LANES: u32 = 4;

/// Encrypts `data` under a password, with a salt and a nonce of its own.
///
/// # Errors
/// When the system has no random numbers, or no memory.
pub(super) fn seal(password: &SecretText, data: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut random = [0; SALT + NONCE];
    getrandom::fill(&mut random).map_err(|error| anyhow!("no random numbers: {error}"))?;
    seal_with(password, data, &random)
}

fn seal_with(password: &SecretText, data: &[u8], random: &[u8; SALT + NONCE]) -> anyhow::Result<Vec<u8>> {
    let (salt, nonce) = random.split_at(SALT);
    let cipher = Cipher { key: key(password, salt)?, nonce };
    let header = cipher.seal(0, Vec::new(), &[])?;
    let mut sealed = [salt, &[ALGORITHM], nonce].concat();
    // Data that fill whole pieces end with a full one; no data at all are one empty piece.
    let pieces: Vec<&[u8]> = if data.is_empty() { vec![data] } else { data.chunks(PIECE).collect() };
    for (number, piece) in (1..).zip(&pieces) {
        let last = number as usize == pieces.len();
        let about = [&[if last { 0x80 } else { 0 }], header.as_slice()].concat();
        sealed.extend(cipher.seal(number, piece.to_vec(), &about)?);
    }
    Ok(sealed)
}

struct Cipher<'a> {
    key: LessSafeKey,
    nonce: &'a [u8],
}

impl Cipher<'_> {
    fn seal(&self, number: u32, mut piece: Vec<u8>, about: &[u8]) -> anyhow::Result<Vec<u8>> {
        let nonce = Nonce::try_assume_unique_for_key(&[self.nonce, &number.to_le_bytes()].concat());
        let nonce = nonce.map_err(|_| anyhow!("a nonce has another length"))?;
        let sealed = self.key.seal_in_place_append_tag(nonce, Aad::from(about), &mut piece);
        sealed.map_err(|_| anyhow!("a request is too long to be encrypted"))?;
        Ok(piece)
    }
}

fn key(password: &SecretText, salt: &[u8]) -> anyhow::Result<LessSafeKey> {
    let failed = |error: argon2::Error| anyhow!("no key from a password: {error}");
    let parameters = Params::new(MEMORY, 1, LANES, Some(32)).map_err(failed)?;
    let mut key = Zeroizing::new([0; 32]);
    Argon2::new(Algorithm::Argon2id, Version::V0x13, parameters)
        .hash_password_into(password.expose().as_bytes(), salt, key.as_mut())
        .map_err(failed)?;
    let key = UnboundKey::new(&AES_256_GCM, key.as_ref()).map_err(|_| anyhow!("a key has another length"))?;
    Ok(LessSafeKey::new(key))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use wire_deploy_agent::digest::Digest;

    use super::*;

    fn sealed(random: &str, data: &[u8]) -> Vec<u8> {
        let random = hex::decode(random).unwrap();
        let random = [&random[..SALT], &random[SALT + 1..]].concat();
        seal_with(&SecretText::new("hunter2".to_owned()), data, random.as_slice().try_into().unwrap()).unwrap()
    }

    /// What madmin-go 3.0.109 made.
    #[test]
    fn it_is_what_madmin_makes() {
        let head = "624be25b32e34ef855bce1793ad796e3511c3a0519627fc1e1dd752194805e1c00db0e214c1510e85b";
        let body = "5e9824cddf25d9246ab6dc45dd48673809fb5bac4921bd690eeb3e0a5703300de0";
        assert_eq!(hex::encode(sealed(head, b"{\"secretKey\":\"x\"}")), format!("{head}{body}"));
    }

    #[test]
    fn data_of_whole_pieces_end_with_a_full_one() {
        let head = "6863292506d589f0b96c2722e71938efd69e5d9f972af1f98fb3ce0122ce068f0082963e3add9ca161";
        let sealed = sealed(head, &[0; 2 * PIECE]);
        let expected = "b2e4b5179d52c29d71686217b826a7708c0f3af09a68f21a5ae5440643326d54";
        assert_eq!(Digest::of(&sealed).to_string(), expected);
    }
}
