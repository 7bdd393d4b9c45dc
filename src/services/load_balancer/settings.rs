//! The load balancers' section of the site file.

use core::net::{IpAddr, Ipv4Addr};
use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::services::Problem;
use crate::site::model::Host;

/// Settings of haproxy and keepalived.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// IPv4 address that one of the hosts holds and another takes over when that one dies. Default: none, clients know the hosts.
    pub vip: Option<Ipv4Addr>,
    /// Number by which routers that share addresses know each other; another one for each group on a network. Default: 71.
    pub virtual_router_id: u8,
    /// What is balanced, by name. Default: nothing.
    pub listeners: BTreeMap<String, Listener>,
    /// Seconds that a stream may be silent, and that streams go on after a change of the configuration. Default: 3600.
    pub stream_seconds: u32,
    /// Port at which each node tells the others how it is. Default: 8404.
    pub status_port: u16,
}

/// A port and where its connections go, as they are (TCP).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Listener {
    /// Port that clients connect to.
    pub port: u16,
    /// Group of the inventory whose hosts serve. Default: none.
    #[serde(default)]
    pub group: Option<String>,
    /// Addresses that serve, beside the group's. Default: none.
    #[serde(default)]
    pub servers: Vec<IpAddr>,
    /// Their port. Default: `port`.
    #[serde(default)]
    pub server_port: Option<u16>,
    /// Tell servers the client's address by the PROXY protocol, version 2. Default: false.
    #[serde(default)]
    pub proxy_protocol: bool,
    /// How it is seen that a server is well. Default: it takes a connection.
    #[serde(default)]
    pub health: Option<Health>,
}

/// A request whose answer of 200 says that a server is well.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Health {
    /// Path that is asked for.
    pub path: String,
    /// Port without the PROXY protocol where it is asked for. Default: the server's port.
    #[serde(default)]
    pub port: Option<u16>,
    /// Ask over TLS, whatever the certificate. Default: false.
    #[serde(default)]
    pub tls: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self { vip: None, virtual_router_id: 71, listeners: BTreeMap::new(), stream_seconds: 3600, status_port: 8404 }
    }
}

impl Listener {
    /// The port that servers listen at.
    pub(super) fn server_port(&self) -> u16 {
        self.server_port.unwrap_or(self.port)
    }
}

/// What is wrong with these hosts and settings.
pub(super) fn check(hosts: &[&Host], settings: &Settings) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut problem = |message: String, hint: &str| problems.push(Problem { message, hint: hint.to_owned() });
    if hosts.len() < 2 {
        problem(
            format!("load-balancer needs 2 or more hosts, and the group load-balancer has {}", hosts.len()),
            "one takes over from another: put 2 or more hosts into the group load-balancer",
        );
    }
    if let Some(vip) = settings.vip {
        let is_of = |host: &&&Host| host.address == vip || host.public_address == Some(IpAddr::V4(vip));
        if let Some(host) = hosts.iter().find(is_of) {
            problem(format!("vip {vip} is the address of {}", host.name), "take an address that no host has");
        }
        if vip.is_loopback() || vip.is_multicast() || vip.is_broadcast() || vip.is_unspecified() {
            problem(format!("vip {vip} is no host's address"), "take a free address of the hosts' own network");
        }
    }
    if settings.virtual_router_id == 0 {
        problem("virtual_router_id is 0".to_owned(), "it is a number from 1 to 255");
    }
    if settings.stream_seconds < 60 {
        problem(
            "stream_seconds is under 60".to_owned(),
            "websockets are silent for a minute at times; 3600 is a good value",
        );
    }
    let mut ports = BTreeSet::from([settings.status_port]);
    for (name, listener) in &settings.listeners {
        if !is_name(name) {
            problem(format!("listener `{name}` is no name"), "letters, digits and -, as `kubernetes-api`");
        }
        if listener.port == 0 || !ports.insert(listener.port) {
            problem(
                format!("port {} of listener `{name}` is taken", listener.port),
                "each listener has a port of its own",
            );
        }
        let path_is_bad = |health: &Health| {
            !health.path.starts_with('/') || health.path.contains(|one: char| !one.is_ascii_graphic())
        };
        if listener.health.as_ref().is_some_and(path_is_bad) {
            problem(format!("the health path of listener `{name}` is no path"), "write it as `/healthz`");
        }
    }
    problems
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn problems(settings: serde_json::Value) -> Vec<String> {
        let settings: Settings = serde_json::from_value(settings).unwrap();
        let problems = check(&[], &settings).into_iter().skip(1);
        problems.map(|problem| problem.message).collect()
    }

    #[test]
    fn listeners_have_ports_of_their_own() {
        let api = serde_json::json!({"port": 6443, "health": {"path": "/readyz", "tls": true}});
        assert!(problems(serde_json::json!({"listeners": {"api": api}})).is_empty());
        assert_eq!(
            problems(serde_json::json!({"listeners": {"api": api, "other": {"port": 6443}}})),
            ["port 6443 of listener `other` is taken"]
        );
        assert_eq!(
            problems(serde_json::json!({"listeners": {"a b": {"port": 8404, "health": {"path": "x y"}}}})),
            [
                "listener `a b` is no name",
                "port 8404 of listener `a b` is taken",
                "the health path of listener `a b` is no path"
            ]
        );
    }

    #[test]
    fn an_address_that_moves_is_a_hosts_address() {
        assert_eq!(problems(serde_json::json!({"vip": "127.0.0.1"})), ["vip 127.0.0.1 is no host's address"]);
        assert!(problems(serde_json::json!({"vip": "10.0.0.100"})).is_empty());
    }
}
