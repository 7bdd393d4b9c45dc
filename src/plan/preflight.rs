//! What would make a run fail, found before it begins. Pure.

use wire_deploy_agent::resource::{Probe, Resource};
use wire_deploy_agent::state::{Facts, State};

use crate::desired::{Desired, Node};
use crate::observed::{HostObserved, Observed};
use crate::site::model::{Host, Site};
use crate::site::names::HostName;

/// The systems that are supported: `ID` and `VERSION_CODENAME` of /etc/os-release.
pub const SYSTEMS: &[(&str, &str)] = &[("debian", "bookworm"), ("ubuntu", "jammy"), ("ubuntu", "noble")];

/// Bytes that must be free where packages and data go.
const FREE_BYTES: u64 = 512 * 1024 * 1024;

/// Something found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// On which host.
    pub host: HostName,
    /// Nothing may be changed while it is so.
    pub fatal: bool,
    /// What.
    pub message: String,
    /// What to do about it.
    pub hint: String,
}

/// Everything found on the hosts that answered, by host.
#[must_use]
pub fn preflight(site: &Site, desired: &Desired, observed: &Observed) -> Vec<Finding> {
    let mut findings = Vec::new();
    for host in &site.hosts {
        let Some(found) = observed.hosts.get(&host.name) else { continue };
        let mut add = |fatal, message: String, hint: &str| {
            findings.push(Finding { host: host.name.clone(), fatal, message, hint: hint.to_owned() });
        };
        system(host, &found.facts, &mut add);
        clock(site, found, &mut add);
        disks(&found.facts, &mut add);
        for node in desired.clusters.iter().flat_map(|cluster| &cluster.nodes) {
            if node.host == host.name {
                ports(node, found, &mut add);
            }
        }
    }
    findings
}

fn system(host: &Host, facts: &Facts, add: &mut dyn FnMut(bool, String, &str)) {
    if !SYSTEMS.contains(&(facts.os.as_str(), facts.release.as_str())) {
        add(
            true,
            format!("runs {} {} ({})", facts.os, facts.release_version, facts.release),
            "supported are Debian 12 (bookworm), Ubuntu 22.04 (jammy) and Ubuntu 24.04 (noble)",
        );
    } else if host.release != facts.release {
        add(
            true,
            format!("runs {}, but the inventory says {}", facts.release, host.release),
            "set `release` of the host, its group or the site to what runs there",
        );
    }
    if facts.architecture != "x86_64" {
        add(true, format!("is {}", facts.architecture), "supported is amd64 (x86_64)");
    }
    if !facts.systemd {
        add(true, "is not run by systemd".to_owned(), "services are systemd units; boot the host with systemd");
    }
}

fn clock(site: &Site, found: &HostObserved, add: &mut dyn FnMut(bool, String, &str)) {
    let allowed = i64::from(site.profile.clock_skew_seconds) * 1000;
    if found.clock_skew.abs() > allowed {
        let direction = if found.clock_skew > 0 { "ahead of" } else { "behind" };
        let seconds = found.clock_skew.unsigned_abs() / 1000;
        add(
            true,
            format!("its clock is {seconds} s {direction} this machine's"),
            "certificates and clusters need one time: run an NTP client on the hosts and on this machine",
        );
    }
}

fn disks(facts: &Facts, add: &mut dyn FnMut(bool, String, &str)) {
    for disk in &facts.file_systems {
        if disk.read_only {
            add(true, format!("{} is mounted read-only", disk.path), "mount it read-write");
        } else if disk.path == "/var/lib" && disk.free < FREE_BYTES {
            let free = disk.free / (1024 * 1024);
            add(true, format!("{} has {free} MiB free", disk.path), "packages and data need at least 512 MiB there");
        }
    }
}

fn ports(node: &Node, found: &HostObserved, add: &mut dyn FnMut(bool, String, &str)) {
    let ours = |unit: &str| {
        node.resources.iter().any(|resource| matches!(resource, Resource::Unit(known) if known.name == unit))
    };
    for resource in &node.resources {
        let Resource::Probe(Probe::Port { port }) = resource else { continue };
        let Some(State::Listening { program, unit }) = found.states.get(&resource.id()) else { continue };
        if !unit.as_deref().is_some_and(ours) {
            let unit = unit.as_deref().map(|unit| format!(" of {unit}")).unwrap_or_default();
            add(
                true,
                format!("port {port} is held by {program}{unit}"),
                "stop that program or let it use another port",
            );
        }
    }
}
