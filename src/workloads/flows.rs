//! Who talks with whom: the drawing of the architecture as a table, from which every NetworkPolicy is made.

use serde_json::{Value, json};

use super::api::Brig;
use super::installed;
use crate::services::{cassandra, minio, redis, search};
use crate::site::model::Site;

/// The port at which the API's services, and the pages, serve.
pub const SERVE_PORT: u16 = 8080;
/// The port at which the API's services answer probes; no pod may reach it.
pub const PROBE_PORT: u16 = 8081;
/// The port of nginz for requests.
pub const NGINZ_PORT: u16 = 8080;
/// The port of nginz for websockets.
pub const NGINZ_WEBSOCKET_PORT: u16 = 8081;

/// The workloads that serve the client API behind nginz.
pub const API: [&str; 6] = ["brig", "galley", "gundeck", "cannon", "cargohold", "spar"];
/// The workloads that serve pages behind the ingress.
pub const PAGES: [&str; 3] = ["webapp", "account-pages", "team-settings"];

/// A way between workloads: from, to, and the port there.
fn ways() -> impl Iterator<Item = (&'static str, &'static str, u16)> {
    let api = API.into_iter().map(|service| ("nginz", service, SERVE_PORT));
    let pages = PAGES.into_iter().map(|page| ("ingress", page, SERVE_PORT));
    [("ingress", "nginz", NGINZ_PORT), ("ingress", "nginz", NGINZ_WEBSOCKET_PORT)].into_iter().chain(api).chain(pages)
}

/// The stores as pods see them: service, which is also the name of its hosts' group, and ports.
pub const STORES: [(&str, &[u16]); 4] = [
    ("cassandra", &[cassandra::CLIENT_PORT]),
    ("minio", &[minio::PORT]),
    ("redis", &[redis::PORT, redis::SENTINEL_PORT]),
    ("search", &[search::PORT]),
];

/// The stores that a workload reaches. The program of the API's services wants all of them, whichever service it is.
fn stores_of(workload: &str) -> &'static [&'static str] {
    match workload {
        "ingress" => &["minio"],
        "migration" => &["cassandra"],
        "spar" => &[],
        service if API.contains(&service) => &["cassandra", "minio", "redis", "search"],
        _ => &[],
    }
}

/// What the pods of a workload may talk with, in the form that the shared template reads: `open` are ports for whoever can reach them, `from` and `to`
/// pods of others, `stores` hosts, `outside` ports of whatever is beyond the site, `names` whether they look names up.
#[must_use]
pub fn of(site: &Site, workload: &str) -> Value {
    let there = |name: &str| installed(site).any(|other| other.name() == name);
    let from = ways().filter(|(from, to, _)| *to == workload && there(from));
    let to = ways().filter(|(from, to, _)| *from == workload && there(to));
    let flow = |pods: &str, port: u16| json!({ "pods": pods, "port": port });
    let stores = STORES.iter().filter(|(name, _)| stores_of(workload).contains(name));
    let stores = stores.filter_map(|(name, ports)| {
        let hosts = site.hosts_of(&(*name).into());
        let networks: Vec<String> = hosts.iter().map(|host| network(host.address)).collect();
        (!networks.is_empty()).then(|| json!({ "name": name, "networks": networks, "ports": ports }))
    });
    let to: Vec<Value> = to.map(|(_, to, port)| flow(to, port)).collect();
    // What comes from a host's own network cannot be told by pods: then the ports are open.
    let (open, from): (Vec<_>, Vec<_>) = from.partition(|(from, _, _)| is_on_hosts(site, from));
    let mail = mail_port(site).filter(|_| workload == "brig");
    json!({
        "open": open.iter().map(|(_, _, port)| *port).collect::<Vec<u16>>(),
        "from": from.iter().map(|(from, _, port)| flow(from, *port)).collect::<Vec<_>>(),
        "names": !to.is_empty() || mail.is_some(),
        "outside": mail.into_iter().collect::<Vec<u16>>(),
        "to": to,
        "stores": stores.collect::<Vec<_>>(),
    })
}

/// Whether a workload's pods are on their hosts' own network.
fn is_on_hosts(site: &Site, workload: &str) -> bool {
    let settings = site.workloads.get(workload).filter(|_| workload == "ingress");
    settings.is_some_and(|settings| settings.get("exposure").and_then(Value::as_str) == Some("host_network"))
}

/// The port of the server for outgoing mail, if there is one.
fn mail_port(site: &Site) -> Option<u16> {
    let settings: Brig = serde_json::from_value(site.workloads.get("brig")?.clone()).ok()?;
    settings.mail.map(|mail| mail.port)
}

/// An address as a network of nothing else.
fn network(address: core::net::IpAddr) -> String {
    format!("{address}/{}", if address.is_ipv4() { 32 } else { 128 })
}
