//! The site's secrets: one seed from which every generated password and key is derived, and what the operator brought.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hkdf::Hkdf;
use sha2::Sha256;
use wire_deploy_agent::digest::FingerprintKey;
use zeroize::Zeroizing;

use super::names::{HostName, ServiceName};

/// How many former generations of a secret are still known.
pub const FORMER: u32 = 4;

/// A text that must never be shown: no `Display`, a `Debug` that hides it, wiped from memory when dropped.
#[derive(Clone)]
pub struct SecretText(Zeroizing<String>);

/// What a derived secret is for. The same purpose gives the same value for ever; another generation gives another one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Purpose<'a> {
    /// For which service.
    pub service: &'a ServiceName,
    /// For which host, if each has its own.
    pub host: Option<&'a HostName>,
    /// What for: `user/brig`, `ca/peers`.
    pub name: &'a str,
}

/// All secrets of a site.
pub struct Secrets {
    seed: Zeroizing<[u8; 32]>,
    /// When the seed was made, milliseconds since the epoch: certificate authorities are valid from then.
    pub created: i64,
    provided: BTreeMap<String, SecretText>,
    /// Generation numbers that differ from 1, by `service/name`, from the site file.
    generations: BTreeMap<String, u32>,
}

impl SecretText {
    /// Wraps a secret.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The secret itself, to be handed to whoever needs it and to no log.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for SecretText {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("SecretText(…)")
    }
}

impl Secrets {
    /// Secrets from their parts.
    #[must_use]
    pub fn new(
        seed: [u8; 32],
        created: i64,
        provided: BTreeMap<String, SecretText>,
        generations: BTreeMap<String, u32>,
    ) -> Self {
        Self { seed: Zeroizing::new(seed), created, provided, generations }
    }

    /// 32 bytes derived with HKDF-SHA256 (RFC 5869) over service, host, purpose and generation.
    #[must_use]
    pub fn key(&self, purpose: &Purpose<'_>) -> Zeroizing<[u8; 32]> {
        self.key_of(purpose, self.generation(purpose.service, purpose.name))
    }

    fn key_of(&self, purpose: &Purpose<'_>, generation: u32) -> Zeroizing<[u8; 32]> {
        let generation = generation.to_string();
        let (host_said, host) = purpose.host.map_or(("every host", ""), |host| ("one host", host.as_str()));
        derive(self.seed.as_ref(), &["service", purpose.service.as_str(), host_said, host, purpose.name, &generation])
    }

    /// A password derived likewise: 43 characters of `A-Za-z0-9-_`, 256 bits.
    #[must_use]
    pub fn password(&self, purpose: &Purpose<'_>) -> SecretText {
        self.password_of(purpose, self.generation(purpose.service, purpose.name))
    }

    fn password_of(&self, purpose: &Purpose<'_>, generation: u32) -> SecretText {
        SecretText::new(URL_SAFE_NO_PAD.encode(self.key_of(purpose, generation).as_slice()))
    }

    /// The same of the present generation and of the [`FORMER`] before it, latest first: what a running service may still have.
    #[must_use]
    pub fn passwords(&self, purpose: &Purpose<'_>) -> Vec<SecretText> {
        let present = self.generation(purpose.service, purpose.name);
        let generations = (present.saturating_sub(FORMER).max(1)..=present).rev();
        generations.map(|generation| self.password_of(purpose, generation)).collect()
    }

    /// The password of the generation before, if there was one: what is honoured while a new one makes its way.
    #[must_use]
    pub fn former_password(&self, purpose: &Purpose<'_>) -> Option<SecretText> {
        self.passwords(purpose).into_iter().nth(1)
    }

    /// The generation of a secret: 1 until the site file says otherwise.
    #[must_use]
    pub fn generation(&self, service: &ServiceName, name: &str) -> u32 {
        self.generations.get(&format!("{service}/{name}")).copied().unwrap_or(1)
    }

    /// What the operator brought under that name.
    #[must_use]
    pub fn provided(&self, name: &str) -> Option<&SecretText> {
        self.provided.get(name)
    }

    /// The names of what the operator brought, in alphabetical order.
    pub fn provided_names(&self) -> impl Iterator<Item = &str> {
        self.provided.keys().map(String::as_str)
    }

    /// The key under which secrets on a host are fingerprinted.
    #[must_use]
    pub fn fingerprint_key(&self, host: &HostName) -> FingerprintKey {
        FingerprintKey(derive(self.seed.as_ref(), &["fingerprints of", host.as_str()]).to_vec())
    }

    /// The key under which saved plans are sealed.
    #[must_use]
    pub fn plan_key(&self) -> FingerprintKey {
        FingerprintKey(derive(self.seed.as_ref(), &["saved plans"]).to_vec())
    }
}

/// HKDF-SHA256 over the parts, each preceded by its length so that no two lists of parts give the same bytes.
pub(super) fn derive(secret: &[u8], parts: &[&str]) -> Zeroizing<[u8; 32]> {
    let mut info = Vec::new();
    for part in parts {
        info.extend_from_slice(&(part.len() as u64).to_be_bytes());
        info.extend_from_slice(part.as_bytes());
    }
    let mut output = Zeroizing::new([0; 32]);
    let expanded = Hkdf::<Sha256>::new(Some(b"wire-deploy secrets 1"), secret).expand(&info, output.as_mut());
    debug_assert!(expanded.is_ok(), "HKDF-SHA256 gives up to 8160 bytes");
    output
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use std::collections::BTreeSet;

    use super::*;

    fn secrets(generations: &[(&str, u32)]) -> Secrets {
        let generations = generations.iter().map(|(name, number)| ((*name).to_owned(), *number)).collect();
        Secrets::new([7; 32], 0, BTreeMap::new(), generations)
    }

    #[test]
    fn derived_values_stay_the_same_for_ever() {
        let service = ServiceName::from("redis");
        let password = secrets(&[]).password(&Purpose { service: &service, host: None, name: "user/brig" });
        assert_eq!(password.expose(), "corBqNsk-Xy_aBIpe_mrufuL0ymuUdXhZJML14y99wA");
        assert_eq!(password.expose().len(), 43);
    }

    #[test]
    fn every_purpose_has_a_value_of_its_own() {
        let (redis, etcd) = (ServiceName::from("redis"), ServiceName::from("etcd"));
        let (one, none) = (HostName::from("db1"), HostName::from(""));
        let mut seen = BTreeSet::new();
        let mut count = 0;
        for secrets in [secrets(&[]), secrets(&[("redis/a", 2), ("redis/ab", 2), ("etcd/a", 2), ("etcd/ab", 2)])] {
            for service in [&redis, &etcd] {
                for host in [None, Some(&one), Some(&none)] {
                    for name in ["a", "ab"] {
                        count += 1;
                        seen.insert(secrets.key(&Purpose { service, host, name }).to_vec());
                    }
                }
            }
            seen.insert(secrets.fingerprint_key(&one).0);
            seen.insert(secrets.plan_key().0);
        }
        assert_eq!(seen.len(), count + 2, "keys that no generation is part of are the same both times");
    }

    #[test]
    fn a_former_password_is_what_it_was() {
        let purpose = Purpose { service: &ServiceName::from("turn"), host: None, name: "shared-secret" };
        assert!(secrets(&[]).former_password(&purpose).is_none());
        let former = secrets(&[("turn/shared-secret", 2)]).former_password(&purpose).unwrap();
        assert_eq!(former.expose(), secrets(&[]).password(&purpose).expose());
    }

    #[test]
    fn former_passwords_follow_the_present_one() {
        let service = ServiceName::from("redis");
        let purpose = Purpose { service: &service, host: None, name: "a" };
        let passwords = |generation| secrets(&[("redis/a", generation)]).passwords(&purpose);
        let (first, third) = (passwords(1), passwords(3));
        assert_eq!((first.len(), third.len(), passwords(100).len()), (1, 3, 5));
        assert_eq!(third[2].expose(), first[0].expose());
        assert_eq!(third[0].expose(), secrets(&[("redis/a", 3)]).password(&purpose).expose());
    }

    #[test]
    fn a_secret_is_not_shown() {
        assert_eq!(format!("{:?}", SecretText::new("hunter2".to_owned())), "SecretText(…)");
    }
}
