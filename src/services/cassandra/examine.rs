//! What makes a host unfit for Cassandra, found before anything is changed.

use std::collections::BTreeMap;

use super::nodes::{JOINED, RACK_FILE};
use super::objects::Kind;
use super::{DATACENTER, Settings, TENANTS};
use crate::observed::LiveState;
use crate::services::{Context, Finding, Severity};
use crate::site::model::Host;

/// MiB that the system and the agent need.
const REST: u64 = 256;

/// Everything found on the hosts that answered.
pub(super) fn examine(context: &Context<'_>) -> Vec<Finding> {
    let hosts = context.hosts();
    let mut findings: Vec<_> =
        hosts.iter().flat_map(|host| [memory(context, host), rack(context, host)]).flatten().collect();
    findings.extend(unequal_racks(&hosts));
    if let Some(host) = hosts.first()
        && let Ok(Settings { replication_factor, .. }) = context.settings(&host.name)
    {
        findings.extend(copies(host, replication_factor, context.live()));
    }
    findings
}

/// Too few copies for a host to die; and rows that are not yet where further copies of them are to be.
fn copies(host: &Host, wanted: u32, live: Option<&LiveState>) -> Vec<Finding> {
    let warning = |message, hint: &str| Finding {
        host: host.name.clone(),
        severity: Severity::Warning,
        message,
        hint: hint.to_owned(),
    };
    let mut findings = Vec::new();
    if wanted < 3 {
        findings.push(warning(
            format!("replication_factor of cassandra is {wanted}: no host may die"),
            "most of a row's nodes must be alive to read or write it; with 3 of them, one may die",
        ));
    }
    let factor = |name: &&str| live?.objects.get(&Kind::Keyspace(name).id())?.get(DATACENTER)?.as_u64();
    let fewer: Vec<_> =
        TENANTS.into_iter().filter(|name| factor(name).is_some_and(|factor| factor < u64::from(wanted))).collect();
    if !fewer.is_empty() {
        findings.push(warning(
            format!("rows of {} are on fewer nodes than {wanted}, and are brought to the others by a repair alone", fewer.join(", ")),
            "after `apply`, and before anybody relies on the further copies, run `systemctl start cassandra-repair.service` on each of \
             cassandra's hosts; until it has ended a read may miss rows that were written before",
        ));
    }
    findings
}

/// Whether the heap and what the node takes beside it fit into the host's memory.
fn memory(context: &Context<'_>, host: &Host) -> Option<Finding> {
    let memory = context.facts(&host.name)?.memory;
    let settings = context.settings::<Settings>(&host.name).ok()?;
    let (heap, needed) = (settings.heap(Some(memory)), settings.memory(memory) + REST);
    let there = memory / (1024 * 1024);
    (needed > there).then(|| Finding {
        host: host.name.clone(),
        severity: Severity::Fatal,
        message: format!("has {there} MiB of memory, and Cassandra with a heap of {heap} MiB needs {needed} MiB"),
        hint: "give the host more memory, or set heap_megabytes to less".to_owned(),
    })
}

/// A node that has joined keeps its rack: its data are placed by it.
fn rack(context: &Context<'_>, host: &Host) -> Option<Finding> {
    if context.is_there(&host.name, JOINED) != Some(true) {
        return None;
    }
    let rack = context.text(&host.name, RACK_FILE)?.lines().find_map(|line| line.strip_prefix("rack="))?;
    (rack != host.zone).then(|| Finding {
        host: host.name.clone(),
        severity: Severity::Fatal,
        message: format!("its Cassandra node is in rack {rack}, and the inventory says zone {}", host.zone),
        hint: "a node's data are placed by its rack, so it cannot change: write the former zone, or join another host instead".to_owned(),
    })
}

/// Each rack holds a copy of everything if there are as many as copies; the nodes of a smaller one hold more each.
fn unequal_racks(hosts: &[&Host]) -> Option<Finding> {
    let mut racks: BTreeMap<&str, usize> = BTreeMap::new();
    for host in hosts {
        *racks.entry(&host.zone).or_default() += 1;
    }
    let (least, most) = (racks.values().min()?, racks.values().max()?);
    let first = hosts.first()?;
    (least != most).then(|| Finding {
        host: first.name.clone(),
        severity: Severity::Warning,
        message: format!(
            "the zones have different numbers of Cassandra nodes: {}",
            racks.iter().map(|(zone, count)| format!("{zone} {count}")).collect::<Vec<_>>().join(", ")
        ),
        hint: "nodes in a smaller zone hold more data each; put the same number of hosts into each zone".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::services::testing;

    #[test]
    fn fewer_than_three_copies_are_told_and_so_are_rows_without_their_further_copies() {
        let host = testing::host("db1", testing::address(1));
        let messages = |wanted, live: Option<&LiveState>| {
            let findings = copies(&host, wanted, live);
            findings.into_iter().map(|finding| finding.message).collect::<Vec<_>>()
        };
        let holds = |factor: u32| {
            let keyspaces = TENANTS.map(|name| (Kind::Keyspace(name).id(), json!({ DATACENTER: factor })));
            LiveState { objects: keyspaces.into(), ..LiveState::default() }
        };
        assert_eq!(messages(3, None), [""; 0]);
        assert_eq!(messages(3, Some(&LiveState::default())), [""; 0], "there are no rows yet");
        assert_eq!(messages(3, Some(&holds(3))), [""; 0]);
        assert_eq!(messages(2, Some(&holds(2))), ["replication_factor of cassandra is 2: no host may die"]);
        assert_eq!(
            messages(3, Some(&holds(1))),
            [
                "rows of brig, galley, gundeck, spar are on fewer nodes than 3, and are brought to the others by a repair alone"
            ]
        );
    }
}
