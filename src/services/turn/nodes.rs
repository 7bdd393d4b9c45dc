//! What each host should hold.

use core::net::IpAddr;

use serde_json::json;
use wire_deploy_agent::digest::Digest;
use wire_deploy_agent::resource::{File, Owner, Probe, Resource};

use super::settings::Certificate;
use super::{COMMAND_LINE_PASSWORD, COMMAND_LINE_PORT, DRAIN, DRAIN_SECONDS, SHARED_SECRET, Settings, TRUST_DOMAIN};
use crate::desired::{Bootstrap, Cluster, Node, Object, Operation};
use crate::services::resources::{directory, drop_in, file, owner, reloading_unit, secret};
use crate::services::restart::restart_digest;
use crate::services::{BuildError, Context};
use crate::site::model::Host;
use crate::site::secrets::Purpose;

const RECIPE: &str = "turn";
/// Our files; coturn can read them and change none.
const FOLDER: &str = "/etc/turn";
/// The configuration without its secrets.
const CONFIGURATION: &str = "/etc/turn/turnserver.conf";
/// What coturn shows to clients of its TLS port.
const CERTIFICATE: &str = "/etc/turn/tls/node.pem";
/// Where the unit puts configuration and secrets together.
const RUNTIME: &str = "/run/wire-turn";
/// coturn's own database; with a shared secret it stays empty.
const DATA: &str = "/var/lib/turn";
const UNIT: &str = "coturn.service";
/// Seconds until a start counts as failed.
const START_SECONDS: u32 = 30;

/// Ranges that are not the internet (RFC 6890): a client could reach through them what only the host should.
const PRIVATE: [&str; 19] = [
    "0.0.0.0-0.255.255.255",
    "10.0.0.0-10.255.255.255",
    "100.64.0.0-100.127.255.255",
    "127.0.0.0-127.255.255.255",
    "169.254.0.0-169.254.255.255",
    "172.16.0.0-172.31.255.255",
    "192.0.0.0-192.0.0.255",
    "192.0.2.0-192.0.2.255",
    "192.168.0.0-192.168.255.255",
    "198.18.0.0-198.19.255.255",
    "198.51.100.0-198.51.100.255",
    "203.0.113.0-203.0.113.255",
    "240.0.0.0-255.255.255.255",
    "::1",
    "64:ff9b::-64:ff9b::ffff:ffff",
    "::ffff:0.0.0.0-::ffff:255.255.255.255",
    "2002::-2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
    "fc00::-fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
    "fe80::-febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
];

/// The whole cluster.
pub(super) fn build(context: &Context<'_>) -> Result<Cluster, BuildError> {
    let hosts = context.hosts();
    let nodes = hosts.iter().map(|host| NodeBuilder { context, host, hosts: &hosts }.build());
    let nodes = nodes.collect::<Result<Vec<_>, _>>()?;
    Ok(Cluster {
        service: context.service.clone(),
        version: context.version(RECIPE),
        bootstrap: Bootstrap::AllAtOnce,
        after: Vec::new(),
        tolerance: u32::try_from(nodes.len().saturating_sub(1)).unwrap_or(u32::MAX),
        gate_timeout_seconds: context.site.profile.gate_timeout_seconds,
        objects: nodes.iter().map(|node| Object { id: redirects(node), wanted: json!([]) }).collect(),
        nodes,
        leaving: Vec::new(),
        away: Vec::new(),
    })
}

/// The object that says where a node sends its clients; a drain that was broken off leaves something there.
pub(super) fn redirects(node: &Node) -> String {
    format!("redirects/{}", node.host)
}

/// Where clients reach a host.
fn public_address(host: &Host) -> IpAddr {
    host.public_address.unwrap_or(host.address)
}

struct NodeBuilder<'a> {
    context: &'a Context<'a>,
    host: &'a Host,
    hosts: &'a [&'a Host],
}

impl NodeBuilder<'_> {
    fn build(&self) -> Result<Node, BuildError> {
        let settings: Settings = self.context.settings(&self.host.name)?;
        let packages = self.context.packages(self.host, RECIPE)?;
        let certificates = self.certificates(settings.certificate.as_ref())?;
        let configuration = self.configuration(&settings)?;
        let key = self.context.secrets.fingerprint_key(&self.host.name);
        let started_with = restart_digest([&packages].into_iter().chain(&configuration), &key);
        let reloaded_with = restart_digest(&certificates, &key);
        let before = self.drain(&settings, &started_with)?;

        let mut resources = vec![
            packages,
            directory(FOLDER, root_for_turn(), 0o750),
            directory(&format!("{FOLDER}/tls"), root_for_turn(), 0o750),
        ];
        resources.extend(certificates);
        resources.extend(configuration);
        let ports = [settings.port, settings.tls_port, COMMAND_LINE_PORT];
        resources.extend(ports.map(|port| Resource::Probe(Probe::Port { port })));
        resources.push(reloading_unit(UNIT, started_with, reloaded_with, START_SECONDS));
        Ok(Node { host: self.host.name.clone(), address: self.host.address, resources, before })
    }

    /// What coturn shows to clients of its TLS port.
    fn certificates(&self, brought: Option<&Certificate>) -> Result<Vec<Resource>, BuildError> {
        let folder = format!("{FOLDER}/tls");
        let Some(brought) = brought else {
            let own = self.context.node_certificate(self.host, TRUST_DOMAIN, &folder, &root_for_turn())?;
            return Ok(own.into_resources().into());
        };
        let (chain, key) = self.context.provided_certificate(&brought.chain, &brought.key)?;
        let key = secret(ours(&format!("{folder}/node.key"), key));
        Ok(vec![Resource::File(ours(CERTIFICATE, chain)), Resource::File(key)])
    }

    fn configuration(&self, settings: &Settings) -> Result<Vec<Resource>, BuildError> {
        let realm = settings.realm.as_ref().unwrap_or(&self.context.site.domain);
        let denied: &[&str] = if settings.allow_private_peers { &[] } else { &PRIVATE };
        let values = json!({
            "folder": FOLDER, "data": DATA, "runtime": RUNTIME, "address": self.host.address,
            "public_address": self.host.public_address.filter(|public| *public != self.host.address),
            "port": settings.port, "tls_port": settings.tls_port,
            "relay_port_first": settings.relay_port_first, "relay_port_last": settings.relay_port_last,
            "realm": realm, "denied_peers": denied, "command_line_port": COMMAND_LINE_PORT,
        });
        let secrets = ours(&format!("{FOLDER}/secrets.conf"), self.context.render("secrets.conf", &self.secrets())?);
        let mut resources = vec![
            Resource::File(ours(CONFIGURATION, self.context.render("turnserver.conf", &values)?)),
            Resource::File(secret(secrets)),
        ];
        resources.extend(drop_in(UNIT, self.context.render("unit.conf", &values)?));
        Ok(resources)
    }

    /// Credentials made from the former shared secret hold too: while a higher generation rolls through the nodes, and until
    /// the backend and its clients have the new one.
    fn secrets(&self) -> serde_json::Value {
        let secrets = self.context.secrets;
        let shared = Purpose { service: &self.context.service, host: None, name: SHARED_SECRET };
        let both = [Some(secrets.password(&shared)), secrets.former_password(&shared)];
        let both: Vec<String> = both.into_iter().flatten().map(|secret| secret.expose().to_owned()).collect();
        let command_line = self.context.password(Some(&self.host.name), COMMAND_LINE_PASSWORD);
        json!({ "shared_secrets": both, "command_line_password": command_line.expose() })
    }

    /// A node that serves clients is emptied before it restarts.
    fn drain(&self, settings: &Settings, started_with: &Digest) -> Result<Vec<Operation>, BuildError> {
        let unit = self.context.unit(&self.host.name, UNIT);
        let restarts =
            unit.is_some_and(|unit| unit.active == "active" && unit.started_with.as_ref() != Some(started_with));
        if !restarts {
            return Ok(Vec::new());
        }
        let mut others = Vec::new();
        // In a ring, so that not all of them choose the same one.
        let (before, after) =
            self.hosts.split_at(self.hosts.iter().position(|host| host.name == self.host.name).unwrap_or(0));
        for other in after.iter().skip(1).chain(before) {
            let theirs: Settings = self.context.settings(&other.name)?;
            let address = public_address(other);
            others.push(
                json!({ "host": other.name, "address": address, "port": theirs.port, "tls_port": theirs.tls_port }),
            );
        }
        Ok(vec![Operation {
            name: DRAIN.to_owned(),
            description: format!(
                "send new clients of {} elsewhere and wait until the others have gone, {} s at most",
                self.host.name, settings.drain_seconds
            ),
            arguments: json!({ "from": self.host.name, DRAIN_SECONDS: settings.drain_seconds, "others": others }),
        }])
    }
}

fn root_for_turn() -> Owner {
    owner("root", "turnserver")
}

/// A file that coturn reads.
fn ours(path: &str, text: String) -> File {
    file(path, root_for_turn(), 0o640, text)
}
