//! Connections to the nodes of a cluster, with a client certificate of this run.

use core::net::{IpAddr, SocketAddr};

use anyhow::Context as _;

use super::objects::DEFAULT_SUPERUSER;
use super::{CLIENT_PORT, CLIENTS, loopback, password_name};
use crate::desired::{Cluster, Node};
use crate::services::cql::{self, Consistency, Refused, Row};
use crate::services::{ANSWER, Driver, OPERATOR, tls, within};
use crate::site::secrets::SecretText;

/// Opens connections to the nodes of one cluster.
pub(super) struct Connector<'a> {
    driver: &'a Driver<'a>,
    tls: tls::Client,
    /// The operator's; former ones come after it, for a cluster that has yet to be told of the present one.
    passwords: Vec<SecretText>,
}

/// A connection to one node.
pub(super) struct Connection {
    cql: cql::Connection,
    /// It is the superuser's whose password everyone knows.
    pub as_default: bool,
}

impl<'a> Connector<'a> {
    pub(super) fn new(cluster: &Cluster, driver: &'a Driver<'a>) -> anyhow::Result<Self> {
        let identity = driver.identity(cluster, CLIENTS)?;
        let authority = driver.authority(cluster, CLIENTS).certificate()?;
        let tls = tls::Client::new(&authority, Some(&identity))?;
        Ok(Self { driver, tls, passwords: driver.passwords(cluster, &password_name(OPERATOR)) })
    }

    /// The node on a host, as wire-deploy's own superuser; as Cassandra's own where that is still to be replaced. It is asked where clients
    /// reach it, or else on loopback, where one listens that is not open to them yet.
    pub(super) async fn node(&self, node: &Node) -> anyhow::Result<Connection> {
        within(ANSWER, SocketAddr::new(node.address, CLIENT_PORT), async {
            let mut unreachable = None;
            for address in [node.address, loopback(node.address)] {
                let refused = match self.as_operator(node, address).await {
                    Ok(connection) => return Ok(connection),
                    Err(error) if is_wrong_password(&error) => error,
                    Err(error) if error.is::<Refused>() => return Err(error),
                    // That nothing listens on loopback either is no news.
                    Err(error) => {
                        unreachable.get_or_insert(error);
                        continue;
                    }
                };
                return match self.log_in(node, address, DEFAULT_SUPERUSER, DEFAULT_SUPERUSER).await {
                    Ok(connection) => Ok(Connection { as_default: true, ..connection }),
                    Err(_) => Err(refused),
                };
            }
            Err(unreachable.context("there is no address")?)
        })
        .await
    }

    /// With the first of the passwords that is taken.
    async fn as_operator(&self, node: &Node, ip: IpAddr) -> anyhow::Result<Connection> {
        let mut refused = None;
        for password in &self.passwords {
            match self.log_in(node, ip, OPERATOR, password.expose()).await {
                Err(error) if is_wrong_password(&error) => {
                    refused.get_or_insert(error);
                }
                other => return other,
            }
        }
        Err(refused.context("there is no password")?)
    }

    async fn log_in(&self, node: &Node, ip: IpAddr, role: &str, password: &str) -> anyhow::Result<Connection> {
        let address = SocketAddr::new(ip, CLIENT_PORT);
        let stream = self.driver.connect_to(&self.tls, node, address).await?;
        let cql = cql::Connection::log_in(stream, address, role, password).await?;
        Ok(Connection { cql, as_default: false })
    }
}

/// The node knows no such role with this password.
pub(super) fn is_wrong_password(error: &anyhow::Error) -> bool {
    error.downcast_ref::<Refused>().is_some_and(|refused| refused.credentials)
}

impl Connection {
    /// As [`cql::Connection::query`].
    pub(super) async fn query(&mut self, statement: &str) -> anyhow::Result<Vec<Row>> {
        self.cql.query(statement).await
    }

    /// As [`cql::Connection::query_at`].
    pub(super) async fn query_at(&mut self, statement: &str, consistency: Consistency) -> anyhow::Result<Vec<Row>> {
        self.cql.query_at(statement, consistency).await
    }
}
