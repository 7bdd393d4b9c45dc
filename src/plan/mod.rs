//! The difference between what should be and what is, as ordered steps with reasons and impact. Pure.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use wire_deploy_agent::diff::Change;
use wire_deploy_agent::digest::Digest;

use crate::desired::{Object, Operation};
use crate::site::names::{HostName, ServiceName};
use crate::workloads::ManifestId;
use crate::workloads::found::WorkloadFound;

mod diff;
pub mod preflight;
mod refusal;
mod saved;
#[cfg(test)]
mod tests;
mod workloads;

pub use diff::{Inputs, diff, expected_at, node_is_up};
pub use refusal::Refusal;
pub use saved::Saved;

/// Format of saved plans; another one is refused.
pub const FORMAT: u32 = 1;

/// Everything that will be done.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Plan {
    /// [`FORMAT`].
    pub format: u32,
    /// The program's version.
    pub version: String,
    /// The site's name.
    pub site: String,
    /// When the hosts were observed: milliseconds since the epoch. Certificates are issued as of this time.
    pub time: i64,
    /// In an order in which they could be done one after the other; `needs` says what really has to wait.
    pub steps: Vec<Step>,
}

/// Names a step within its plan: `redis/db1/configure`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct StepId(pub String);

impl std::fmt::Display for StepId {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// One thing that is done and reported as one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Step {
    /// Its name.
    pub id: StepId,
    /// For which service.
    pub service: ServiceName,
    /// On which host, if on one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<HostName>,
    /// What.
    pub work: Work,
    /// The steps that must be done before.
    pub needs: Vec<StepId>,
    /// What it means for the users.
    pub impact: Impact,
}

/// What a step does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "work", rename_all = "snake_case")]
pub enum Work {
    /// Resources of one host are made as wanted.
    Configure {
        /// In order.
        changes: Vec<Change>,
        /// A running node is changed: if the gate then fails, the former configuration is put back.
        roll: bool,
        /// A new cluster's first node is started alone, as [`crate::desired::Cluster::at_founding`] has it.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        founding: bool,
        /// Digest of all contents that are written, so that a saved plan binds them without holding them.
        contents: Digest,
    },
    /// Something is done to the cluster before a node is touched.
    Operate {
        /// What.
        operation: Operation,
    },
    /// The cluster must be well before anything goes on.
    Gate {
        /// The step whose configuration is put back if it is not.
        guards: Option<StepId>,
        /// Seconds until it has failed.
        timeout_seconds: u32,
    },
    /// Cluster objects are made as wanted.
    Objects {
        /// What differs.
        changes: Vec<ObjectChange>,
    },
    /// Objects of a cluster that cannot be asked yet: planned again when this step is reached; only creation is allowed then.
    Deferred {
        /// Their full wanted state.
        objects: Vec<Object>,
    },
    /// A workload's objects are made as wanted, and it is waited until they run; if they do not, the last good ones are applied again.
    RollOut {
        /// What differs.
        found: WorkloadFound,
        /// Seconds until what does not run has failed.
        timeout_seconds: u32,
    },
    /// A workload of a cluster that cannot be asked yet: planned again when this step is reached; only creation is allowed then.
    DeferredRollOut {
        /// Its objects.
        objects: Vec<ManifestId>,
        /// Digest of their manifests.
        contents: Digest,
        /// Seconds until what does not run has failed.
        timeout_seconds: u32,
    },
}

/// What has to happen to a cluster object.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ObjectChange {
    /// What it should be.
    pub object: Object,
    /// What it is; `null` if it is not there.
    pub from: serde_json::Value,
}

/// What a step means for the users.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Impact {
    /// Units that stop for a moment.
    pub restarts: Vec<String>,
    /// How many more hosts may die while the step runs. Below zero the plan is refused. `None`: nothing of the cluster stops.
    pub spare: Option<i32>,
    /// What users notice, in a sentence.
    pub notice: String,
}

impl Step {
    /// What it does, in a few words.
    #[must_use]
    pub fn title(&self) -> String {
        match &self.work {
            Work::Configure { roll: true, .. } => "roll".to_owned(),
            Work::Configure { .. } => "configure".to_owned(),
            Work::Operate { operation } => operation.description.clone(),
            Work::Gate { .. } => "wait until the cluster is well".to_owned(),
            Work::Objects { .. } | Work::Deferred { .. } => "make cluster objects".to_owned(),
            Work::RollOut { .. } | Work::DeferredRollOut { .. } => "roll out".to_owned(),
        }
    }
}

impl Plan {
    /// Nothing is to be done.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// The steps by name.
    #[must_use]
    pub fn by_id(&self) -> BTreeMap<&StepId, &Step> {
        self.steps.iter().map(|step| (&step.id, step)).collect()
    }
}
