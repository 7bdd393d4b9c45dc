//! Whether the cluster is well, from what its members said.

use super::membership::{Listed, MEMBERS};
use super::peer_url;
use crate::desired::{Cluster, Node};
use crate::observed::{LiveState, Member};
use crate::services::Verdict;

/// Names of what a member's details tell.
pub(super) mod detail {
    /// Its id, decimal.
    pub const MEMBER: &str = "member";
    /// The cluster's id, decimal.
    pub const CLUSTER: &str = "cluster";
    /// The leader's id as this member sees it, decimal; `0` when it sees none.
    pub const LEADER: &str = "leader";
    /// The last log entry that it holds.
    pub const INDEX: &str = "index";
    /// Bytes of its database's file.
    pub const SIZE: &str = "size";
    /// Bytes of it in use.
    pub const SIZE_IN_USE: &str = "size_in_use";
    /// Bytes that the file may have.
    pub const QUOTA: &str = "quota";
}

/// The live fact that names the leading host.
pub(super) const LEADER: &str = "leader";
/// The live fact that lists alarms, if there are any.
pub(super) const ALARMS: &str = "alarms";
/// The role of the member that the others follow.
pub(super) const LEADING: &str = "leader";
/// The role of the others.
pub(super) const FOLLOWING: &str = "follower";
/// The role of one without a vote.
pub(super) const LEARNING: &str = "learner";

/// Every host a member that answers, one leader, no alarm, no stranger, room left.
pub(super) fn judge(cluster: &Cluster, live: &LiveState) -> Verdict {
    let listed = live.facts.get(MEMBERS).and_then(|text| serde_json::from_str::<Vec<Listed>>(text).ok());
    let mut verdict = Verdict::of_nodes(cluster, live, |node, member| {
        let mut problems = member.map_or_else(|silence| vec![silence], member_problems);
        problems.extend(listed.as_deref().and_then(|listed| listing_problem(node, listed)));
        problems
    });
    match listed {
        Some(listed) => verdict.problems.extend(strangers(cluster, &listed)),
        None => verdict.problems.push("more than half of the members are not in touch with each other".to_owned()),
    }
    if live.disagrees(detail::CLUSTER) {
        verdict.problems.push("the members do not belong to one cluster".to_owned());
    }
    if live.disagrees(detail::LEADER) {
        verdict.problems.push("the members do not agree on a leader".to_owned());
    }
    if let Some(alarms) = live.facts.get(ALARMS) {
        let hint = "make room (compaction, the task defragment), then run the task disarm-alarms";
        verdict.problems.push(format!("there are alarms: {alarms}; {hint}"));
    }
    verdict
}

fn member_problems(member: &Member) -> Vec<String> {
    let mut problems: Vec<_> = member.problem.clone().into_iter().collect();
    if member.details.get(detail::LEADER).is_none_or(|leader| leader == "0") {
        problems.push("sees no leader".to_owned());
    }
    let bytes = |name: &str| member.details.get(name).and_then(|text| text.parse::<u64>().ok());
    if let (Some(size), Some(quota)) = (bytes(detail::SIZE), bytes(detail::QUOTA))
        && size >= quota
    {
        problems.push(format!("its database has {size} bytes and may have {quota}"));
    }
    problems
}

fn listing_problem(node: &Node, listed: &[Listed]) -> Option<String> {
    match listed.iter().find(|member| member.peer_url == peer_url(node.address)) {
        None => Some(
            "is no member of the cluster; if it has data, they belong to another one or to a member that was removed"
                .to_owned(),
        ),
        Some(member) if member.name.is_empty() => Some("is a member, but has not started yet".to_owned()),
        Some(member) if member.learner => Some("is a learner and has no vote yet".to_owned()),
        Some(_) => None,
    }
}

fn strangers(cluster: &Cluster, listed: &[Listed]) -> Vec<String> {
    let nodes = cluster.nodes.iter().chain(&cluster.away);
    let ours = |member: &&Listed| nodes.clone().any(|node| peer_url(node.address) == member.peer_url);
    let strangers = listed.iter().filter(|member| !ours(member));
    let problem = |member: &Listed| {
        format!(
            "{} ({}) is a member, but no host of the site; the task forget-members takes it out",
            member.name, member.peer_url
        )
    };
    strangers.map(problem).collect()
}

#[cfg(test)]
mod tests {

    use super::*;
    use crate::services::testing::{self, address};
    use crate::site::names::HostName;

    fn cluster() -> Cluster {
        testing::cluster("etcd")
    }

    fn listed() -> Vec<Listed> {
        let member = |last: u8| Listed {
            id: last.to_string(),
            name: format!("db{last}"),
            peer_url: peer_url(address(last)),
            learner: false,
        };
        (1..=3).map(member).collect()
    }

    fn well() -> LiveState {
        let member = |last: u8| {
            let id = last.to_string();
            let details = [
                (detail::MEMBER, id.as_str()),
                (detail::CLUSTER, "9"),
                (detail::LEADER, "1"),
                (detail::SIZE, "10"),
                (detail::QUOTA, "100"),
            ];
            let details = details.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
            (HostName(format!("db{last}")), Member { answers: true, details, ..Member::default() })
        };
        let mut live = LiveState { members: (1..=3).map(member).collect(), ..LiveState::default() };
        list(&mut live, &listed());
        live
    }

    fn list(live: &mut LiveState, listed: &[Listed]) {
        live.facts.insert(MEMBERS.to_owned(), serde_json::to_string(listed).unwrap_or_default());
    }

    #[test]
    fn a_cluster_in_order_is_well() {
        assert_eq!(judge(&cluster(), &well()), Verdict::default());
    }

    #[test]
    fn faults_of_members_are_found() {
        for (name, value) in
            [(detail::LEADER, "0"), (detail::SIZE, "100"), (detail::CLUSTER, "8"), (detail::LEADER, "2")]
        {
            let mut live = well();
            if let Some(member) = live.members.get_mut("db2") {
                member.details.insert(name.to_owned(), value.to_owned());
            }
            assert!(!judge(&cluster(), &live).healthy(), "{name} {value}");
        }
    }

    #[test]
    fn who_is_not_listed_as_wanted_is_not_well() {
        let faults: [fn(&mut Vec<Listed>); 3] =
            [|listed| listed[2].name.clear(), |listed| listed[2].learner = true, |listed| drop(listed.pop())];
        for fault in faults {
            let (mut live, mut listed) = (well(), listed());
            fault(&mut listed);
            list(&mut live, &listed);
            assert_eq!(judge(&cluster(), &live).unwell, [HostName::from("db3")]);
        }
    }

    #[test]
    fn nodes_that_are_away_are_not_missed() {
        let mut cluster = cluster();
        cluster.away.extend(cluster.nodes.pop());
        let mut live = well();
        live.members.remove("db3");
        assert_eq!(judge(&cluster, &live), Verdict::default());
    }

    #[test]
    fn strangers_alarms_and_a_lost_quorum_are_told() {
        let (mut live, mut listed) = (well(), listed());
        listed[0].peer_url = "https://10.0.0.9:2380".to_owned();
        list(&mut live, &listed);
        live.facts.insert(ALARMS.to_owned(), "NOSPACE on db1".to_owned());
        let problems = judge(&cluster(), &live).problems.join("\n");
        assert!(problems.contains("no host of the site") && problems.contains("NOSPACE on db1"), "{problems}");
        live.facts.remove(MEMBERS);
        assert!(judge(&cluster(), &live).problems.join("\n").contains("more than half"));
    }
}
