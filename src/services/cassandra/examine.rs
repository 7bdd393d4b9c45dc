//! What makes a host unfit for Cassandra, found before anything is changed.

use std::collections::BTreeMap;

use wire_deploy_agent::state::{Entry, PathState, State};

use super::Settings;
use super::nodes::{JOINED, RACK_FILE};
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
    findings
}

/// Whether the heap and what the node takes beside it fit into the host's memory.
fn memory(context: &Context<'_>, host: &Host) -> Option<Finding> {
    let memory = context.facts(&host.name)?.memory;
    let heap = context.settings::<Settings>(&host.name).ok()?.heap(Some(memory));
    let needed = u64::from(heap) + u64::from(Settings::direct(heap)) + REST;
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
    let Some(State::Path(PathState { entry: Entry::File { text: Some(text), .. }, .. })) =
        context.state(&host.name, &format!("file {RACK_FILE}"))
    else {
        return None;
    };
    let rack = text.lines().find_map(|line| line.strip_prefix("rack="))?;
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
