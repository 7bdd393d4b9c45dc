//! Cassandra 5.0: every node holds a share of the data, each row is on as many nodes as the replication factor says, and most of
//! them have to be alive to read or write it.
//!
//! Nodes among themselves and clients have an authority each; both sides show certificates. What matters only at a first start
//! is in files of its own, which are never compared once a node has joined. The first node of a new cluster is founded alone
//! and on loopback, because Cassandra begins with a superuser whose password everyone knows; once that is replaced and the
//! others have joined, it is started again where clients reach it.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use super::{BuildError, Context, Driver, Finding, Problem, Service, Verdict, password_name};
use crate::desired::{Cluster, Object, Operation};
use crate::observed::LiveState;
use crate::site::model::Host;

mod connection;
mod examine;
mod judge;
mod live;
mod membership;
mod nodes;
mod objects;
mod settings;

pub use settings::Settings;

/// The service.
pub static SERVICE: Cassandra = Cassandra;

/// Cassandra.
pub struct Cassandra;

/// Port for clients: CQL, mutual TLS.
pub const CLIENT_PORT: u16 = 9042;
/// Port for other nodes, mutual TLS.
const STORAGE_PORT: u16 = 7000;
/// Port of Java's management interface, on loopback.
const MANAGEMENT_PORT: u16 = 7199;
/// The trust domain of clients: a client shows a certificate of its authority and expects one of it.
pub const CLIENTS: &str = "clients";
/// The trust domain of the nodes among themselves.
const NODES: &str = "nodes";
/// The name of the one data centre.
pub const DATACENTER: &str = "dc1";
/// The backend's services that keep data here: each has a role and a keyspace of its name. The role's password is of the purpose
/// `user/<service>`.
pub const TENANTS: [&str; 4] = ["brig", "galley", "gundeck", "spar"];

/// Lets a host's node in: `host`. A cluster that was just founded gets its own superuser first.
const LET_IN: &str = "let-in";
/// Puts wire-deploy's own superuser in the place of the one whose password everyone knows.
const REPLACE_SUPERUSER: &str = "replace-superuser";

/// Where a node that is not open to clients yet listens for them: the loopback address of its own address's kind.
fn loopback(own: IpAddr) -> IpAddr {
    if own.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() }
}

impl Service for Cassandra {
    type Settings = Settings;

    const NAME: &'static str = "cassandra";
    const RECIPES: &'static [&'static str] = &["cassandra", "java"];
    const PASSWORDS: &'static [(&'static str, bool)] = &[
        ("user/brig", false),
        ("user/galley", false),
        ("user/gundeck", false),
        ("user/spar", false),
        ("user/wire-deploy", false),
    ];

    fn check(&self, hosts: &[&Host], settings: &Settings) -> Vec<Problem> {
        settings::check(hosts, settings)
    }

    fn memory(&self, settings: &Settings, host: u64) -> u64 {
        settings.memory(host)
    }

    fn build(&self, context: &Context<'_>) -> Result<Cluster, BuildError> {
        nodes::build(context)
    }

    fn examine(&self, context: &Context<'_>) -> Vec<Finding> {
        examine::examine(context)
    }

    fn judge(&self, cluster: &Cluster, live: &LiveState) -> Verdict {
        judge::judge(cluster, live)
    }

    async fn observe(&self, cluster: &Cluster, driver: &Driver<'_>) -> anyhow::Result<LiveState> {
        live::observe(cluster, driver).await
    }

    async fn operate(&self, cluster: &Cluster, operation: &Operation, driver: &Driver<'_>) -> anyhow::Result<()> {
        live::operate(cluster, operation, driver).await
    }

    fn patience(&self, cluster: &Cluster, operation: &Operation) -> Duration {
        live::patience(cluster, operation)
    }

    async fn put_object(&self, cluster: &Cluster, object: &Object, driver: &Driver<'_>) -> anyhow::Result<()> {
        live::put_object(cluster, object, driver).await
    }
}
