//! What the cluster should hold, and what is done to it before a node changes.

use core::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};

use super::nodes::{UPGRADE, is_node, taints};
use super::runtime::reference;
use super::view::MANAGED;
use super::{CREATE_TOKEN, DRAIN, KUBELET, NODES, Settings, endpoint, manifest, network};
use crate::desired::{Object, Operation};
use crate::services::{BuildError, Context};
use crate::site::model::Host;
use crate::site::names::HostName;
use wire_deploy_agent::digest::Digest;
use wire_deploy_agent::state::State;

/// What the objects that stand for nodes begin with.
pub(super) const NODE: &str = "Node ";

/// What a node is to be whose host is not in the group any more: removed, once its pods have had so many seconds to leave.
const REMOVED_AFTER: &str = "removed_after_seconds";

/// That a node is yet to come in the place of one of its name.
const JOINS: &str = "joins";

/// How long pods have to leave a node before it is removed; nothing for what is to stay.
pub(super) fn removal(object: &Object) -> Option<Duration> {
    object.wanted[REMOVED_AFTER].as_u64().map(Duration::from_secs)
}

/// kube-proxy, DNS, each node's labels and taints, and nodes whose hosts are not in the group any more.
pub(super) fn wanted(context: &Context<'_>, hosts: &[&Host], settings: &Settings) -> Result<Vec<Object>, BuildError> {
    let mut objects = addons(context, hosts, settings)?;
    let listed = listed(context);
    // A host that does not answer and is no node will not become one now.
    let away = |host: &Host| !context.outline && context.facts(&host.name).is_none();
    let is_listed = |host: &Host| listed.iter().any(|node| node.name == host.name.as_str());
    for host in hosts.iter().filter(|host| !away(host) || is_listed(host)) {
        let settings: Settings = context.settings(&host.name)?;
        let control_plane = endpoint::is_control_plane(context.site, &host.name);
        let mut labels = settings.labels.clone();
        labels.insert(MANAGED.0.to_owned(), MANAGED.1.to_owned());
        labels.insert("topology.kubernetes.io/zone".to_owned(), host.zone.clone());
        let mut taints = taints(&settings, control_plane);
        taints.sort();
        let mut wanted = json!({ "labels": labels, "taints": taints, "drained": false });
        if is_listed(host) && is_node(context, host) == Some(false) {
            // The node that it was is deleted before it joins, so whatever that one has is to be given anew.
            wanted[JOINS] = true.into();
        }
        objects.push(Object { id: format!("{NODE}{}", host.name), wanted });
    }
    let known = |name: &str| hosts.iter().any(|host| host.name.as_str() == name);
    let gone = listed.iter().filter(|node| node.ours && !known(&node.name));
    let removed = json!({ REMOVED_AFTER: settings.drain_seconds });
    objects.extend(gone.map(|node| Object { id: format!("{NODE}{}", node.name), wanted: removed.clone() }));
    Ok(objects)
}

/// kube-proxy, which the rest needs to reach the API, and DNS.
fn addons(context: &Context<'_>, hosts: &[&Host], settings: &Settings) -> Result<Vec<Object>, BuildError> {
    // Hosts that look up no names outside, as those of a closed network, have nobody to ask; CoreDNS would not start.
    let mut facts = hosts.iter().filter_map(|host| context.facts(&host.name));
    let forwards = facts.all(|facts| !facts.name_servers.is_empty());
    let version = format!("v{}", context.version(settings.version.programs()));
    let endpoint = endpoint::of_site(context.site, settings).map(|endpoint| endpoint.to_string()).unwrap_or_default();
    let values = |image: &str, configuration: &str| {
        json!({
            "image": reference(image, &version), "configuration": configuration, "pod_network": settings.pod_network,
            "shared_kernel": context.site.profile.shared_kernel, "endpoint": endpoint, "dns_domain": settings.dns_domain,
            "dns_address": network::dns_address(settings), "forwards": forwards,
        })
    };
    let mut objects = Vec::new();
    for name in ["kube-proxy", "coredns"] {
        let template = format!("{name}.yaml");
        // The pods start anew when the text that they read differs, which stands in the same template.
        let digest = Digest::of(context.render(&template, &values(name, ""))?.as_bytes());
        let text = context.render(&template, &values(name, digest.short()))?;
        objects.extend(manifests(&text).map_err(|reason| BuildError::Settings {
            service: context.service.clone(),
            host: hosts.first().map_or_else(|| HostName(String::new()), |host| host.name.clone()),
            reason: format!("template hosts/kubernetes/{template}: {reason}"),
        })?);
    }
    Ok(objects)
}

/// The objects of a text of several manifests.
fn manifests(text: &str) -> Result<Vec<Object>, String> {
    let object = |text: &str| {
        let wanted: Value = serde_saphyr::from_str(text).map_err(|error| error.to_string())?;
        manifest::path(&wanted).map_err(|error| error.to_string())?;
        Ok(Object { id: manifest::id(&wanted), wanted })
    };
    text.split("\n---\n").map(object).collect()
}

/// A node as the API listed it.
#[derive(serde::Serialize, serde::Deserialize)]
pub(super) struct Listed {
    pub name: String,
    pub address: String,
    /// It came by us.
    pub ours: bool,
}

/// The nodes that the API lists.
pub(super) fn listed(context: &Context<'_>) -> Vec<Listed> {
    let text = context.live().and_then(|live| live.facts.get(NODES));
    text.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
}

/// What is done before a node joins, or is upgraded.
pub(super) fn before(
    context: &Context<'_>,
    host: &Host,
    settings: &Settings,
    joined: Option<bool>,
    founds: bool,
    endpoint: SocketAddr,
) -> Vec<Operation> {
    let operation =
        |name: &str, description: String, arguments: Value| Operation { name: name.to_owned(), description, arguments };
    let name = &host.name;
    if joined == Some(true) {
        let upgraded = context.state(name, &format!("exec {UPGRADE}"));
        let runs = context.unit(name, KUBELET).is_some_and(|unit| unit.active == "active");
        let due = runs && matches!(upgraded, Some(State::Exec { code }) if *code != 0);
        let drain = || {
            operation(
                DRAIN,
                format!("have the pods leave {name}"),
                json!({ "host": name, "seconds": settings.drain_seconds }),
            )
        };
        return due.then(drain).into_iter().collect();
    }
    if founds || joined.is_none() {
        return Vec::new();
    }
    let address = host.address.to_string();
    let former = listed(context).into_iter().any(|node| node.name == name.as_str() && node.address == address);
    let again = if former { " in place of the node that it was" } else { "" };
    vec![operation(CREATE_TOKEN, format!("let {name} join{again}"), json!({ "host": name, "endpoint": endpoint }))]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::services::Service as _;
    use crate::services::kubernetes::SERVICE;

    #[test]
    fn pods_that_leave_a_removed_node_have_all_their_time() {
        let removed = Object { id: format!("{NODE}a"), wanted: json!({ REMOVED_AFTER: 300 }) };
        assert_eq!(removal(&removed), Some(Duration::from_secs(300)));
        assert!(SERVICE.object_patience(&removed) > Duration::from_secs(300));
        let kept = Object { id: format!("{NODE}a"), wanted: json!({ "labels": {} }) };
        assert_eq!(removal(&kept), None);
    }
}
