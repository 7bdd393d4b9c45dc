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
const SCRIPT: &str = "/usr/local/sbin/pod-network";
/// The number by which the kernel knows whose the routes are; 186 and below are others'.
const ROUTE_PROTOCOL: u32 = 217;
/// Command that has a host know the way to the others' pods.
const CONNECT: &str = "connect the pods";
/// Tells, until the host goes down, which way that was last.
const CONNECTED: &str = "/run/wire-deploy/pod-network";

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
            "program": SCRIPT, "connected": CONNECTED, "digest": digest,
        })
    };
    // The script notes that it ran, by the digest of all else in it.
    let digest = Digest::of(context.render("pod-network", &values(""))?.as_bytes()).to_string();
    let values = values(&digest);
    let unit = Resource::File(unit_file(POD_NETWORK, context.render("pod-network.service", &values)?));
    let key = context.secrets.fingerprint_key(&host.name);
    let started_with = restart_digest([&unit], &key);
    Ok(vec![
        directory("/etc/cni", root(), 0o755),
        directory(CNI_CONFIGURATION, root(), 0o755),
        Resource::File(file(PODS_CONFIGURATION, root(), 0o644, context.render("pods.conflist", &values)?)),
        Resource::File(file(SCRIPT, root(), 0o755, context.render("pod-network", &values)?)),
        unit,
        running_unit(POD_NETWORK, started_with, START_SECONDS),
        // Nobody notices that hosts learn another way, so this is no reload, for which nodes would take turns.
        Resource::Exec(Exec {
            name: CONNECT.to_owned(),
            check: ["grep", "-qxF", &digest, CONNECTED].map(str::to_owned).to_vec(),
            command: vec![SCRIPT.to_owned()],
            environment: BTreeMap::new(),
            once: false,
            undo: Vec::new(),
            timeout_seconds: START_SECONDS,
        }),
    ])
}
