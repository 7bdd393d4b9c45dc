//! Search's section of the site file.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::services::{Problem, java};
use crate::site::model::Host;

/// Settings of search.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// What searches. Default: `opensearch`.
    pub flavor: Flavor,
    /// Allows the flavor `elasticsearch`, which takes anybody's word without TLS and without a password. Default: false.
    pub allow_insecure_search: bool,
    /// Memory for Java's heap in MiB, at most half of the host's. Default: half of it, at most 8192.
    pub heap_megabytes: Option<u32>,
    /// Further arguments of Java, after wire-deploy's own. Default: none.
    pub java_options: Vec<String>,
    /// Parts that a new index of the directory has. Default: 5.
    pub shards: u32,
    /// Copies of each part beside the part itself. Default: 2.
    pub replicas: u32,
}

/// What searches.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Flavor {
    /// OpenSearch 2.19 with its security plugin.
    #[default]
    Opensearch,
    /// Elasticsearch 7.10, which has no security at all.
    Elasticsearch,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            flavor: Flavor::Opensearch,
            allow_insecure_search: false,
            heap_megabytes: None,
            java_options: Vec::new(),
            shards: 5,
            replicas: 2,
        }
    }
}

/// The step in which memory worked out from a host's own is rounded down, so that a new kernel that keeps a little
/// more for itself does not change it.
const MEMORY_STEP: u64 = 64;
/// Most heap in MiB that is taken unless said; a directory of a million users needs less.
const MOST_HEAP: u64 = 8192;
/// Least heap in MiB that a node starts with.
pub(super) const LEAST_HEAP: u64 = 256;

impl Settings {
    /// The heap in MiB, on a host with so many bytes of memory.
    pub(super) fn heap(&self, memory: Option<u64>) -> u64 {
        let half = half(memory.unwrap_or_default());
        self.heap_megabytes.map_or_else(|| (half / MEMORY_STEP * MEMORY_STEP).clamp(LEAST_HEAP, MOST_HEAP), u64::from)
    }
}

/// Half of so many bytes, in MiB.
pub(super) fn half(memory: u64) -> u64 {
    memory / 2 / (1024 * 1024)
}

/// What is wrong with these hosts and settings.
pub(super) fn check(hosts: &[&Host], settings: &Settings) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut problem = |message: String, hint: &str| problems.push(Problem { message, hint: hint.to_owned() });
    if hosts.len() < 3 {
        problem(
            format!("search needs 3 hosts or more, and the group search has {}", hosts.len()),
            "more than half of three cluster managers must be alive: put 3 hosts into the group search",
        );
    }
    if settings.flavor == Flavor::Elasticsearch && !settings.allow_insecure_search {
        problem(
            "the flavor elasticsearch has no security: no TLS, no users".to_owned(),
            "use opensearch, or say `allow_insecure_search: true` where nobody else reaches the hosts' port 9200",
        );
    }
    if settings.heap_megabytes.is_some_and(|heap| u64::from(heap) < LEAST_HEAP || heap > 31 * 1024) {
        problem(
            "heap_megabytes is under 256 or over 31744".to_owned(),
            "leave it out to use half of each host's memory; over 31 GiB Java needs more for the same data",
        );
    }
    if !(1..=64).contains(&settings.shards) {
        problem(format!("shards is {}, and 1 to 64 are possible", settings.shards), "5 suit a million users");
    }
    if settings.replicas == 0 || settings.replicas as usize >= hosts.len().max(2) {
        problem(
            format!(
                "replicas is {}, and {} hosts can have 1 to {}",
                settings.replicas,
                hosts.len(),
                hosts.len().saturating_sub(1)
            ),
            "each copy of a part is on another host; with 1 a host may die, with 2 two may",
        );
    }
    problems.extend(java::check_options(&settings.java_options));
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_heap_is_half_in_steps_and_capped() {
        let settings = Settings::default();
        let gigabyte = 1 << 30;
        assert_eq!(settings.heap(Some(4 * gigabyte)), 2048);
        assert_eq!(settings.heap(Some(4 * gigabyte - 5_000_000)), 1984);
        assert_eq!(settings.heap(Some(256 * gigabyte)), 8192);
        assert_eq!(settings.heap(Some(1)), 256);
        assert_eq!(Settings { heap_megabytes: Some(384), ..settings }.heap(None), 384);
    }
}
