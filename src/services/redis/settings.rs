//! Redis's section of the site file.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::services::Problem;
use crate::site::model::Host;

/// Settings of Redis and its Sentinels.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Most memory for data in MiB; when it is full, writes are refused. Default: a quarter of the host's memory, at most 8192.
    pub max_memory_megabytes: Option<u32>,
    /// Milliseconds of silence after which a Sentinel takes a node for down. Default: 5000.
    pub down_after_milliseconds: u32,
    /// Milliseconds after which a failover that does not come to an end is given up; also how long a replica may follow the
    /// wrong node before a Sentinel corrects it. Default: 20000.
    pub failover_timeout_milliseconds: u32,
    /// Replicas that fetch from a new primary at the same time after a failover. Default: 1.
    pub parallel_syncs: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            max_memory_megabytes: None,
            down_after_milliseconds: 5_000,
            failover_timeout_milliseconds: 20_000,
            parallel_syncs: 1,
        }
    }
}

/// The step in which memory worked out from a host's own is rounded down, so that a new kernel that keeps a little
/// more for itself does not change it.
const MEMORY_STEP: u64 = 64;

impl Settings {
    /// Most memory for data in MiB, on a host with so many bytes of memory.
    pub(super) fn max_memory(&self, memory: Option<u64>) -> u64 {
        let quarter = memory.unwrap_or_default() / 4 / (1024 * 1024);
        self.max_memory_megabytes
            .map_or_else(|| (quarter / MEMORY_STEP * MEMORY_STEP).clamp(MEMORY_STEP, 8192), u64::from)
    }
}

/// The fewest hosts: one primary may die and a replica is still there to take each write twice.
const FEWEST_HOSTS: usize = 3;

/// What is wrong with these hosts and settings.
pub(super) fn check(hosts: &[&Host], settings: &Settings) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut problem = |message: String, hint: &str| problems.push(Problem { message, hint: hint.to_owned() });
    if hosts.len() < FEWEST_HOSTS || hosts.len().is_multiple_of(2) {
        problem(
            format!("redis needs an odd number of hosts, 3 or more, and the group redis has {}", hosts.len()),
            "each host has a Sentinel, and more than half of them must agree before a replica takes over: \
             put 3 or 5 hosts into the group redis",
        );
    }
    if settings.max_memory_megabytes.is_some_and(|megabytes| megabytes < 16) {
        problem("max_memory_megabytes is under 16".to_owned(), "leave it out to use a quarter of each host's memory");
    }
    if settings.down_after_milliseconds < 500 {
        problem(
            "down_after_milliseconds is under 500".to_owned(),
            "a node that is busy for a moment would be replaced; 5000 is a good value",
        );
    }
    if settings.failover_timeout_milliseconds < settings.down_after_milliseconds {
        problem(
            "failover_timeout_milliseconds is less than down_after_milliseconds".to_owned(),
            "give a failover longer than it takes to see that a node is down; 20000 is a good value",
        );
    }
    if settings.parallel_syncs == 0 {
        problem("parallel_syncs is 0".to_owned(), "at least 1 replica must follow a new primary");
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_a_quarter_in_steps_and_capped() {
        let settings = Settings::default();
        let gigabyte = 1024 * 1024 * 1024;
        assert_eq!(settings.max_memory(Some(4 * gigabyte)), 1024);
        assert_eq!(settings.max_memory(Some(4 * gigabyte - 5_000_000)), 960);
        assert_eq!(settings.max_memory(Some(256 * gigabyte)), 8192);
        assert_eq!(settings.max_memory(Some(1)), 64);
        assert_eq!(Settings { max_memory_megabytes: Some(100), ..settings }.max_memory(None), 100);
    }
}
