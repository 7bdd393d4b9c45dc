//! What each host should hold, and how the cluster starts and changes.

use serde_json::json;
use wire_deploy_agent::digest::Digest;
use wire_deploy_agent::resource::{File, Owner, Ownership, Probe, Resource};

use super::judge::LEADER;
use super::membership::{self, HostView, Listed, MEMBERS, Start};
use super::{CLIENT_PORT, CLIENTS, MOVE_LEADER, PEER_PORT, PEERS, Settings, client_url, peer_url};
use crate::desired::{Bootstrap, Cluster, Node, Operation};
use crate::services::resources::{
    data_directory, directory, file, owner, program, root, running_unit, unit_file, user_and_group,
};
use crate::services::restart::restart_digest;
use crate::services::{BuildError, Context};
use crate::site::model::Host;

const RECIPE: &str = "etcd";
/// Our files; etcd can read them and change none.
const FOLDER: &str = "/etc/etcd";
const PROGRAMS: &str = "/opt/etcd";
/// The user's home: data, and the mark of having been in a cluster.
const HOME: &str = "/var/lib/etcd";
const DATA: &str = "/var/lib/etcd/data";
/// There as soon as a member has data: etcd makes it in one step.
const LOG: &str = "/var/lib/etcd/data/member/wal";
/// There once the member was in a cluster with a leader.
const JOINED: &str = "/var/lib/etcd/joined";
const UNIT: &str = "etcd.service";
const USER: &str = "etcd";
/// Port of metrics and health, on loopback, without TLS.
const METRICS_PORT: u16 = 2381;
/// Seconds until a start counts as failed. A first start waits for the other members.
const START_SECONDS: u32 = 120;

/// The whole cluster.
pub(super) fn build(context: &Context<'_>) -> Result<Cluster, BuildError> {
    let hosts = context.hosts();
    let views: Vec<_> = hosts.iter().map(|host| view(context, host)).collect();
    let live: Option<Vec<Listed>> = context.live().and_then(|live| serde_json::from_str(live.facts.get(MEMBERS)?).ok());
    let leader = context.live().and_then(|live| live.facts.get(LEADER)).map(String::as_str);
    let mut nodes = Vec::with_capacity(hosts.len());
    for (host, start) in hosts.iter().zip(membership::starts(&views, live.as_deref())) {
        nodes.push(NodeBuilder { context, host, start, leads: leader == Some(host.name.as_str()) }.build()?);
    }
    // Nodes without data after those that have some, so that there is a quorum to join; the leader last, so that it hands over once.
    nodes.sort_by_key(|node| {
        (
            views.iter().any(|view| view.name == node.host.as_str() && view.data == Some(false)),
            leader == Some(node.host.as_str()),
        )
    });
    Ok(Cluster {
        service: context.service.clone(),
        version: context.version(RECIPE),
        bootstrap: Bootstrap::AllAtOnce,
        after: Vec::new(),
        tolerance: u32::try_from(nodes.len().saturating_sub(1) / 2).unwrap_or(u32::MAX),
        gate_timeout_seconds: context.site.profile.gate_timeout_seconds,
        objects: Vec::new(),
        nodes,
        leaving: Vec::new(),
        away: Vec::new(),
    })
}

fn view<'a>(context: &Context<'_>, host: &'a Host) -> HostView<'a> {
    let there = |path| context.is_there(&host.name, path);
    HostView {
        name: host.name.as_str(),
        address: host.address,
        data: there(LOG),
        joined: there(JOINED) == Some(true),
        selected: context.is_selected(&host.name),
    }
}

struct NodeBuilder<'a> {
    context: &'a Context<'a>,
    host: &'a Host,
    start: Start,
    leads: bool,
}

impl NodeBuilder<'_> {
    fn build(&self) -> Result<Node, BuildError> {
        let settings: Settings = self.context.settings(&self.host.name)?;
        let programs = ["etcd", "etcdctl", "etcdutl"].map(|name| self.program(name));
        let [server, control, utility] = programs;
        let server = server?;
        let [peers, clients] = [PEERS, CLIENTS].map(|domain| {
            self.context.node_certificate(self.host, domain, &format!("{FOLDER}/{domain}"), &root_for_etcd())
        });
        let (peers, clients) = (peers?, clients?);
        let settings = self.settings(&settings)?;
        let unit = self.unit()?;
        // etcd reads its certificates anew for each connection, but its authorities only when it starts.
        let depends_on = [&server, &peers.authority, &clients.authority, &settings, &unit];
        let started_with = restart_digest(depends_on, &self.context.secrets.fingerprint_key(&self.host.name));
        let before = self.before(&started_with);

        let mut resources = Vec::from(user_and_group(USER, HOME));
        resources.extend([
            directory(PROGRAMS, root(), 0o755),
            server,
            control?,
            utility?,
            directory(FOLDER, root_for_etcd(), 0o750),
            directory(&format!("{FOLDER}/{PEERS}"), root_for_etcd(), 0o750),
            directory(&format!("{FOLDER}/{CLIENTS}"), root_for_etcd(), 0o750),
        ]);
        resources.extend(peers.into_resources());
        resources.extend(clients.into_resources());
        resources.push(data_directory(HOME, owner(USER, USER), 0o700));
        resources.extend([LOG, JOINED].map(|path| Resource::Probe(Probe::Path { path: path.to_owned() })));
        resources.extend([CLIENT_PORT, PEER_PORT, METRICS_PORT].map(|port| Resource::Probe(Probe::Port { port })));
        resources.push(settings);
        resources.push(self.initial()?);
        resources.push(unit);
        resources.push(running_unit(UNIT, started_with, START_SECONDS));
        Ok(Node { host: self.host.name.clone(), address: self.host.address, resources, before })
    }

    fn program(&self, name: &str) -> Result<Resource, BuildError> {
        Ok(Resource::File(program(&format!("{PROGRAMS}/{name}"), self.context.artifact(RECIPE, name)?)))
    }

    fn settings(&self, settings: &Settings) -> Result<Resource, BuildError> {
        let values = json!({
            "name": self.host.name, "folder": FOLDER, "data": DATA,
            "peer_url": peer_url(self.host.address), "client_url": client_url(self.host.address),
            "client_port": CLIENT_PORT, "metrics_port": METRICS_PORT,
            "heartbeat_milliseconds": settings.heartbeat_milliseconds,
            "election_milliseconds": settings.election_milliseconds,
            "quota_bytes": settings.quota_bytes(), "compaction_hours": settings.compaction_hours,
        });
        let text = self.context.render("etcd.env", &values)?;
        Ok(Resource::File(file(&format!("{FOLDER}/etcd.env"), root_for_etcd(), 0o640, text)))
    }

    /// What a first start needs: ours until the member has data, and never looked at afterwards.
    fn initial(&self) -> Result<Resource, BuildError> {
        let values = json!({
            "peer_url": peer_url(self.host.address), "members": self.start.members, "state": self.start.state,
            "token": format!("{}-{}", self.context.site.name, self.context.service),
        });
        let text = self.context.render("initial.env", &values)?;
        let ownership = if self.start.first { Ownership::Ours } else { Ownership::Seed };
        Ok(Resource::File(File { ownership, ..file(&format!("{FOLDER}/initial.env"), root_for_etcd(), 0o640, text) }))
    }

    fn unit(&self) -> Result<Resource, BuildError> {
        let values = json!({ "folder": FOLDER, "home": HOME, "joined": JOINED, "program": format!("{PROGRAMS}/etcd") });
        let text = self.context.render("etcd.service", &values)?;
        Ok(Resource::File(unit_file(UNIT, text)))
    }

    fn before(&self, started_with: &Digest) -> Vec<Operation> {
        let unit = self.context.unit(&self.host.name, UNIT);
        let restarts = unit.is_some_and(|unit| unit.started_with.as_ref() != Some(started_with));
        let move_leader = (self.leads && restarts).then(|| Operation {
            name: MOVE_LEADER.to_owned(),
            description: format!("have another member lead than {}", self.host.name),
            arguments: json!({ "from": self.host.name }),
        });
        self.start.before.iter().cloned().chain(move_leader).collect()
    }
}

fn root_for_etcd() -> Owner {
    owner("root", USER)
}
