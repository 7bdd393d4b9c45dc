//! What each host should hold, and what the cluster itself should.

use core::net::SocketAddr;

use serde_json::json;
use wire_deploy_agent::digest::Digest;
use wire_deploy_agent::resource::{Archive, File, Owner, Ownership, Probe, Resource};

use super::managers::managers;
use super::security::{self, Kind};
use super::settings::{LEAST_HEAP, half};
use super::{
    CLIENTS, Flavor, HOLD_ALLOCATION, PEER_PORT, PEERS, PORT, Settings, USER_PASSWORD, directory as user_directory,
};
use crate::desired::{Bootstrap, Cluster, Node, Object, Operation};
use crate::services::resources::{data_directory, directory, file, owner, running_unit, unit_file, user_and_group};
use crate::services::restart::restart_digest;
use crate::services::{BuildError, Context, Finding, OPERATOR, Severity};
use crate::site::model::Host;

/// The recipe of the Java that both flavors run on.
pub(super) const JAVA: &str = "java";
const JAVA_HOME: &str = "/usr/lib/jvm/java-17-openjdk-amd64";
/// Seconds until a start counts as failed.
const START_SECONDS: u32 = 60;
/// Seconds that a gate waits at least: Java starts slowly where other clusters start beside it.
const LEAST_PATIENCE: u32 = 180;
/// Areas of memory that a process may map; indices are mapped piece by piece.
const MAPS: &str = "262144";
/// Files of the security plugin, read once, when its index is made.
const SECURITY_FILES: [&str; 8] =
    ["action_groups", "allowlist", "config", "internal_users", "nodes_dn", "roles", "roles_mapping", "tenants"];

/// The object that is the template of the directory's indices.
pub(super) const TEMPLATE_OBJECT: &str = "template/directory";
/// The object that is the directory's index behind its alias.
pub(super) const INDEX_OBJECT: &str = "index/directory";
/// The object that says whether copies may go where they belong; a run that was killed may have left them held.
pub(super) const ALLOCATION_OBJECT: &str = "setting/allocation";

/// The flavor that a cluster was built with.
pub(super) fn flavor_of(cluster: &Cluster) -> Flavor {
    let unit = unit(Flavor::Elasticsearch);
    let old = |resource: &Resource| matches!(resource, Resource::Unit(known) if known.name == unit);
    let nodes = cluster.nodes.iter().chain(&cluster.away);
    if nodes.flat_map(|node| &node.resources).any(old) { Flavor::Elasticsearch } else { Flavor::Opensearch }
}

fn unit(flavor: Flavor) -> String {
    format!("{}.service", flavor.name())
}

/// The folder that is there as soon as a node has run.
fn started(flavor: Flavor) -> String {
    format!("/var/lib/{}/nodes", flavor.name())
}

/// The whole cluster.
pub(super) fn build(context: &Context<'_>) -> Result<Cluster, BuildError> {
    let hosts = context.hosts();
    let settings = settings(context, &hosts)?;
    let managers = managers(&hosts);
    // Nodes found a cluster only where none has ever run; any other node joins the one that is there.
    let first = hosts.iter().all(|host| context.is_there(&host.name, &started(settings.flavor)) == Some(false));
    let builder =
        |host| NodeBuilder { context, host, hosts: &hosts, managers: &managers, flavor: settings.flavor, first };
    let nodes = hosts.iter().map(|host| builder(*host).build()).collect::<Result<Vec<_>, _>>()?;
    Ok(Cluster {
        service: context.service.clone(),
        version: context.version(settings.flavor.name()),
        bootstrap: Bootstrap::AllAtOnce,
        after: Vec::new(),
        tolerance: settings.replicas.min(u32::try_from(managers.len().saturating_sub(1) / 2).unwrap_or(u32::MAX)),
        gate_timeout_seconds: context.site.profile.gate_timeout_seconds.max(LEAST_PATIENCE),
        objects: objects(context, &settings),
        nodes,
        leaving: Vec::new(),
        away: Vec::new(),
    })
}

fn settings(context: &Context<'_>, hosts: &[&Host]) -> Result<Settings, BuildError> {
    hosts.first().map_or_else(|| Ok(Settings::default()), |host| context.settings(&host.name))
}

/// The template, an index made from it, and who may use it.
fn objects(context: &Context<'_>, settings: &Settings) -> Vec<Object> {
    let mut objects = vec![
        Object { id: ALLOCATION_OBJECT.to_owned(), wanted: json!("all") },
        Object { id: TEMPLATE_OBJECT.to_owned(), wanted: user_directory::template(settings) },
        Object { id: INDEX_OBJECT.to_owned(), wanted: json!({ "replicas": settings.replicas }) },
    ];
    if settings.flavor.is_secure() {
        let password = context.secrets.generation(&context.service, USER_PASSWORD);
        objects.extend([
            Object { id: Kind::Role.id(), wanted: security::role() },
            Object { id: Kind::Mapping.id(), wanted: security::mapping() },
            Object { id: Kind::User.id(), wanted: json!({ "password": password }) },
        ]);
    }
    objects
}

/// Hosts that have too little memory for their heap.
pub(super) fn examine(context: &Context<'_>) -> Vec<Finding> {
    let too_small = |host: &&Host| {
        let settings: Settings = context.settings(&host.name).ok()?;
        let memory = context.facts(&host.name)?.memory;
        let heap = settings.heap(Some(memory));
        (heap > half(memory)).then(|| Finding {
            host: host.name.clone(),
            severity: Severity::Fatal,
            message: format!("has {} MiB of memory, and search would take {heap} of it for its heap", memory / (1024 * 1024)),
            hint: format!(
                "at most half may be: the other half holds the indices' files. Set heap_megabytes ({LEAST_HEAP} is the least), \
                 or give the host more memory"
            ),
        })
    };
    context.hosts().iter().filter_map(too_small).collect()
}

struct NodeBuilder<'a> {
    context: &'a Context<'a>,
    host: &'a Host,
    hosts: &'a [&'a Host],
    managers: &'a [&'a Host],
    flavor: Flavor,
    /// No node of the cluster has ever run.
    first: bool,
}

impl NodeBuilder<'_> {
    fn build(&self) -> Result<Node, BuildError> {
        let name = self.flavor.name();
        let user = owner(name, name);
        let (folder, home) = (self.folder(), format!("/var/lib/{name}"));
        let java = self.context.packages(self.host, JAVA)?;
        let program = Resource::Archive(Archive {
            path: format!("/opt/{name}"),
            blob: self.context.artifact(name, &format!("{name}.tar.gz"))?,
            strip: 0,
        });
        let settings = self.files()?;
        let unit_text = self.unit()?;
        let certificates = self.certificates()?;
        let depends_on = [&java, &program, &unit_text].into_iter().chain(&settings).chain(&certificates);
        let started_with = restart_digest(depends_on, &self.context.secrets.fingerprint_key(&self.host.name));
        let before = self.before(&started_with);

        let mut resources = vec![java];
        resources.extend(user_and_group(name, &home));
        resources.extend([
            program,
            // The programs make a file for secrets of their own there, which stays empty.
            directory(&folder, self.root_for_user(), 0o770),
        ]);
        resources.extend(certificates);
        resources.extend(settings);
        if self.flavor.is_secure() {
            resources.extend(self.security()?);
        }
        resources.push(self.initial()?);
        resources.push(data_directory(&home, user, 0o750));
        resources.push(self.context.sysctl_at_least("vm.max_map_count", MAPS));
        resources.push(Resource::Probe(Probe::Path { path: started(self.flavor) }));
        resources.extend([PORT, PEER_PORT].map(|port| Resource::Probe(Probe::Port { port })));
        resources.push(unit_text);
        resources.push(running_unit(&unit(self.flavor), started_with, START_SECONDS));
        Ok(Node { host: self.host.name.clone(), address: self.host.address, resources, before })
    }

    fn folder(&self) -> String {
        format!("/etc/{}", self.flavor.name())
    }

    fn root_for_user(&self) -> Owner {
        owner("root", self.flavor.name())
    }

    fn file(&self, name: &str, text: String) -> Resource {
        Resource::File(file(&format!("{}/{name}", self.folder()), self.root_for_user(), 0o640, text))
    }

    /// Authority, certificate and key in each trust domain.
    fn certificates(&self) -> Result<Vec<Resource>, BuildError> {
        let mut resources = Vec::new();
        for domain in [PEERS, CLIENTS] {
            if self.flavor.is_secure() {
                let folder = format!("{}/{domain}", self.folder());
                resources.push(directory(&folder, self.root_for_user(), 0o750));
                let certificate = self.context.node_certificate(self.host, domain, &folder, &self.root_for_user())?;
                resources.extend(certificate.into_resources());
            }
        }
        Ok(resources)
    }

    fn files(&self) -> Result<Vec<Resource>, BuildError> {
        let settings: Settings = self.context.settings(&self.host.name)?;
        let memory = self.context.facts(&self.host.name).map(|facts| facts.memory);
        let seeds = self.managers.iter().map(|host| SocketAddr::new(host.address, PEER_PORT).to_string());
        let manages = self.managers.iter().any(|host| host.name == self.host.name);
        let zones = self.hosts.iter().any(|host| host.zone != self.host.zone);
        let values = json!({
            "flavor": self.flavor.name(), "cluster": format!("{}-{}", self.context.site.name, self.context.service),
            "name": self.host.name, "address": self.host.address, "port": PORT, "peer_port": PEER_PORT,
            "seeds": seeds.collect::<Vec<_>>(), "zone": self.host.zone, "zones": zones,
            "manager_role": manages.then(|| self.flavor.manager_role()),
            "shared_disks": self.context.site.profile.shared_disks, "secure": self.flavor.is_secure(), "admin": OPERATOR,
            "heap_megabytes": settings.heap(memory), "java_options": settings.java_options,
            "data": format!("/var/lib/{}", self.flavor.name()),
        });
        let render = |template: &str| self.context.render(template, &values);
        Ok(vec![
            self.file(&format!("{}.yml", self.flavor.name()), render("settings.yml")?),
            self.file("jvm.options", render("jvm.options")?),
            self.file("log4j2.properties", render("log4j2.properties")?),
        ])
    }

    /// What the security plugin begins with: one way to log in, and nobody who could.
    fn security(&self) -> Result<Vec<Resource>, BuildError> {
        let mut files = vec![directory(&format!("{}/opensearch-security", self.folder()), self.root_for_user(), 0o750)];
        for name in SECURITY_FILES {
            let kind = name.replace('_', "");
            let text = if name == "config" {
                self.context.render("security-config.yml", &json!({}))?
            } else {
                self.context.render("security-empty.yml", &json!({ "kind": kind }))?
            };
            files.push(self.file(&format!("opensearch-security/{name}.yml"), text));
        }
        Ok(files)
    }

    /// What a first start needs: ours until the node has run, and never looked at afterwards.
    fn initial(&self) -> Result<Resource, BuildError> {
        let has_run = self.context.is_there(&self.host.name, &started(self.flavor)) == Some(true);
        let founders = if self.first { self.managers } else { &[] };
        let values = json!({
            "setting": self.flavor.initial_setting(), "founders": founders.iter().map(|host| &host.name).collect::<Vec<_>>(),
        });
        let ownership = if has_run { Ownership::Seed } else { Ownership::Ours };
        let text = self.context.render("initial.env", &values)?;
        let path = format!("{}/initial.env", self.folder());
        Ok(Resource::File(File { ownership, ..file(&path, self.root_for_user(), 0o640, text) }))
    }

    fn unit(&self) -> Result<Resource, BuildError> {
        let values = json!({
            "name": self.flavor.name(), "folder": self.folder(), "home": format!("/var/lib/{}", self.flavor.name()),
            "settings_variable": self.flavor.settings_variable(), "java_variable": self.flavor.java_variable(),
            "java": JAVA_HOME,
        });
        Ok(Resource::File(unit_file(&unit(self.flavor), self.context.render("search.service", &values)?)))
    }

    /// Copies stay where they are while this node is away for its restart.
    fn before(&self, started_with: &Digest) -> Vec<Operation> {
        let unit = self.context.unit(&self.host.name, &unit(self.flavor));
        let restarts =
            unit.is_some_and(|unit| unit.active == "active" && unit.started_with.as_ref() != Some(started_with));
        let hold = restarts.then(|| Operation {
            name: HOLD_ALLOCATION.to_owned(),
            description: format!("hold copies where they are while {} restarts", self.host.name),
            arguments: serde_json::Value::Null,
        });
        hold.into_iter().collect()
    }
}
