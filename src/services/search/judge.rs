//! Whether the cluster is well, from what its nodes said.

use crate::desired::Cluster;
use crate::observed::LiveState;
use crate::services::Verdict;

/// Names of what a node's details tell.
pub(super) mod detail {
    /// The cluster's id.
    pub const CLUSTER: &str = "cluster";
    /// The id of the node that leads, as this one sees it; empty when it sees none.
    pub const LEADER: &str = "leader";
}

/// Names of live facts, which one node told of all.
pub(super) mod fact {
    /// `green`: each part of each index has all its copies; `yellow`: all parts are there; `red`: some are not.
    pub const STATUS: &str = "status";
    /// How many nodes the cluster has.
    pub const NODES: &str = "nodes";
    /// Copies that are on no node.
    pub const UNASSIGNED: &str = "unassigned";
    /// Why what the cluster holds cannot be looked at, if it cannot.
    pub const OBJECTS: &str = "objects";
    /// Whether copies are held where they are: `yes` or `no`.
    pub const HELD: &str = "held";
}

/// Every node in one cluster under one leader, every copy of every part in its place, nothing held.
pub(super) fn judge(cluster: &Cluster, live: &LiveState) -> Verdict {
    let mut verdict = Verdict::of_nodes(cluster, live, |_, member| match member {
        Err(problem) => vec![problem],
        Ok(member) => {
            let leader = member.details.get(detail::LEADER).filter(|leader| !leader.is_empty());
            let alone = leader.is_none().then(|| "sees no leader".to_owned());
            member.problem.clone().into_iter().chain(alone).collect()
        }
    });
    let told = |name: &str| live.facts.get(name).map(String::as_str);
    let mut problem = |problem: String| verdict.problems.push(problem);
    if live.disagrees(detail::CLUSTER) {
        problem("the nodes do not belong to one cluster".to_owned());
    }
    if live.disagrees(detail::LEADER) {
        problem("the nodes do not agree on a leader".to_owned());
    }
    match told(fact::STATUS) {
        None => problem("no node knows how the cluster is".to_owned()),
        Some("green") => {}
        // The copies of hosts that are away have to wait for them.
        Some("yellow") if !cluster.away.is_empty() => {}
        Some("red") => problem("red: parts of the data are on no node".to_owned()),
        Some(status) => {
            let unassigned = told(fact::UNASSIGNED).unwrap_or("some");
            problem(format!("{status}: {unassigned} copies of parts are on no node yet"));
        }
    }
    let nodes = told(fact::NODES).and_then(|nodes| nodes.parse::<usize>().ok());
    if let Some(nodes) = nodes.filter(|nodes| *nodes < cluster.nodes.len()) {
        problem(format!("{nodes} nodes are in the cluster, and {} should be", cluster.nodes.len()));
    }
    if let Some(reason) = told(fact::OBJECTS) {
        problem(format!("it does not say what it holds: {reason}"));
    }
    if told(fact::HELD) == Some("yes") {
        problem("copies are held where they are, as before a restart".to_owned());
    }
    verdict
}

#[cfg(test)]
mod tests {

    use super::*;
    use crate::observed::Member;
    use crate::services::testing;
    use crate::site::names::HostName;

    fn cluster() -> Cluster {
        testing::cluster("search")
    }

    fn well() -> LiveState {
        let text = |fields: &[(&str, &str)]| {
            fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
        };
        let member = |last| {
            let details = text(&[(detail::CLUSTER, "c"), (detail::LEADER, "n")]);
            (HostName(format!("db{last}")), Member { answers: true, details, ..Member::default() })
        };
        LiveState {
            members: (1..=3).map(member).collect(),
            facts: text(&[(fact::STATUS, "green"), (fact::NODES, "3"), (fact::HELD, "no")]),
            ..LiveState::default()
        }
    }

    #[test]
    fn a_cluster_in_order_is_well() {
        assert_eq!(judge(&cluster(), &well()), Verdict::default());
    }

    #[test]
    fn faults_of_the_cluster_are_told() {
        for (name, value) in [(fact::STATUS, "yellow"), (fact::STATUS, "red"), (fact::NODES, "2"), (fact::HELD, "yes")]
        {
            let mut live = well();
            live.facts.insert(name.to_owned(), value.to_owned());
            assert!(!judge(&cluster(), &live).healthy(), "{name} {value}");
        }
        for (name, value) in [(detail::CLUSTER, "other"), (detail::LEADER, "other")] {
            let mut live = well();
            live.members.entry("db2".into()).or_default().details.insert(name.to_owned(), value.to_owned());
            assert!(!judge(&cluster(), &live).healthy(), "{name} {value}");
        }
        let mut live = well();
        live.members.entry("db2".into()).or_default().details.insert(detail::LEADER.to_owned(), String::new());
        assert_eq!(judge(&cluster(), &live).unwell, [HostName::from("db2")]);
    }

    #[test]
    fn copies_of_a_host_that_is_away_are_not_missed_but_parts_are() {
        let (mut cluster, mut live) = (cluster(), well());
        cluster.away.extend(cluster.nodes.pop());
        live.members.remove("db3");
        live.facts.insert(fact::STATUS.to_owned(), "yellow".to_owned());
        live.facts.insert(fact::NODES.to_owned(), "2".to_owned());
        assert_eq!(judge(&cluster, &live), Verdict::default());
        live.facts.insert(fact::STATUS.to_owned(), "red".to_owned());
        assert!(!judge(&cluster, &live).healthy());
    }
}
