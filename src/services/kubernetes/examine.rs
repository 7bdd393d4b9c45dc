//! What makes a host unfit for Kubernetes, in words, found before anything is changed.

use wire_deploy_agent::state::State;

use super::nodes::{API_SERVER, BEGUN, KUBECONFIG, SERVER, is_node};
use super::settings::Cni;
use super::version::forbids;
use super::{API_PORT, CLUSTER_VERSION, FOLDER, Settings, endpoint, lasting, objects, pod_network};
use crate::services::{Context, Finding, Severity};
use crate::site::model::Host;

const MIB: u64 = 1024 * 1024;
/// MiB that a node needs, and a control plane: kubeadm asks for the latter.
const MEMORY: (u64, u64) = (512, 1700);
/// Processors that kubeadm wants of a control plane.
const PROCESSORS: u32 = 2;
/// The oldest etcd that kubeadm takes.
const ETCD: [u32; 3] = [3, 5, 24];

/// Everything found on the hosts that answered, and in the cluster.
pub(super) fn examine(context: &Context<'_>) -> Vec<Finding> {
    let hosts = context.hosts();
    let mut findings: Vec<Finding> = hosts.iter().flat_map(|host| of_host(context, host)).collect();
    findings.extend(hosts.first().and_then(|host| skew(context, host)));
    findings.extend(hosts.first().and_then(|host| etcd(context, host)));
    findings
}

fn of_host(context: &Context<'_>, host: &Host) -> Vec<Finding> {
    let (Some(facts), Ok(settings)) = (context.facts(&host.name), context.settings::<Settings>(&host.name)) else {
        return Vec::new();
    };
    let mut findings = Vec::new();
    let mut add = |check: &str, message: String, hint: &str| {
        // What the operator has kubeadm overlook is overlooked here, too.
        if !settings.ignore_preflight.iter().any(|ignored| ignored == check || ignored == "all") {
            findings.push(Finding {
                host: host.name.clone(),
                severity: Severity::Fatal,
                message,
                hint: hint.to_owned(),
            });
        }
    };
    let control_plane = endpoint::is_control_plane(context.site, &host.name);
    let needed = if control_plane { MEMORY.1 } else { MEMORY.0 };
    let what = if control_plane { "a control plane" } else { "a node of Kubernetes" };
    if facts.memory / MIB < needed {
        add(
            "Mem",
            format!("has {} MiB of memory, and {what} needs {needed} MiB", facts.memory / MIB),
            "give the host more memory",
        );
    }
    if control_plane && facts.processors < PROCESSORS {
        add(
            "NumCPU",
            format!("has {} processor, and {what} needs {PROCESSORS}", facts.processors),
            "give the host more processors",
        );
    }
    if facts.swap > 0 {
        add(
            "Swap",
            "swaps memory to disk, which kubelet refuses".to_owned(),
            "run `swapoff -a` and take swap out of /etc/fstab",
        );
    }
    if facts.control_groups == 1 && !settings.allow_cgroup_v1 {
        let hint =
            "boot with systemd.unified_cgroup_hierarchy=1, or set allow_cgroup_v1 as long as Kubernetes takes it";
        add("SystemVerification", "has control groups of version 1, which Kubernetes gives up".to_owned(), hint);
    }
    for feature in &facts.kernel_lacks {
        let hint = "boot a kernel that has it, as the distribution's own";
        add("SystemVerification", format!("its kernel lacks {feature}, which containers need"), hint);
    }
    findings.extend(moved(context, host));
    findings.extend(lasting::changed(context, host));
    findings.extend(bridge(context, host, settings.cni));
    findings.extend(demoted(context, host));
    if is_node(context, host) != Some(true) {
        findings.extend(taken(context, host));
        findings.extend(foreign(context, host));
    }
    findings
}

/// A host that cannot load a module which the kernel that it shares with others lacks. Without it pods of one host do not understand each other.
fn bridge(context: &Context<'_>, host: &Host, cni: Cni) -> Option<Finding> {
    let found = context.state(&host.name, &format!("sysctl {}", pod_network::BRIDGED));
    let lacks = matches!(found, Some(State::Sysctl { value, .. }) if value.is_empty());
    (context.site.profile.shared_kernel && cni == Cni::Bridge && lacks).then(|| Finding {
        host: host.name.clone(),
        severity: Severity::Fatal,
        message: "shares a kernel that has not loaded br_netfilter, which the pods' bridge needs".to_owned(),
        hint: "run `modprobe br_netfilter` on the machine whose kernel it is".to_owned(),
    })
}

/// A node that reaches the API elsewhere: its kubelet and many a pod know that address, and certificates are for it.
fn moved(context: &Context<'_>, host: &Host) -> Option<Finding> {
    let settings: Settings = context.settings(&host.name).ok()?;
    let endpoint = endpoint::of_site(context.site, &settings)?;
    let Some(State::Lines { lines }) = context.state(&host.name, &format!("lines {KUBECONFIG} {SERVER}")) else {
        return None;
    };
    let there = lines.first()?.trim_start_matches(SERVER).trim_start_matches("https://");
    // A control plane's own kubelet may ask its own API server.
    let own = format!("{}:{API_PORT}", host.address);
    (there != endpoint.to_string() && there != own).then(|| Finding {
        host: host.name.clone(),
        severity: Severity::Fatal,
        message: format!("its node reaches the API at {there}, and the site says {endpoint}"),
        hint: format!("the API's address cannot be changed later: set `endpoint` to {there}"),
    })
}

/// A control plane that is to be a worker.
fn demoted(context: &Context<'_>, host: &Host) -> Option<Finding> {
    let is_worker = !endpoint::is_control_plane(context.site, &host.name);
    (is_worker && context.is_there(&host.name, API_SERVER) == Some(true)).then(|| Finding {
        host: host.name.clone(),
        severity: Severity::Fatal,
        message: "is a control plane, and the site wants a worker".to_owned(),
        hint: "take it out of the group kubernetes and apply, then put it back".to_owned(),
    })
}

/// A host that someone else has made a node.
fn foreign(context: &Context<'_>, host: &Host) -> Option<Finding> {
    let ours = context.state(&host.name, &format!("directory {FOLDER}"));
    let is_ours = matches!(ours, Some(State::Path(_)));
    (context.is_there(&host.name, BEGUN) == Some(true) && !is_ours).then(|| Finding {
        host: host.name.clone(),
        severity: Severity::Fatal,
        message: "is a node of a cluster that wire-deploy did not make".to_owned(),
        hint: "take another host, or run `kubeadm reset` there if that cluster needs it no more".to_owned(),
    })
}

/// A node of the host's name that is another machine.
fn taken(context: &Context<'_>, host: &Host) -> Option<Finding> {
    let address = host.address.to_string();
    let other =
        objects::listed(context).into_iter().find(|node| node.name == host.name.as_str() && node.address != address)?;
    Some(Finding {
        host: host.name.clone(),
        severity: Severity::Fatal,
        message: format!("the cluster has a node of this name at {}", other.address),
        hint: format!("give the host another name, or run `kubectl delete node {}` if that machine is gone", host.name),
    })
}

fn skew(context: &Context<'_>, host: &Host) -> Option<Finding> {
    let settings: Settings = context.settings(&host.name).ok()?;
    let (message, hint) = forbids(context.live()?.facts.get(CLUSTER_VERSION)?, settings.version)?;
    Some(Finding { host: host.name.clone(), severity: Severity::Fatal, message, hint: hint.to_owned() })
}

fn etcd(context: &Context<'_>, host: &Host) -> Option<Finding> {
    let members = &context.observed.live.get("etcd")?.members;
    let version =
        members.values().filter_map(|member| member.version.as_deref()).find(|version| is_older(version, ETCD))?;
    Some(Finding {
        host: host.name.clone(),
        severity: Severity::Fatal,
        message: format!("a member of etcd is {version}, and kubeadm wants 3.5.24 or later"),
        hint: "apply with `--only etcd` first, which brings it to the locked version".to_owned(),
    })
}

/// Whether a version as `3.5.9` is older than another.
fn is_older(version: &str, than: [u32; 3]) -> bool {
    let numbers: Vec<u32> =
        version.trim_start_matches('v').split('.').filter_map(|number| number.parse().ok()).collect();
    numbers.len() == than.len() && numbers.as_slice() < than.as_slice()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_by_their_numbers() {
        assert!(is_older("3.5.9", ETCD));
        assert!(!is_older("3.5.24", ETCD));
        assert!(!is_older("3.10.0", ETCD));
        assert!(!is_older("unknown", ETCD));
    }
}
