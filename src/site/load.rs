//! From texts to a site, or to everything that is wrong with them.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::document::Document;
use super::model::{Host, Limits, Profile, SecretsLocation, Site};
use super::names::{HostName, ServiceName};
use super::problem::{Problem, hint_for};
use super::roster::{self, Roster};
use super::tree::{Content, Segment, Tree};
use super::written::{InventoryFile, LimitsWritten, ProfileFile, SecretsWritten, SiteFile};
use super::{artifacts, hosts, layers, rules, workloads};
use crate::services::DynService;

include!(concat!(env!("OUT_DIR"), "/profiles.rs"));

/// Version of the site file's form that is read.
pub const FORMAT: u32 = 1;

/// The texts that a site is made of.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// The site file's path, as the operator named it.
    pub path: String,
    /// Its text.
    pub text: String,
    /// The inventory it names: path as shown to the operator and its text, or why it cannot be read.
    pub inventory: Option<(String, Result<String, String>)>,
}

/// The inventory that a site file names, as written there; nothing if that cannot be made out.
#[must_use]
pub fn inventory_of(text: &str) -> Option<String> {
    let file: SiteFile = Document::read("", text, &mut Vec::new())?.decode(&mut Vec::new())?;
    file.inventory
}

/// The names of the built-in profiles.
pub fn profiles() -> impl Iterator<Item = &'static str> + Clone {
    EMBEDDED.iter().filter_map(|(file, _)| file.strip_suffix(".yaml"))
}

/// Makes a site of texts.
///
/// # Errors
/// Everything that is wrong, in the order of the files and lines.
pub fn load(sources: &Sources, services: &[&dyn DynService]) -> Result<Site, Vec<Problem>> {
    let mut problems = Vec::new();
    let site = read_site(sources, services, &mut problems);
    match site {
        Some(site) if problems.is_empty() => Ok(site),
        _ => {
            let file = |problem: &Problem| problem.file != sources.path;
            problems.sort_by_key(|problem| (file(problem), problem.line, problem.column));
            problems.dedup();
            Err(problems)
        }
    }
}

fn read_site(sources: &Sources, services: &[&dyn DynService], problems: &mut Vec<Problem>) -> Option<Site> {
    let document = Document::read(&sources.path, &sources.text, problems);
    let file = document.as_ref().and_then(|document| document.decode::<SiteFile>(problems));
    // The inventory is read even if the site file is of no use: its problems are told all the same.
    let inventory = match &sources.inventory {
        Some((path, Ok(text))) => Document::read(path, text, problems),
        Some((path, Err(reason))) => {
            let message = format!("the inventory {path} cannot be read: {reason}");
            let hint = Some("the path is relative to the site file's folder".to_owned());
            problems.extend(document.as_ref().map(|document| document.problem_at(&["inventory"], message, hint)));
            None
        }
        None => None,
    };
    let inventory_file = inventory.as_ref().and_then(|inventory| inventory.decode::<InventoryFile>(problems));
    let (document, file) = (document?, file?);
    check_site_file(&document, &file, services, problems);
    let profile = read_profile(&document, &file, services, problems);
    let site_layer = layers::read(&document, &["services"], services, problems);
    let site_workloads = workloads::read(&document, problems);
    let artifacts = artifacts::read(&document, file.artifacts.clone().unwrap_or_default(), services, problems);
    let kubernetes = workloads::kubernetes(&document, file.kubernetes.clone().unwrap_or_default(), problems);
    let (inventory, inventory_file) = (inventory?, inventory_file?);

    let names: Vec<ServiceName> = services.iter().map(|service| service.name()).collect();
    for (section, what) in [("hosts", "the inventory has no hosts"), ("groups", "the inventory has no groups")] {
        let said = inventory.tree.get(&[section]).is_some_and(|found| !found.entries().is_empty());
        // On a cluster that exists a site may be without hosts of its own.
        if !said && kubernetes.existing.is_none() && !inventory.misspelt(&[], section) {
            let hint = "inventories/example/hosts.yaml shows how it is written";
            problems.push(inventory.problem(inventory.tree.place_of(&[section]), what, Some(hint.to_owned())));
        }
    }
    let roster = roster::list(&inventory, &inventory_file, &names, problems);
    for name in file.ssh.iter().filter_map(|ssh| ssh.jump.as_ref()).flatten() {
        problems.extend(hosts::jump_problem(&document, &["ssh", "jump"], &roster, name));
    }
    check_groups(&inventory, &roster, problems);
    let hosts = hosts::build(&file, &inventory, &roster, problems);
    let installed = installed(&document, &roster, &names, problems);
    let ReadProfile { profile, services: profile_layer, workloads: profile_workloads } = profile?;
    let layered = Layered::read(&inventory, &roster, services, [profile_layer, site_layer], problems);
    let settings = layered.settings(&roster, &installed);
    if hosts.len() == roster.hosts.len() {
        ask_services(&inventory, &roster, &hosts, &layered, services, problems);
    }

    let limits = file.limits.unwrap_or_default();
    let secrets = file.secrets.unwrap_or_default();
    let groups = roster.groups.iter().map(|group| {
        let members = group.members.iter().map(|host| roster.hosts[*host].name.clone());
        (group.name.clone(), members.collect())
    });
    let site = Site {
        name: file.site?,
        domain: file.domain?,
        profile,
        hosts,
        groups: groups.collect(),
        settings,
        kubernetes,
        workloads: workloads::merged(&profile_workloads, site_workloads),
        limits: limits_of(&limits),
        secrets: secrets_of(secrets),
        templates: file.templates,
        generations: file
            .generations
            .unwrap_or_default()
            .into_iter()
            .map(|(name, number)| (name, number.get()))
            .collect(),
        artifacts,
    };
    workloads::check(&document, &site, problems);
    if problems.is_empty() {
        ask_services_of_the_site(&inventory, &roster, &site, services, problems);
        workloads::ask(&document, &site, problems);
    }
    Some(site)
}

fn limits_of(limits: &LimitsWritten) -> Limits {
    let number = |written: Option<core::num::NonZeroU32>, default| {
        written.map_or(default, |number| usize::try_from(number.get()).unwrap_or(usize::MAX))
    };
    Limits { hosts: number(limits.hosts, 32), uploads: number(limits.uploads, 4) }
}

fn secrets_of(secrets: SecretsWritten) -> SecretsLocation {
    SecretsLocation {
        file: secrets.file.unwrap_or_else(|| "secrets.age".to_owned()),
        identity: secrets.identity.unwrap_or_else(|| "secrets.identity".to_owned()),
    }
}

/// What the site file says by itself.
fn check_site_file(document: &Document, file: &SiteFile, services: &[&dyn DynService], problems: &mut Vec<Problem>) {
    let missing = [
        ("format", file.format.is_none(), "write `format: 1`"),
        ("site", file.site.is_none(), "write `site: NAME`, a name for this installation"),
        ("domain", file.domain.is_none(), "write `domain: example.com`, the backend's domain"),
        ("profile", file.profile.is_none(), "write `profile: production`, or `ci`, or `sandbox`"),
        ("inventory", file.inventory.is_none(), "write `inventory: hosts.yaml`, the file that lists the hosts"),
    ];
    for (key, missing, hint) in missing {
        // One that is there but does not fit, or is misspelt, was a problem already.
        let said = document.tree.get(&[key]).is_some_and(|value| value.content != Content::Null);
        if missing && !said && !document.misspelt(&[], key) {
            problems.push(document.problem_at(&[key], format!("`{key}` is missing"), Some(hint.to_owned())));
        }
    }
    if let Some(format) = file.format.filter(|format| *format != FORMAT) {
        let hint = Some("a site of another format needs another version of wire-deploy".to_owned());
        problems.push(document.problem_at(
            &["format"],
            format!("format {format} is unknown; this program reads format {FORMAT}"),
            hint,
        ));
    }
    if let Some(reason) = file.site.as_deref().and_then(rules::site_name) {
        let hint = Some("a site's name is of small letters, digits and hyphens".to_owned());
        problems.push(document.problem_at(&["site"], format!("the site's name {reason}"), hint));
    }
    if let Some(domain) = &file.domain
        && let Some(reason) = rules::domain(domain)
    {
        let hint = Some("write a domain such as `example.com`".to_owned());
        problems.push(document.problem_at(&["domain"], format!("the domain `{domain}` {reason}"), hint));
    }
    if let Some(release) = &file.release {
        problems.extend(release_problem(document, &["release"], release));
    }
    for key in file.generations.iter().flat_map(BTreeMap::keys) {
        let services = services.iter().map(|service| service.name().0);
        let names: Vec<String> =
            services.chain(workloads::named().map(|workload| workload.name().to_owned())).collect();
        let known = |service: &str| names.iter().any(|name| name == service);
        let complaint = match key.split_once('/') {
            None => Some(("is not of the form `service/name`", None)),
            Some((service, _)) if !known(service) => Some((
                "is of no service that there is",
                hint_for(service, "services and workloads", names.iter().map(String::as_str)),
            )),
            Some(_) => None,
        };
        if let Some((what, hint)) = complaint {
            let hint = hint.or_else(|| Some("`wire-deploy secrets list` shows the names".to_owned()));
            let place = document.tree.place_of_key(&[key_segment("generations"), key_segment(key)]);
            problems.push(document.problem(place, format!("`{key}` {what}"), hint));
        }
    }
}

fn key_segment(key: &str) -> Segment {
    Segment::Key(key.to_owned())
}

fn release_problem(document: &Document, keys: &[&str], release: &str) -> Option<Problem> {
    if rules::RELEASES.iter().any(|(name, _)| *name == release) {
        return None;
    }
    let hint = hint_for(release, "releases", rules::RELEASES.iter().map(|(name, _)| *name));
    Some(document.problem_at(keys, format!("the release `{release}` is not supported"), hint))
}

/// A built-in profile, and its layers of settings.
struct ReadProfile {
    profile: Profile,
    services: layers::Layer,
    workloads: workloads::Layer,
}

/// The built-in profile that a site names.
fn read_profile(
    document: &Document,
    file: &SiteFile,
    services: &[&dyn DynService],
    problems: &mut Vec<Problem>,
) -> Option<ReadProfile> {
    let name = file.profile.as_deref()?;
    let Some((_, text)) = EMBEDDED.iter().find(|(file, _)| file.strip_suffix(".yaml") == Some(name)) else {
        let hint = hint_for(name, "profiles", profiles());
        problems.push(document.problem_at(&["profile"], format!("there is no profile `{name}`"), hint));
        return None;
    };
    let mut profile = Document::read(&format!("profiles/{name}.yaml (built in)"), text, problems)?;
    // A profile is made for all services; where one is not known there is nothing to set.
    let known = |name: &str| services.iter().any(|service| service.name().as_str() == name);
    let said = profile.tree.get(&["services"]).map(Tree::entries).unwrap_or_default();
    let unknown: Vec<String> = said.iter().map(|entry| entry.key.clone()).filter(|key| !known(key)).collect();
    for service in unknown {
        profile.tree.remove(&[key_segment("services"), key_segment(&service)]);
    }
    let written: ProfileFile = profile.decode(problems)?;
    let layer = layers::read(&profile, &["services"], services, problems);
    let decided = Profile {
        name: name.to_owned(),
        shared_kernel: written.shared_kernel,
        shared_disks: written.shared_disks,
        gate_timeout_seconds: written.gate_timeout_seconds.get(),
        clock_skew_seconds: written.clock_skew_seconds,
    };
    let workloads = workloads::read(&profile, problems);
    Some(ReadProfile { profile: decided, services: layer, workloads })
}

/// What groups and hosts say of releases.
fn check_groups(inventory: &Document, roster: &Roster, problems: &mut Vec<Problem>) {
    for group in &roster.groups {
        let keys = ["groups", group.name.as_str(), "release"];
        problems.extend(group.written.release.as_ref().and_then(|release| release_problem(inventory, &keys, release)));
    }
    for listed in roster.hosts.iter().filter(|listed| listed.index == 0) {
        let keys = ["hosts", listed.key.as_str(), "release"];
        let release = listed.written.as_ref().and_then(|written| written.release.as_ref());
        problems.extend(release.and_then(|release| release_problem(inventory, &keys, release)));
    }
}

/// The services that the site installs: those with a group. Settings of others would have no effect.
fn installed(
    document: &Document,
    roster: &Roster,
    services: &[ServiceName],
    problems: &mut Vec<Problem>,
) -> BTreeSet<ServiceName> {
    let grouped = |service: &&ServiceName| roster.groups.iter().any(|group| group.name.as_str() == service.as_str());
    let installed: BTreeSet<ServiceName> = services.iter().filter(grouped).cloned().collect();
    if installed.is_empty() && !services.is_empty() && !roster.groups.is_empty() {
        let names: Vec<String> = services.iter().map(|service| format!("`{service}`")).collect();
        let message = "the inventory has no group of a service's name, so nothing would be installed";
        let place = document.tree.place_of(&["inventory"]);
        problems.push(document.problem(place, message, Some(format!("services: {}", names.join(", ")))));
    }
    for entry in document.tree.get(&["services"]).map(Tree::entries).unwrap_or_default() {
        let service = ServiceName(entry.key.clone());
        if services.contains(&service) && !installed.contains(&service) {
            let message = format!("`{service}` has settings, but the inventory has no group `{service}`");
            let hint = format!("list its hosts in the inventory's group `{service}`, or remove the settings");
            problems.push(document.problem(entry.place, message, Some(hint)));
        }
    }
    installed
}

/// All layers of settings.
struct Layered {
    /// Profile and site, the profile first.
    common: [layers::Layer; 2],
    /// By group, in the roster's order.
    groups: Vec<layers::Layer>,
    /// By host, in the roster's order.
    hosts: Vec<layers::Layer>,
}

impl Layered {
    fn read(
        inventory: &Document,
        roster: &Roster,
        services: &[&dyn DynService],
        common: [layers::Layer; 2],
        problems: &mut Vec<Problem>,
    ) -> Self {
        let runs = |host: usize, service: &ServiceName| {
            roster.hosts[host].groups.iter().any(|group| roster.groups[*group].name.as_str() == service.as_str())
        };
        let without_effect = |section: &str, key: &str, service: &ServiceName| {
            let place = inventory.tree.place_of_key(&[section, key, "services", service.as_str()].map(key_segment));
            let message =
                format!("settings of `{service}` have no effect here: `{key}` has no host of group `{service}`");
            inventory.problem(place, message, Some("remove them, or add the host to that group".to_owned()))
        };
        let mut groups = Vec::new();
        for group in &roster.groups {
            let layer = layers::read(inventory, &["groups", group.name.as_str(), "services"], services, problems);
            for service in layer.keys().filter(|service| !group.members.iter().any(|host| runs(*host, service))) {
                problems.push(without_effect("groups", group.name.as_str(), service));
            }
            groups.push(layer);
        }
        let mut hosts: Vec<layers::Layer> = Vec::new();
        for (index, listed) in roster.hosts.iter().enumerate() {
            // Hosts of one range share their section.
            let shared = hosts.last().filter(|_| listed.index > 0).cloned();
            let layer = shared
                .unwrap_or_else(|| layers::read(inventory, &["hosts", &listed.key, "services"], services, problems));
            for service in layer.keys().filter(|service| !runs(index, service)) {
                problems.push(without_effect("hosts", &listed.key, service));
            }
            hosts.push(layer);
        }
        Self { common, groups, hosts }
    }

    /// The settings of each installed service for each of its hosts.
    fn settings(
        &self,
        roster: &Roster,
        installed: &BTreeSet<ServiceName>,
    ) -> BTreeMap<ServiceName, BTreeMap<HostName, Value>> {
        let mut settings = BTreeMap::new();
        for service in installed {
            let Some(group) = roster.groups.iter().find(|group| group.name.as_str() == service.as_str()) else {
                continue;
            };
            let hosts = group.members.iter().map(|index| {
                let listed = &roster.hosts[*index];
                let groups = listed.groups.iter().map(|group| &self.groups[*group]);
                let layers = self.common.iter().chain(groups).chain([&self.hosts[*index]]);
                (listed.name.clone(), layers::merged(service, layers))
            });
            settings.insert(service.clone(), hosts.collect());
        }
        settings
    }
}

/// What the services themselves have to say: how many hosts, which zones.
fn ask_services(
    inventory: &Document,
    roster: &Roster,
    hosts: &[Host],
    layered: &Layered,
    services: &[&dyn DynService],
    problems: &mut Vec<Problem>,
) {
    for service in services {
        let name = service.name();
        let Some(index) = roster.groups.iter().position(|group| group.name.as_str() == name.as_str()) else { continue };
        let group = &roster.groups[index];
        let members: Vec<&Host> = group.members.iter().filter_map(|host| hosts.get(*host)).collect();
        if members.is_empty() {
            continue;
        }
        let settings = layers::merged(&name, layered.common.iter().chain([&layered.groups[index]]));
        for problem in service.check(&members, &settings) {
            let named = problem.message.contains(name.as_str());
            let message = if named { problem.message } else { format!("{name}: {}", problem.message) };
            problems.push(inventory.problem(group.place, message, Some(problem.hint)));
        }
    }
}

/// What the services have to say about each other, once each is well by itself.
fn ask_services_of_the_site(
    inventory: &Document,
    roster: &Roster,
    site: &Site,
    services: &[&dyn DynService],
    problems: &mut Vec<Problem>,
) {
    for service in services {
        let name = service.name();
        let group = roster.groups.iter().find(|group| group.name.as_str() == name.as_str());
        let Some(group) = group.filter(|_| !site.hosts_of(&name).is_empty()) else { continue };
        for problem in service.check_site(site) {
            problems.push(inventory.problem(group.place, problem.message, Some(problem.hint)));
        }
    }
}
