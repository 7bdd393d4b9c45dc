//! What the operator wrote, made concrete: for every cluster its nodes with their resources, and its objects.
//!
//! Pure. It is built twice in a run: first from the site alone ([`outline`]), which says what to look at; then with what
//! was found ([`build`]), because sizes depend on a host's memory, a certificate on a host stays while it is good, and a
//! new replica follows whoever is primary now. The ids of resources are the same both times.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use wire_deploy_agent::resource::Resource;

use crate::site::names::{HostName, ServiceName};
use crate::workloads::WorkloadDesired;

mod build;
mod memory;

pub use build::{
    BuildError, Sources, build, examine, examine_workloads, outline, recipes, rehearse, service_of, without_content,
};

/// Everything that should be.
#[derive(Debug, Clone, Default)]
pub struct Desired {
    /// One per service with hosts.
    pub clusters: Vec<Cluster>,
    /// What runs on Kubernetes, those first that others come after.
    pub workloads: Vec<WorkloadDesired>,
}

/// A cluster of one service.
#[derive(Debug, Clone)]
pub struct Cluster {
    /// Which service.
    pub service: ServiceName,
    /// The version that is installed.
    pub version: String,
    /// Its nodes, in the order in which a new cluster's nodes are started and a running one's are changed.
    pub nodes: Vec<Node>,
    /// What is to be taken back on hosts that were nodes and are none any more, once the cluster has forgotten them.
    pub leaving: Vec<Node>,
    /// At a gate: nodes that are not expected to be up, because they are still to be started or their hosts do not answer.
    pub away: Vec<Node>,
    /// How a new cluster starts.
    pub bootstrap: Bootstrap,
    /// The services whose clusters must be well before a node of this one starts.
    pub after: Vec<ServiceName>,
    /// How many hosts may die, all being well, before users notice.
    pub tolerance: u32,
    /// Seconds until a gate that has not passed has failed.
    pub gate_timeout_seconds: u32,
    /// What the cluster itself should hold.
    pub objects: Vec<Object>,
}

/// A service's share of one host.
#[derive(Debug, Clone)]
pub struct Node {
    /// Which host.
    pub host: HostName,
    /// Where the other hosts reach it.
    pub address: core::net::IpAddr,
    /// Its resources, in the order in which they are applied. The node starts with its command that is done once, or else with its first unit:
    /// all before that changes nothing for the others.
    pub resources: Vec<Resource>,
    /// Done to the cluster before this node is started or restarted, if the node has to be.
    pub before: Vec<Operation>,
}

/// How a new cluster starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Bootstrap {
    /// All nodes at once; the gate is asked at the end.
    AllAtOnce,
    /// The first node alone and closed to clients, then the others one by one, then the first one again, open to all. With what of its
    /// resources is otherwise while it is closed: files, and the stamps of units that are started with them.
    FounderFirst(Vec<Resource>),
    /// The first so many nodes first, then the others one by one.
    SeedsFirst(usize),
    /// The first node alone, then all others at once. In a cluster that runs: those that only have to be started, then those that join.
    FirstThenRest,
}

impl Cluster {
    /// A founder's resource as it is at its first start.
    #[must_use]
    pub fn at_founding(&self, resource: &Resource) -> Resource {
        let closed = match &self.bootstrap {
            Bootstrap::FounderFirst(closed) => closed.iter().find(|closed| closed.id() == resource.id()),
            _ => None,
        };
        closed.unwrap_or(resource).clone()
    }
}

/// A thing that lives in a cluster rather than on a host: a role, a bucket, a setting of the quorum.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Object {
    /// Names it in the cluster: `sentinel/down-after-milliseconds`.
    pub id: String,
    /// What it should be, without secrets (a fingerprint stands for one).
    pub wanted: serde_json::Value,
}

/// Something done to a cluster through its driver.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Operation {
    /// What, in the service's own terms: `hand-over`, `replace-member`.
    pub name: String,
    /// For a person: `hand the primary's role over from db1`.
    pub description: String,
    /// What it needs to know, without secrets.
    pub arguments: serde_json::Value,
}
