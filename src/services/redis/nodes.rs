//! What each host should hold, and how the cluster starts and changes.

use core::net::IpAddr;

use serde_json::json;
use sha2::{Digest as _, Sha256};
use wire_deploy_agent::digest::Digest;
use wire_deploy_agent::resource::{File, Owner, Ownership, Probe, Resource};
use wire_deploy_agent::state::UnitState;

use super::logins::{self, Login};
use super::primary::{self, EPOCH, FOLLOWS, KNOWS, OnDisk, PRIMARY_ADDRESS, Primary, WATCHES};
use super::{
    ADMIN_USER, CLUSTER, FOLDER, HAND_OVER, PORT, SENTINEL_PORT, SENTINEL_STATE, SERVER_STATE, SERVICE_USER, Settings,
    TRUST_DOMAIN, password_name, quorum,
};
use crate::desired::{Bootstrap, Cluster, Node, Object, Operation};
use crate::services::resources::{data_directory, directory, drop_in, file, owner, running_unit, secret};
use crate::services::restart::restart_digest;
use crate::services::{BuildError, Context};
use crate::site::model::Host;
use crate::site::secrets::SecretText;

const RECIPE: &str = "redis";
/// Data, and the files that Redis and Sentinel write themselves: whoever loses one loses the other.
const DATA: &str = "/var/lib/redis";
const SERVER_UNIT: &str = "redis-server.service";
const SENTINEL_UNIT: &str = "redis-sentinel.service";
/// Seconds a replica may be silent before the primary stops counting it.
const MAX_LAG: u32 = 10;
/// Seconds until a start counts as failed; reading the data from disk is part of it.
const START_SECONDS: u32 = 120;

/// The whole cluster.
pub(super) fn build(context: &Context<'_>) -> Result<Cluster, BuildError> {
    let hosts = context.hosts();
    let disks: Vec<_> = hosts.iter().map(|host| (host.address, primary::on_disk(context, host))).collect();
    let told = context.live().and_then(|live| live.facts.get(PRIMARY_ADDRESS)?.parse().ok());
    let primary = primary::decide(told, &disks);
    let passwords = Passwords {
        replication: logins::REPLICATION.passwords(context)?,
        sentinel: logins::SENTINEL.passwords(context)?,
    };
    let mut nodes = Vec::with_capacity(hosts.len());
    if let Some(primary) = primary {
        for (host, (_, disk)) in hosts.iter().zip(&disks) {
            nodes.push(
                NodeBuilder { context, host, primary, disk: *disk, disks: &disks, passwords: &passwords }.build()?,
            );
        }
        // The primary last: by the time it is its turn, a replica that is changed already can take over.
        nodes.sort_by_key(|node| node.address == primary.address);
    }
    let settings: Settings =
        hosts.first().map_or_else(|| Ok(Settings::default()), |host| context.settings(&host.name))?;
    Ok(Cluster {
        service: context.service.clone(),
        version: context.version(RECIPE),
        bootstrap: Bootstrap::AllAtOnce,
        after: Vec::new(),
        tolerance: u32::try_from(tolerance(nodes.len())).unwrap_or(u32::MAX),
        gate_timeout_seconds: context.site.profile.gate_timeout_seconds,
        objects: objects(&settings, nodes.len()),
        nodes,
        leaving: Vec::new(),
        away: Vec::new(),
    })
}

/// How many hosts may die: more than half of the Sentinels stay, and a primary with a replica.
fn tolerance(hosts: usize) -> usize {
    (hosts - quorum(hosts).min(hosts)).min(hosts.saturating_sub(2))
}

/// What the Sentinels are told while they run.
fn objects(settings: &Settings, hosts: usize) -> Vec<Object> {
    let object = |name: &str, wanted: serde_json::Value| Object { id: format!("sentinel/{name}"), wanted };
    vec![
        object("down-after-milliseconds", json!(settings.down_after_milliseconds)),
        object("failover-timeout", json!(settings.failover_timeout_milliseconds)),
        object("parallel-syncs", json!(settings.parallel_syncs)),
        object("quorum", json!(quorum(hosts))),
    ]
}

struct NodeBuilder<'a> {
    context: &'a Context<'a>,
    host: &'a Host,
    primary: Primary,
    disk: OnDisk,
    disks: &'a [(IpAddr, OnDisk)],
    passwords: &'a Passwords,
}

/// The passwords of the users as whom nodes log in to each other, the present one first.
struct Passwords {
    replication: Vec<SecretText>,
    sentinel: Vec<SecretText>,
}

impl Passwords {
    /// A former one is still in use.
    fn change(&self) -> bool {
        self.replication.len() > 1 || self.sentinel.len() > 1
    }
}

impl NodeBuilder<'_> {
    fn build(&self) -> Result<Node, BuildError> {
        let settings: Settings = self.context.settings(&self.host.name)?;
        let packages = self.context.packages(self.host, RECIPE)?;
        let folder = format!("{FOLDER}/tls");
        let certificates = self.context.node_certificate(self.host, TRUST_DOMAIN, &folder, &root_for_redis())?;
        let certificates = certificates.into_resources();
        let server = self.server(&settings)?;
        let sentinel = self.sentinel()?;
        let key = self.context.secrets.fingerprint_key(&self.host.name);
        let digest = |own: &[Resource]| restart_digest([&packages].into_iter().chain(&certificates).chain(own), &key);
        let (server_started, sentinel_started) = (digest(&server), digest(&sentinel));
        let admission = self.passwords.change().then(logins::admission);
        let before = admission.into_iter().chain(self.hand_over(&server_started)).collect();

        let mut resources =
            vec![packages, directory(FOLDER, root_for_redis(), 0o750), directory(&folder, root_for_redis(), 0o750)];
        resources.extend(certificates);
        resources.extend(server);
        resources.extend(sentinel);
        // A fork must not fail for memory that it will not write to, and a burst of clients must not be refused.
        resources.push(self.context.sysctl("vm.overcommit_memory", "1"));
        resources.push(self.context.sysctl_at_least("net.core.somaxconn", "4096"));
        resources.push(data_directory(DATA, redis(), 0o750));
        resources.extend(
            [(SERVER_STATE, FOLLOWS), (SENTINEL_STATE, WATCHES), (SENTINEL_STATE, EPOCH), (SENTINEL_STATE, KNOWS)].map(
                |(path, prefix)| Resource::Probe(Probe::Lines { path: path.to_owned(), prefix: prefix.to_owned() }),
            ),
        );
        resources.extend([PORT, SENTINEL_PORT].map(|port| Resource::Probe(Probe::Port { port })));
        resources.push(self.server_state()?);
        resources.push(self.sentinel_state(&settings)?);
        resources.push(running_unit(SERVER_UNIT, server_started, START_SECONDS));
        resources.push(running_unit(SENTINEL_UNIT, sentinel_started, START_SECONDS));
        Ok(Node { host: self.host.name.clone(), address: self.host.address, resources, before })
    }

    fn server(&self, settings: &Settings) -> Result<Vec<Resource>, BuildError> {
        let memory = self.context.facts(&self.host.name).map(|facts| facts.memory);
        let values = json!({
            "state": SERVER_STATE, "folder": FOLDER, "data": DATA, "address": self.host.address, "port": PORT,
            "max_memory": settings.max_memory(memory), "max_lag": MAX_LAG,
        });
        let [drop_in_folder, drop_in] = drop_in(SERVER_UNIT, self.context.render("server-unit.conf", &values)?);
        let login = self.login(&logins::REPLICATION)?;
        Ok(vec![
            ours(&format!("{FOLDER}/server.conf"), self.context.render("server.conf", &values)?),
            ours_secret(&format!("{FOLDER}/server-secrets.conf"), login),
            ours_secret(&format!("{FOLDER}/users.acl"), self.context.render("users.acl", &self.users())?),
            drop_in_folder,
            drop_in,
        ])
    }

    fn sentinel(&self) -> Result<Vec<Resource>, BuildError> {
        let values = json!({
            "state": SENTINEL_STATE, "folder": FOLDER, "data": DATA, "address": self.host.address, "port": SENTINEL_PORT,
        });
        let [drop_in_folder, drop_in] = drop_in(SENTINEL_UNIT, self.context.render("sentinel-unit.conf", &values)?);
        let login = self.login(&logins::SENTINEL)?;
        Ok(vec![
            ours(&format!("{FOLDER}/sentinel.conf"), self.context.render("sentinel.conf", &values)?),
            ours_secret(&format!("{FOLDER}/sentinel-secrets.conf"), login),
            ours_secret(
                &format!("{FOLDER}/sentinel-users.acl"),
                self.context.render("sentinel-users.acl", &self.users())?,
            ),
            drop_in_folder,
            drop_in,
        ])
    }

    /// How this node logs in at others: with the present password.
    fn login(&self, login: &Login) -> Result<String, BuildError> {
        login.render(self.context, &self.context.password(None, &password_name(login.user)))
    }

    /// Names and password hashes, as Redis's ACL files want them.
    fn users(&self) -> serde_json::Value {
        let hash = |password: &SecretText| hex::encode(Sha256::digest(password.expose()));
        let user = |name: &str, passwords: &[SecretText]| json!({ "name": name, "hashes": passwords.iter().map(hash).collect::<Vec<_>>() });
        let present = |name: &str| user(name, &[self.context.password(None, &password_name(name))]);
        json!({
            "replication": user(logins::REPLICATION.user, &self.passwords.replication),
            "sentinel": user(logins::SENTINEL.user, &self.passwords.sentinel),
            "admin": present(ADMIN_USER), "service": present(SERVICE_USER),
        })
    }

    /// Redis's own file: whom it follows. Made where it is missing and otherwise Redis's affair, with one exception: a node that
    /// is down and would come back as a primary of old, or behind one, is told whom to follow now.
    fn server_state(&self) -> Result<Resource, BuildError> {
        let follow = self.follows();
        let values = json!({ "folder": FOLDER, "port": PORT, "follow": follow });
        let stale =
            self.disk.known == Some(true) && self.primary.certain && !self.is_primary() && self.disk.follows != follow;
        let ownership =
            if stale && self.server_unit().is_some_and(|unit| !runs(unit)) { Ownership::Ours } else { Ownership::Seed };
        Ok(state(SERVER_STATE, self.context.render("server-state.conf", &values)?, ownership))
    }

    fn sentinel_state(&self, settings: &Settings) -> Result<Resource, BuildError> {
        let values = json!({
            "folder": FOLDER, "cluster": CLUSTER, "primary": self.primary.address, "port": PORT,
            "quorum": quorum(self.disks.len()),
            "down_after_milliseconds": settings.down_after_milliseconds,
            "failover_timeout_milliseconds": settings.failover_timeout_milliseconds,
            "parallel_syncs": settings.parallel_syncs,
        });
        Ok(state(SENTINEL_STATE, self.context.render("sentinel-state.conf", &values)?, Ownership::Seed))
    }

    /// Whom this node follows at its first start: the primary, and nobody if that is itself. A primary whose disk was lost follows
    /// a replica, which has what it lost; as an empty primary it would make all replicas forget it.
    fn follows(&self) -> Option<IpAddr> {
        if !self.is_primary() {
            return Some(self.primary.address);
        }
        let heir = |(address, disk): &&(IpAddr, OnDisk)| *address != self.host.address && disk.known == Some(true);
        self.has_lost_its_data().then(|| self.disks.iter().find(heir).map(|(address, _)| *address)).flatten()
    }

    fn is_primary(&self) -> bool {
        self.primary.address == self.host.address
    }

    fn has_lost_its_data(&self) -> bool {
        self.disk.known == Some(false) && self.disks.iter().any(|(_, disk)| disk.met_cluster)
    }

    /// The primary hands over before it is restarted, or before it comes back with nothing.
    fn hand_over(&self, started_with: &Digest) -> Option<Operation> {
        let restarts =
            self.server_unit().is_some_and(|unit| runs(unit) && unit.started_with.as_ref() != Some(started_with));
        if !self.is_primary() || self.disks.len() < 2 || !(restarts || self.has_lost_its_data()) {
            return None;
        }
        Some(Operation {
            name: HAND_OVER.to_owned(),
            description: format!("hand the primary's role over from {}", self.host.name),
            arguments: json!({ "from": self.host.name }),
        })
    }

    fn server_unit(&self) -> Option<&UnitState> {
        self.context.unit(&self.host.name, SERVER_UNIT)
    }
}

fn runs(unit: &UnitState) -> bool {
    matches!(unit.active.as_str(), "active" | "activating" | "reloading")
}

fn root_for_redis() -> Owner {
    owner("root", "redis")
}

fn redis() -> Owner {
    owner("redis", "redis")
}

/// A file that Redis reads.
fn ours(path: &str, text: String) -> Resource {
    Resource::File(file(path, root_for_redis(), 0o640, text))
}

/// A file that Redis reads, with a secret in it.
fn ours_secret(path: &str, text: String) -> Resource {
    Resource::File(secret(file(path, root_for_redis(), 0o640, text)))
}

/// A file that Redis writes. It copies passwords there, so its content is a secret.
fn state(path: &str, text: String, ownership: Ownership) -> Resource {
    Resource::File(File { sensitive: true, ownership, ..file(path, redis(), 0o600, text) })
}
