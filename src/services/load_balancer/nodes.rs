//! What each host should hold.

use core::net::{IpAddr, Ipv4Addr, SocketAddr};

use serde_json::{Value, json};
use wire_deploy_agent::digest::FingerprintKey;
use wire_deploy_agent::resource::{Probe, Resource};
use wire_deploy_agent::state::State;

use super::Settings;
use super::configuration::HAPROXY;
use super::judge::HOLDER;
use super::settings::Listener;
use crate::desired::{Bootstrap, Cluster, Node};
use crate::services::resources::{directory, drop_in, file, reloading_unit, root, stopped_unit};
use crate::services::restart::restart_digest;
use crate::services::{BuildError, Context};
use crate::site::model::Host;

pub(super) const HAPROXY_RECIPE: &str = "haproxy";
pub(super) const KEEPALIVED_RECIPE: &str = "keepalived";
/// Where haproxy's sockets are.
const RUNTIME: &str = "/run/haproxy";
const HAPROXY_UNIT: &str = "haproxy.service";
const KEEPALIVED: &str = "/etc/keepalived/wire-deploy.conf";
const KEEPALIVED_UNIT: &str = "keepalived.service";
/// What keepalived runs each second; a file that only root may change.
const CHECK: &str = "/etc/keepalived/check-haproxy";
/// Seconds until a start counts as failed.
const START_SECONDS: u32 = 30;
/// The priority of the first host; each further one has [`PRIORITY_STEP`] less.
const PRIORITY: usize = 200;
const PRIORITY_STEP: usize = 5;

/// The whole cluster.
pub(super) fn build(context: &Context<'_>) -> Result<Cluster, BuildError> {
    let hosts = context.hosts();
    let built =
        hosts.iter().enumerate().map(|(index, host)| NodeBuilder { context, host, hosts: &hosts, index }.build());
    let mut nodes = built.collect::<Result<Vec<_>, _>>()?;
    // Whoever holds the address last: it moves once, to a node that is changed already.
    let holder = context.live().and_then(|live| live.facts.get(HOLDER));
    nodes.sort_by_key(|node| Some(node.host.as_str()) == holder.map(String::as_str));
    Ok(Cluster {
        service: context.service.clone(),
        version: context.version(HAPROXY_RECIPE),
        bootstrap: Bootstrap::AllAtOnce,
        after: Vec::new(),
        tolerance: u32::try_from(nodes.len().saturating_sub(1)).unwrap_or(u32::MAX),
        gate_timeout_seconds: context.site.profile.gate_timeout_seconds,
        objects: Vec::new(),
        nodes,
        leaving: Vec::new(),
        away: Vec::new(),
    })
}

struct NodeBuilder<'a> {
    context: &'a Context<'a>,
    host: &'a Host,
    hosts: &'a [&'a Host],
    index: usize,
}

impl NodeBuilder<'_> {
    fn build(&self) -> Result<Node, BuildError> {
        let settings: Settings = self.context.settings(&self.host.name)?;
        let key = self.context.secrets.fingerprint_key(&self.host.name);
        let mut resources = Vec::new();
        self.haproxy(&settings, &key, &mut resources)?;
        match settings.vip {
            Some(vip) => self.keepalived(&settings, vip, &key, &mut resources)?,
            // The site may have had an address once.
            None => resources.push(stopped_unit(KEEPALIVED_UNIT)),
        }
        Ok(Node { host: self.host.name.clone(), address: self.host.address, resources, before: Vec::new() })
    }

    fn haproxy(
        &self,
        settings: &Settings,
        key: &FingerprintKey,
        resources: &mut Vec<Resource>,
    ) -> Result<(), BuildError> {
        let listeners = settings.listeners.iter().map(|(name, listener)| self.listener(name, listener));
        let listeners = listeners.collect::<Result<Vec<_>, _>>()?;
        let counts = settings.listeners.keys().map(|name| format!("\"{name}\":%[nbsrv({name})]"));
        let counts = counts.collect::<Vec<_>>().join(",");
        let version = self.context.version(HAPROXY_RECIPE);
        let status = format!("{{\"host\":\"{}\",\"version\":\"{version}\",\"servers\":{{{counts}}}}}", self.host.name);
        let asking = self.hosts.iter().map(|host| host.address).chain(settings.vip.map(IpAddr::V4));
        let values = json!({
            "runtime": RUNTIME, "configuration": HAPROXY, "stream_seconds": settings.stream_seconds,
            "status_port": settings.status_port, "status": status, "nodes": asking.collect::<Vec<_>>(), "listeners": listeners,
        });
        let unit = drop_in(HAPROXY_UNIT, self.context.render("haproxy-unit.conf", &values)?);
        let configuration = Resource::File(file(HAPROXY, root(), 0o644, self.context.render("haproxy.cfg", &values)?));
        let packages = self.context.packages(self.host, HAPROXY_RECIPE)?;
        let started_with = restart_digest([&packages].into_iter().chain(&unit), key);
        let reloaded_with = restart_digest([&configuration], key);
        resources.push(packages);
        resources.push(directory("/etc/haproxy", root(), 0o755));
        resources.push(configuration);
        resources.extend(unit);
        let ports = settings.listeners.values().map(|listener| listener.port).chain([settings.status_port]);
        resources.extend(ports.map(|port| Resource::Probe(Probe::Port { port })));
        resources.push(reloading_unit(HAPROXY_UNIT, started_with, reloaded_with, START_SECONDS));
        Ok(())
    }

    fn listener(&self, name: &str, listener: &Listener) -> Result<Value, BuildError> {
        let mut servers = Vec::new();
        if let Some(group) = &listener.group {
            let members = self.context.site.groups.get(group.as_str()).ok_or_else(|| BuildError::Settings {
                service: self.context.service.clone(),
                host: self.host.name.clone(),
                reason: format!("listener `{name}` is for the group `{group}`, which the inventory does not have"),
            })?;
            let hosts = members.iter().filter_map(|member| self.context.site.host(member));
            servers.extend(hosts.map(|host| (host.name.to_string(), host.address)));
        }
        servers.extend(listener.servers.iter().map(|address| (address.to_string(), *address)));
        let servers: Vec<_> = servers
            .into_iter()
            .map(|(name, address)| json!({ "name": name, "address": SocketAddr::new(address, listener.server_port()) }))
            .collect();
        Ok(json!({
            "name": name, "port": listener.port, "health": listener.health, "servers": servers, "options": options(listener),
        }))
    }

    fn keepalived(
        &self,
        settings: &Settings,
        vip: Ipv4Addr,
        key: &FingerprintKey,
        resources: &mut Vec<Resource>,
    ) -> Result<(), BuildError> {
        let peers = self.hosts.iter().filter(|peer| peer.name != self.host.name).map(|peer| peer.address);
        let values = json!({
            "configuration": KEEPALIVED, "check": CHECK, "host": self.host.name, "address": self.host.address,
            "interface": self.interface(vip), "peers": peers.collect::<Vec<_>>(), "vip": vip,
            "virtual_router_id": settings.virtual_router_id, "status_port": settings.status_port,
            "priority": PRIORITY.saturating_sub(self.index * PRIORITY_STEP).max(1),
        });
        let unit = drop_in(KEEPALIVED_UNIT, self.context.render("keepalived-unit.conf", &values)?);
        let configuration = [
            Resource::File(file(CHECK, root(), 0o755, self.context.render("check-haproxy", &values)?)),
            Resource::File(file(KEEPALIVED, root(), 0o644, self.context.render("keepalived.conf", &values)?)),
        ];
        let packages = self.context.packages(self.host, KEEPALIVED_RECIPE)?;
        let started_with = restart_digest([&packages].into_iter().chain(&unit), key);
        let reloaded_with = restart_digest(&configuration, key);
        resources.push(packages);
        resources.push(directory("/etc/keepalived", root(), 0o755));
        resources.extend(configuration);
        resources.extend(unit);
        resources.push(Resource::Probe(Probe::Address { address: vip }));
        resources.push(reloading_unit(KEEPALIVED_UNIT, started_with, reloaded_with, START_SECONDS));
        Ok(())
    }

    /// The interface that the address goes to. Where none fits, nothing is changed: the preflight says so.
    fn interface(&self, vip: Ipv4Addr) -> String {
        match self.context.state(&self.host.name, &format!("address {vip}")) {
            Some(State::Address { interface: Some(interface), .. }) => interface.clone(),
            _ => "unknown".to_owned(),
        }
    }
}

/// How haproxy speaks to a listener's servers, and how it sees whether they are well.
fn options(listener: &Listener) -> String {
    let mut options = vec!["check inter 1s fall 2 rise 2 on-marked-down shutdown-sessions".to_owned()];
    let health = listener.health.as_ref();
    let port = health.and_then(|health| health.port);
    if listener.proxy_protocol {
        // A check of another port carries no PROXY header.
        options.push(if port.is_some() { "send-proxy-v2" } else { "send-proxy-v2 check-send-proxy" }.to_owned());
    }
    options.extend(port.map(|port| format!("port {port}")));
    if health.is_some_and(|health| health.tls) {
        options.push("check-ssl verify none".to_owned());
    }
    options.join(" ")
}
