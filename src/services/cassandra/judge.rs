//! Whether the cluster is well, from what its nodes said.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::desired::{Cluster, Node};
use crate::observed::{LiveState, Member};
use crate::services::Verdict;

/// Names of what a member's details tell.
pub(super) mod detail {
    /// The node's own address.
    pub const ADDRESS: &str = "address";
    /// The version of the schema that it has.
    pub const SCHEMA: &str = "schema";
    /// How it came in: `COMPLETED` once it has joined.
    pub const BOOTSTRAPPED: &str = "bootstrapped";
    /// Every node as this one knows it, itself included: JSON, [`super::Known`] by address.
    pub const KNOWS: &str = "knows";
    /// The addresses of the nodes for which it keeps writes that they missed, separated by commas.
    pub const HINTS: &str = "hints";
    /// There, if it is only the default superuser that can log in.
    pub const DEFAULT_SUPERUSER: &str = "default_superuser";
}

/// The live fact that lists the addresses of all nodes, dead ones included, separated by commas.
pub(super) const ADDRESSES: &str = "addresses";

/// Heartbeats (one a second) that a node may be behind in what it knows of another before that counts as down for it.
const STALE_AFTER: i64 = 20;

/// A node as another one knows it by gossip.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Known {
    /// When it was started last: seconds since the epoch.
    pub generation: i64,
    /// How many heartbeats since.
    pub heartbeat: i64,
    /// `NORMAL` when it has its share of the data.
    pub status: String,
}

/// Every node up and normal as each of them sees it, one schema, no writes kept for a node that missed them, no stranger, no
/// superuser that everyone knows.
pub(super) fn judge(cluster: &Cluster, live: &LiveState) -> Verdict {
    let views: BTreeMap<&str, BTreeMap<String, Known>> = cluster
        .nodes
        .iter()
        .filter_map(|node| Some((node.host.as_str(), view(live.members.get(&node.host)?)?)))
        .collect();
    let mut verdict = Verdict::of_nodes(cluster, live, |node, member| match member {
        Err(silence) => vec![silence],
        Ok(member) => own_problems(node, member, views.get(node.host.as_str())),
    });
    verdict.problems.extend(mutual_problems(cluster, &views));
    verdict.problems.extend(strangers(cluster, &views));
    if live.disagrees(detail::SCHEMA) {
        verdict.problems.push("the nodes do not agree on the schema".to_owned());
    }
    verdict.problems.extend(hinted(cluster, live));
    let mut answering = live.members.values().filter(|member| member.answers);
    // While others are still to join, it is about to be replaced, and open on loopback only.
    if cluster.away.is_empty() && answering.any(|member| member.details.contains_key(detail::DEFAULT_SUPERUSER)) {
        verdict.problems.push("Cassandra's own superuser, whose password everyone knows, is still there".to_owned());
    }
    verdict
}

fn view(member: &Member) -> Option<BTreeMap<String, Known>> {
    serde_json::from_str(member.details.get(detail::KNOWS)?).ok()
}

/// What is wrong with a node itself.
fn own_problems(node: &Node, member: &Member, view: Option<&BTreeMap<String, Known>>) -> Vec<String> {
    let mut problems = Vec::new();
    let joined = member.details.get(detail::BOOTSTRAPPED).map_or("nothing", String::as_str);
    if joined != "COMPLETED" {
        problems.push(format!("has not joined yet: {joined}"));
    }
    match view.and_then(|view| view.get(&node.address.to_string())) {
        Some(own) if own.status != "NORMAL" => problems.push(format!("is {}", own.status)),
        Some(_) => {}
        None => problems.push("takes no part in the cluster's gossip".to_owned()),
    }
    problems
}

/// What nodes say about each other: nobody is less well for missing another.
fn mutual_problems(cluster: &Cluster, views: &BTreeMap<&str, BTreeMap<String, Known>>) -> Vec<String> {
    let mut problems = Vec::new();
    for node in &cluster.nodes {
        let Some(view) = views.get(node.host.as_str()) else { continue };
        for other in cluster.nodes.iter().filter(|other| other.host != node.host) {
            let address = other.address.to_string();
            let itself = views.get(other.host.as_str()).and_then(|view| view.get(&address));
            match (view.get(&address), itself) {
                // One that does not answer was told already.
                (_, None) => {}
                (None, Some(_)) => problems.push(format!("{}: does not know {}", node.host, other.host)),
                (Some(known), Some(own)) => {
                    let behind = own.heartbeat - known.heartbeat;
                    if known.generation != own.generation || behind > STALE_AFTER {
                        problems.push(format!("{}: has not heard of {} lately", node.host, other.host));
                    } else if known.status != "NORMAL" {
                        problems.push(format!("{}: sees {} as {}", node.host, other.host, known.status));
                    }
                }
            }
        }
    }
    problems
}

fn strangers(cluster: &Cluster, views: &BTreeMap<&str, BTreeMap<String, Known>>) -> Vec<String> {
    let ours: BTreeSet<String> =
        cluster.nodes.iter().chain(&cluster.away).map(|node| node.address.to_string()).collect();
    let known: BTreeSet<&String> =
        views.values().flatten().filter(|(_, known)| known.status == "NORMAL").map(|(address, _)| address).collect();
    let problem = |address: &&String| {
        format!(
            "{address} is a node, but no host of the site; `nodetool removenode` on any host takes one that is gone out"
        )
    };
    known.iter().filter(|address| !ours.contains(**address)).map(problem).collect()
}

/// Nodes that are still to get writes which they missed: until then fewer nodes have them than should.
fn hinted(cluster: &Cluster, live: &LiveState) -> Vec<String> {
    let kept = live.members.values().filter_map(|member| member.details.get(detail::HINTS));
    let addresses: BTreeSet<&str> = kept.flat_map(|hints| hints.split(',')).collect();
    let nodes = cluster.nodes.iter().filter(|node| addresses.contains(node.address.to_string().as_str()));
    nodes.map(|node| format!("{} has yet to be given writes that it missed", node.host)).collect()
}

#[cfg(test)]
mod tests {

    use super::*;
    use crate::services::testing::{self, address};
    use crate::site::names::HostName;

    fn cluster() -> Cluster {
        testing::cluster("cassandra")
    }

    fn known() -> BTreeMap<String, Known> {
        let normal = |last: u8| {
            let known = Known { generation: 100 + i64::from(last), heartbeat: 50, status: "NORMAL".to_owned() };
            (address(last).to_string(), known)
        };
        (1..=3).map(normal).collect()
    }

    fn well() -> LiveState {
        let member = |last: u8| {
            let details = [
                (detail::ADDRESS, address(last).to_string()),
                (detail::SCHEMA, "a".to_owned()),
                (detail::BOOTSTRAPPED, "COMPLETED".to_owned()),
                (detail::HINTS, String::new()),
            ];
            let details = details.map(|(name, value)| (name.to_owned(), value)).into();
            (HostName(format!("db{last}")), Member { answers: true, details, ..Member::default() })
        };
        let mut live = LiveState { members: (1..=3).map(member).collect(), ..LiveState::default() };
        for last in 1..=3 {
            knows(&mut live, last, |_| ());
        }
        live
    }

    fn knows(live: &mut LiveState, last: u8, change: impl FnOnce(&mut BTreeMap<String, Known>)) {
        let mut view = known();
        change(&mut view);
        set(live, last, detail::KNOWS, &serde_json::to_string(&view).unwrap_or_default());
    }

    fn set(live: &mut LiveState, last: u8, name: &str, value: &str) {
        if let Some(member) = live.members.get_mut(format!("db{last}").as_str()) {
            member.details.insert(name.to_owned(), value.to_owned());
        }
    }

    #[test]
    fn a_cluster_in_order_is_well() {
        assert_eq!(judge(&cluster(), &well()), Verdict::default());
    }

    #[test]
    fn each_fault_is_found() {
        type Fault = (fn(&mut LiveState), &'static str);
        let faults: [Fault; 8] = [
            (|live| set(live, 2, detail::SCHEMA, "b"), "do not agree on the schema"),
            (|live| set(live, 2, detail::HINTS, "10.0.0.3"), "db3 has yet to be given writes"),
            (|live| set(live, 2, detail::DEFAULT_SUPERUSER, "true"), "whose password everyone knows"),
            (|live| knows(live, 2, |view| drop(view.remove("10.0.0.3"))), "db2: does not know db3"),
            (|live| behind(live, |known| known.heartbeat = 20), "db2: has not heard of db3 lately"),
            (|live| behind(live, |known| known.generation = 1), "db2: has not heard of db3 lately"),
            (|live| behind(live, |known| known.status = "shutdown".to_owned()), "db2: sees db3 as shutdown"),
            (stranger, "10.0.0.9 is a node, but no host of the site"),
        ];
        for (fault, problem) in faults {
            let mut live = well();
            fault(&mut live);
            let verdict = judge(&cluster(), &live);
            assert!(verdict.problems.iter().any(|told| told.contains(problem)), "{problem}: {:?}", verdict.problems);
            assert!(verdict.unwell.is_empty(), "{problem}: nobody is to blame alone");
        }
    }

    fn behind(live: &mut LiveState, change: fn(&mut Known)) {
        knows(live, 2, |view| view.get_mut("10.0.0.3").into_iter().for_each(change));
    }

    fn stranger(live: &mut LiveState) {
        let known = Known { generation: 1, heartbeat: 1, status: "NORMAL".to_owned() };
        knows(live, 1, |view| drop(view.insert("10.0.0.9".to_owned(), known)));
    }

    #[test]
    fn who_has_not_joined_or_does_not_answer_is_not_well() {
        let mut live = well();
        set(&mut live, 3, detail::BOOTSTRAPPED, "IN_PROGRESS");
        assert_eq!(judge(&cluster(), &live).unwell, [HostName::from("db3")]);
        let mut live = well();
        live.members.insert("db3".into(), Member { problem: Some("refused".to_owned()), ..Member::default() });
        let verdict = judge(&cluster(), &live);
        assert_eq!(verdict.unwell, [HostName::from("db3")]);
        assert_eq!(verdict.problems, ["db3: does not answer: refused"], "it is told once");
    }

    #[test]
    fn nodes_that_are_away_are_not_missed_and_may_be_known() {
        let mut cluster = cluster();
        cluster.away.extend(cluster.nodes.pop());
        let mut live = well();
        live.members.remove("db3");
        set(&mut live, 1, detail::HINTS, "10.0.0.3");
        behind(&mut live, |known| known.status = "shutdown".to_owned());
        assert_eq!(judge(&cluster, &live), Verdict::default());
    }

    #[test]
    fn a_cluster_that_is_founded_may_have_the_default_superuser_until_others_join() {
        let mut cluster = cluster();
        cluster.away = cluster.nodes.split_off(1);
        let mut live = well();
        live.members.retain(|host, _| host.as_str() == "db1");
        set(&mut live, 1, detail::DEFAULT_SUPERUSER, "true");
        assert!(judge(&cluster, &live).healthy());
    }
}
