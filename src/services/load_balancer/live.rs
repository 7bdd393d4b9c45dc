//! The running nodes: how each is, who answers at the address that moves, and whether connections come through.

use core::net::{IpAddr, SocketAddr};
use std::collections::BTreeMap;

use anyhow::{Context as _, bail};
use futures_util::future::join_all;
use serde::Deserialize;

use super::configuration::{STATUS, Section, sections, vip};
use super::judge::{HOLDER, STANDBY, detail};
use crate::desired::{Cluster, Node};
use crate::observed::{LiveState, Member};
use crate::services::http::{Connection, HeaderMap, Method};
use crate::services::{ANSWER, Driver, tls, within};

/// What a node tells about itself.
#[derive(Deserialize)]
struct Status {
    host: String,
    /// The version of haproxy that its configuration was written for: haproxy cannot be asked for its own.
    version: String,
    /// How many servers of each listener are well.
    servers: BTreeMap<String, u64>,
}

/// Asks every node.
pub(super) async fn observe(cluster: &Cluster, driver: &Driver<'_>) -> anyhow::Result<LiveState> {
    let mut live = LiveState::default();
    let answers = join_all(cluster.nodes.iter().map(|node| within(ANSWER * 2, &node.host, ask(node, driver)))).await;
    for (node, answer) in cluster.nodes.iter().zip(answers) {
        live.members.insert(node.host.clone(), answer.unwrap_or_else(|error| Member::silent(&error)));
    }
    let told = || live.members.values().filter_map(|member| member.details.get(detail::HOLDER));
    // Where nodes do not agree, the gate says so, and the order of nodes does not matter.
    if let Some(holder) = told().next().cloned() {
        for (host, member) in &mut live.members {
            let role = if host.as_str() == holder { HOLDER } else { STANDBY };
            member.role = member.answers.then(|| role.to_owned());
        }
        live.facts.insert(HOLDER.to_owned(), holder);
    }
    Ok(live)
}

async fn ask(node: &Node, driver: &Driver<'_>) -> anyhow::Result<Member> {
    let sections = sections(node);
    let status = sections.iter().find(|section| section.name == STATUS).context("haproxy has no status")?;
    let own = status_at(node, driver, SocketAddr::new(node.address, status.port)).await?;
    let mut details = BTreeMap::new();
    if let Some(vip) = vip(node) {
        let address = SocketAddr::new(IpAddr::V4(vip), status.port);
        let (name, said) = match within(ANSWER / 2, address, status_at(node, driver, address)).await {
            Ok(holder) => (detail::HOLDER, holder.host),
            Err(error) => (detail::NO_HOLDER, format!("{error:#}")),
        };
        details.insert(name.to_owned(), said);
    }
    for (listener, well) in &own.servers {
        details.insert(format!("{}{listener}", detail::SERVERS), well.to_string());
        let section = sections.iter().find(|section| section.name == *listener);
        let Some(section) = section.filter(|_| *well > 0) else { continue };
        if let Err(error) = within(ANSWER / 2, listener, comes_through(node, driver, section)).await {
            details.insert(format!("{}{listener}", detail::BLOCKED), format!("{error:#}"));
        }
    }
    Ok(Member { answers: true, version: Some(own.version), details, ..Member::default() })
}

async fn status_at(node: &Node, driver: &Driver<'_>, address: SocketAddr) -> anyhow::Result<Status> {
    let stream = driver.open(node, address).await?;
    let mut connection = Connection::new(stream, address.to_string()).await?;
    let answer = connection.exchange(Method::GET, "/", HeaderMap::new(), "").await?;
    let status = answer.json().with_context(|| format!("{address} answered {}", answer.status))?;
    serde_json::from_value(status).with_context(|| format!("{address} is no load balancer of this site"))
}

/// A connection through the node reaches a server that speaks the protocol of the listener's health check. Without one, or with one at a port of
/// its own, nobody knows what to say to the server, and that haproxy found it well must do.
async fn comes_through(node: &Node, driver: &Driver<'_>, section: &Section) -> anyhow::Result<()> {
    let Some(path) = &section.path else { return Ok(()) };
    let address = SocketAddr::new(node.address, section.port);
    let stream = driver.open(node, address).await?;
    if !section.tls {
        let mut connection = Connection::new(stream, address.to_string()).await?;
        return connection.exchange(Method::GET, path, HeaderMap::new(), "").await.map(|_| ());
    }
    // Nobody is trusted: that a server shows a certificate at all is what is wanted.
    match tls::Client::new("", None)?.connect(stream, address.ip()).await {
        Ok(_) => Ok(()),
        Err(error) => match error.get_ref().and_then(|inner| inner.downcast_ref()) {
            Some(rustls::Error::InvalidCertificate(_)) => Ok(()),
            _ => bail!(error),
        },
    }
}
