//! Where Cassandra is, and who this process is there.

use std::path::PathBuf;

use anyhow::ensure;
use serde::Deserialize;

use crate::secret::ConfiguredSecret;

/// Cassandra.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cassandra {
    /// Nodes that are asked first, `host` or `host:port`; these tell of the others.
    pub hosts: Vec<String>,
    /// The data centre whose nodes are asked; of whichever node is there when not set.
    pub datacenter: Option<String>,
    /// How connections are protected; not at all without it.
    pub tls: Option<CassandraTls>,
    /// The log-in and keyspace for users and what belongs to them.
    pub brig: CassandraLogin,
    /// For conversations and teams.
    pub galley: CassandraLogin,
    /// For notifications.
    pub gundeck: CassandraLogin,
    /// On how many nodes rows are, where `wire-api migrate` has to make the keyspaces; never more than there are nodes.
    #[serde(default = "Cassandra::replication_factor")]
    pub replication_factor: u32,
}

impl Cassandra {
    fn replication_factor() -> u32 {
        3
    }

    /// What cannot be.
    pub(super) fn check(&self) -> anyhow::Result<()> {
        ensure!(!self.hosts.is_empty(), "cassandra.hosts names no node");
        for login in [&self.brig, &self.galley, &self.gundeck] {
            let name = login.keyspace();
            let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
            ensure!(
                (1..=48).contains(&name.len()) && name.bytes().all(is_plain),
                "cassandra: {name:?} is no name of a keyspace: at most 48 letters, digits and underscores"
            );
        }
        let datacenter = self.datacenter.as_deref().unwrap_or_default();
        ensure!(!datacenter.contains(['\'', '"']), "cassandra.datacenter: {datacenter:?} holds a quote");
        ensure!(self.replication_factor > 0, "cassandra.replication_factor is 0");
        Ok(())
    }
}

/// PEM files, read when the process starts.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CassandraTls {
    /// The authority that vouches for the nodes' certificates, which name their addresses.
    pub authority: PathBuf,
    /// The certificate that is shown to nodes, if they want one.
    pub certificate: Option<PathBuf>,
    /// Its key; the same file may hold both.
    pub key: Option<PathBuf>,
}

/// A role in Cassandra and the keyspace that it owns.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CassandraLogin {
    /// The keyspace; as the role is called when not set.
    pub keyspace: Option<String>,
    /// The role.
    pub user: String,
    /// Its password.
    pub password: ConfiguredSecret,
}

impl CassandraLogin {
    /// The keyspace.
    pub fn keyspace(&self) -> &str {
        self.keyspace.as_deref().unwrap_or(&self.user)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const TEXT: &str = "hosts: [192.0.2.1]\nbrig: {user: brig, password: hush}\ngalley: {user: galley, password: hush}\n\
                        gundeck: {user: gundeck, password: hush, keyspace: KEYSPACE}\n";

    fn read(text: &str) -> Cassandra {
        serde_saphyr::from_str(text).unwrap()
    }

    #[test]
    fn keyspaces_are_called_as_their_roles_unless_told_and_passwords_are_not_shown() {
        let config = read(&TEXT.replace("KEYSPACE", "other"));
        assert!(config.check().is_ok());
        assert_eq!((config.brig.keyspace(), config.gundeck.keyspace()), ("brig", "other"));
        assert_eq!(config.replication_factor, 3);
        assert!(!format!("{config:?}").contains("hush"));
    }

    #[test]
    fn a_name_that_would_be_more_than_a_name_is_refused() {
        for name in ["'a\"; DROP KEYSPACE brig'", "'a b'", "''"] {
            assert!(read(&TEXT.replace("KEYSPACE", name)).check().is_err(), "{name}");
        }
        let config = Cassandra { hosts: Vec::new(), ..read(&TEXT.replace("KEYSPACE", "other")) };
        assert!(config.check().unwrap_err().to_string().contains("hosts"));
    }
}
