//! The running nodes: how clients fare at each, and how one is emptied.

use core::net::{IpAddr, SocketAddr};
use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use futures_util::future::{join_all, select_ok};
use serde_json::{Value, json};

use super::client::{Answer, Carries, Client, Credentials};
use super::command_line::{CommandLine, Kind, Redirect};
use super::judge::{NOT_PERMITTED, SERVED, detail};
use super::nodes::redirects;
use super::{DRAIN, DRAIN_SECONDS, SHARED_SECRET};
use crate::desired::{Cluster, Node, Object, Operation};
use crate::observed::{LiveState, Member};
use crate::services::wait::until;
use crate::services::{Driver, OPERATOR, Stream, tls};

/// How long a client may take to have everything that it is there for.
const PATIENCE: Duration = Duration::from_secs(5);
/// Seconds that the gate's own credentials are good; a host's clock may be behind.
const CREDENTIALS_SECONDS: i64 = 300;
/// Between two looks at a node that is being emptied.
const DRAIN_PAUSE: Duration = Duration::from_secs(1);
/// Packets may get lost, so some are sent.
const PACKETS: usize = 5;

/// Asks every node, and is a client of every node. A node tells itself where it listens: the site may say otherwise already.
pub(super) async fn observe(cluster: &Cluster, driver: &Driver<'_>) -> anyhow::Result<LiveState> {
    let answers = cluster.nodes.iter().map(|node| async move { (node, ask(cluster, node, driver).await) });
    let mut live = LiveState::default();
    for (node, answer) in join_all(answers).await {
        let (member, elsewhere) = answer.unwrap_or_else(|error| (Member::silent(&error), Vec::new()));
        live.members.insert(node.host.clone(), member);
        live.objects.insert(redirects(node), json!(elsewhere));
    }
    Ok(live)
}

/// How a node does, and to which servers it sends its clients.
async fn ask(cluster: &Cluster, node: &Node, driver: &Driver<'_>) -> anyhow::Result<(Member, Vec<String>)> {
    let mut line = CommandLine::open(cluster, node, driver).await?;
    let report = line.report().await?;
    let elsewhere: Vec<String> = report.redirects.into_iter().map(|(_, server)| server).collect();
    let mut details = BTreeMap::from([(detail::ALLOCATIONS.to_owned(), report.allocations.to_string())]);
    if elsewhere.is_empty() {
        let ways = [
            (detail::UDP, Way::Udp, report.port),
            (detail::TCP, Way::Tcp, report.port),
            (detail::TLS, Way::Tls, report.tls_port),
        ];
        let fared = ways.map(|(name, way, port)| async move { (name, relay(cluster, node, driver, way, port).await) });
        for (name, fared) in join_all(fared).await {
            details.insert(name.to_owned(), fared.map_or_else(|error| format!("{error:#}"), str::to_owned));
        }
    } else {
        details.insert(detail::REDIRECTS.to_owned(), elsewhere.join(", "));
    }
    Ok((Member { answers: true, version: line.version, details, ..Member::default() }, elsewhere))
}

/// How a client speaks with a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Udp,
    Tcp,
    Tls,
}

/// Two clients of one node, each with an allocation of its own: a packet that one sends to the other goes through both.
async fn relay(
    cluster: &Cluster,
    node: &Node,
    driver: &Driver<'_>,
    way: Way,
    port: u16,
) -> anyhow::Result<&'static str> {
    let mut one = connect(cluster, node, driver, way, port).await?;
    let fared = match connect(cluster, node, driver, way, port).await {
        Ok(mut other) => {
            let fared = exchange(&mut one, &mut other).await;
            other.leave().await;
            fared
        }
        Err(error) => Err(error),
    };
    // Whatever came of it: a drain waits for allocations that are there.
    one.leave().await;
    fared
}

/// A packet from one client to the other.
async fn exchange<S: Stream>(one: &mut Client<S>, other: &mut Client<S>) -> anyhow::Result<&'static str> {
    let (from, to) = (one.relayed, other.relayed);
    let answers = [one.permit(to.ip()).await?, other.permit(from.ip()).await?];
    if answers.contains(&Answer::Refused) {
        ensure!(!is_global(to.ip()), "it does not relay to its own address {to}");
        return Ok(NOT_PERMITTED);
    }
    let sent = format!("{from} to {to}").into_bytes();
    for _ in 0..PACKETS {
        one.send(to, &sent).await?;
    }
    let (_, received) = other.receive().await.with_context(|| format!("nothing came through from {from} to {to}"))?;
    ensure!(received == sent, "another packet came through from {from} to {to}");
    Ok(SERVED)
}

/// A client with credentials of the present secret or of a former one, whichever the node takes: it may not have the present one yet.
async fn connect(
    cluster: &Cluster,
    node: &Node,
    driver: &Driver<'_>,
    way: Way,
    port: u16,
) -> anyhow::Result<Client<Box<dyn Stream>>> {
    let server = SocketAddr::new(node.address, port);
    // All are tried at once: the one that is refused learns it only when its patience is over.
    let attempts = driver.passwords(cluster, SHARED_SECRET).into_iter().map(|secret| async move {
        let (stream, carries): (Box<dyn Stream>, _) = match way {
            Way::Udp => (driver.network.datagrams(&node.host, server).await?, Carries::Datagrams),
            Way::Tcp => (driver.network.open(&node.host, server).await.context("cannot connect")?, Carries::Bytes),
            // Whom clients believe is not known here, and while another certificate rolls through the nodes each shows its own.
            Way::Tls => {
                let client = tls::Client::believing_anyone()?;
                (Box::new(driver.connect(&client, node, port).await?), Carries::Bytes)
            }
        };
        let credentials = Credentials::new(&secret, OPERATOR, driver.time / 1000 + CREDENTIALS_SECONDS);
        Client::allocate(stream, carries, server, &credentials, PATIENCE).await
    });
    let (client, _) = select_ok(attempts.map(Box::pin)).await?;
    Ok(client)
}

/// Whether an address may be one of the internet's.
fn is_global(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => {
            let [first, second, ..] = address.octets();
            let shared = first == 100 && (64..128).contains(&second);
            !(address.is_private()
                || address.is_loopback()
                || address.is_link_local()
                || address.is_documentation()
                || shared)
        }
        IpAddr::V6(address) => !(address.is_unique_local() || address.is_unicast_link_local() || address.is_loopback()),
    }
}

/// Does an operation.
pub(super) async fn operate(cluster: &Cluster, operation: &Operation, driver: &Driver<'_>) -> anyhow::Result<()> {
    match operation.name.as_str() {
        DRAIN => drain(cluster, operation, driver).await,
        other => bail!("turn has no operation {other}"),
    }
}

/// How long a drain may take, in seconds.
pub(super) fn drain_seconds(operation: &Operation) -> u64 {
    operation.arguments.get(DRAIN_SECONDS).and_then(Value::as_u64).unwrap_or_default()
}

/// Has a node send new clients to another one, and waits until it serves none. When patience is over it is as well: those who
/// are still there have had their time, and find another server when this one goes.
async fn drain(cluster: &Cluster, operation: &Operation, driver: &Driver<'_>) -> anyhow::Result<()> {
    let from = operation.arguments.get("from").and_then(Value::as_str);
    let node = cluster.nodes.iter().find(|node| Some(node.host.as_str()) == from);
    let node = node.context("the operation names no host of the cluster")?;
    let mut line = CommandLine::open(cluster, node, driver).await?;
    let there = line.report().await?.redirects;
    // One for each kind: coturn 4.6 never comes back from removing one of several.
    let mut elsewhere = Vec::new();
    for other in operation.arguments.get("others").and_then(Value::as_array).into_iter().flatten() {
        elsewhere = servers(cluster, other, driver).await;
        if !elsewhere.is_empty() {
            break;
        }
    }
    ensure!(!elsewhere.is_empty(), "no other node could take the clients of {}", node.host);
    for server in elsewhere.iter().filter(|(kind, _)| there.iter().all(|(known, _)| known != kind)) {
        line.redirect(server).await?;
    }
    let patience = Duration::from_secs(drain_seconds(operation));
    let _ = until(patience, DRAIN_PAUSE, || async {
        let report = CommandLine::open(cluster, node, driver).await?.report().await?;
        ensure!(report.allocations == 0, "{} serves {} clients", node.host, report.allocations);
        Ok(())
    })
    .await;
    Ok(())
}

/// Where clients may be sent: to a node that answers.
async fn servers(cluster: &Cluster, other: &Value, driver: &Driver<'_>) -> Vec<Redirect> {
    let text = |key: &str| other.get(key).and_then(Value::as_str);
    let port = |key: &str| other.get(key).and_then(Value::as_u64);
    let node = cluster.nodes.iter().find(|node| Some(node.host.as_str()) == text("host"));
    let (Some(node), Some(address), Some(plain), Some(tls)) = (node, text("address"), port("port"), port("tls_port"))
    else {
        return Vec::new();
    };
    if CommandLine::open(cluster, node, driver).await.is_err() {
        return Vec::new();
    }
    let address = if address.contains(':') { format!("[{address}]") } else { address.to_owned() };
    vec![(Kind::Plain, format!("{address}:{plain}")), (Kind::Tls, format!("{address}:{tls}"))]
}

/// Has a node serve its clients itself again.
pub(super) async fn put_object(cluster: &Cluster, object: &Object, driver: &Driver<'_>) -> anyhow::Result<()> {
    let node = cluster.nodes.iter().find(|node| redirects(node) == object.id);
    let node = node.with_context(|| format!("turn has no object {}", object.id))?;
    let mut line = CommandLine::open(cluster, node, driver).await?;
    for server in line.report().await?.redirects {
        line.serve_again(&server).await?;
    }
    Ok(())
}
