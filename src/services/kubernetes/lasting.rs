//! Settings that a cluster has for as long as it lives: running pods, Services and every kubelet know them, and nobody tells them another.
//!
//! What they were is read from what kubeadm and the script of the pods' network were told, where that differs from what they would be told now.

use super::nodes::{CONFIGURATION_FILE, is_node};
use super::settings::Cni;
use super::{Settings, pod_network};
use crate::services::{Context, Finding, Severity};
use crate::site::model::Host;

/// The settings that differ from what a host that has joined was told.
pub(super) fn changed(context: &Context<'_>, host: &Host) -> Vec<Finding> {
    let Ok(settings) = context.settings::<Settings>(&host.name) else { return Vec::new() };
    if is_node(context, host) != Some(true) {
        return Vec::new();
    }
    // Files that are as they would be now are not told.
    let kubeadm = context.text(&host.name, CONFIGURATION_FILE);
    let pods = context.text(&host.name, pod_network::SCRIPT);
    let findings = of(&settings, kubeadm, pods).into_iter().map(|(name, there, wanted)| Finding {
        host: host.name.clone(),
        severity: Severity::Fatal,
        message: format!("its cluster has {name} {there}, and the site says {wanted}"),
        hint: format!("that cannot be changed later: set `{name}` to {there}"),
    });
    findings.collect()
}

/// The name of each setting that differs, what it is in the cluster, and what it should be.
fn of(settings: &Settings, kubeadm: Option<&str>, pods: Option<&str>) -> Vec<(&'static str, String, String)> {
    let told = |key: &str| {
        let mut lines = kubeadm?.lines();
        lines.find_map(|line| Some(line.trim().strip_prefix(key)?.trim().trim_matches('"').to_owned()))
    };
    // Only who leaves the pods' network to others tells kubeadm of it.
    let subnet = told("podSubnet:");
    let cni = told("serviceSubnet:").map(|_| if subnet.is_some() { "none" } else { "bridge" }.to_owned());
    let masqueraded = pods.and_then(|script| {
        let mut words = script.lines().find(|line| line.trim().starts_with("ip saddr "))?.split("ip daddr != ").skip(1);
        words.next()?.split_whitespace().next().map(str::to_owned)
    });
    let wanted_cni = match settings.cni {
        Cni::Bridge => "bridge",
        Cni::None => "none",
    };
    let all = [
        ("service_network", told("serviceSubnet:"), settings.service_network.to_string()),
        ("dns_domain", told("dnsDomain:"), settings.dns_domain.clone()),
        ("pod_network", subnet.or(masqueraded), settings.pod_network.to_string()),
        ("cni", cni, wanted_cni.to_owned()),
    ];
    all.into_iter()
        .filter_map(|(name, there, wanted)| Some((name, there.filter(|there| *there != wanted)?, wanted)))
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::services::kubernetes::network::net;

    const BRIDGE: &str = "networking:\n  serviceSubnet: \"10.96.0.0/16\"\n  dnsDomain: \"cluster.local\"\napiServer:\n";
    const OTHER: &str = "networking:\n  serviceSubnet: \"10.96.0.0/16\"\n  dnsDomain: \"cluster.local\"\n  podSubnet: \"10.244.0.0/16\"\n";
    const SCRIPT: &str =
        "nft\n    ip saddr 10.244.1.0/24 ip daddr != 10.244.0.0/16 ip daddr != 224.0.0.0/4 masquerade\n";

    fn names(settings: &Settings, kubeadm: &str, script: Option<&str>) -> String {
        let found = of(settings, Some(kubeadm), script).into_iter();
        found.map(|(name, there, wanted)| format!("{name}: {there} -> {wanted}")).collect::<Vec<_>>().join("; ")
    }

    #[test]
    fn what_cannot_change_is_told() {
        let usual = Settings::default();
        assert_eq!(names(&usual, BRIDGE, Some(SCRIPT)), "");
        let services = Settings { service_network: net([10, 97, 0, 0], 16), ..usual.clone() };
        assert_eq!(names(&services, BRIDGE, None), "service_network: 10.96.0.0/16 -> 10.97.0.0/16");
        let domain = Settings { dns_domain: "a.b".to_owned(), ..usual.clone() };
        assert_eq!(names(&domain, BRIDGE, None), "dns_domain: cluster.local -> a.b");
        let pods = Settings { pod_network: net([10, 1, 0, 0], 16), ..usual.clone() };
        assert_eq!(names(&pods, BRIDGE, Some(SCRIPT)), "pod_network: 10.244.0.0/16 -> 10.1.0.0/16");
        let theirs = Settings { cni: Cni::None, ..usual.clone() };
        assert_eq!(names(&theirs, BRIDGE, None), "cni: bridge -> none");
        assert_eq!(names(&theirs, OTHER, None), "");
        assert_eq!(names(&usual, OTHER, None), "cni: none -> bridge");
    }

    #[test]
    fn templates_of_another_form_say_nothing() {
        assert_eq!(of(&Settings::default(), None, None), []);
        assert_eq!(names(&Settings::default(), "networking: {}", Some("ip saddr")), "");
    }
}
