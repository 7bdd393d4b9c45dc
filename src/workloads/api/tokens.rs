//! The keys that sign access tokens, derived from the site's seed: private ones where tokens are made, public ones where they are checked.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::signature::{Ed25519KeyPair, KeyPair as _};

use crate::site::model::Site;
use crate::site::names::ServiceName;
use crate::site::secrets::{Purpose, SecretText, Secrets};

/// Whose keys they are and what for, in the form of `generations` in the site file: `brig/tokens`.
const OWNER: &str = "brig";
const NAME: &str = "tokens";
/// Whose key conversations under MLS could be left by, as clients want to see it.
const MLS_OWNER: &str = "galley";
const MLS_NAME: &str = "mls-removal";

/// The secrets that the keys of a site's workloads are, by owner and name.
pub fn secrets_of(site: &Site) -> impl Iterator<Item = (&'static str, &'static str)> {
    let of_a_workload = |(owner, _): &(&str, &str)| site.workloads.contains_key(*owner);
    [(OWNER, NAME), (MLS_OWNER, MLS_NAME)].into_iter().filter(of_a_workload)
}

/// Ed25519 seeds, 32 bytes in base64, the newest last: it signs, and what the former ones signed is good still.
pub(super) fn private_keys(secrets: &Secrets) -> Vec<SecretText> {
    seeds(secrets, OWNER, NAME).into_iter().map(|seed| SecretText::new(STANDARD.encode(seed))).collect()
}

/// The public keys in the same order, in base64.
#[must_use]
pub fn public_keys(secrets: &Secrets) -> Vec<String> {
    seeds(secrets, OWNER, NAME).iter().filter_map(|seed| public(seed)).collect()
}

/// The public key that clients are shown where MLS is off, in base64.
pub(super) fn mls_removal_key(secrets: &Secrets) -> Option<String> {
    seeds(secrets, MLS_OWNER, MLS_NAME).last().and_then(|seed| public(seed))
}

fn public(seed: &[u8]) -> Option<String> {
    Ed25519KeyPair::from_seed_unchecked(seed).ok().map(|pair| STANDARD.encode(pair.public_key()))
}

/// Derived keys of the present generation and of those before, the newest last.
fn seeds(secrets: &Secrets, owner: &str, name: &str) -> Vec<Vec<u8>> {
    let owner = ServiceName::from(owner);
    let generations = secrets.passwords(&Purpose { service: &owner, host: None, name });
    // A derived password is 32 bytes in base64.
    generations.iter().rev().filter_map(|text| URL_SAFE_NO_PAD.decode(text.expose()).ok()).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::collections::BTreeMap;

    use super::*;

    fn secrets(generation: u32) -> Secrets {
        Secrets::new([7; 32], 0, BTreeMap::new(), [("brig/tokens".to_owned(), generation)].into())
    }

    #[test]
    fn the_server_reads_the_keys_and_former_ones_stay_good() {
        let (first, second) = (secrets(1), secrets(2));
        assert_eq!(private_keys(&first).len(), 1);
        let keys = private_keys(&second);
        assert_eq!(keys.len(), 2);
        assert_eq!(keys[0].expose(), private_keys(&first)[0].expose(), "the newest is last");
        assert_eq!(public_keys(&second)[0], public_keys(&first)[0]);
        for (private, public) in keys.iter().zip(public_keys(&second)) {
            let seed = STANDARD.decode(private.expose()).unwrap();
            assert_eq!(STANDARD.encode(Ed25519KeyPair::from_seed_unchecked(&seed).unwrap().public_key()), public);
        }
        assert_eq!(STANDARD.decode(mls_removal_key(&first).unwrap()).unwrap().len(), 32);
    }
}
