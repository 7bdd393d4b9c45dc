//! What each host should hold, and how the cluster starts and changes.

use core::net::IpAddr;

use serde_json::json;
use wire_deploy_agent::resource::{Archive, Content, File, Owner, Ownership, Probe, Resource, Unit};

use super::judge::ADDRESSES;
use super::membership::{self, HostView, Start};
use super::{
    CLIENT_PORT, CLIENTS, DATACENTER, LET_IN, MANAGEMENT_PORT, NODES, REPLACE_SUPERUSER, STORAGE_PORT, Settings,
    loopback, objects,
};
use crate::desired::{Bootstrap, Cluster, Node, Operation};
use crate::services::resources::{
    data_directory, directory, file, joining_unit, owner, reloading_unit, secret, unit_file, user_and_group,
};
use crate::services::restart::restart_digest;
use crate::services::{BuildError, Context, NodeCertificate};
use crate::site::model::Host;

const RECIPE: &str = "cassandra";
const ARCHIVE: &str = "cassandra.tar.gz";
const JAVA_RECIPE: &str = "java";
/// Other versions may be there, and be what `java` is.
const JAVA: &str = "/usr/lib/jvm/java-17-openjdk-amd64/bin/java";
/// Our files; Cassandra can read them and change none.
const FOLDER: &str = "/etc/cassandra";
const CONFIGURATION: &str = "/etc/cassandra/cassandra.yaml";
/// Where the host's zone is written for Cassandra.
pub(super) const RACK_FILE: &str = "/etc/cassandra/cassandra-rackdc.properties";
const PROGRAMS: &str = "/opt/cassandra";
/// The user's home: data, commit log, hints, and the mark of having joined.
const HOME: &str = "/var/lib/cassandra";
/// There once the node has joined a cluster.
pub(super) const JOINED: &str = "/var/lib/cassandra/joined";
const UNIT: &str = "cassandra.service";
const REPAIR_UNIT: &str = "cassandra-repair.service";
const REPAIR_TIMER: &str = "cassandra-repair.timer";
const USER: &str = "cassandra";
/// Milliseconds that a node which joins a cluster with data waits at least for the others to know of it, and it of their tables.
const LEAST_RING_DELAY: u32 = 10_000;

/// The whole cluster.
pub(super) fn build(context: &Context<'_>) -> Result<Cluster, BuildError> {
    let hosts = context.hosts();
    let view = |host: &&'_ Host| {
        let joined = context.is_there(&host.name, JOINED);
        HostView { address: host.address, joined, closed: joined == Some(true) && is_closed(context, host) }
    };
    let views: Vec<_> = hosts.iter().map(view).collect();
    let live: Option<Vec<IpAddr>> =
        context.live().filter(|live| live.members.values().any(|member| member.answers)).map(|live| {
            let addresses = live.facts.get(ADDRESSES).map(String::as_str).unwrap_or_default();
            addresses.split(',').filter_map(|address| address.parse().ok()).collect()
        });
    let starts = membership::starts(&views, live.as_deref());
    let seeds: Vec<_> = hosts.iter().map(|host| host.address).collect();
    let founding = starts.contains(&Start::Founds);
    let mut nodes = Vec::with_capacity(hosts.len());
    let mut bootstrap = Bootstrap::AllAtOnce;
    for (index, (host, start)) in hosts.iter().zip(&starts).enumerate() {
        let of = hosts.len();
        let builder = NodeBuilder { context, host, index, of, start: *start, founding, seeds: &seeds, closed: false };
        let node = builder.build()?;
        if *start == Start::Founds {
            let mut closed = NodeBuilder { closed: true, ..builder }.build()?.resources;
            closed.retain(|resource| !node.resources.contains(resource));
            bootstrap = Bootstrap::FounderFirst(closed);
        }
        nodes.push(node);
    }
    let joins = |node: &Node| {
        hosts
            .iter()
            .zip(&starts)
            .any(|(host, start)| host.name == node.host && *start != Start::Again && *start != Start::Founds)
    };
    // Who has joined already first, so that there is somebody to join.
    nodes.sort_by_key(joins);
    let settings: Settings =
        hosts.first().map_or_else(|| Ok(Settings::default()), |host| context.settings(&host.name))?;
    Ok(Cluster {
        service: context.service.clone(),
        version: context.version(RECIPE),
        bootstrap,
        after: Vec::new(),
        tolerance: settings.replication_factor.saturating_sub(1) / 2,
        gate_timeout_seconds: context.site.profile.gate_timeout_seconds,
        objects: objects::objects(context.secrets, &context.service, settings.replication_factor),
        nodes,
        leaving: Vec::new(),
        away: Vec::new(),
    })
}

/// Whether a host's own configuration keeps its node on loopback. That is kept on disk: however often a founder starts again before it is
/// opened, no client reaches it.
fn is_closed(context: &Context<'_>, host: &Host) -> bool {
    let closed = format!("rpc_address: {}", loopback(host.address));
    context.text(&host.name, CONFIGURATION).is_some_and(|text| text.lines().any(|line| line == closed))
}

struct NodeBuilder<'a> {
    context: &'a Context<'a>,
    host: &'a Host,
    /// Its number among the cluster's hosts, and how many there are.
    index: usize,
    of: usize,
    start: Start,
    /// The cluster begins in this run: nobody holds data yet.
    founding: bool,
    /// Every node: one that takes a place again hears of the others only from those that count it among their seeds.
    seeds: &'a [IpAddr],
    /// It takes no clients but those of its own host.
    closed: bool,
}

impl NodeBuilder<'_> {
    fn build(&self) -> Result<Node, BuildError> {
        let settings: Settings = self.context.settings(&self.host.name)?;
        let java = self.context.packages(self.host, JAVA_RECIPE)?;
        let programs = self.programs()?;
        let (nodes_authority, nodes) = self.certificates(NODES)?;
        let (clients_authority, clients) = self.certificates(CLIENTS)?;
        let configuration = self.configuration(&settings, self.seeds)?;
        let machine = self.machine(&settings)?;
        let rack =
            self.rendered("cassandra-rackdc.properties", &json!({ "datacenter": DATACENTER, "rack": self.host.zone }))?;
        let unit = self.unit_file("cassandra.service", UNIT)?;
        let key = self.context.secrets.fingerprint_key(&self.host.name);
        let without_seeds = self.configuration(&settings, &[])?;
        // Renewed certificates are taken in, but authorities are read only when it starts.
        let depends_on =
            [&java, &programs, &nodes_authority, &clients_authority, &without_seeds, &machine, &rack, &unit];
        let started_with = restart_digest(depends_on, &key);
        let reloaded_with = restart_digest([&configuration].into_iter().chain(&nodes).chain(&clients), &key);

        let mut resources = vec![java, programs];
        resources.extend(user_and_group(USER, HOME));
        resources.push(directory(FOLDER, root_for_cassandra(), 0o750));
        for (domain, authority, own) in [(NODES, nodes_authority, nodes), (CLIENTS, clients_authority, clients)] {
            resources.push(directory(&format!("{FOLDER}/{domain}"), root_for_cassandra(), 0o750));
            resources.push(authority);
            resources.extend(own);
        }
        resources.extend([configuration, machine, rack, self.first_start(&settings)?, self.first_options(&settings)?]);
        // Many files are mapped.
        resources.push(self.context.sysctl_at_least("vm.max_map_count", "262144"));
        resources.push(data_directory(HOME, owner(USER, USER), 0o700));
        resources.push(Resource::Probe(Probe::Path { path: JOINED.to_owned() }));
        resources
            .extend([CLIENT_PORT, STORAGE_PORT, MANAGEMENT_PORT].map(|port| Resource::Probe(Probe::Port { port })));
        resources.push(unit);
        resources.push(self.unit_file("cassandra-repair.service", REPAIR_UNIT)?);
        resources.push(Resource::File(unit_file(
            REPAIR_TIMER,
            self.context.render("cassandra-repair.timer", &json!({ "calendar": calendar(self.index, self.of) }))?,
        )));
        let before = self.before();
        let unit = match self.start {
            Start::Joins | Start::Replaces => joining_unit,
            Start::Founds | Start::Again => reloading_unit,
        };
        resources.push(unit(UNIT, started_with, reloaded_with, settings.start_timeout_seconds));
        resources.push(Resource::Unit(Unit {
            name: REPAIR_TIMER.to_owned(),
            enabled: true,
            running: true,
            started_with: None,
            reloaded_with: None,
            timeout_seconds: 30,
            attempts: 1,
        }));
        Ok(Node { host: self.host.name.clone(), address: self.host.address, resources, before })
    }

    fn programs(&self) -> Result<Resource, BuildError> {
        let blob = self.context.artifact(RECIPE, ARCHIVE)?;
        Ok(Resource::Archive(Archive { path: PROGRAMS.to_owned(), blob, strip: 0 }))
    }

    /// A trust domain's authority; and this node's certificate in it, alone and with its key in one file as Cassandra wants them.
    fn certificates(&self, domain: &str) -> Result<(Resource, [Resource; 2]), BuildError> {
        let folder = format!("{FOLDER}/{domain}");
        let NodeCertificate { authority, certificate, key } =
            self.context.node_certificate(self.host, domain, &folder, &root_for_cassandra())?;
        let together = format!("{}{}", text_of(&key), text_of(&certificate));
        let together = secret(file(&format!("{folder}/keystore.pem"), root_for_cassandra(), 0o640, together));
        Ok((authority, [certificate, Resource::File(together)]))
    }

    fn configuration(&self, settings: &Settings, seeds: &[IpAddr]) -> Result<Resource, BuildError> {
        let address = if self.closed { loopback(self.host.address) } else { self.host.address };
        self.rendered("cassandra.yaml", &self.values(settings, seeds, address))
    }

    /// What a first start needs instead: ours until the node has joined, and never looked at afterwards.
    fn first_start(&self, settings: &Settings) -> Result<Resource, BuildError> {
        let (founds, own) = (self.start == Start::Founds, self.host.address);
        let seeds = if founds { vec![own] } else { self.seeds.iter().copied().filter(|seed| *seed != own).collect() };
        let values = self.values(settings, &seeds, if founds { loopback(own) } else { own });
        let text = self.context.render("cassandra.yaml", &values)?;
        Ok(self.until_joined("first-start.yaml", text))
    }

    /// A node that joins takes its share of those tables alone that it has heard of when it begins, and says nothing of the others. So one that
    /// comes to a cluster which may hold data is given time to hear, whatever the profile says of clusters that begin.
    fn first_options(&self, settings: &Settings) -> Result<Resource, BuildError> {
        let values = json!({
            "founds": self.start == Start::Founds, "replaces": self.start == Start::Replaces, "address": self.host.address,
            "patient": !self.founding,
            "ring_delay_milliseconds": settings.ring_delay_milliseconds.max(LEAST_RING_DELAY),
        });
        Ok(self.until_joined("first-start.options", self.context.render("first-start.options", &values)?))
    }

    fn until_joined(&self, name: &str, text: String) -> Resource {
        let ownership = if self.start == Start::Again { Ownership::Seed } else { Ownership::Ours };
        Resource::File(File { ownership, ..file(&format!("{FOLDER}/{name}"), root_for_cassandra(), 0o640, text) })
    }

    fn values(&self, settings: &Settings, seeds: &[IpAddr], client_address: IpAddr) -> serde_json::Value {
        let seeds: Vec<_> =
            seeds.iter().map(|seed| core::net::SocketAddr::new(*seed, STORAGE_PORT).to_string()).collect();
        json!({
            "cluster_name": self.context.site.name, "seeds": seeds.join(","), "replication_factor": settings.replication_factor,
            "address": self.host.address, "client_address": client_address, "client_port": CLIENT_PORT,
            "storage_port": STORAGE_PORT, "home": HOME, "folder": FOLDER,
        })
    }

    fn machine(&self, settings: &Settings) -> Result<Resource, BuildError> {
        let heap = settings.heap(self.context.facts(&self.host.name).map(|facts| facts.memory));
        let values = json!({
            "heap_megabytes": heap, "direct_megabytes": Settings::direct(heap), "java_options": settings.java_options,
            "prefer_ipv4": self.host.address.is_ipv4(),
            "ring_delay_milliseconds": settings.ring_delay_milliseconds, "wait_for_gossip": settings.wait_for_gossip,
            "management_port": MANAGEMENT_PORT, "home": HOME,
        });
        self.rendered("jvm.options", &values)
    }

    fn rendered(&self, name: &str, values: &serde_json::Value) -> Result<Resource, BuildError> {
        let text = self.context.render(name, values)?;
        Ok(Resource::File(file(&format!("{FOLDER}/{name}"), root_for_cassandra(), 0o640, text)))
    }

    fn unit_file(&self, template: &str, unit: &str) -> Result<Resource, BuildError> {
        let values = json!({
            "user": USER, "home": HOME, "java": JAVA, "folder": FOLDER, "joined": JOINED, "programs": PROGRAMS,
            "client_port": CLIENT_PORT,
        });
        Ok(Resource::File(unit_file(unit, self.context.render(template, &values)?)))
    }

    /// Who joins is let in. A founder that was left alone is opened to clients only when its superuser is ours.
    fn before(&self) -> Vec<Operation> {
        let host = &self.host.name;
        let operation = |name: &str, description: String| {
            vec![Operation { name: name.to_owned(), description, arguments: json!({ "host": host }) }]
        };
        let runs = self.context.unit(host, UNIT).is_some_and(|unit| unit.active == "active");
        match self.start {
            Start::Joins => operation(LET_IN, format!("let {host} in")),
            Start::Replaces => {
                operation(LET_IN, format!("let {host} in, in the place of the node that had its address"))
            }
            Start::Founds if runs => {
                operation(REPLACE_SUPERUSER, "put a superuser of our own in the place of Cassandra's".to_owned())
            }
            Start::Again | Start::Founds => Vec::new(),
        }
    }
}

fn root_for_cassandra() -> Owner {
    owner("root", USER)
}

/// The text of a file of ours.
fn text_of(resource: &Resource) -> &str {
    match resource {
        Resource::File(File { content: Content::Text(text), .. }) => text,
        _ => "",
    }
}

/// When a node is repaired: the nodes' times are spread over the week.
fn calendar(index: usize, of: usize) -> String {
    const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
    let hours = 7 * 24 * index / of.max(1);
    format!("{} *-*-* {:02}:00:00", DAYS[hours / 24 % 7], hours % 24)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_are_repaired_at_different_times() {
        assert_eq!(
            [0, 1, 2].map(|index| calendar(index, 3)),
            ["Mon *-*-* 00:00:00", "Wed *-*-* 08:00:00", "Fri *-*-* 16:00:00"]
        );
        assert_eq!(calendar(199, 200), "Sun *-*-* 23:00:00");
    }
}
