//! Whether every node passes connections on and all agree on who holds the address.

use std::collections::BTreeSet;

use super::configuration::vip;
use crate::desired::Cluster;
use crate::observed::{LiveState, Member};
use crate::services::Verdict;

/// Names of what a member's details tell.
pub(super) mod detail {
    /// The host that answers, asked from this one, at the address that moves.
    pub const HOLDER: &str = "holder";
    /// Why nobody answers there.
    pub const NO_HOLDER: &str = "no_holder";
    /// With a listener's name after it: how many of its servers are well.
    pub const SERVERS: &str = "servers/";
    /// With a listener's name after it: why a connection did not come through, although servers are well.
    pub const BLOCKED: &str = "blocked/";
}

/// The live fact, and the role, of the host that holds the address.
pub(super) const HOLDER: &str = "holder";
/// The role of the others.
pub(super) const STANDBY: &str = "standby";

/// Every node answers, connections come through where servers are well, and exactly one node holds the address. That no server of a
/// listener is well is no fault of the load balancer: they may yet have to be installed.
pub(super) fn judge(cluster: &Cluster, live: &LiveState) -> Verdict {
    let has_vip = cluster.nodes.iter().any(|node| vip(node).is_some());
    let problems = |member: &Member| problems_of(member, has_vip);
    let mut verdict =
        Verdict::of_nodes(cluster, live, |_, member| member.map_or_else(|problem| vec![problem], problems));
    let holders: BTreeSet<&String> =
        live.members.values().filter_map(|member| member.details.get(detail::HOLDER)).collect();
    if holders.len() > 1 {
        let names: Vec<&str> = holders.into_iter().map(String::as_str).collect();
        verdict.problems.push(format!("more than one node holds the address: {}", names.join(", ")));
    }
    verdict
}

fn problems_of(member: &Member, has_vip: bool) -> Vec<String> {
    let mut problems = Vec::new();
    if has_vip && !member.details.contains_key(detail::HOLDER) {
        let why = member.details.get(detail::NO_HOLDER).map_or("it was not asked", String::as_str);
        problems.push(format!("reaches nobody at the address that moves: {why}"));
    }
    for (name, why) in &member.details {
        if let Some(listener) = name.strip_prefix(detail::BLOCKED) {
            problems.push(format!("{listener}: no connection comes through: {why}"));
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use core::net::IpAddr;

    use wire_deploy_agent::resource::{Probe, Resource};

    use super::*;
    use crate::desired::{Bootstrap, Node};

    fn judged(members: &[&[(&str, &str)]]) -> Verdict {
        let host = |index: usize| format!("host{index}");
        let node = |index: usize| Node {
            host: host(index).as_str().into(),
            address: IpAddr::from([10, 0, 0, 1]),
            resources: vec![Resource::Probe(Probe::Address { address: [10, 0, 0, 100].into() })],
            before: Vec::new(),
        };
        let cluster = Cluster {
            service: "load-balancer".into(),
            version: String::new(),
            nodes: (0..members.len()).map(node).collect(),
            leaving: Vec::new(),
            away: Vec::new(),
            bootstrap: Bootstrap::AllAtOnce,
            after: Vec::new(),
            tolerance: 1,
            gate_timeout_seconds: 1,
            objects: Vec::new(),
        };
        let members = members.iter().enumerate().map(|(index, details)| {
            let details = details.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
            (host(index).as_str().into(), Member { answers: true, details, ..Member::default() })
        });
        judge(&cluster, &LiveState { members: members.collect(), ..LiveState::default() })
    }

    #[test]
    fn one_node_holds_the_address_as_all_see_it() {
        assert!(judged(&[&[("holder", "host0")], &[("holder", "host0")]]).healthy());
        let split = judged(&[&[("holder", "host0")], &[("holder", "host1")]]);
        assert_eq!(split.problems, ["more than one node holds the address: host0, host1"]);
        let lost = judged(&[&[("holder", "host0")], &[("no_holder", "timed out")]]);
        assert_eq!(lost.problems, ["host1: reaches nobody at the address that moves: timed out"]);
        assert_eq!(lost.unwell, [crate::site::names::HostName::from("host1")]);
    }

    #[test]
    fn connections_come_through_where_servers_are_well() {
        let none = [("holder", "host0"), ("servers/api", "0")];
        assert!(judged(&[&none, &none]).healthy(), "they may yet have to be installed");
        let blocked = [("holder", "host0"), ("servers/api", "1"), ("blocked/api", "it was closed")];
        assert_eq!(judged(&[&none, &blocked]).problems, ["host1: api: no connection comes through: it was closed"]);
    }
}
