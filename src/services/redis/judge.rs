//! Whether the cluster is well, from what its nodes and Sentinels said.

use super::primary::PRIMARY_ADDRESS;
use crate::desired::{Cluster, Node};
use crate::observed::{LiveState, Member};
use crate::services::Verdict;

/// Names of what a member's details tell.
pub(super) mod detail {
    /// Of a replica: the address that it follows.
    pub const FOLLOWS: &str = "follows";
    /// Of a replica: `up` when it is connected to its primary.
    pub const LINK: &str = "link";
    /// Of a replica: `1` while it fetches everything.
    pub const SYNCING: &str = "syncing";
    /// Of a primary: how many replicas are in sync with it.
    pub const REPLICAS: &str = "replicas";
    /// Of the Sentinel beside it: why it did not answer; absent if it did.
    pub const SENTINEL_PROBLEM: &str = "sentinel_problem";
    /// The address that the Sentinel beside it takes for the primary's.
    pub const SENTINEL_PRIMARY: &str = "sentinel_primary";
    /// How the Sentinel sees the primary: `master` when all is well.
    pub const SENTINEL_STATE: &str = "sentinel_state";
    /// How many replicas the Sentinel knows.
    pub const SENTINEL_REPLICAS: &str = "sentinel_replicas";
    /// How many other Sentinels the Sentinel knows.
    pub const SENTINEL_OTHERS: &str = "sentinel_others";
    /// What the Sentinel says to `SENTINEL CKQUORUM`; begins with `OK` when a failover is possible.
    pub const SENTINEL_QUORUM: &str = "sentinel_quorum";
}

/// The role of the node that takes writes.
pub(super) const PRIMARY: &str = "primary";
/// The role of the others.
pub(super) const REPLICA: &str = "replica";

/// One primary, every replica in sync with it, every Sentinel of the same mind and in touch with all others.
pub(super) fn judge(cluster: &Cluster, live: &LiveState) -> Verdict {
    let mut verdict = Verdict::default();
    let primary = live.facts.get(PRIMARY_ADDRESS).map(String::as_str);
    for node in &cluster.nodes {
        let member = live.members.get(&node.host);
        let own = member.map_or_else(|| vec!["was not asked".to_owned()], |member| own_problems(node, member, primary));
        if !own.is_empty() {
            verdict.unwell.push(node.host.clone());
        }
        let shared = member.into_iter().flat_map(|member| shared_problems(cluster, member));
        verdict.problems.extend(own.into_iter().chain(shared).map(|problem| format!("{}: {problem}", node.host)));
    }
    let primaries: Vec<_> = live
        .members
        .iter()
        .filter(|(_, member)| member.role.as_deref() == Some(PRIMARY))
        .map(|(host, _)| host.as_str())
        .collect();
    match primaries.as_slice() {
        [_] => {}
        [] => verdict.problems.push("no node is primary, so nothing can be written".to_owned()),
        several => verdict.problems.push(format!("more than one node says it is primary: {}", several.join(", "))),
    }
    verdict
}

/// What is wrong with a node itself.
fn own_problems(node: &Node, member: &Member, primary: Option<&str>) -> Vec<String> {
    let mut problems = Vec::new();
    if member.answers {
        problems.extend(server_problems(node, member, primary));
    } else {
        problems.push(format!("Redis does not answer: {}", member.problem.as_deref().unwrap_or("no reason given")));
    }
    if let Some(problem) = member.details.get(detail::SENTINEL_PROBLEM) {
        problems.push(format!("its Sentinel does not answer: {problem}"));
        return problems;
    }
    let watched = member.details.get(detail::SENTINEL_PRIMARY).map(String::as_str);
    if primary.is_none() || watched != primary {
        problems
            .push(format!("its Sentinel takes {} for the primary, and not all say so", watched.unwrap_or("nothing")));
    }
    problems
}

fn server_problems(node: &Node, member: &Member, primary: Option<&str>) -> Vec<String> {
    let mut problems = Vec::new();
    let is_primary = primary == Some(node.address.to_string().as_str());
    if member.role.as_deref() == Some(PRIMARY) {
        if !is_primary {
            problems
                .push(format!("says it is primary, but the Sentinels say {}", primary.unwrap_or("nothing in common")));
        }
        return problems;
    }
    if is_primary {
        problems.push("is primary for the Sentinels, but follows another node itself".to_owned());
    } else if member.details.get(detail::FOLLOWS).map(String::as_str) != primary {
        problems.push(format!("follows {} and not the primary", found(member, detail::FOLLOWS)));
    }
    if found(member, detail::LINK) != "up" {
        problems.push("is not connected to its primary".to_owned());
    } else if found(member, detail::SYNCING) != "0" {
        problems.push("is still fetching everything from its primary".to_owned());
    }
    problems
}

/// What a node says about the others: it is no less well itself for missing one.
fn shared_problems(cluster: &Cluster, member: &Member) -> Vec<String> {
    let mut problems = Vec::new();
    let others = cluster.nodes.len() - 1;
    if member.role.as_deref() == Some(PRIMARY) && number(member, detail::REPLICAS) < Some(others) {
        problems.push(format!("has {} replicas in sync of {others}", found(member, detail::REPLICAS)));
    }
    if member.details.contains_key(detail::SENTINEL_PROBLEM) {
        return problems;
    }
    if found(member, detail::SENTINEL_STATE) != "master" {
        problems.push(format!("its Sentinel sees the primary as {}", found(member, detail::SENTINEL_STATE)));
    }
    for (name, what) in [(detail::SENTINEL_REPLICAS, "replicas"), (detail::SENTINEL_OTHERS, "other Sentinels")] {
        // Nodes that are away may be known or not.
        let known = number(member, name);
        if known < Some(others) {
            problems.push(format!("its Sentinel knows {} {what}, and there are {others}", found(member, name)));
        } else if known > Some(others + cluster.away.len()) {
            let hint = "the task forget-members makes it forget those that are gone for good";
            problems.push(format!("its Sentinel knows {} {what}, and there are {others}; {hint}", found(member, name)));
        }
    }
    let quorum = found(member, detail::SENTINEL_QUORUM);
    if !quorum.starts_with("OK") {
        problems.push(format!("its Sentinel says that no failover is possible: {quorum}"));
    }
    problems
}

fn found<'a>(member: &'a Member, name: &str) -> &'a str {
    member.details.get(name).map_or("nothing", String::as_str)
}

fn number(member: &Member, name: &str) -> Option<usize> {
    member.details.get(name).and_then(|text| text.parse().ok())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::services::testing;
    use crate::site::names::HostName;

    fn cluster() -> Cluster {
        testing::cluster("redis")
    }

    fn well() -> LiveState {
        let member = |last: u8| {
            let mut details: BTreeMap<String, String> = [
                (detail::SENTINEL_PRIMARY, "10.0.0.1"),
                (detail::SENTINEL_STATE, "master"),
                (detail::SENTINEL_REPLICAS, "2"),
                (detail::SENTINEL_OTHERS, "2"),
                (detail::SENTINEL_QUORUM, "OK 3 usable Sentinels"),
            ]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into();
            let role = if last == 1 {
                details.insert(detail::REPLICAS.to_owned(), "2".to_owned());
                PRIMARY
            } else {
                details.insert(detail::FOLLOWS.to_owned(), "10.0.0.1".to_owned());
                details.insert(detail::LINK.to_owned(), "up".to_owned());
                details.insert(detail::SYNCING.to_owned(), "0".to_owned());
                REPLICA
            };
            let member = Member { answers: true, role: Some(role.to_owned()), details, ..Member::default() };
            (HostName(format!("db{last}")), member)
        };
        LiveState {
            members: (1..=3).map(member).collect(),
            facts: [(PRIMARY_ADDRESS.to_owned(), "10.0.0.1".to_owned())].into(),
            ..LiveState::default()
        }
    }

    fn change(host: &str, name: &str, value: &str) -> LiveState {
        let mut live = well();
        if let Some(member) = live.members.get_mut(host) {
            member.details.insert(name.to_owned(), value.to_owned());
        }
        live
    }

    #[test]
    fn a_cluster_in_order_is_well() {
        assert_eq!(judge(&cluster(), &well()), Verdict::default());
    }

    #[test]
    fn each_fault_is_found_on_its_host() {
        let faults = [
            ("db2", detail::LINK, "down", true),
            ("db2", detail::SYNCING, "1", true),
            ("db3", detail::FOLLOWS, "10.0.0.2", true),
            ("db1", detail::SENTINEL_PROBLEM, "refused", true),
            ("db1", detail::SENTINEL_PRIMARY, "10.0.0.2", true),
            // Others are to blame for these.
            ("db1", detail::REPLICAS, "1", false),
            ("db2", detail::SENTINEL_STATE, "master,s_down", false),
            ("db3", detail::SENTINEL_REPLICAS, "1", false),
            ("db3", detail::SENTINEL_OTHERS, "0", false),
            ("db3", detail::SENTINEL_QUORUM, "NOQUORUM 1 usable Sentinels", false),
        ];
        for (host, name, value, own) in faults {
            let verdict = judge(&cluster(), &change(host, name, value));
            assert!(verdict.problems.iter().any(|problem| problem.starts_with(host)), "{name} {value}");
            let unwell = if own { vec![HostName::from(host)] } else { Vec::new() };
            assert_eq!(verdict.unwell, unwell, "{name} {value}: {:?}", verdict.problems);
        }
    }

    #[test]
    fn nodes_that_are_away_are_not_missed() {
        let mut cluster = cluster();
        cluster.away.extend(cluster.nodes.pop());
        let mut live = well();
        live.members.remove("db3");
        assert_eq!(judge(&cluster, &live), Verdict::default(), "known as it is from before");
    }

    #[test]
    fn a_sentinel_that_remembers_the_dead_is_not_well() {
        let problems = judge(&cluster(), &change("db3", detail::SENTINEL_OTHERS, "3")).problems.join("\n");
        assert!(problems.contains("forget-members"), "{problems}");
    }

    #[test]
    fn two_primaries_are_not_well() {
        let mut live = well();
        if let Some(member) = live.members.get_mut("db2") {
            member.role = Some(PRIMARY.to_owned());
        }
        let problems = judge(&cluster(), &live).problems.join("\n");
        assert!(problems.contains("more than one node says it is primary: db1, db2"), "{problems}");
    }

    #[test]
    fn a_node_that_does_not_answer_is_not_well() {
        let mut live = well();
        live.members.insert("db3".into(), Member { problem: Some("refused".to_owned()), ..Member::default() });
        assert_eq!(judge(&cluster(), &live).unwell, [HostName::from("db3")]);
    }
}
