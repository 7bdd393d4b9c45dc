//! TURN's clients must reach each of its hosts by the host's own address, so no listener may lead to one.

use core::net::IpAddr;
use std::collections::BTreeMap;

use serde::Deserialize as _;

use super::LoadBalancer;
use crate::services::turn::Turn;
use crate::services::{Problem, Service};
use crate::site::model::Site;
use crate::site::names::HostName;

/// Listeners that lead to TURN.
pub(super) fn check(site: &Site) -> Vec<Problem> {
    let mut relays: Vec<(IpAddr, u16)> = Vec::new();
    for (host, settings) in settings::<Turn>(site) {
        let host = site.host(&host);
        let addresses = host.into_iter().flat_map(|host| [Some(host.address), host.public_address]).flatten();
        relays.extend(addresses.flat_map(|address| [(address, settings.port), (address, settings.tls_port)]));
    }
    // The listeners are the same on every host, or nearly: what was told once is not told again.
    let mut problems = BTreeMap::new();
    for settings in settings::<LoadBalancer>(site).into_values() {
        for (name, listener) in settings.listeners {
            let group = listener.group.iter().filter_map(|group| site.groups.get(group.as_str())).flatten();
            let hosts = group.filter_map(|host| site.host(host)).map(|host| host.address);
            let mut servers = hosts.chain(listener.servers.iter().copied());
            if let Some(server) = servers.find(|server| relays.contains(&(*server, listener.server_port()))) {
                let message = format!("listener `{name}` leads to TURN on {server}");
                let hint = "clients reach each TURN host by its own address, over UDP too, and packets for one are no other's: leave \
                            the listener out";
                problems.insert(name, Problem { message, hint: hint.to_owned() });
            }
        }
    }
    problems.into_values().collect()
}

/// A service's settings on each of its hosts.
fn settings<S: Service>(site: &Site) -> BTreeMap<HostName, S::Settings> {
    let hosts = site.settings.get(S::NAME).into_iter().flatten();
    hosts.filter_map(|(host, value)| Some((host.clone(), S::Settings::deserialize(value).ok()?))).collect()
}

#[cfg(test)]
mod tests {
    use crate::services;
    use crate::site::load::{Sources, load};

    /// What is wrong with a site that has a listener.
    fn problems(listener: &str) -> Vec<String> {
        let text = format!(
            "format: 1\nsite: test\ndomain: example.com\nprofile: ci\ninventory: hosts.yaml\n\
             services: {{turn: {{tls_port: 443}}, load-balancer: {{listeners: {{calls: {{{listener}}}}}}}}}\n"
        );
        let inventory = "hosts:\n  \"n[1:3]\": {address: \"10.0.0.[1:3]\"}\n  n4: {address: 10.0.0.4, public_address: 192.0.2.4}\n\
                         groups: {turn: {hosts: [n3, n4]}, web: {hosts: [n3]}, load-balancer: {hosts: [n1, n2]}}\n";
        let inventory = Some(("hosts.yaml".to_owned(), Ok(inventory.to_owned())));
        match load(&Sources { path: "site.yaml".to_owned(), text, inventory }, services::ALL) {
            Ok(_) => Vec::new(),
            Err(problems) => problems.into_iter().map(|problem| problem.message).collect(),
        }
    }

    #[test]
    fn no_listener_leads_to_turn() {
        assert_eq!(problems("port: 3478, group: turn"), ["listener `calls` leads to TURN on 10.0.0.3"]);
        assert_eq!(problems("port: 443, group: web"), ["listener `calls` leads to TURN on 10.0.0.3"]);
        assert_eq!(problems("port: 443, servers: [192.0.2.4]"), ["listener `calls` leads to TURN on 192.0.2.4"]);
        assert_eq!(problems("port: 443, group: web, server_port: 8444"), [""; 0], "something else on the same host");
    }
}
