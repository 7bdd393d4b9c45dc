//! What was found, as data. Time is a field of it, so that everything computed from it is pure.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use wire_deploy_agent::resource::ResourceId;
use wire_deploy_agent::state::{Facts, Lease, State};

use crate::site::names::{HostName, ServiceName};
use crate::workloads::found::WorkloadFound;

/// Everything that was found.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Observed {
    /// When: milliseconds since the epoch, on the operator's machine.
    pub time: i64,
    /// The hosts that answered.
    pub hosts: BTreeMap<HostName, HostObserved>,
    /// The hosts that did not, with the reason.
    pub unreachable: BTreeMap<HostName, String>,
    /// The clusters' own view, of those that had a running node.
    pub live: BTreeMap<ServiceName, LiveState>,
    /// What Kubernetes has of the workloads' objects; none when its API could not be asked, or nobody wanted to know.
    pub workloads: Option<Vec<WorkloadFound>>,
}

/// What was found on one host.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct HostObserved {
    /// About the host itself.
    pub facts: Facts,
    /// Its clock minus the operator's, in milliseconds, as far as the time on the way does not explain it.
    pub clock_skew: i64,
    /// What is there for each resource.
    pub states: BTreeMap<ResourceId, State>,
    /// Who holds it.
    pub lease: Option<Lease>,
}

/// A cluster as its own nodes describe it, asked through its real driver.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LiveState {
    /// Each node of the site, whether it answered or not.
    pub members: BTreeMap<HostName, Member>,
    /// What the cluster holds for each cluster object, by its id; `null` where it holds nothing.
    pub objects: BTreeMap<String, serde_json::Value>,
    /// Nodes answer, and the cluster as a whole cannot tell what it holds: that `objects` is empty says nothing.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub untold: bool,
    /// Anything else a service needs to plan: `primary`, `leader`, `alarms`.
    pub facts: BTreeMap<String, String>,
}

/// One node's own view.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// It answered with credentials.
    pub answers: bool,
    /// It knows none of our passwords, which no waiting changes.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub refuses: bool,
    /// Why it did not, or what is wrong with it, without secrets.
    pub problem: Option<String>,
    /// The version it runs.
    pub version: Option<String>,
    /// Its role: `primary`, `replica`, `leader`, `follower`.
    pub role: Option<String>,
    /// Further findings that the gate judges.
    pub details: BTreeMap<String, String>,
}

impl Member {
    /// One that did not answer, and why.
    #[must_use]
    pub fn silent(error: &anyhow::Error) -> Self {
        Self { problem: Some(format!("{error:#}")), ..Self::default() }
    }
}

impl LiveState {
    /// Whether it is known what the cluster holds.
    #[must_use]
    pub fn tells_objects(&self) -> bool {
        !self.untold && self.members.values().any(|member| member.answers)
    }

    /// Whether no node answers although none refuses to: they may just be starting.
    #[must_use]
    pub fn is_silent(&self) -> bool {
        !self.members.values().any(|member| member.answers || member.refuses)
    }

    /// Whether all nodes refuse to answer.
    #[must_use]
    pub fn refuses(&self) -> bool {
        !self.members.is_empty() && self.members.values().all(|member| member.refuses)
    }

    /// Whether the nodes that answered tell different things under one name.
    #[must_use]
    pub fn disagrees(&self, detail: &str) -> bool {
        let answering = self.members.values().filter(|member| member.answers);
        answering.filter_map(|member| member.details.get(detail)).collect::<BTreeSet<_>>().len() > 1
    }
}

impl Observed {
    /// What was found for a resource of a host.
    #[must_use]
    pub fn state(&self, host: &HostName, resource: &ResourceId) -> Option<&State> {
        self.hosts.get(host)?.states.get(resource)
    }
}
