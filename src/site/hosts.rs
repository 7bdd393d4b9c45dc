//! Hosts as the rest of the program sees them: the site's, the groups' and their own words put together.

use std::collections::{BTreeMap, BTreeSet};

use core::net::IpAddr;

use super::document::Document;
use super::model::{BecomeRoot, Connection, Host, Ssh};
use super::names::HostName;
use super::problem::{Problem, hint_for};
use super::range::Pattern;
use super::roster::{Listed, Roster, texts};
use super::rules;
use super::tree::Content;
use super::written::{BecomeMethod, BecomeWritten, ConnectionWritten, HostWritten, SiteFile, SshWritten};

const DEFAULT_RELEASE: &str = "bookworm";
const DEFAULT_ZONE: &str = "default";

/// Puts every host together; one that has a problem is left out.
pub(super) fn build(site: &SiteFile, inventory: &Document, roster: &Roster, problems: &mut Vec<Problem>) -> Vec<Host> {
    let mut builder = Builder { site, inventory, roster, problems, addresses: BTreeMap::new() };
    let merged: Vec<SshWritten> = roster.hosts.iter().map(|listed| builder.ssh_of(listed)).collect();
    builder.zones();
    builder.locals();
    let jumps = builder.jumps(&merged);
    let mut hosts = Vec::new();
    for ((listed, ssh), jump) in roster.hosts.iter().zip(&merged).zip(jumps) {
        let host = listed.written.as_ref().and_then(|written| builder.host(listed, written, ssh, jump));
        hosts.extend(host);
    }
    builder.same_place(&hosts);
    hosts
}

struct Builder<'a> {
    site: &'a SiteFile,
    inventory: &'a Document,
    roster: &'a Roster,
    problems: &'a mut Vec<Problem>,
    addresses: BTreeMap<IpAddr, HostName>,
}

impl Builder<'_> {
    fn problem(&mut self, listed: &Listed, keys: &[&str], message: String, hint: Option<&str>) {
        let path: Vec<&str> = ["hosts", listed.key.as_str()].into_iter().chain(keys.iter().copied()).collect();
        self.problems.push(self.inventory.problem_at(&path, message, hint.map(str::to_owned)));
    }

    fn host(&mut self, listed: &Listed, written: &HostWritten, ssh: &SshWritten, jump: Vec<HostName>) -> Option<Host> {
        let address = self.address(listed, "address", written.address.as_deref());
        let public_address = self.address(listed, "public_address", written.public_address.as_deref());
        let zone = self.expanded(listed, &["zone"], written.zone.as_deref());
        let release = self.release(listed, written);
        let connection = match written.connection {
            Some(ConnectionWritten::Local) => Some(Connection::Local),
            _ => self.connection(listed, written, ssh, address, jump),
        };
        let local = matches!(connection, Some(Connection::Local));
        let become_root = self.become_root(listed, written, local, ssh);
        self.missing_address(listed);
        Some(Host {
            name: listed.name.clone(),
            address: address?,
            public_address,
            zone: zone.unwrap_or_else(|| DEFAULT_ZONE.to_owned()),
            release: release?,
            connection: connection?,
            become_root: become_root?,
        })
    }

    fn missing_address(&mut self, listed: &Listed) {
        let section = ["hosts", listed.key.as_str()];
        let there = self.inventory.tree.get(&section).and_then(|host| host.entry("address"));
        let said = there.is_some_and(|entry| entry.value.content != Content::Null);
        if listed.index == 0 && !said && !self.inventory.misspelt(&section, "address") {
            let hint = "say the address where the other hosts reach it: `address: 10.0.0.11`";
            self.problem(listed, &[], format!("host `{}` has no address", listed.name), Some(hint));
        }
    }

    /// The text of a value for this host, its range counted along.
    fn expanded(&mut self, listed: &Listed, keys: &[&str], text: Option<&str>) -> Option<String> {
        let pattern = match Pattern::read(text?) {
            Ok(pattern) => pattern,
            Err(reason) => {
                if listed.index == 0 {
                    self.problem(listed, keys, reason, None);
                }
                return None;
            }
        };
        if pattern.has_range() && pattern.count() != listed.of {
            if listed.index == 0 {
                let message =
                    format!("`{}` stands for {} hosts, but this for {}", listed.key, listed.of, pattern.count());
                self.problem(listed, keys, message, Some("the ranges of a host's name and of its values count along"));
            }
            return None;
        }
        pattern.at(listed.index)
    }

    fn address(&mut self, listed: &Listed, key: &str, text: Option<&str>) -> Option<IpAddr> {
        let text = self.expanded(listed, &[key], text)?;
        let Ok(address) = text.parse::<IpAddr>() else {
            if listed.index == 0 {
                let hint = "write an IP address, as `10.0.0.11`; a name to connect to goes to `ssh: {address: NAME}`";
                self.problem(listed, &[key], format!("`{text}` is no IP address"), Some(hint));
            }
            return None;
        };
        if let Some(reason) = rules::address(address) {
            self.problem(listed, &[key], format!("`{address}` {reason}"), Some("write the host's own address"));
            return None;
        }
        if address.is_loopback() && self.roster.hosts.len() > 1 {
            let hint = "write the address where the other hosts reach it";
            self.problem(listed, &[key], format!("`{address}` is every host's own loopback address"), Some(hint));
            return None;
        }
        if let Some(other) = self.addresses.get(&address).filter(|other| **other != listed.name).cloned() {
            let hint =
                "every host has an address of its own; for several hosts under one key count along: `10.0.0.1[1:3]`";
            self.problem(
                listed,
                &[key],
                format!("host `{}` has the address of `{other}`: {address}", listed.name),
                Some(hint),
            );
            return None;
        }
        self.addresses.insert(address, listed.name.clone());
        Some(address)
    }

    fn release(&mut self, listed: &Listed, written: &HostWritten) -> Option<String> {
        let groups = listed.groups.iter().map(|group| &self.roster.groups[*group].written.release);
        let layers = [&self.site.release].into_iter().chain(groups).chain([&written.release]);
        let release = layers.filter_map(Option::as_ref).next_back().map_or(DEFAULT_RELEASE, String::as_str);
        // What the site or a group says wrong is a problem there.
        let known = rules::RELEASES.iter().any(|(name, _)| *name == release);
        known.then(|| release.to_owned())
    }

    fn ssh_of(&self, listed: &Listed) -> SshWritten {
        let mut merged = self.site.ssh.clone().unwrap_or_default();
        for ssh in listed.groups.iter().filter_map(|group| self.roster.groups[*group].written.ssh.as_ref()) {
            merged = merged.merged(ssh);
        }
        let own = listed.written.as_ref().and_then(|written| written.ssh.as_ref());
        own.map_or(merged.clone(), |own| merged.merged(&own.common()))
    }

    fn connection(
        &mut self,
        listed: &Listed,
        written: &HostWritten,
        ssh: &SshWritten,
        address: Option<IpAddr>,
        jump: Vec<HostName>,
    ) -> Option<Connection> {
        let own = written.ssh.clone().unwrap_or_default();
        let target = self.expanded(listed, &["ssh", "address"], own.address.as_deref());
        if let Some(reason) = own.fingerprint.as_deref().and_then(rules::fingerprint) {
            let hint = "take it from `ssh-keygen -l -f /etc/ssh/ssh_host_ed25519_key.pub` on the host";
            self.problem(listed, &["ssh", "fingerprint"], format!("the fingerprint {reason}"), Some(hint));
        }
        if own.fingerprint.is_some() && listed.of > 1 && listed.index == 0 {
            let message = format!("one fingerprint cannot be that of {} hosts", listed.of);
            self.problem(listed, &["ssh", "fingerprint"], message, Some("list these hosts one by one"));
        }
        let target = match (target, own.address) {
            (Some(target), _) => target,
            (None, None) => address?.to_string(),
            (None, Some(_)) => return None,
        };
        Some(Connection::Ssh(Ssh {
            address: target,
            port: ssh.port.map_or(22, core::num::NonZeroU16::get),
            user: ssh.user.clone().unwrap_or_else(|| "root".to_owned()),
            key: ssh.key.clone(),
            agent: ssh.agent.unwrap_or(true),
            jump,
            fingerprint: own.fingerprint,
            known_hosts: ssh.known_hosts.clone().unwrap_or_else(|| "~/.ssh/known_hosts".to_owned()),
            connect_timeout_seconds: ssh.connect_timeout_seconds.map_or(10, core::num::NonZeroU32::get),
        }))
    }

    fn become_root(
        &mut self,
        listed: &Listed,
        written: &HostWritten,
        local: bool,
        ssh: &SshWritten,
    ) -> Option<BecomeRoot> {
        let mut merged = self.site.r#become.clone().unwrap_or_default();
        let groups = listed.groups.iter().filter_map(|group| self.roster.groups[*group].written.r#become.as_ref());
        for layer in groups.chain(written.r#become.as_ref()) {
            merged = merged.merged(layer);
        }
        let root = local || ssh.user.as_deref().unwrap_or("root") == "root";
        let method = merged.method.unwrap_or(if root { BecomeMethod::None } else { BecomeMethod::Sudo });
        match method {
            BecomeMethod::Sudo => Some(BecomeRoot::Sudo { password: merged.password }),
            BecomeMethod::None if !root => {
                let user = ssh.user.as_deref().unwrap_or_default();
                let message = format!("host `{}` is entered as `{user}`, who would not become root", listed.name);
                self.problem(
                    listed,
                    &["become"],
                    message,
                    Some("say `become: {method: sudo}`, or `ssh: {user: root}`"),
                );
                None
            }
            BecomeMethod::None => {
                // A password for sudo that another host needs may well be said for the whole site, but not of this host.
                let own = written.r#become.as_ref();
                if own.is_some_and(|BecomeWritten { password, .. }| password.is_some()) {
                    let message = format!("host `{}` has a password for sudo, but does not use sudo", listed.name);
                    self.problem(listed, &["become", "password"], message, Some("say `method: sudo`, or remove it"));
                }
                Some(BecomeRoot::No)
            }
        }
    }

    /// Either all hosts have a zone or none has.
    fn zones(&mut self) {
        let zone = |listed: &&Listed| listed.written.as_ref().is_some_and(|written| written.zone.is_some());
        let Some(with) = self.roster.hosts.iter().find(zone) else { return };
        let hint = "a host without a zone would share one with none of the others; give each host a zone, or none";
        for listed in self.roster.hosts.iter().filter(|listed| listed.index == 0 && listed.written.is_some()) {
            if !zone(&listed) {
                self.problem(
                    listed,
                    &[],
                    format!("host `{}` has no zone, but `{}` has", listed.name, with.name),
                    Some(hint),
                );
            }
        }
    }

    /// At most one host is this machine, and SSH settings of its own would have no effect.
    fn locals(&mut self) {
        let local = |listed: &&Listed| {
            listed.written.as_ref().is_some_and(|written| written.connection == Some(ConnectionWritten::Local))
        };
        let locals: Vec<&Listed> = self.roster.hosts.iter().filter(local).collect();
        for (index, listed) in locals.iter().enumerate() {
            if index > 0 {
                let message = format!("hosts `{}` and `{}` cannot both be this machine", locals[0].name, listed.name);
                self.problem(listed, &["connection"], message, Some("`connection: local` is for one host at most"));
            }
            if listed.written.as_ref().is_some_and(|written| written.ssh.is_some()) {
                let message = format!("host `{}` is this machine; its SSH settings have no effect", listed.name);
                self.problem(listed, &["ssh"], message, Some("remove either `ssh` or `connection: local`"));
            }
        }
    }

    /// The whole way to each host, the first jump first.
    fn jumps(&mut self, merged: &[SshWritten]) -> Vec<Vec<HostName>> {
        let roster = self.roster;
        let index = |name: &str| roster.hosts.iter().position(|listed| listed.name.as_str() == name);
        // What every host is told of its jumps, as indices.
        let mut told: Vec<Vec<usize>> = Vec::new();
        for (host, ssh) in merged.iter().enumerate() {
            let listed = &roster.hosts[host];
            let own = listed.written.as_ref().and_then(|written| written.ssh.as_ref()?.jump.as_ref());
            let mut way: Vec<usize> = ssh.jump.iter().flatten().filter_map(|name| index(name)).collect();
            // A jump host that inherits the site's jumps is reached by those before it.
            if let (None, Some(itself)) = (own, way.iter().position(|jump| *jump == host)) {
                way.truncate(itself);
            }
            for name in own.into_iter().flatten().filter(|_| listed.index == 0) {
                self.check_jump(&["hosts", &listed.key, "ssh", "jump"], name);
            }
            told.push(way);
        }
        for group in &roster.groups {
            for name in group.written.ssh.iter().filter_map(|ssh| ssh.jump.as_ref()).flatten() {
                self.check_jump(&["groups", group.name.as_str(), "ssh", "jump"], name);
            }
        }
        let mut ways = Vec::new();
        for host in 0..told.len() {
            let mut way = told[host].clone();
            let mut seen = BTreeSet::from([host]);
            seen.extend(&way[1.min(way.len())..]);
            let mut cycle = way.contains(&host);
            while let Some(first) = way.first().copied().filter(|_| !cycle) {
                cycle = !seen.insert(first);
                let before = &told[first];
                if before.is_empty() {
                    break;
                }
                cycle = cycle || before.iter().any(|jump| seen.contains(jump));
                way.splice(0..0, before.iter().copied());
            }
            let listed = &roster.hosts[host];
            if cycle && listed.index == 0 {
                let names: Vec<&str> = way.iter().map(|jump| roster.hosts[*jump].name.as_str()).collect();
                let message = format!("the way to host `{}` leads in a circle: {}", listed.name, names.join(" → "));
                self.problem(
                    listed,
                    &["ssh", "jump"],
                    message,
                    Some("one of these hosts must be reached directly: `jump: []`"),
                );
            }
            let names = way.into_iter().map(|jump| roster.hosts[jump].name.clone());
            ways.push(if cycle { Vec::new() } else { names.collect() });
        }
        ways
    }

    fn check_jump(&mut self, path: &[&str], name: &str) {
        self.problems.extend(jump_problem(self.inventory, path, self.roster, name));
    }

    /// Two hosts that are reached at the same place are one.
    fn same_place(&mut self, hosts: &[Host]) {
        let mut seen = BTreeMap::new();
        for host in hosts {
            let Connection::Ssh(ssh) = &host.connection else { continue };
            let place = (ssh.address.as_str(), ssh.port, ssh.jump.as_slice());
            if let Some(other) = seen.insert(place, &host.name) {
                let message = format!(
                    "hosts `{other}` and `{}` are reached at the same place: {}:{}",
                    host.name, ssh.address, ssh.port
                );
                let listed = self.roster.hosts.iter().find(|listed| listed.name == host.name);
                if let Some(listed) = listed {
                    self.problem(
                        listed,
                        &["ssh", "address"],
                        message,
                        Some("each host has an address or a port of its own"),
                    );
                }
            }
        }
    }
}

/// What is wrong with a host to jump through.
pub(super) fn jump_problem(document: &Document, path: &[&str], roster: &Roster, name: &str) -> Option<Problem> {
    let items = texts(document.tree.get(path));
    let item = items.iter().find(|(text, _)| *text == name);
    let place = item.map_or_else(|| document.tree.place_of(path), |(_, place)| *place);
    let found = roster.hosts.iter().find(|listed| listed.name.as_str() == name);
    let Some(found) = found else {
        let hint = hint_for(name, "hosts", roster.hosts.iter().map(|listed| listed.name.as_str()));
        return Some(document.problem(place, format!("the jump host `{name}` is not in the inventory"), hint));
    };
    let local = found.written.as_ref().is_some_and(|written| written.connection == Some(ConnectionWritten::Local));
    local.then(|| {
        let hint = Some("jump through a host that is reached over SSH".to_owned());
        document.problem(place, format!("the jump host `{name}` is this machine"), hint)
    })
}
