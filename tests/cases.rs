//! Plans as data: `tests/cases/<service>/<case>/case.yaml` says what a site wants and what its hosts hold, `expected.txt` what is then
//! planned. A new case is a folder; there is no code to write.
//!
//! `WIRE_DEPLOY_UPDATE=1 cargo test --test cases` writes what is planned; read the difference before committing it.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;

use serde::Deserialize;
use wire_deploy::artifacts::image::file_name;
use wire_deploy::artifacts::recipe::{Kind, Recipe};
use wire_deploy::desired::{self, Cluster, Desired, Sources};
use wire_deploy::lock::{Closure, Lock, Locked, LockedFile};
use wire_deploy::observed::{HostObserved, LiveState, Member, Observed};
use wire_deploy::plan::{self, Inputs, Plan, Work};
use wire_deploy::services::{self, DynService, Finding, Verdict};
use wire_deploy::site::load;
use wire_deploy::site::model::Site;
use wire_deploy::site::names::{HostName, ServiceName};
use wire_deploy::site::secrets::Secrets;
use wire_deploy::templates::Templates;
use wire_deploy_agent::diff::Action;
use wire_deploy_agent::digest::{Digest, FingerprintKey};
use wire_deploy_agent::resource::{Content, File, Mode, Owner, Package, Probe, Resource, ResourceId, Unit};
use wire_deploy_agent::state::{Answers, Entry, Facts, PathState, State, UnitState, UserState};

/// Years after the site's secrets were made: milliseconds since the epoch.
const NOW: i64 = 1_800_000_000_000;
const DAY: i64 = 86_400_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    /// What it shows, in a sentence.
    #[serde(rename = "about")]
    _about: String,
    /// What the site wants.
    site: Wanted,
    /// What the hosts were made to hold before; they are bare if this is left out.
    #[serde(default)]
    before: Option<Wanted>,
    /// How many days ago that was.
    #[serde(default)]
    days_ago: i64,
    /// Hosts that hold nothing all the same.
    #[serde(default)]
    blank: BTreeSet<HostName>,
    /// Hosts whose units do not run.
    #[serde(default)]
    stopped: BTreeSet<HostName>,
    /// Hosts whose units were started alone, to found the cluster.
    #[serde(default)]
    founding: BTreeSet<HostName>,
    /// Hosts that do not answer.
    #[serde(default)]
    unreachable: BTreeSet<HostName>,
    /// What was found otherwise than wanted: by host and resource.
    #[serde(default)]
    found: BTreeMap<HostName, BTreeMap<String, State>>,
    /// Facts about hosts that are not as those of all.
    #[serde(default)]
    facts: BTreeMap<HostName, BTreeMap<String, serde_json::Value>>,
    /// The versions that members of other clusters say they have.
    #[serde(default)]
    versions: BTreeMap<String, BTreeMap<HostName, String>>,
    /// Hosts that may be changed; all if this is left out.
    #[serde(default)]
    limit: Option<BTreeSet<HostName>>,
    /// What the running cluster says; it does not run if this is left out.
    #[serde(default)]
    live: Option<Live>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    hosts: usize,
    #[serde(default = "ci")]
    profile: String,
    #[serde(default)]
    settings: serde_json::Value,
    /// What the site brings in place of what recipes make, as in a site file.
    #[serde(default)]
    artifacts: serde_json::Value,
    /// The hosts' zones, in their order; all are in one if this is left out.
    #[serde(default)]
    zones: Vec<String>,
    /// Where clients reach the hosts, in their order, if not at their own addresses.
    #[serde(default)]
    public_addresses: Vec<String>,
    /// Other groups, with so many of the hosts each, the first ones.
    #[serde(default)]
    groups: BTreeMap<String, usize>,
}

fn ci() -> String {
    "ci".to_owned()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Live {
    facts: BTreeMap<String, String>,
    #[serde(default)]
    objects: BTreeMap<String, serde_json::Value>,
    /// It holds every other object as it was wanted before.
    #[serde(default)]
    holds_all: bool,
    /// Nodes answer, and cannot tell what the cluster holds.
    #[serde(default)]
    untold: bool,
    /// No node answers, although they run.
    #[serde(default)]
    silent: bool,
}

/// What does not change from case to case.
struct World {
    secrets: Secrets,
    lock: Lock,
    templates: Templates,
    service: [&'static dyn DynService; 1],
}

impl World {
    fn new(service: &'static dyn DynService) -> Self {
        Self {
            secrets: Secrets::new([7; 32], NOW - 1000 * DAY, BTreeMap::new(), BTreeMap::new()),
            lock: lock(service),
            templates: Templates::new(&BTreeMap::new()).unwrap(),
            service: [service],
        }
    }

    fn sources<'a>(&'a self, site: &'a Site) -> Sources<'a> {
        let Self { secrets, lock, templates, service } = self;
        Sources { site, secrets, lock, templates, selected: None, services: service, workloads: &[] }
    }

    fn site(&self, wanted: &Wanted) -> Site {
        let (service, count) = (self.service[0].name(), wanted.hosts);
        let settings = if wanted.settings.is_null() { "{}".to_owned() } else { wanted.settings.to_string() };
        let text = format!(
            "format: 1\nsite: test\ndomain: example.com\nprofile: {}\ninventory: hosts.yaml\nartifacts: {}\nservices:\n  {service}: {settings}\n",
            wanted.profile, wanted.artifacts
        );
        let mut inventory = "hosts:\n".to_owned();
        for index in 1..=count {
            let mut host = BTreeMap::from([("address", format!("10.0.0.{index}"))]);
            host.extend(wanted.zones.get(index - 1).map(|zone| ("zone", zone.clone())));
            host.extend(wanted.public_addresses.get(index - 1).map(|address| ("public_address", address.clone())));
            let _ = writeln!(inventory, "  db{index}: {}", serde_json::json!(host));
        }
        let _ = writeln!(inventory, "groups:\n  {service}: {{hosts: [\"db[1:{count}]\"]}}");
        for (group, count) in &wanted.groups {
            let _ = writeln!(inventory, "  {group}: {{hosts: [\"db[1:{count}]\"]}}");
        }
        let inventory = Some(("hosts.yaml".to_owned(), Ok(inventory)));
        load::load(&load::Sources { path: "wire-deploy.yaml".to_owned(), text, inventory }, &self.service).unwrap()
    }

    /// What is found on the hosts of a case.
    fn observed(&self, case: &Case) -> Observed {
        let site = self.site(&case.site);
        let mut observed = bare(&site);
        if let Some(before) = &case.before {
            let site = self.site(before);
            let mut fresh = Observed { time: NOW - case.days_ago * DAY, ..bare(&site) };
            if !case.founding.is_empty() {
                self.look_in_vain(&site, &mut fresh);
            }
            let held = desired::build(self.sources(&site), &fresh).unwrap();
            for node in &held.clusters[0].nodes {
                let key = self.secrets.fingerprint_key(&node.host);
                let founding = case.founding.contains(&node.host);
                let as_held = |resource: &Resource| {
                    if founding { held.clusters[0].at_founding(resource) } else { resource.clone() }
                };
                let resources: Vec<Resource> = node.resources.iter().map(as_held).collect();
                let states =
                    resources.iter().map(|resource| (resource.id(), as_wanted(resource, &resources, &key))).collect();
                observed.hosts.entry(node.host.clone()).or_insert_with(host_observed).states = states;
            }
        }
        for (host, found) in &mut observed.hosts {
            let mut facts = serde_json::to_value(&found.facts).unwrap();
            let other = case.facts.get(host).into_iter().flatten();
            facts.as_object_mut().unwrap().extend(other.map(|(name, value)| (name.clone(), value.clone())));
            found.facts = serde_json::from_value(facts).unwrap();
            if case.blank.contains(host) {
                found.states.clear();
            }
            if case.stopped.contains(host) {
                found.states.values_mut().for_each(stop);
            }
            let other = case.found.get(host).into_iter().flatten();
            found.states.extend(other.map(|(id, state)| (ResourceId(id.clone()), state.clone())));
        }
        self.look_in_vain(&site, &mut observed);
        for host in &case.unreachable {
            observed.hosts.remove(host);
            observed.unreachable.insert(host.clone(), "no route to host".to_owned());
        }
        observed
    }

    /// Whatever was looked at and not found is absent.
    fn look_in_vain(&self, site: &Site, observed: &mut Observed) {
        let outline = desired::outline(self.sources(site)).unwrap();
        for node in &outline.clusters[0].nodes {
            let found = observed.hosts.entry(node.host.clone()).or_insert_with(host_observed);
            for resource in &node.resources {
                found.states.entry(resource.id()).or_insert_with(|| absent(resource));
            }
        }
    }

    /// What the service says of the hosts, in lines.
    fn findings(&self, case: &Case) -> String {
        let site = self.site(&case.site);
        let mut observed = self.observed(case);
        observed.live.extend(self.live(case, &site));
        for (service, versions) in &case.versions {
            let member = |version: &String| Member { version: Some(version.clone()), ..Member::default() };
            let members = versions.iter().map(|(host, version)| (host.clone(), member(version))).collect();
            observed.live.insert(service.as_str().into(), LiveState { members, ..LiveState::default() });
        }
        let findings = desired::examine(self.sources(&site), &observed);
        let line = |finding: Finding| format!("{:?}: {} {}\n", finding.severity, finding.host, finding.message);
        findings.into_iter().map(line).collect()
    }

    /// The objects of the cluster as it was wanted before.
    fn objects(&self, case: &Case) -> BTreeMap<String, serde_json::Value> {
        let site = self.site(case.before.as_ref().unwrap_or(&case.site));
        let held = desired::build(self.sources(&site), &bare(&site)).unwrap();
        held.clusters[0].objects.iter().map(|object| (object.id.clone(), object.wanted.clone())).collect()
    }

    /// What the running cluster says, if it runs.
    fn live(&self, case: &Case, site: &Site) -> Option<(ServiceName, LiveState)> {
        let live = case.live.as_ref()?;
        let silent = site.hosts.iter().map(|host| &host.name).filter(|_| live.silent);
        let down: BTreeSet<_> = case.blank.iter().chain(&case.stopped).chain(&case.unreachable).chain(silent).collect();
        let member = |host: &HostName| Member { answers: !down.contains(host), ..Member::default() };
        let members = site.hosts.iter().map(|host| (host.name.clone(), member(&host.name))).collect();
        let mut objects = if live.holds_all { self.objects(case) } else { BTreeMap::new() };
        objects.extend(live.objects.clone());
        Some((self.service[0].name(), LiveState { members, objects, untold: live.untold, facts: live.facts.clone() }))
    }

    fn plan(&self, case: &Case) -> Result<(Desired, Plan), plan::Refusal> {
        let site = self.site(&case.site);
        let mut observed = self.observed(case);
        let mut verdicts = BTreeMap::new();
        if let Some((service, live)) = self.live(case, &site) {
            let unwell =
                live.members.iter().filter(|(_, member)| !member.answers).map(|(host, _)| host.clone()).collect();
            verdicts.insert(service.clone(), Verdict { problems: Vec::new(), unwell });
            observed.live.insert(service, live);
        }
        let sources = Sources { selected: case.limit.as_ref(), ..self.sources(&site) };
        let desired = desired::build(sources, &observed).unwrap();
        let plan = plan::diff(Inputs {
            site: &site.name,
            desired: &desired,
            observed: &observed,
            verdicts: &verdicts,
            secrets: &self.secrets,
            hosts: case.limit.as_ref(),
        })?;
        Ok((desired, plan))
    }
}

/// A lock with something for every recipe of the service.
fn lock(service: &dyn DynService) -> Lock {
    let package = Package {
        name: service.name().to_string(),
        version: "7.0".to_owned(),
        architecture: "amd64".to_owned(),
        blob: Digest::of(b"package"),
        size: 1,
    };
    let closure = Closure { wanted: vec![service.name().to_string()], packages: vec![package] };
    let file = |recipe: &str, name: &str| {
        (name.to_owned(), LockedFile { blob: Digest::of(format!("{recipe}/{name}").as_bytes()), size: 1 })
    };
    let locked = |recipe: &&str| {
        let is_image = matches!(Recipe::named(recipe).unwrap().kind, Kind::Image(_));
        // What sites may bring is there, too, whether a case's site brings it or not.
        let upstream = service.upstream().iter().filter(|(brought, _)| brought == recipe).flat_map(|(_, names)| *names);
        let files = made_by(recipe).into_iter().chain(upstream.clone().map(|name| (*name).to_owned()));
        let locked = Locked {
            recipe: Digest::of(recipe.as_bytes()),
            version: "7.0".to_owned(),
            releases: [("bookworm".to_owned(), closure.clone())].into(),
            files: files.map(|name| file(recipe, &name)).collect(),
            image: is_image.then(|| Digest::of(b"image")),
            images: upstream
                .filter(|_| is_image)
                .map(|name| ((*name).to_owned(), Digest::of(name.as_bytes())))
                .collect(),
        };
        ((*recipe).to_owned(), locked)
    };
    Lock { recipes: service.recipes().iter().map(locked).collect(), ..Lock::default() }
}

/// The files that a recipe makes.
fn made_by(recipe: &str) -> Vec<String> {
    match Recipe::named(recipe).unwrap().kind {
        Kind::Deb(_) | Kind::Brought(_) => Vec::new(),
        Kind::Go(go) => go.builds.into_keys().collect(),
        Kind::Maven(maven) => vec![maven.file_name()],
        Kind::Image(_) => vec![file_name(recipe)],
    }
}

/// Hosts that hold nothing.
fn bare(site: &Site) -> Observed {
    Observed {
        time: NOW,
        hosts: site.hosts.iter().map(|host| (host.name.clone(), host_observed())).collect(),
        ..Observed::default()
    }
}

fn host_observed() -> HostObserved {
    HostObserved { facts: Facts { memory: 8 << 30, processors: 4, ..Facts::default() }, ..HostObserved::default() }
}

fn absent(resource: &Resource) -> State {
    match resource {
        Resource::Unit(_) => unit("not-found", "inactive", None),
        Resource::Packages(_) => State::Packages { installed: BTreeMap::new(), broken: Vec::new() },
        Resource::Sysctl(_) => State::Sysctl { value: "0".to_owned(), persistent: None, writable: true },
        Resource::Exec(_) => State::Exec { code: 1 },
        _ => State::Absent,
    }
}

fn unit(load: &str, active: &str, wanted: Option<&Unit>) -> State {
    let (started_with, reloaded_with) =
        wanted.map(|unit| (unit.started_with.clone(), unit.reloaded_with.clone())).unwrap_or_default();
    State::Unit(UnitState {
        load: load.to_owned(),
        active: active.to_owned(),
        enabled: load == "loaded",
        next_start_with: started_with.clone(),
        started_with,
        next_reload_with: reloaded_with.clone(),
        reloaded_with,
    })
}

fn stop(state: &mut State) {
    if let State::Unit(unit) = state {
        unit.active = "inactive".to_owned();
        unit.started_with = None;
        unit.reloaded_with = None;
    }
}

/// What is found where a resource is as wanted.
fn as_wanted(resource: &Resource, all: &[Resource], key: &FingerprintKey) -> State {
    let path = |entry, owner: &wire_deploy_agent::resource::Owner, mode| {
        State::Path(PathState { entry, owner: owner.clone(), mode })
    };
    match resource {
        Resource::Directory(wanted) => path(Entry::Directory, &wanted.owner, wanted.mode),
        Resource::File(wanted) => path(file(wanted, key), &wanted.owner, wanted.mode),
        Resource::Symlink(wanted) => path(Entry::Symlink { target: wanted.target.clone() }, &root(), Mode(0o777)),
        Resource::Archive(wanted) => State::Archive { blob: Some(wanted.blob.clone()) },
        Resource::User(wanted) => {
            State::User(UserState { group: wanted.group.clone(), groups: Vec::new(), home: wanted.home.clone() })
        }
        Resource::Group(_) => State::Group,
        Resource::Packages(wanted) => {
            let installed = wanted.closure.iter().map(|package| (package.name.clone(), package.version.clone()));
            State::Packages { installed: installed.collect(), broken: Vec::new() }
        }
        Resource::Sysctl(wanted) => {
            State::Sysctl { value: wanted.value.clone(), persistent: Some(wanted.value.clone()), writable: true }
        }
        Resource::Unit(wanted) => unit("loaded", "active", Some(wanted)),
        // A service wrote what it read in some file of ours.
        Resource::Probe(Probe::Lines { prefix, .. }) => {
            let texts = all.iter().filter_map(|resource| match resource {
                Resource::File(File { content: Content::Text(text), .. }) => Some(text),
                _ => None,
            });
            let lines = texts.flat_map(|text| text.lines()).filter(|line| line.starts_with(prefix.as_str()));
            State::Lines { lines: lines.map(str::to_owned).collect() }
        }
        // It is looked for where it should not be.
        Resource::Probe(Probe::Path { path }) if path == "/etc/kubernetes/manifests/kube-apiserver.yaml" => {
            State::Absent
        }
        Resource::Probe(Probe::Path { .. }) => State::Exists { empty: false, device: 0 },
        Resource::Probe(Probe::Address { .. }) => State::Address { interface: None, answers: Answers::Nobody },
        Resource::Exec(_) => State::Exec { code: 0 },
        Resource::ContainerImage(wanted) => State::ContainerImage { digest: Some(wanted.digest.clone()) },
        // Who listens concerns the preflight, not the plan.
        Resource::Probe(Probe::Port { .. }) => State::Absent,
    }
}

fn root() -> Owner {
    Owner { user: "root".to_owned(), group: "root".to_owned() }
}

fn file(wanted: &File, key: &FingerprintKey) -> Entry {
    let (digest, text) = match &wanted.content {
        Content::Text(text) if wanted.sensitive => (key.fingerprint(text.as_bytes()), None),
        Content::Text(text) => (Digest::of(text.as_bytes()), Some(text.clone())),
        Content::Blob(digest) | Content::Digest(digest) => (digest.clone(), None),
    };
    Entry::File { digest, text }
}

/// The plan in lines that say what is done, in which order and after what; digests are left out.
fn text(cluster: &Cluster, plan: &Plan) -> String {
    let mut text = String::new();
    for step in &plan.steps {
        let needs: Vec<_> = step.needs.iter().map(|step| step.0.as_str()).collect();
        let after = if needs.is_empty() { String::new() } else { format!("  after {}", needs.join(", ")) };
        let _ = writeln!(text, "{}{after}", step.id);
        match &step.work {
            Work::Configure { changes, roll, .. } => {
                if *roll {
                    let _ = writeln!(text, "  one node at a time; {:?} more may die", step.impact.spare);
                }
                for change in changes {
                    let action = format!("{:?}", change.action).to_lowercase();
                    let _ = writeln!(text, "  {action} {}", change.resource);
                    if let Some(lines) = change.text.as_ref().filter(|lines| !lines.from.is_empty()) {
                        let diff = similar::TextDiff::from_lines(&lines.from, &lines.to);
                        for line in diff.iter_all_changes().filter(|line| line.tag() != similar::ChangeTag::Equal) {
                            let _ = write!(text, "    {}{line}", line.tag());
                        }
                    }
                }
                text.push_str(&first_start(cluster, step.host.as_ref(), changes));
            }
            Work::Operate { operation } => {
                let _ = writeln!(text, "  {} {}", operation.description, operation.arguments);
            }
            // No case has workloads: they are tried where Kubernetes is.
            Work::RollOut { .. } | Work::DeferredRollOut { .. } => {}
            Work::Gate { guards, .. } => {
                if let Some(guarded) = guards {
                    let _ = writeln!(text, "  or {guarded} is put back");
                }
            }
            Work::Objects { changes } => {
                for change in changes {
                    let _ = writeln!(text, "  {}: {} -> {}", change.object.id, change.from, change.object.wanted);
                }
            }
            Work::Deferred { objects } => {
                for object in objects {
                    let _ = writeln!(text, "  {}: {}", object.id, object.wanted);
                }
            }
        }
    }
    text
}

/// Files that are only for a first start decide over data, and those for kubeadm over how soon a death is noticed; what is written into them is
/// shown.
fn first_start(cluster: &Cluster, host: Option<&HostName>, changes: &[wire_deploy_agent::diff::Change]) -> String {
    let node = cluster.nodes.iter().find(|node| Some(&node.host) == host).unwrap();
    let mut text = String::new();
    let changed = |resource: &&Resource| {
        let also_changed = !resource.id().0.ends_with("/kubeadm.yaml");
        changes
            .iter()
            .any(|change| change.resource == resource.id() && (also_changed || change.action == Action::Create))
    };
    for resource in node.resources.iter().filter(changed) {
        if let Resource::File(File { content: Content::Text(content), path, .. }) = resource
            && [
                "/redis.conf",
                "/sentinel.conf",
                "/initial.env",
                "/first-start.yaml",
                "/first-start.options",
                "/wire-deploy/kubeadm.yaml",
            ]
            .iter()
            .any(|name| path.ends_with(name))
            && !path.starts_with("/etc/redis")
        {
            let tells = |line: &&str| {
                !path.ends_with(".yaml")
                    || ["- seeds:", "- {name: "].iter().any(|told| line.contains(told))
                    || line.starts_with("rpc_address:")
            };
            for line in content.lines().filter(|line| !line.starts_with('#') && !line.is_empty()).filter(tells) {
                let _ = writeln!(text, "  {path}: {line}");
            }
        }
    }
    text
}

fn run(service: &'static dyn DynService, folder: &Path) -> Result<(), String> {
    let written = std::fs::read_to_string(folder.join("case.yaml")).map_err(|error| error.to_string())?;
    let case: Case = serde_saphyr::from_str(&written).map_err(|error| error.to_string())?;
    let world = World::new(service);
    let planned = match world.plan(&case) {
        Ok((_, plan)) if plan.is_empty() => "nothing\n".to_owned(),
        Ok((desired, plan)) => text(&desired.clusters[0], &plan),
        Err(refusal) => format!("refused: {refusal}\n"),
    };
    let planned = world.findings(&case) + &planned;
    let expected = folder.join("expected.txt");
    if std::env::var_os("WIRE_DEPLOY_UPDATE").is_some() {
        std::fs::write(&expected, &planned).map_err(|error| error.to_string())?;
    }
    let wanted = std::fs::read_to_string(&expected).unwrap_or_default();
    if wanted == planned {
        return Ok(());
    }
    Err(similar::TextDiff::from_lines(&wanted, &planned).unified_diff().header("expected", "planned").to_string())
}

#[test]
fn plans_are_as_the_cases_say() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let mut failures = String::new();
    for service in services::ALL.iter().copied() {
        let mut cases = 0;
        for folder in std::fs::read_dir(root.join(service.name().as_str())).unwrap() {
            let folder = folder.unwrap().path();
            cases += 1;
            if let Err(difference) = run(service, &folder) {
                let _ = writeln!(failures, "{}:\n{difference}", folder.display());
            }
        }
        assert!(cases > 0, "{} has no cases", service.name());
    }
    assert!(failures.is_empty(), "{failures}");
}
