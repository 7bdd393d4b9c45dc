//! The token with which a host proves to the cluster that it may join, and the cluster to the host that it is the right one. It counts
//! only while its Secret is there, for minutes.
//!
//! Source: "Authenticating with Bootstrap Tokens", Kubernetes' reference.

use serde_json::{Value, json};

use crate::site::names::{HostName, ServiceName};
use crate::site::secrets::{Purpose, Secrets};

/// Minutes that a token counts.
const MINUTES: i64 = 15;
/// The alphabet of tokens, of which five bits choose a letter.
const LETTERS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

/// A token.
pub(super) struct Token {
    /// Its public part, six letters.
    pub id: String,
    secret: String,
}

/// A host's token.
pub(super) fn of(secrets: &Secrets, service: &ServiceName, host: &HostName) -> Token {
    let key = secrets.key(&Purpose { service, host: Some(host), name: "join-token" });
    let letters: String = key.iter().take(22).map(|byte| char::from(LETTERS[usize::from(byte % 32)])).collect();
    let (id, secret) = letters.split_at(6);
    Token { id: id.to_owned(), secret: secret.to_owned() }
}

impl Token {
    /// As kubeadm takes it.
    pub(super) fn whole(&self) -> String {
        format!("{}.{}", self.id, self.secret)
    }

    /// The name of its Secret.
    pub(super) fn object(&self) -> String {
        format!("bootstrap-token-{}", self.id)
    }

    /// Its Secret, to be made at `time` (milliseconds since the epoch).
    pub(super) fn manifest(&self, time: i64) -> anyhow::Result<Value> {
        let ends = jiff::Timestamp::from_millisecond(time - time.rem_euclid(1000) + MINUTES * 60_000)?;
        Ok(json!({
            "apiVersion": "v1", "kind": "Secret", "type": "bootstrap.kubernetes.io/token",
            "metadata": { "name": self.object(), "namespace": "kube-system" },
            "stringData": {
                "token-id": self.id, "token-secret": self.secret, "expiration": ends.to_string(),
                "usage-bootstrap-authentication": "true", "usage-bootstrap-signing": "true",
                "auth-extra-groups": "system:bootstrappers:kubeadm:default-node-token",
                "description": "made by wire-deploy for one host to join",
            },
        }))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn a_token_is_of_the_form_that_kubeadm_takes() {
        let secrets = Secrets::new([7; 32], 0, BTreeMap::new(), BTreeMap::new());
        let token = of(&secrets, &"kubernetes".into(), &HostName("host1".to_owned()));
        let other = of(&secrets, &"kubernetes".into(), &HostName("host2".to_owned()));
        let whole = token.whole();
        let (id, secret) = whole.split_once('.').unwrap();
        assert_eq!((id.len(), secret.len()), (6, 16));
        assert!(whole.bytes().all(|byte| byte == b'.' || LETTERS.contains(&byte)), "{whole}");
        assert_ne!(whole, other.whole());
        let manifest = token.manifest(1_800_000_000_123).unwrap();
        assert_eq!(manifest["stringData"]["expiration"], "2027-01-15T08:15:00Z");
    }
}
