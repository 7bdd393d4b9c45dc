//! etcd 3.6: a few members that agree on every write while more than half of them are alive.
//!
//! Peers and clients have an authority each, so that a client's key opens no peer's door. What matters only at a first start is in a
//! file of its own, which is never compared once a member has data.

use core::net::IpAddr;

use super::{BuildError, Context, Driver, Problem, Service, Verdict};
use crate::desired::{Cluster, Operation};
use crate::observed::LiveState;
use crate::site::model::Host;

mod connection;
mod judge;
mod live;
mod membership;
mod nodes;
mod settings;

pub use settings::Settings;

/// The service.
pub static SERVICE: Etcd = Etcd;

/// etcd.
pub struct Etcd;

/// Port for clients, mutual TLS.
pub const CLIENT_PORT: u16 = 2379;
/// Port for other members, mutual TLS.
pub const PEER_PORT: u16 = 2380;
/// The trust domain of clients: a client shows a certificate of its authority and expects one of it.
pub const CLIENTS: &str = "clients";
/// The trust domain of the members among themselves.
const PEERS: &str = "peers";

/// Has another member lead: `from` names the host that is to stop leading.
const MOVE_LEADER: &str = "move-leader";
/// Lets a host's node in: `host`.
const ADD_MEMBER: &str = "add-member";
/// Takes a member that lost its data out and lets its host's node in again: `host`, and the old `member`'s id if it is known.
const REPLACE_MEMBER: &str = "replace-member";

const DEFRAGMENT: &str = "defragment";
const DISARM_ALARMS: &str = "disarm-alarms";
const FORGET_MEMBERS: &str = "forget-members";

/// Where the other members reach the one at an address.
fn peer_url(address: IpAddr) -> String {
    format!("https://{}", core::net::SocketAddr::new(address, PEER_PORT))
}

/// Where clients reach the member at an address.
#[must_use]
pub fn client_url(address: IpAddr) -> String {
    format!("https://{}", core::net::SocketAddr::new(address, CLIENT_PORT))
}

impl Service for Etcd {
    type Settings = Settings;

    const NAME: &'static str = "etcd";
    const RECIPES: &'static [&'static str] = &["etcd"];
    const TASKS: &'static [(&'static str, &'static str)] = &[
        (
            DEFRAGMENT,
            "give the space of deleted data back to the file system, one member after the other, the leader last",
        ),
        (DISARM_ALARMS, "take back alarms, so that writes are possible again once there is room"),
        (FORGET_MEMBERS, "take members out of the cluster that are on no host of the site"),
    ];

    fn check(&self, hosts: &[&Host], settings: &Settings) -> Vec<Problem> {
        settings::check(hosts, settings)
    }

    fn build(&self, context: &Context<'_>) -> Result<Cluster, BuildError> {
        nodes::build(context)
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
}
