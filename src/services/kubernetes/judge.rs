//! Whether every node is ready and the API answers on every control plane.

use wire_deploy_agent::resource::{File, Resource};

use super::{PODS_CONFIGURATION, is_control_plane};
use crate::desired::{Cluster, Node};
use crate::observed::{LiveState, Member};
use crate::services::Verdict;

/// Names of what a member's details tell.
pub(super) mod detail {
    /// The node's address, as the API has it.
    pub const ADDRESS: &str = "address";
    /// The node is ready.
    pub const READY: &str = "ready";
    /// Why the node is not ready.
    pub const NOT_READY: &str = "not_ready";
    /// Why its kubelet is not well, by its own word.
    pub const NO_KUBELET: &str = "no_kubelet";
    /// It was emptied to be upgraded, and takes no pods yet.
    pub const DRAINED: &str = "drained";
    /// Why its DNS does not.
    pub const NO_DNS: &str = "no_dns";
}

/// What the facts begin with that tell of objects whose pods are being replaced.
pub(super) const ROLLS: &str = "rolls/";

/// What kubelet says of a node whose pods nothing connects yet.
const NO_NETWORK: &str = "cni plugin not initialized";

/// Every node has joined with its own address, is ready and takes pods, its kubelet is well and its DNS answers; every control plane's
/// API server is ready. Where the operator installs what connects pods, nodes may wait for that.
pub(super) fn judge(cluster: &Cluster, live: &LiveState) -> Verdict {
    let mut verdict = Verdict::of_nodes(cluster, live, |node, member| match member {
        Err(problem) => vec![problem],
        Ok(member) => problems_of(node, member),
    });
    // A node that has yet to be opened again is waited for at a gate. It does its work otherwise, and keeps no other from changing.
    let drained = live.members.iter().filter(|(_, member)| member.details.contains_key(detail::DRAINED));
    verdict.problems.extend(drained.map(|(host, _)| format!("{host}: was emptied and takes no pods yet")));
    let rolls = live.facts.iter().filter_map(|(name, how)| Some((name.strip_prefix(ROLLS)?, how)));
    verdict.problems.extend(rolls.map(|(object, how)| format!("{object} rolls: {how}")));
    verdict
}

fn problems_of(node: &Node, member: &Member) -> Vec<String> {
    let told = |name: &str| member.details.get(name).map(String::as_str);
    let Some(address) = told(detail::ADDRESS) else { return vec!["is no node of the cluster".to_owned()] };
    let mut problems = Vec::new();
    if address != node.address.to_string() && !address.is_empty() {
        problems.push(format!("the node of this name is at {address}"));
    }
    if told(detail::READY).is_none() {
        let reason = told(detail::NOT_READY).unwrap_or("no reason given");
        if has_network(node) || !reason.contains(NO_NETWORK) {
            problems.push(format!("is not ready: {reason}"));
        }
    }
    if let Some(why) = told(detail::NO_KUBELET) {
        problems.push(format!("its kubelet is not well: {why}"));
    }
    if let Some(why) = told(detail::NO_DNS) {
        problems.push(format!("its DNS does not answer: {why}"));
    }
    if is_control_plane(node) && member.problem.is_some() {
        problems.extend(member.problem.clone());
    }
    problems
}

/// Whether wire-deploy connects the node's pods.
fn has_network(node: &Node) -> bool {
    node.resources
        .iter()
        .any(|resource| matches!(resource, Resource::File(File { path, .. }) if path == PODS_CONFIGURATION))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::collections::BTreeMap;

    use super::*;
    use crate::services::resources::{file, root};
    use crate::services::testing::cluster;
    use crate::site::names::HostName;

    fn told(version: &str, details: &[(&str, &str)]) -> Member {
        let details = details.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Member { answers: true, version: Some(version.to_owned()), details, ..Member::default() }
    }

    fn problems(third: Member, has_network: bool) -> Vec<String> {
        let mut cluster = cluster("kubernetes");
        if has_network {
            for node in &mut cluster.nodes {
                node.resources.push(Resource::File(file(PODS_CONFIGURATION, root(), 0o644, String::new())));
            }
        }
        let well = |last: u8| told("1", &[(detail::ADDRESS, &format!("10.0.0.{last}")), (detail::READY, "yes")]);
        let name = |last: u8| HostName(format!("db{last}"));
        let members = BTreeMap::from([(name(1), well(1)), (name(2), well(2)), (name(3), third)]);
        judge(&cluster, &LiveState { members, ..LiveState::default() }).problems
    }

    #[test]
    fn each_thing_that_can_be_wrong_is_told() {
        let address = (detail::ADDRESS, "10.0.0.3");
        let ready = (detail::READY, "yes");
        assert!(problems(told("1", &[address, ready]), true).is_empty());
        let one = |details: &[(&str, &str)]| problems(told("1", details), true).join("; ");
        assert_eq!(one(&[]), "db3: is no node of the cluster");
        assert_eq!(one(&[(detail::ADDRESS, "10.0.0.9"), ready]), "db3: the node of this name is at 10.0.0.9");
        assert_eq!(one(&[address, (detail::NOT_READY, "no disk")]), "db3: is not ready: no disk");
        assert_eq!(one(&[address, ready, (detail::NO_KUBELET, "refused")]), "db3: its kubelet is not well: refused");
        assert_eq!(one(&[address, ready, (detail::DRAINED, "yes")]), "db3: was emptied and takes no pods yet");
        assert_eq!(one(&[address, ready, (detail::NO_DNS, "refused")]), "db3: its DNS does not answer: refused");
    }

    #[test]
    fn nodes_may_wait_for_the_operators_network() {
        let waits =
            told("1", &[(detail::ADDRESS, "10.0.0.3"), (detail::NOT_READY, "network: cni plugin not initialized")]);
        assert!(problems(waits.clone(), false).is_empty());
        assert_eq!(problems(waits, true).len(), 1);
    }
}
