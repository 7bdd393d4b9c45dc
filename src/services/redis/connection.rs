//! Redis and Sentinel through the `redis` crate, over a stream that a host opened.

use core::net::{IpAddr, SocketAddr};

use anyhow::Context as _;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Cmd, FromRedisValue, RedisConnectionInfo};

use super::{ADMIN_USER, PORT, SENTINEL_PORT, TRUST_DOMAIN, password_name};
use crate::desired::{Cluster, Node};
use crate::services::{ANSWER, Driver, tls, within};
use crate::site::secrets::SecretText;

/// Opens connections to the nodes of one cluster, as wire-deploy's own user.
pub(super) struct Connector<'a> {
    driver: &'a Driver<'a>,
    tls: tls::Client,
    /// The present password, then former ones: nodes that are still to be changed know only those.
    passwords: Vec<SecretText>,
}

/// A connection to one Redis or one Sentinel. Clones share it.
#[derive(Clone)]
pub(super) struct Connection {
    inner: MultiplexedConnection,
}

impl<'a> Connector<'a> {
    pub(super) fn new(cluster: &Cluster, driver: &'a Driver<'a>) -> anyhow::Result<Self> {
        let authority = driver.authority(cluster, TRUST_DOMAIN).certificate()?;
        let passwords = driver.passwords(cluster, &password_name(ADMIN_USER));
        Ok(Self { driver, tls: tls::Client::new(&authority, None)?, passwords })
    }

    /// Redis on a node's host.
    pub(super) async fn server(&self, node: &Node) -> anyhow::Result<Connection> {
        self.open(node, PORT).await
    }

    /// Sentinel on a node's host.
    pub(super) async fn sentinel(&self, node: &Node) -> anyhow::Result<Connection> {
        self.open(node, SENTINEL_PORT).await
    }

    async fn open(&self, node: &Node, port: u16) -> anyhow::Result<Connection> {
        let address = SocketAddr::new(node.address, port);
        within(ANSWER, address, self.connect(node, address)).await
    }

    async fn connect(&self, node: &Node, address: SocketAddr) -> anyhow::Result<Connection> {
        let mut refused = None;
        for password in &self.passwords {
            match self.log_in(node, address, password).await {
                Err(error) if is_wrong_password(&error) => refused = refused.or(Some(error)),
                done => return done,
            }
        }
        Err(refused.unwrap_or_else(|| anyhow::anyhow!("there is no password for {ADMIN_USER}")))
    }

    async fn log_in(&self, node: &Node, address: SocketAddr, password: &SecretText) -> anyhow::Result<Connection> {
        let stream = self.driver.connect(&self.tls, node, address.port()).await?;
        let login = RedisConnectionInfo::default()
            .set_username(ADMIN_USER)
            .set_password(password.expose())
            .set_skip_set_lib_name();
        let config = AsyncConnectionConfig::new().set_response_timeout(Some(ANSWER));
        let (inner, conversation) = MultiplexedConnection::new_with_config(&login, stream, config)
            .await
            .with_context(|| format!("cannot log in at {address} as {ADMIN_USER}"))?;
        // Ends when the connection is dropped.
        tokio::spawn(conversation);
        Ok(Connection { inner })
    }
}

/// Redis says so with code WRONGPASS, which the library turns into a kind of its own.
pub(super) fn is_wrong_password(error: &anyhow::Error) -> bool {
    error.downcast_ref::<redis::RedisError>().is_some_and(|error| {
        error.kind() == redis::ErrorKind::AuthenticationFailed || error.code() == Some("WRONGPASS")
    })
}

impl Connection {
    /// Runs a command of whole words.
    pub(super) async fn run<T: FromRedisValue>(&mut self, words: &[&str]) -> redis::RedisResult<T> {
        let mut command = Cmd::new();
        for word in words {
            command.arg(word);
        }
        command.query_async(&mut self.inner).await
    }

    /// What Redis says about itself in these sections.
    pub(super) async fn info(&mut self, sections: &[&str]) -> redis::RedisResult<Info> {
        self.run::<String>(&[&["INFO"], sections].concat()).await.map(Info)
    }
}

/// The answer to INFO: lines of `name:value`.
pub(super) struct Info(pub String);

impl Info {
    /// A field's value.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.fields().find(|(field, _)| *field == name).map(|(_, value)| value)
    }

    /// The primary's replicas: address, state and how much of the stream of writes each has acknowledged.
    pub(super) fn replicas(&self) -> impl Iterator<Item = ReplicaLine> {
        let numbered = |field: &str| field.strip_prefix("slave").is_some_and(|number| number.parse::<u32>().is_ok());
        self.fields().filter(move |(field, _)| numbered(field)).filter_map(|(_, value)| ReplicaLine::parse(value))
    }

    fn fields(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.lines().filter_map(|line| line.trim_end().split_once(':'))
    }
}

/// A primary's view of one replica.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ReplicaLine {
    /// Where it is.
    pub address: IpAddr,
    /// It has everything and follows.
    pub online: bool,
    /// Bytes of the stream of writes that it has acknowledged.
    pub offset: u64,
}

impl ReplicaLine {
    /// Parses `ip=10.0.0.2,port=6379,state=online,offset=123,lag=0`.
    fn parse(text: &str) -> Option<Self> {
        let field = |name: &str| text.split(',').find_map(|part| part.strip_prefix(name)?.strip_prefix('='));
        Some(Self {
            address: field("ip")?.parse().ok()?,
            online: field("state")? == "online",
            offset: field("offset")?.parse().ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn replicas_are_read_from_info() {
        let info = Info(
            "# Replication\r\nrole:master\r\nconnected_slaves:1\r\n\
             slave0:ip=10.0.0.2,port=6379,state=online,offset=410,lag=0\r\nslave_repl_offset:1\r\nmaster_repl_offset:410\r\n"
                .to_owned(),
        );
        assert_eq!(info.get("role"), Some("master"));
        let replicas: Vec<_> = info.replicas().collect();
        assert_eq!(replicas, [ReplicaLine { address: "10.0.0.2".parse().unwrap(), online: true, offset: 410 }]);
    }
}
