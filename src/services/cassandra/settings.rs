//! Cassandra's section of the site file.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::services::{Problem, java};
use crate::site::model::Host;

/// Least heap that Cassandra is given unless said, in MiB.
const LEAST_HEAP: u64 = 1024;
/// Most heap that it is given unless said, in MiB: a larger one makes longer pauses and leaves less to the page cache.
const MOST_HEAP: u64 = 16 * 1024;

/// The step in which a heap worked out from a host's memory is rounded down, in MiB, so that a new kernel that keeps a little more for itself
/// restarts nothing.
const HEAP_STEP: u64 = 64;

/// Settings of Cassandra.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Java's heap in MiB. Default: a quarter of the host's memory, at least 1024 and at most 16384, never more than half of it.
    pub heap_megabytes: Option<u32>,
    /// Further arguments of Java, after wire-deploy's own. Default: none.
    pub java_options: Vec<String>,
    /// On how many nodes each row is. Default: 3.
    pub replication_factor: u32,
    /// Milliseconds that a node which joins waits for the others to know of it. Default: 30000.
    pub ring_delay_milliseconds: u32,
    /// Whether a node that starts waits until it hears nothing new of the others. Default: true.
    pub wait_for_gossip: bool,
    /// Seconds until a start counts as failed; joining, which moves data, is part of a first start. Default: 3600.
    pub start_timeout_seconds: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            heap_megabytes: None,
            java_options: Vec::new(),
            replication_factor: 3,
            ring_delay_milliseconds: 30_000,
            wait_for_gossip: true,
            start_timeout_seconds: 3_600,
        }
    }
}

impl Settings {
    /// The heap in MiB on a host with so many bytes of memory.
    pub(super) fn heap(&self, memory: Option<u64>) -> u32 {
        let unless_said = || {
            let memory = memory.unwrap_or_default() / (1024 * 1024);
            let stepped = |heap: u64| heap / HEAP_STEP * HEAP_STEP;
            let heap = stepped(memory / 4).clamp(LEAST_HEAP, MOST_HEAP).min(stepped(memory / 2).max(HEAP_STEP));
            u32::try_from(heap).unwrap_or(u32::MAX)
        };
        self.heap_megabytes.unwrap_or_else(unless_said)
    }

    /// MiB that a node may take in all on a host with so many bytes of memory.
    pub(super) fn memory(&self, host: u64) -> u64 {
        let heap = self.heap(Some(host));
        u64::from(heap) + u64::from(Self::direct(heap))
    }

    /// What the node takes beside its heap, in MiB: buffers of files and of the network.
    pub(super) fn direct(heap: u32) -> u32 {
        (heap / 2).max(1)
    }
}

/// What is wrong with these hosts and settings.
pub(super) fn check(hosts: &[&Host], settings: &Settings) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut problem = |message: String, hint: &str| problems.push(Problem { message, hint: hint.to_owned() });
    if hosts.len() < 3 {
        problem(
            format!("cassandra needs 3 hosts or more, and the group cassandra has {}", hosts.len()),
            "each row is on three nodes so that one may die: put 3 hosts into the group cassandra",
        );
    }
    let factor = settings.replication_factor;
    if factor == 0 || (hosts.len() >= 3 && factor as usize > hosts.len()) {
        problem(
            format!("replication_factor is {factor}, and the group cassandra has {} hosts", hosts.len()),
            "a row cannot be on more nodes than there are; 3 is a good value, and two nodes of a row's three must be alive",
        );
    }
    if settings.heap_megabytes.is_some_and(|heap| !(256..=65_536).contains(&heap)) {
        problem(
            "heap_megabytes is not between 256 and 65536".to_owned(),
            "leave it out, and it follows the host's memory",
        );
    }
    if !(1_000..=600_000).contains(&settings.ring_delay_milliseconds) {
        problem(
            format!("ring_delay_milliseconds is {}, and 1000 to 600000 are possible", settings.ring_delay_milliseconds),
            "30000 is Cassandra's own default",
        );
    }
    if settings.start_timeout_seconds < 30 {
        problem(
            "start_timeout_seconds is less than 30".to_owned(),
            "a first start takes about a minute without any data",
        );
    }
    problems.extend(java::check_options(&settings.java_options));
    problems
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::services::testing;

    #[test]
    fn the_heap_follows_the_memory_within_bounds() {
        let heap = |gigabytes: u64| Settings::default().heap(Some(gigabytes << 30));
        assert_eq!(heap(1), 512, "half of it is the most");
        assert_eq!(heap(3), 1024);
        assert_eq!(heap(32), 8192);
        assert_eq!(heap(256), 16_384);
        let kernel_took_more = Settings::default().heap(Some((8 << 30) - (9 << 20)));
        assert_eq!(Settings::default().heap(Some((8 << 30) - (1 << 20))), kernel_took_more);
        let said = Settings { heap_megabytes: Some(384), ..Settings::default() };
        assert_eq!(said.heap(Some(1 << 40)), 384);
    }

    #[test]
    fn a_row_is_on_no_more_nodes_than_there_are() {
        let hosts = [1, 2, 3].map(|last| testing::host(&format!("db{last}"), testing::address(last)));
        let hosts: Vec<_> = hosts.iter().collect();
        let said = |replication_factor| {
            let problems = check(&hosts, &Settings { replication_factor, ..Settings::default() });
            problems.into_iter().map(|problem| problem.message).collect::<Vec<_>>()
        };
        assert_eq!(said(3), [""; 0]);
        assert_eq!(said(4), ["replication_factor is 4, and the group cassandra has 3 hosts"]);
    }

    #[test]
    fn settings_that_cannot_be_are_told() {
        let said = |settings: Settings| check(&[], &settings).len();
        // Without hosts there is one problem already.
        let good = Settings::default();
        assert_eq!(said(good.clone()), 1);
        assert_eq!(said(Settings { replication_factor: 0, ..good.clone() }), 2);
        assert_eq!(said(Settings { heap_megabytes: Some(100), ..good.clone() }), 2);
        assert_eq!(said(Settings { ring_delay_milliseconds: 0, ..good.clone() }), 2);
        assert_eq!(said(Settings { start_timeout_seconds: 1, ..good }), 2);
    }
}
