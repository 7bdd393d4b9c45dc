//! Checks of the whole site: what Kubernetes needs of other groups, and networks that must not meet.

use core::net::IpAddr;
use std::collections::BTreeMap;

use serde_json::Value;

use super::{API_PORT, CONTROL_PLANE, Settings, endpoint, network};
use crate::services::Problem;
use crate::site::model::Site;
use crate::site::names::HostName;

/// What a host's settings say about one thing.
type Said = fn(&Settings) -> String;

/// Everything that is wrong.
pub(super) fn check(site: &Site) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut problem = |message: String, hint: String| problems.push(Problem { message, hint });
    if site.hosts_of(&"etcd".into()).is_empty() {
        problem(
            "kubernetes keeps its state in etcd, and no host is in the group etcd".to_owned(),
            "put 3 hosts into the group etcd".to_owned(),
        );
    }
    let settings = settings(site);
    let planes = endpoint::control_planes(site);
    if !matches!(planes.len(), 1 | 3 | 5) {
        problem(
            format!("kubernetes needs 1, 3 or 5 control planes, and the group {CONTROL_PLANE} has {}", planes.len()),
            format!(
                "put 3 hosts of the group kubernetes into the group {CONTROL_PLANE}; an even number survives no more deaths than one less"
            ),
        );
    }
    for plane in planes.iter().filter(|plane| !settings.contains_key(&plane.name)) {
        problem(
            format!("{} is in the group {CONTROL_PLANE} and not in the group kubernetes", plane.name),
            "put it into both".to_owned(),
        );
    }
    let Some(first) = settings.values().next() else { return problems };
    if planes.len() > 1 && endpoint::of_site(site, first).is_none() {
        problem(
            format!("{} control planes need one address for all", planes.len()),
            format!(
                "give the load balancers a `vip` and a listener `kubernetes-api: {{port: 9443, server_port: {API_PORT}, group: {CONTROL_PLANE}, health: {{path: /readyz, tls: true}}}}`, \
                 or set `endpoint` to where you balance them yourself"
            ),
        );
    }
    if let Some(port) = listener_beside_the_api(site) {
        problem(
            format!("a load balancer on a control plane's host listens at port {port}, which is its API server's"),
            format!("let the listener have another port, and set its server_port to {API_PORT}"),
        );
    }
    let differs = |what: Said| settings.values().any(|other| what(other) != what(first));
    let shared: [(&str, Said); 6] = [
        ("version", |settings| settings.version.to_string()),
        ("endpoint", |settings| format!("{:?}", settings.endpoint)),
        ("pod_network", |settings| settings.pod_network.to_string()),
        ("service_network", |settings| settings.service_network.to_string()),
        ("dns_domain", |settings| settings.dns_domain.clone()),
        ("cni", |settings| format!("{:?}", settings.cni)),
    ];
    for (name, what) in shared {
        if differs(what) {
            problem(
                format!("{name} of kubernetes is not the same for all hosts"),
                "set it once, for the site".to_owned(),
            );
        }
    }
    overlaps(site, first, &mut problem);
    shares(site, &settings, first, &mut problem);
    problems
}

/// The settings of each host.
fn settings(site: &Site) -> BTreeMap<HostName, Settings> {
    let hosts = site.settings.get("kubernetes").into_iter().flatten();
    hosts.filter_map(|(host, value)| Some((host.clone(), serde_json::from_value(value.clone()).ok()?))).collect()
}

/// The port of a listener that is the API server's, on a host that has both.
fn listener_beside_the_api(site: &Site) -> Option<u16> {
    let balancers = site.settings.get("load-balancer")?;
    let own = balancers.iter().filter(|(host, _)| endpoint::is_control_plane(site, host));
    let mut ports =
        own.flat_map(|(_, settings)| settings.get("listeners").and_then(Value::as_object).into_iter().flatten());
    ports
        .any(|(_, listener)| listener.get("port").and_then(Value::as_u64) == Some(u64::from(API_PORT)))
        .then_some(API_PORT)
}

fn overlaps(site: &Site, settings: &Settings, problem: &mut dyn FnMut(String, String)) {
    for (name, net) in [("pod_network", settings.pod_network), ("service_network", settings.service_network)] {
        let inside = |address: &IpAddr| matches!(address, IpAddr::V4(address) if net.contains(address));
        if let Some(host) = site.hosts.iter().find(|host| inside(&host.address)) {
            problem(
                format!("{name} {net} overlaps the hosts' network: {} is {}", host.name, host.address),
                format!("set {name} to a network that no host is on"),
            );
        }
    }
    if let Some(endpoint) = endpoint::of_site(site, settings)
        && let IpAddr::V4(address) = endpoint.ip()
        && !site.hosts.iter().any(|host| host.address == endpoint.ip())
        && (settings.pod_network.contains(&address) || settings.service_network.contains(&address))
    {
        problem(
            format!("the API's address {address} is within the pods' or the Services' network"),
            "take one of the hosts' network".to_owned(),
        );
    }
}

fn shares(
    site: &Site,
    settings: &BTreeMap<HostName, Settings>,
    first: &Settings,
    problem: &mut dyn FnMut(String, String),
) {
    if first.cni != super::settings::Cni::Bridge {
        return;
    }
    let of_hosts = settings
        .iter()
        .filter_map(|(host, settings)| Some((host.clone(), network::share(site.host(host)?, settings)?)));
    let shares = of_hosts.collect();
    if let Some((one, other)) = network::collision(&shares) {
        problem(
            format!(
                "{one} and {other} would have the same share of the pods' network: {} and {}",
                shares[one], shares[other]
            ),
            "set `pod_subnet` of one of them to a /24 of pod_network that no other has".to_owned(),
        );
    }
    if let Some((host, share)) = shares.iter().find(|(_, share)| !first.pod_network.contains(*share)) {
        problem(
            format!("pod_subnet {share} of {host} is not within pod_network {}", first.pod_network),
            "take a part of it".to_owned(),
        );
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use crate::services;
    use crate::site::load::{Sources, load};

    /// What is wrong with a site of four hosts, given its services' settings and its groups.
    fn problems(settings: &str, groups: &str) -> Vec<String> {
        let text = format!(
            "format: 1\nsite: test\ndomain: example.com\nprofile: ci\ninventory: hosts.yaml\nservices: {{{settings}}}\n"
        );
        let inventory = format!(
            "hosts:\n  \"n[1:4]\": {{address: \"10.0.0.[1:4]\"}}\n  far: {{address: 10.0.1.1}}\ngroups: {{{groups}}}\n"
        );
        let sources =
            Sources { path: "site.yaml".to_owned(), text, inventory: Some(("hosts.yaml".to_owned(), Ok(inventory))) };
        match load(&sources, services::ALL) {
            Ok(_) => Vec::new(),
            Err(problems) => problems.into_iter().map(|problem| problem.message).collect(),
        }
    }

    const ETCD: &str = "etcd: {hosts: ['n[1:3]']}";
    const ONE: &str = "kubernetes-control-plane: {hosts: [n1]}";
    const THREE: &str = "kubernetes-control-plane: {hosts: ['n[1:3]']}";
    const NODES: &str = "kubernetes: {hosts: ['n[1:4]']}";

    #[test]
    fn a_site_with_all_it_takes_is_well() {
        assert_eq!(problems("", &[ETCD, ONE, NODES].join(", ")), [""; 0]);
        assert_eq!(problems("kubernetes: {endpoint: '10.0.0.100:6443'}", &[ETCD, THREE, NODES].join(", ")), [""; 0]);
        let balanced = "load-balancer: {vip: 10.0.0.100, listeners: {api: {port: 9443, server_port: 6443, group: kubernetes-control-plane}}}";
        assert_eq!(problems(balanced, &[ETCD, THREE, NODES, "load-balancer: {hosts: ['n[1:3]']}"].join(", ")), [""; 0]);
    }

    #[test]
    fn what_it_lacks_is_told() {
        let one = |settings: &str, groups: &[&str]| problems(settings, &groups.join(", ")).join("; ");
        assert_eq!(one("", &[ONE, NODES]), "kubernetes keeps its state in etcd, and no host is in the group etcd");
        assert_eq!(
            one("", &[ETCD, NODES]),
            "kubernetes needs 1, 3 or 5 control planes, and the group kubernetes-control-plane has 0"
        );
        let two = "kubernetes-control-plane: {hosts: ['n[1:2]']}";
        let endpoint = "kubernetes: {endpoint: '10.0.0.100:6443'}";
        assert_eq!(
            one(endpoint, &[ETCD, two, NODES]),
            "kubernetes needs 1, 3 or 5 control planes, and the group kubernetes-control-plane has 2"
        );
        assert_eq!(one("", &[ETCD, THREE, NODES]), "3 control planes need one address for all");
        let elsewhere = "kubernetes: {hosts: ['n[2:4]']}";
        assert_eq!(
            one("", &[ETCD, ONE, elsewhere]),
            "n1 is in the group kubernetes-control-plane and not in the group kubernetes"
        );
        let balanced =
            "load-balancer: {vip: 10.0.0.100, listeners: {api: {port: 6443, group: kubernetes-control-plane}}}";
        assert_eq!(
            one(balanced, &[ETCD, THREE, NODES, "load-balancer: {hosts: ['n[1:3]']}"]),
            "a load balancer on a control plane's host listens at port 6443, which is its API server's"
        );
    }

    #[test]
    fn networks_may_not_meet() {
        let one = |settings: &str, nodes: &str| {
            problems(&format!("kubernetes: {{{settings}}}"), &[ETCD, ONE, nodes].join(", ")).join("; ")
        };
        assert_eq!(
            one("pod_network: 10.0.0.0/16", NODES),
            "pod_network 10.0.0.0/16 overlaps the hosts' network: n1 is 10.0.0.1"
        );
        assert_eq!(
            one("service_network: 10.0.0.0/24", NODES),
            "service_network 10.0.0.0/24 overlaps the hosts' network: n1 is 10.0.0.1"
        );
        let far = "kubernetes: {hosts: ['n[1:4]', far]}";
        assert_eq!(
            one("", far),
            "far and n1 would have the same share of the pods' network: 10.244.1.0/24 and 10.244.1.0/24"
        );
        assert_eq!(one("cni: none", far), "");
        let outside = "pod_subnet 10.9.0.0/24 of n1 is not within pod_network 10.244.0.0/16";
        assert_eq!(one("pod_subnet: 10.9.0.0/24", "kubernetes: {hosts: [n1]}"), outside);
        let shared = "the API's address 10.96.0.9 is within the pods' or the Services' network";
        assert_eq!(one("endpoint: '10.96.0.9:6443'", NODES), shared);
    }

    #[test]
    fn what_is_the_clusters_is_the_same_everywhere() {
        let nodes =
            "kubernetes: {hosts: ['n[1:4]']}, odd: {hosts: [n4], services: {kubernetes: {dns_domain: other.local}}}";
        assert_eq!(
            problems("", &[ETCD, ONE, nodes].join(", ")),
            ["dns_domain of kubernetes is not the same for all hosts"]
        );
    }
}
