//! The site's secrets: one seed from which every generated password and key is derived, and what the operator brought.

use std::collections::BTreeMap;

use wire_deploy_agent::digest::FingerprintKey;
use zeroize::Zeroizing;

use super::names::{HostName, ServiceName};

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
        let _ = (purpose, &self.seed, &self.generations);
        todo!()
    }

    /// A password derived likewise: 43 characters of `A-Za-z0-9-_`, 256 bits.
    #[must_use]
    pub fn password(&self, purpose: &Purpose<'_>) -> SecretText {
        let _ = purpose;
        todo!()
    }

    /// What the operator brought under that name.
    #[must_use]
    pub fn provided(&self, name: &str) -> Option<&SecretText> {
        self.provided.get(name)
    }

    /// The key under which secrets on a host are fingerprinted.
    #[must_use]
    pub fn fingerprint_key(&self, host: &HostName) -> FingerprintKey {
        let _ = host;
        todo!()
    }

    /// The key under which saved plans are sealed.
    #[must_use]
    pub fn plan_key(&self) -> FingerprintKey {
        todo!()
    }
}
