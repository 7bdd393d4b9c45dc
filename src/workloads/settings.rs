//! What the settings of all workloads have in common.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// What a pod asks of its host, and the most that it gets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Resources {
    /// Thousandths of a processor that are set aside for each pod. Default: 100.
    pub cpu_millicores: u32,
    /// The most of them that it gets. Default: none, what nobody else needs.
    pub cpu_limit_millicores: Option<u32>,
    /// Memory in MiB that is set aside for each pod. Default: 128.
    pub memory_megabytes: u32,
    /// The most that it gets; who takes more is ended and started anew. Default: 512.
    pub memory_limit_megabytes: u32,
}

impl Default for Resources {
    fn default() -> Self {
        Self { cpu_millicores: 100, cpu_limit_millicores: None, memory_megabytes: 128, memory_limit_megabytes: 512 }
    }
}

impl Resources {
    /// As a manifest's container says it.
    #[must_use]
    pub fn to_manifest(&self) -> Value {
        let memory = |megabytes: u32| format!("{megabytes}Mi");
        let cpu = |millicores: u32| format!("{millicores}m");
        let mut limits = json!({ "memory": memory(self.memory_limit_megabytes) });
        if let Some(limit) = self.cpu_limit_millicores {
            limits["cpu"] = json!(cpu(limit));
        }
        json!({ "requests": {"cpu": cpu(self.cpu_millicores), "memory": memory(self.memory_megabytes)}, "limits": limits })
    }

    /// What cannot be.
    pub(super) fn problems(&self, workload: &str) -> Vec<crate::services::Problem> {
        let mut problems = Vec::new();
        let mut problem = |message: String, hint: &str| {
            problems.push(crate::services::Problem { message, hint: hint.to_owned() });
        };
        if self.memory_limit_megabytes < self.memory_megabytes || self.memory_megabytes == 0 {
            problem(
                format!(
                    "{workload}: memory_megabytes is {} and memory_limit_megabytes {}",
                    self.memory_megabytes, self.memory_limit_megabytes
                ),
                "the limit is at least what is set aside, and that is not nothing",
            );
        }
        if self.cpu_millicores == 0 || self.cpu_limit_millicores.is_some_and(|limit| limit < self.cpu_millicores) {
            problem(
                format!("{workload}: cpu_millicores and cpu_limit_millicores do not fit together"),
                "the limit is at least what is set aside, and that is not nothing",
            );
        }
        problems
    }
}

/// A workload of which there are several pods, any of which may die.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Replicated {
    /// Pods, on as many hosts as there are. Default: 3.
    pub replicas: u32,
    /// What each asks of its host.
    pub resources: Resources,
}

impl Default for Replicated {
    fn default() -> Self {
        Self { replicas: REPLICAS, resources: Resources::default() }
    }
}

/// Of a workload that the site cannot name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Nothing {}

/// Pods unless the site says otherwise: one may die while another is replaced.
pub const REPLICAS: u32 = 3;

/// What cannot be of pods and what they ask for.
pub(super) fn problems(workload: &str, replicas: u32, resources: &Resources) -> Vec<crate::services::Problem> {
    let mut problems = resources.problems(workload);
    if replicas == 0 {
        let hint = format!(
            "one is the least, two are needed that one may die; leave `{workload}` out of `workloads` to have none"
        );
        problems.push(crate::services::Problem { message: format!("{workload}: replicas is 0"), hint });
    }
    problems
}
