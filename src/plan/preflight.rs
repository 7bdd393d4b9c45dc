//! What would make a run fail, found before it begins. Pure.

use std::collections::BTreeSet;

use wire_deploy_agent::resource::{Probe, Resource};
use wire_deploy_agent::state::{Answers, Entry, Facts, PathState, State};

use crate::desired::{Cluster, Desired, Node};
use crate::observed::{HostObserved, Observed};
use crate::services::{Finding, Severity};
use crate::site::certificates::validity;
use crate::site::model::{Host, Site};

/// The systems that are supported: `ID` and `VERSION_CODENAME` of /etc/os-release.
pub const SYSTEMS: &[(&str, &str)] = &[("debian", "bookworm"), ("ubuntu", "jammy"), ("ubuntu", "noble")];

/// Bytes that must be free where packages and data go.
const FREE_BYTES: u64 = 512 * 1024 * 1024;
/// Files that must be free there: a thousand packages' worth of small ones, or a young database's.
const FREE_FILES: u64 = 10_000;
/// Where little is written; all other file systems that are looked at need room. `/` stands for what is on none of its own.
const NEEDS_NO_ROOM: [&str; 5] = ["/", "/var", "/etc", "/run", "/tmp"];

const MILLISECONDS_A_DAY: i64 = 86_400_000;

/// What happens to certificates.
const RENEWED: &str = "`wire-deploy apply` renews certificates when a third of their life is left";

/// Everything found on the hosts that answered, by host.
#[must_use]
pub fn preflight(site: &Site, desired: &Desired, observed: &Observed) -> Vec<Finding> {
    let mut findings = Vec::new();
    for host in &site.hosts {
        let Some(found) = observed.hosts.get(&host.name) else { continue };
        let mut add = |severity, message: String, hint: &str| {
            findings.push(Finding { host: host.name.clone(), severity, message, hint: hint.to_owned() });
        };
        system(host, &found.facts, &mut add);
        clock(site.profile.clock_skew_seconds, found, &mut add);
        disks(&found.facts, &mut add);
        for cluster in &desired.clusters {
            for node in cluster.nodes.iter().filter(|node| node.host == host.name) {
                ports(node, found, &mut add);
                addresses(node, cluster, observed, &mut add);
            }
        }
        certificates(found, observed.time, &mut add);
    }
    findings
}

fn system(host: &Host, facts: &Facts, add: &mut dyn FnMut(Severity, String, &str)) {
    if !SYSTEMS.contains(&(facts.os.as_str(), facts.release.as_str())) {
        add(
            Severity::Fatal,
            format!("runs {} {} ({})", facts.os, facts.release_version, facts.release),
            "supported are Debian 12 (bookworm), Ubuntu 22.04 (jammy) and Ubuntu 24.04 (noble)",
        );
    } else if host.release != facts.release {
        add(
            Severity::Fatal,
            format!("runs {}, but the inventory says {}", facts.release, host.release),
            "set `release` of the host, its group or the site to what runs there",
        );
    }
    if facts.architecture != "x86_64" {
        add(Severity::Fatal, format!("is {}", facts.architecture), "supported is amd64 (x86_64)");
    }
    if !facts.systemd {
        add(
            Severity::Fatal,
            "is not run by systemd".to_owned(),
            "services are systemd units; boot the host with systemd",
        );
    }
}

fn clock(allowed_seconds: u32, found: &HostObserved, add: &mut dyn FnMut(Severity, String, &str)) {
    let allowed = i64::from(allowed_seconds) * 1000;
    if found.clock_skew.abs() > allowed {
        let direction = if found.clock_skew > 0 { "ahead of" } else { "behind" };
        let seconds = found.clock_skew.unsigned_abs() / 1000;
        add(
            Severity::Fatal,
            format!("its clock is {seconds} s {direction} this machine's"),
            "certificates and clusters need one time: run an NTP client on the hosts and on this machine",
        );
    }
}

fn disks(facts: &Facts, add: &mut dyn FnMut(Severity, String, &str)) {
    // Where many paths are on one disk, one of them stands for it.
    let (mut full, mut read_only) = (BTreeSet::new(), BTreeSet::new());
    for disk in &facts.file_systems {
        let needs_room = !NEEDS_NO_ROOM.contains(&disk.path.as_str());
        if disk.read_only {
            if read_only.insert(disk.device) {
                add(Severity::Fatal, format!("{} is mounted read-only", disk.path), "mount it read-write");
            }
        } else if disk.path == "/var/lib" && disk.no_exec {
            add(
                Severity::Fatal,
                "/var/lib is mounted noexec".to_owned(),
                "the agent runs from there; mount it with exec",
            );
        } else if needs_room && disk.free < FREE_BYTES && full.insert(disk.device) {
            let free = disk.free / (1024 * 1024);
            add(
                Severity::Fatal,
                format!("{} has {free} MiB free", disk.path),
                "packages and data need at least 512 MiB there, beside what is reserved for root",
            );
        } else if needs_room && disk.files > 0 && disk.free_files < FREE_FILES && full.insert(disk.device) {
            add(
                Severity::Fatal,
                format!("{} has room for {} more files", disk.path, disk.free_files),
                "packages and data need at least 10000 inodes there: many small files fill a disk, too",
            );
        }
    }
}

fn ports(node: &Node, found: &HostObserved, add: &mut dyn FnMut(Severity, String, &str)) {
    let ours = |unit: &str| {
        node.resources.iter().any(|resource| matches!(resource, Resource::Unit(known) if known.name == unit))
    };
    for resource in &node.resources {
        let Resource::Probe(Probe::Port { port }) = resource else { continue };
        let Some(State::Listening { program, unit }) = found.states.get(&resource.id()) else { continue };
        if !unit.as_deref().is_some_and(ours) {
            let unit = unit.as_deref().map(|unit| format!(" of {unit}")).unwrap_or_default();
            add(
                Severity::Fatal,
                format!("port {port} is held by {program}{unit}"),
                "stop that program or let it use another port",
            );
        }
    }
}

/// Addresses that are to move among the nodes of a cluster: nobody else may have one, and it must lie on a network of each host.
fn addresses(node: &Node, cluster: &Cluster, observed: &Observed, add: &mut dyn FnMut(Severity, String, &str)) {
    for resource in &node.resources {
        let Resource::Probe(Probe::Address { address }) = resource else { continue };
        let Some(State::Address { interface, answers }) = observed.state(&node.host, &resource.id()) else { continue };
        if interface.is_none() {
            let hint = "take an address of the network that all hosts of the group are on";
            add(Severity::Fatal, format!("{address} is on none of its networks"), hint);
        }
        let Answers::Other { hardware } = answers else { continue };
        // A node that does not answer may be the one that holds it, and one that took it after it was looked at is known by its card.
        let may_hold = |node: &Node| match observed.hosts.get(&node.host) {
            Some(HostObserved { facts, .. }) => {
                facts.addresses.contains(&address.to_string())
                    || hardware.as_ref().is_some_and(|hardware| facts.hardware_addresses.contains(hardware))
            }
            None => true,
        };
        if !cluster.nodes.iter().any(may_hold) {
            let hardware = hardware.as_deref().map(|hardware| format!(" ({hardware})")).unwrap_or_default();
            let hint = "take a free address, or switch that host off";
            add(Severity::Fatal, format!("{address} is held by a host that is none of these{hardware}"), hint);
        }
    }
}

/// When the certificate begins and ends that a file was found to hold, in milliseconds since the epoch.
pub(super) fn certificate_life(found: &State) -> Option<(i64, i64)> {
    match found {
        State::Path(PathState { entry: Entry::File { text: Some(text), .. }, .. }) => validity(text),
        _ => None,
    }
}

/// The certificates that were found: which ends first, and which are due to be renewed or have ended.
fn certificates(found: &HostObserved, time: i64, add: &mut dyn FnMut(Severity, String, &str)) {
    let found = found.states.iter();
    let lives = found.filter_map(|(id, state)| Some((id.0.trim_start_matches("file "), certificate_life(state)?)));
    let mut lives: Vec<_> = lives.collect();
    lives.sort_by_key(|(_, (_, ends))| *ends);
    for (path, (begins, ends)) in &lives {
        let left = (ends - time).div_euclid(MILLISECONDS_A_DAY);
        if *ends <= time {
            add(Severity::Warning, format!("the certificate {path} has ended"), RENEWED);
        } else if (ends - time).saturating_mul(3) <= ends - begins {
            add(Severity::Warning, format!("the certificate {path} ends in {left} days"), RENEWED);
        }
    }
    if let Some((path, (_, ends))) = lives.first().filter(|(_, (_, ends))| *ends > time) {
        let left = (ends - time).div_euclid(MILLISECONDS_A_DAY);
        add(Severity::Good, format!("the first certificate to end is {path}, in {left} days"), RENEWED);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::BTreeMap;

    use wire_deploy_agent::digest::Digest;
    use wire_deploy_agent::resource::{Mode, Owner, ResourceId, Unit};
    use wire_deploy_agent::state::FileSystem;

    use super::*;
    use crate::site::certificates::{Authority, Request};
    use crate::site::secrets::Secrets;

    /// Findings about a certificate of 90 days, so many days after it was issued.
    fn after(days: i64) -> Vec<(Severity, String)> {
        let secrets = Secrets::new([1; 32], 0, BTreeMap::new(), BTreeMap::new());
        let request = Request {
            common_name: "db1".to_owned(),
            organization: None,
            names: Vec::new(),
            addresses: Vec::new(),
            server: true,
            client: false,
            days: 90,
        };
        let issued = Authority::new(&secrets, &"etcd".into(), "peers").issue(Some(&"db1".into()), &request, 0).unwrap();
        let digest = Digest::of(issued.certificate.as_bytes());
        let state = State::Path(PathState {
            entry: Entry::File { digest, text: Some(issued.certificate) },
            owner: Owner { user: "root".to_owned(), group: "root".to_owned() },
            mode: Mode(0o644),
        });
        let states = BTreeMap::from([(ResourceId("file /etc/etcd/peer.crt".to_owned()), state)]);
        let mut findings = Vec::new();
        certificates(
            &HostObserved { states, ..HostObserved::default() },
            days * MILLISECONDS_A_DAY,
            &mut |severity, message, _| {
                findings.push((severity, message));
            },
        );
        findings
    }

    fn said(check: impl FnOnce(&mut dyn FnMut(Severity, String, &str))) -> Vec<String> {
        let mut said = Vec::new();
        check(&mut |severity, message, _| {
            assert_eq!(severity, Severity::Fatal, "{message}");
            said.push(message);
        });
        said
    }

    fn facts() -> Facts {
        Facts {
            os: "debian".to_owned(),
            release: "bookworm".to_owned(),
            release_version: "12".to_owned(),
            architecture: "x86_64".to_owned(),
            systemd: true,
            ..Facts::default()
        }
    }

    fn host() -> Host {
        Host {
            name: "db1".into(),
            address: core::net::IpAddr::V4(core::net::Ipv4Addr::LOCALHOST),
            public_address: None,
            zone: "a".to_owned(),
            release: "bookworm".to_owned(),
            connection: crate::site::model::Connection::Local,
            become_root: crate::site::model::BecomeRoot::No,
        }
    }

    #[test]
    fn only_supported_systems_of_the_written_release_are_fit() {
        let told = |facts: Facts| said(|add| system(&host(), &facts, add));
        assert!(told(facts()).is_empty());
        let fedora =
            Facts { os: "fedora".to_owned(), release_version: "41".to_owned(), release: String::new(), ..facts() };
        assert_eq!(told(fedora), ["runs fedora 41 ()"]);
        let jammy = Facts { os: "ubuntu".to_owned(), release: "jammy".to_owned(), ..facts() };
        assert_eq!(told(jammy), ["runs jammy, but the inventory says bookworm"]);
        assert_eq!(told(Facts { architecture: "aarch64".to_owned(), ..facts() }), ["is aarch64"]);
        assert_eq!(told(Facts { systemd: false, ..facts() }), ["is not run by systemd"]);
    }

    #[test]
    fn a_clock_may_be_off_by_what_the_profile_allows() {
        let told = |clock_skew| said(|add| clock(2, &HostObserved { clock_skew, ..HostObserved::default() }, add));
        assert!(told(2_000).is_empty() && told(-2_000).is_empty());
        assert_eq!(told(7_300), ["its clock is 7 s ahead of this machine's"]);
        assert_eq!(told(-2_001), ["its clock is 2 s behind this machine's"]);
    }

    #[test]
    fn a_disk_is_fit_if_it_can_be_written_run_from_and_has_room() {
        let disk = FileSystem {
            path: "/var/lib".to_owned(),
            device: 1,
            size: 10 * FREE_BYTES,
            free: FREE_BYTES,
            files: 10 * FREE_FILES,
            free_files: FREE_FILES,
            read_only: false,
            no_exec: false,
        };
        let all_told = |file_systems| said(|add| disks(&Facts { file_systems, ..facts() }, add));
        let told = |disk: FileSystem| all_told(vec![disk]);
        assert!(told(disk.clone()).is_empty());
        assert_eq!(told(FileSystem { free: FREE_BYTES - 1, ..disk.clone() }), ["/var/lib has 511 MiB free"]);
        assert_eq!(told(FileSystem { no_exec: true, ..disk.clone() }), ["/var/lib is mounted noexec"]);
        assert_eq!(told(FileSystem { read_only: true, ..disk.clone() }), ["/var/lib is mounted read-only"]);
        let few = FileSystem { free_files: 12, ..disk.clone() };
        assert_eq!(told(few.clone()), ["/var/lib has room for 12 more files"]);
        assert!(told(FileSystem { files: 0, free_files: 0, ..disk.clone() }).is_empty(), "it knows no such limit");
        // What data goes to may be a disk of its own.
        let full = |path: &str, device| FileSystem { path: path.to_owned(), device, free: 0, ..disk.clone() };
        let fixed = |path: &str| FileSystem { path: path.to_owned(), read_only: true, ..disk.clone() };
        assert_eq!(all_told(vec![fixed("/"), fixed("/usr")]), ["/ is mounted read-only"]);
        let drives = vec![full("/", 1), full("/run", 2), disk.clone(), full("/srv/1", 3), full("/srv/2", 3), few];
        let expected = ["/srv/1 has 0 MiB free", "/var/lib has room for 12 more files"];
        assert_eq!(all_told(drives), expected);
    }

    #[test]
    fn a_port_is_free_or_held_by_the_nodes_own_unit() {
        let probe = Resource::Probe(Probe::Port { port: 6379 });
        let own = Resource::Unit(Unit {
            name: "redis-server.service".to_owned(),
            enabled: true,
            running: true,
            started_with: None,
            reloaded_with: None,
            timeout_seconds: 1,
            attempts: 1,
        });
        let node = Node {
            host: "db1".into(),
            address: core::net::Ipv4Addr::LOCALHOST.into(),
            resources: vec![probe.clone(), own],
            before: Vec::new(),
        };
        let told = |program: Option<&str>, unit: Option<&str>| {
            let listens =
                program.map(|program| State::Listening { program: program.to_owned(), unit: unit.map(str::to_owned) });
            let states = BTreeMap::from([(probe.id(), listens.unwrap_or(State::Absent))]);
            said(|add| ports(&node, &HostObserved { states, ..HostObserved::default() }, add))
        };
        assert!(told(None, None).is_empty());
        assert!(told(Some("redis-server"), Some("redis-server.service")).is_empty());
        assert_eq!(told(Some("nc"), None), ["port 6379 is held by nc"]);
        let foreign = told(Some("redis-server"), Some("redis@other.service"));
        assert_eq!(foreign, ["port 6379 is held by redis-server of redis@other.service"]);
    }

    #[test]
    fn an_address_that_moves_is_nobody_elses() {
        let address = core::net::Ipv4Addr::new(10, 0, 0, 100);
        let probe = Resource::Probe(Probe::Address { address });
        let node = |name: &str| Node {
            host: name.into(),
            address: address.into(),
            resources: vec![probe.clone()],
            before: Vec::new(),
        };
        let cluster = Cluster {
            service: "load-balancer".into(),
            version: String::new(),
            nodes: vec![node("db1"), node("db2")],
            leaving: Vec::new(),
            away: Vec::new(),
            bootstrap: crate::desired::Bootstrap::AllAtOnce,
            after: Vec::new(),
            tolerance: 1,
            gate_timeout_seconds: 1,
            objects: Vec::new(),
        };
        let told = |interface: Option<&str>, answers: Answers, holder: Option<&str>| {
            let state = State::Address { interface: interface.map(str::to_owned), answers };
            let mut observed = Observed::default();
            for name in ["db1", "db2"] {
                let mut found =
                    HostObserved { states: BTreeMap::from([(probe.id(), state.clone())]), ..HostObserved::default() };
                found.facts.addresses =
                    holder.filter(|holder| *holder == name).map(|_| address.to_string()).into_iter().collect();
                found.facts.hardware_addresses = vec![format!("card of {name}")];
                observed.hosts.insert(name.into(), found);
            }
            said(|add| addresses(&cluster.nodes[0], &cluster, &observed, add))
        };
        let other = || Answers::Other { hardware: Some("aa:bb".to_owned()) };
        assert!(told(Some("eth0"), Answers::Nobody, None).is_empty());
        assert!(told(Some("eth0"), other(), Some("db2")).is_empty());
        assert_eq!(told(Some("eth0"), other(), None), ["10.0.0.100 is held by a host that is none of these (aa:bb)"]);
        let moved = Answers::Other { hardware: Some("card of db2".to_owned()) };
        assert!(told(Some("eth0"), moved, None).is_empty(), "it moved while the hosts were looked at");
        assert_eq!(told(None, Answers::Nobody, None), ["10.0.0.100 is on none of its networks"]);
    }

    #[test]
    fn a_certificate_is_told_while_it_lives_and_warned_of_in_its_last_third() {
        let good = (Severity::Good, "the first certificate to end is /etc/etcd/peer.crt, in 80 days".to_owned());
        assert_eq!(after(10), [good]);
        assert_eq!(after(61)[0], (Severity::Warning, "the certificate /etc/etcd/peer.crt ends in 29 days".to_owned()));
        assert_eq!(after(91), [(Severity::Warning, "the certificate /etc/etcd/peer.crt has ended".to_owned())]);
    }
}
