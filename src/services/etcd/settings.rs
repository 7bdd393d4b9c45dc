//! etcd's section of the site file.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::services::Problem;
use crate::site::model::Host;

/// Settings of etcd.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Milliseconds between a leader's heartbeats; about the round trip between the hosts that are furthest apart. Default: 100.
    pub heartbeat_milliseconds: u32,
    /// Milliseconds without a heartbeat after which another leader is elected; at least five heartbeats. Default: 1000.
    pub election_milliseconds: u32,
    /// Largest size of the database in MiB; when it is reached, writes are refused until alarms are disarmed. Default: 2048.
    pub quota_megabytes: u32,
    /// Hours of history that are kept. Default: 1.
    pub compaction_hours: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self { heartbeat_milliseconds: 100, election_milliseconds: 1_000, quota_megabytes: 2_048, compaction_hours: 1 }
    }
}

impl Settings {
    /// The quota in bytes.
    pub(super) fn quota_bytes(&self) -> u64 {
        u64::from(self.quota_megabytes) * 1024 * 1024
    }
}

/// What is wrong with these hosts and settings.
pub(super) fn check(hosts: &[&Host], settings: &Settings) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut problem = |message: String, hint: &str| problems.push(Problem { message, hint: hint.to_owned() });
    if !matches!(hosts.len(), 3 | 5 | 7) {
        problem(
            format!("etcd needs 3, 5 or 7 hosts, and the group etcd has {}", hosts.len()),
            "more than half must be alive, so an even number tolerates no more deaths than one host less: \
             put 3 hosts into the group etcd, or 5 to survive two deaths",
        );
    }
    if settings.heartbeat_milliseconds == 0 || settings.election_milliseconds > 50_000 {
        problem(
            "heartbeat_milliseconds is 0 or election_milliseconds is over 50000".to_owned(),
            "100 and 1000 suit hosts in one place",
        );
    }
    if settings.election_milliseconds < settings.heartbeat_milliseconds.saturating_mul(5) {
        problem(
            format!(
                "election_milliseconds ({}) is less than five times heartbeat_milliseconds ({})",
                settings.election_milliseconds, settings.heartbeat_milliseconds
            ),
            "ten times the heartbeat is a good value",
        );
    }
    if !(16..=16_384).contains(&settings.quota_megabytes) {
        problem(
            format!("quota_megabytes is {}, and 16 to 16384 are possible", settings.quota_megabytes),
            "2048 is etcd's own default, and over 8192 it warns",
        );
    }
    if settings.compaction_hours == 0 {
        problem(
            "compaction_hours is 0".to_owned(),
            "without compaction the database grows until it is full; 1 is a good value",
        );
    }
    problems
}
