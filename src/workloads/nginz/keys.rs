//! The public keys of access tokens.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::signature::{Ed25519KeyPair, KeyPair as _};

use crate::site::names::ServiceName;
use crate::site::secrets::{Purpose, Secrets};

/// The public keys of the present generation and of those before, the newest last, in base64.
#[must_use]
pub fn public_keys(secrets: &Secrets) -> Vec<String> {
    let purpose = Purpose { service: &ServiceName::from("brig"), host: None, name: "tokens" };
    let texts = secrets.passwords(&purpose);
    let seeds = texts.iter().rev().filter_map(|text| URL_SAFE_NO_PAD.decode(text.expose()).ok());
    let pairs = seeds.filter_map(|seed| Ed25519KeyPair::from_seed_unchecked(&seed).ok());
    pairs.map(|pair| STANDARD.encode(pair.public_key())).collect()
}
