//! Kubernetes' section of the site file.

use std::collections::BTreeMap;

use ipnet::Ipv4Net;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::network;
use super::version::Minor;
use crate::services::Problem;
use crate::site::model::Host;

/// Settings of Kubernetes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Version of Kubernetes. From one to the next it is upgraded node by node; none may be left out, and there is no way back. Default: 1.36.
    pub version: Minor,
    /// Where the API is reached, as `10.0.8.100:6443`. Default: the address that moves between the load balancers and the port of their
    /// listener for the group `kubernetes-control-plane`; or without one the only control plane's own address and 6443.
    pub endpoint: Option<String>,
    /// Network that pods get their addresses from. It may not overlap the hosts', and cannot be changed later. Default: 10.244.0.0/16.
    #[schemars(with = "String")]
    pub pod_network: Ipv4Net,
    /// A host's share of it. Default: the /24 whose place in it is that of the host's address among all addresses.
    #[schemars(with = "Option<String>")]
    pub pod_subnet: Option<Ipv4Net>,
    /// Network that Services get their addresses from. It cannot be changed later. Default: 10.96.0.0/16.
    #[schemars(with = "String")]
    pub service_network: Ipv4Net,
    /// Domain of names within the cluster. It cannot be changed later. Default: cluster.local.
    pub dns_domain: String,
    /// What connects pods: `bridge`, with static routes between the hosts, which must be on one network; `none` leaves it to what you
    /// install into the cluster, as Calico or Cilium. It cannot be changed later. Default: bridge.
    pub cni: Cni,
    /// Labels of a host's node, beside its zone. Default: none.
    pub labels: BTreeMap<String, String>,
    /// Taints of a host's node, as `dedicated=media:NoSchedule`. Default: `node-role.kubernetes.io/control-plane:NoSchedule` for
    /// control planes, none for others.
    pub taints: Option<Vec<String>>,
    /// Pods that a host may run. Default: 110.
    pub max_pods: u32,
    /// Seconds that pods have to leave a node which is upgraded or removed. Default: 300.
    pub drain_seconds: u32,
    /// Who makes control groups: `systemd`, or `cgroupfs` on hosts whose systemd cannot. Default: systemd.
    pub cgroup_driver: CgroupDriver,
    /// Run on hosts with control groups of version 1, which Kubernetes gives up. Default: false.
    pub allow_cgroup_v1: bool,
    /// Never ask the kernel for less likely death by lack of memory than containerd itself has, which hosts without the right to
    /// cannot grant. Default: false.
    pub restrict_oom_score: bool,
    /// Checks of kubeadm whose failure is overlooked, as `NumCPU`. Default: none.
    pub ignore_preflight: Vec<String>,
}

/// What connects pods.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Cni {
    /// The standard bridge and host-local plugins, and static routes.
    Bridge,
    /// What the operator installs.
    None,
}

/// Who makes control groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CgroupDriver {
    /// systemd, on kubelet's and containerd's behalf.
    Systemd,
    /// kubelet and containerd themselves.
    Cgroupfs,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            version: Minor::default(),
            endpoint: None,
            pod_network: network::net([10, 244, 0, 0], 16),
            pod_subnet: None,
            service_network: network::net([10, 96, 0, 0], 16),
            dns_domain: "cluster.local".to_owned(),
            cni: Cni::Bridge,
            labels: BTreeMap::new(),
            taints: None,
            max_pods: 110,
            drain_seconds: 300,
            cgroup_driver: CgroupDriver::Systemd,
            allow_cgroup_v1: false,
            restrict_oom_score: false,
            ignore_preflight: Vec::new(),
        }
    }
}

/// A taint of a node.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Taint {
    pub key: String,
    #[serde(default)]
    pub value: String,
    pub effect: String,
}

impl Taint {
    /// A taint as it is written: `key=value:effect` or `key:effect`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (rest, effect) = text.rsplit_once(':')?;
        let (key, value) = rest.split_once('=').unwrap_or((rest, ""));
        let known = ["NoSchedule", "PreferNoSchedule", "NoExecute"].contains(&effect);
        (known && !key.is_empty()).then(|| Self {
            key: key.to_owned(),
            value: value.to_owned(),
            effect: effect.to_owned(),
        })
    }
}

/// What is wrong with these settings, whatever else the site holds.
pub(super) fn check(_hosts: &[&Host], settings: &Settings) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut problem = |message: String, hint: &str| problems.push(Problem { message, hint: hint.to_owned() });
    let (pods, services) = (settings.pod_network, settings.service_network);
    if network::overlap(pods, services) {
        problem(
            format!("pod_network {pods} overlaps service_network {services}"),
            "take networks that have no address in common",
        );
    }
    for (name, found, longest) in [("pod_network", pods, 22), ("service_network", services, 24)] {
        if found.trunc() != found {
            problem(format!("{name} {found} is no network"), &format!("write it as {}", found.trunc()));
        }
        if !(8..=longest).contains(&found.prefix_len()) {
            problem(
                format!("{name} {found} has a prefix of {}", found.prefix_len()),
                &format!("8 to {longest} are possible"),
            );
        }
    }
    if settings.endpoint.as_ref().is_some_and(|endpoint| super::endpoint::parse(endpoint).is_none()) {
        problem(
            format!("endpoint `{}` is no address and port", settings.endpoint.as_deref().unwrap_or_default()),
            "write it as 10.0.8.100:6443",
        );
    }
    for taint in settings.taints.iter().flatten().filter(|taint| Taint::parse(taint).is_none()) {
        problem(
            format!("taint `{taint}` is none"),
            "write it as key=value:NoSchedule, or with PreferNoSchedule or NoExecute",
        );
    }
    if settings.labels.keys().any(|key| key.is_empty() || key.contains(char::is_whitespace)) {
        problem("a label's name is empty or has a space".to_owned(), "write it as example.com/name: value");
    }
    if settings.max_pods == 0 || settings.max_pods > 250 {
        problem(
            format!("max_pods is {}", settings.max_pods),
            "a /24 has room for 250; 110 is what Kubernetes is tested with",
        );
    }
    problems
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn problems(settings: serde_json::Value) -> Vec<String> {
        let settings: Settings = serde_json::from_value(settings).unwrap();
        check(&[], &settings).into_iter().map(|problem| problem.message).collect()
    }

    #[test]
    fn what_cannot_be_is_told() {
        use serde_json::json;
        assert!(problems(json!({})).is_empty());
        assert_eq!(
            problems(json!({"service_network": "10.244.128.0/20"})),
            ["pod_network 10.244.0.0/16 overlaps service_network 10.244.128.0/20"]
        );
        assert_eq!(problems(json!({"pod_network": "10.1.2.3/16"})), ["pod_network 10.1.2.3/16 is no network"]);
        assert_eq!(problems(json!({"pod_network": "10.1.0.0/26"})), ["pod_network 10.1.0.0/26 has a prefix of 26"]);
        assert_eq!(problems(json!({"endpoint": "kubernetes"})), ["endpoint `kubernetes` is no address and port"]);
        assert_eq!(problems(json!({"taints": ["a=b:Never"]})), ["taint `a=b:Never` is none"]);
    }

    #[test]
    fn taints_are_read_as_kubectl_writes_them() {
        let taint = |key: &str, value: &str, effect: &str| Taint {
            key: key.to_owned(),
            value: value.to_owned(),
            effect: effect.to_owned(),
        };
        assert_eq!(Taint::parse("a.b/c=d:NoExecute"), Some(taint("a.b/c", "d", "NoExecute")));
        assert_eq!(Taint::parse("a:NoSchedule"), Some(taint("a", "", "NoSchedule")));
        assert_eq!(Taint::parse("=d:NoSchedule"), None);
        assert_eq!(Taint::parse("a"), None);
    }
}
