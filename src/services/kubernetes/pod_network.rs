//! What connects a host's pods with each other and with those of other hosts: the standard bridge, and static routes.

use std::collections::BTreeMap;

use ipnet::Ipv4Net;
use serde_json::json;
use wire_deploy_agent::digest::Digest;
use wire_deploy_agent::resource::{Exec, Resource};

use super::{POD_NETWORK, PODS_CONFIGURATION, START_SECONDS, Settings};
use crate::services::resources::{directory, file, root, running_unit, unit_file};
use crate::services::restart::restart_digest;
use crate::services::{BuildError, Context};
use crate::site::model::Host;
use crate::site::names::HostName;

/// Where containerd looks for what connects pods.
pub(super) const CNI_CONFIGURATION: &str = "/etc/cni/net.d";
pub(super) const SCRIPT: &str = "/usr/local/sbin/pod-network";
/// The number by which the kernel knows whose the routes are; 186 and below are others'.
const ROUTE_PROTOCOL: u32 = 217;
/// Command that has a host know the way to the others' pods.
const CONNECT: &str = "connect the pods";
/// Has what pods of one bridge send each other go by the rules of kube-proxy: else a pod is not understood that answers its neighbour, which
/// asked a Service. The module brings the parameter; many a kernel has it built in.
pub(super) const BRIDGED: &str = "net.bridge.bridge-nf-call-iptables";
const MODULE: &str = "br_netfilter";

/// The bridge, and the way to the other hosts' shares of the pods' network.
pub(super) fn resources(
    context: &Context<'_>,
    host: &Host,
    settings: &Settings,
    hosts: &[&Host],
    shares: &BTreeMap<HostName, Ipv4Net>,
) -> Result<Vec<Resource>, BuildError> {
    let share = shares.get(&host.name).ok_or_else(|| BuildError::Settings {
        service: context.service.clone(),
        host: host.name.clone(),
        reason: "it has no IPv4 address, from which its pods' network would follow".to_owned(),
    })?;
    let others = hosts.iter().filter(|other| other.name != host.name);
    let ways = others.filter_map(|other| Some(json!({ "share": shares.get(&other.name)?, "address": other.address })));
    let ways: Vec<_> = ways.collect();
    let values = |digest: &str| {
        json!({
            "share": share, "pod_network": settings.pod_network, "protocol": ROUTE_PROTOCOL, "ways": ways,
            "program": SCRIPT, "digest": digest,
        })
    };
    // The script knows itself by the digest of all else in it.
    let digest = Digest::of(context.render("pod-network", &values(""))?.as_bytes()).to_string();
    let values = values(&digest);
    let unit = Resource::File(unit_file(POD_NETWORK, context.render("pod-network.service", &values)?));
    let key = context.secrets.fingerprint_key(&host.name);
    let started_with = restart_digest([&unit], &key);
    let exec = |name: &str, check: &[&str], command: &[&str]| {
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        Resource::Exec(Exec {
            name: name.to_owned(),
            check: words(check),
            command: words(command),
            environment: BTreeMap::new(),
            once: false,
            undo: Vec::new(),
            timeout_seconds: START_SECONDS,
        })
    };
    let bridged = format!("/proc/sys/{}", BRIDGED.replace('.', "/"));
    let networkd = context.render("networkd.conf", &values)?;
    Ok(vec![
        Resource::File(file("/etc/modules-load.d/wire-deploy-pods.conf", root(), 0o644, format!("{MODULE}\n"))),
        exec(&format!("load {MODULE}"), &["test", "-e", &bridged], &["modprobe", MODULE]),
        context.sysctl(BRIDGED, "1"),
        Resource::File(file("/etc/systemd/networkd.conf.d/wire-deploy-pods.conf", root(), 0o644, networkd)),
        directory("/etc/cni", root(), 0o755),
        directory(CNI_CONFIGURATION, root(), 0o755),
        Resource::File(file(PODS_CONFIGURATION, root(), 0o644, context.render("pods.conflist", &values)?)),
        Resource::File(file(SCRIPT, root(), 0o755, context.render("pod-network", &values)?)),
        unit,
        running_unit(POD_NETWORK, started_with, START_SECONDS),
        // Nobody notices that hosts learn another way, so this is no reload, for which nodes would take turns.
        exec(CONNECT, &[SCRIPT, "check", &digest], &[SCRIPT]),
    ])
}
