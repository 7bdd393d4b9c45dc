//! The running cluster: how it is, and what is done to it.

use core::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use futures_util::future::join_all;
use serde_json::{Value, json};

use super::connection::{Connection, Connector, Refused};
use super::judge::{ROLLS, detail};
use super::objects::{self, Listed, NODE};
use super::view::View;
use super::{
    CLUSTER_VERSION, CREATE_TOKEN, DNS_CONFIGURATION, DNS_SERVICE, DRAIN, NODES, dns, drain, is_control_plane,
    manifest, token,
};
use crate::desired::{Cluster, Node, Object, Operation};
use crate::observed::{LiveState, Member};
use crate::services::http::{self, Method, StatusCode};
use crate::services::{ANSWER, Driver, within};
use crate::site::names::HostName;

/// How long an API server has to sign what a joining host believes.
const SIGNED: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(250);
/// Where kubelet says how it is, on loopback.
const KUBELET_HEALTH_PORT: u16 = 10248;
/// How long a node's DNS may take to answer.
const DNS_ANSWER: Duration = Duration::from_secs(3);

/// Asks every API server whether it is ready, one of them for nodes and objects, and each node's DNS.
pub(super) async fn observe(cluster: &Cluster, driver: &Driver<'_>) -> anyhow::Result<LiveState> {
    let connector = &Connector::new(cluster, driver)?;
    let servers = cluster
        .nodes
        .iter()
        .filter(|node| is_control_plane(node))
        .map(|node| async move { (node, async { connector.server(node).await?.ready().await }.await) });
    let servers = join_all(servers).await;
    let mut live = LiveState::default();
    let mut answering = None;
    let mut away = Vec::new();
    for (node, ready) in servers {
        match ready {
            Ok(()) => answering = answering.or(Some(node)),
            Err(error) => away.push((&node.host, Member::silent(&error))),
        }
    }
    let Some(server) = answering else {
        let silent = Member { problem: Some("no API server is ready".to_owned()), ..Member::default() };
        live.members = cluster.nodes.iter().map(|node| (node.host.clone(), silent.clone())).collect();
        live.members.extend(away.into_iter().map(|(host, member)| (host.clone(), member)));
        return Ok(live);
    };
    let objects: Vec<_> = cluster.objects.iter().filter(|object| !object.id.starts_with(NODE)).collect();
    let mut paths = vec!["/version".to_owned(), "/api/v1/nodes".to_owned()];
    for object in &objects {
        paths.push(manifest::path(&object.wanted)?);
    }
    let mut answers = connector.get_all(server, &paths).await?.into_iter();
    let mut answer = || answers.next().flatten();
    let version = answer().unwrap_or_default();
    live.facts.insert(CLUSTER_VERSION.to_owned(), version["gitVersion"].as_str().unwrap_or_default().to_owned());
    let nodes = answer().unwrap_or_default();
    let views: Vec<View> = nodes["items"].as_array().into_iter().flatten().map(View::of).collect();
    let listed = views.iter().map(|view| Listed {
        name: view.name.clone(),
        address: view.address.clone(),
        ours: view.is_ours(),
    });
    live.facts.insert(NODES.to_owned(), serde_json::to_string(&listed.collect::<Vec<_>>())?);
    for object in objects {
        let there = answer();
        if let Some(why) = there.as_ref().and_then(manifest::rolls) {
            live.facts.insert(format!("{ROLLS}{}", object.id), why);
        }
        let there = there.map_or(Value::Null, |there| manifest::like(&object.wanted, &there));
        live.objects.insert(object.id.clone(), there);
    }
    live.objects.extend(views.iter().map(|view| node_object(cluster, view)));
    let has_dns = live.objects.get(DNS_SERVICE).is_some_and(|found| !found.is_null());
    let members = join_all(cluster.nodes.iter().map(|node| {
        let view = views.iter().find(|view| view.name == node.host.as_str());
        member(cluster, node, view, has_dns, driver)
    }))
    .await;
    live.members = cluster.nodes.iter().map(|node| node.host.clone()).zip(members).collect();
    // A worker that is to become a control plane has no API server yet, and is none the worse for that.
    let is_worker = |host: &HostName| views.iter().any(|view| view.name == host.as_str() && !view.is_control_plane());
    let away = away.into_iter().filter(|(host, _)| !is_worker(host));
    live.members.extend(away.map(|(host, member)| (host.clone(), member)));
    Ok(live)
}

/// A node as the object that stands for it.
fn node_object(cluster: &Cluster, view: &View) -> (String, Value) {
    let id = format!("{NODE}{}", view.name);
    let found = match cluster.objects.iter().find(|object| object.id == id) {
        Some(object) if objects::removal(object).is_none() => view.object(&object.wanted),
        _ => json!({ "address": view.address }),
    };
    (id, found)
}

async fn member(cluster: &Cluster, node: &Node, view: Option<&View>, has_dns: bool, driver: &Driver<'_>) -> Member {
    let role = if is_control_plane(node) { "control plane" } else { "worker" };
    let Some(view) = view else {
        return Member { answers: true, role: Some(role.to_owned()), ..Member::default() };
    };
    let mut member = Member {
        answers: true,
        version: Some(view.version.trim_start_matches('v').to_owned()),
        role: Some(role.to_owned()),
        ..Member::default()
    };
    let mut tell = |name: &str, value: String| drop(member.details.insert(name.to_owned(), value));
    tell(detail::ADDRESS, view.address.clone());
    if view.ready {
        tell(detail::READY, "yes".to_owned());
    } else {
        tell(detail::NOT_READY, view.reason.clone());
    }
    if view.drained {
        tell(detail::DRAINED, "yes".to_owned());
    }
    // What the API knows of a kubelet that has just stopped is as old as the grace that it has.
    let asked = within(ANSWER, "kubelet", ask_kubelet(node, driver)).await;
    if let Err(error) = asked {
        tell(detail::NO_KUBELET, format!("{error:#}"));
    }
    if has_dns && view.ready {
        let asked = within(DNS_ANSWER, "the node's DNS", ask_dns(cluster, node, driver)).await;
        if let Err(error) = asked {
            tell(detail::NO_DNS, format!("{error:#}"));
        }
    }
    member
}

/// Asks a node's kubelet how it is, where only its own host reaches it.
async fn ask_kubelet(node: &Node, driver: &Driver<'_>) -> anyhow::Result<()> {
    let address = SocketAddr::from(([127, 0, 0, 1], KUBELET_HEALTH_PORT));
    let mut connection = http::Connection::new(driver.open(node, address).await?, address.to_string()).await?;
    let answer = connection.json(Method::GET, "/healthz", None).await?;
    ensure!(answer.status == StatusCode::OK, "it says {}", String::from_utf8_lossy(&answer.body));
    Ok(())
}

/// Looks a name up in the cluster's DNS, from a node's host.
async fn ask_dns(cluster: &Cluster, node: &Node, driver: &Driver<'_>) -> anyhow::Result<()> {
    let service = cluster.objects.iter().find(|object| object.id == DNS_SERVICE).map(|object| &object.wanted);
    let address = service.and_then(|service| service.pointer("/spec/clusterIP")?.as_str()?.parse().ok());
    let address = SocketAddr::new(address.context("DNS has no address")?, 53);
    let configuration = cluster.objects.iter().find(|object| object.id == DNS_CONFIGURATION);
    let text = configuration.and_then(|object| object.wanted.pointer("/data/Corefile")?.as_str()).unwrap_or_default();
    let domain = text.lines().find_map(|line| line.trim().strip_prefix("kubernetes ")?.split_whitespace().next());
    dns::ask(&mut driver.open(node, address).await?, domain.context("DNS has no domain")?).await
}

/// Does an operation.
pub(super) async fn operate(cluster: &Cluster, operation: &Operation, driver: &Driver<'_>) -> anyhow::Result<()> {
    let host = operation.arguments["host"].as_str().unwrap_or_default();
    let node = cluster.nodes.iter().find(|node| node.host.as_str() == host);
    let node = node.with_context(|| format!("{} names no host of the cluster", operation.name))?;
    let connector = Connector::new(cluster, driver)?;
    match operation.name.as_str() {
        CREATE_TOKEN => {
            let endpoint = operation.arguments["endpoint"].as_str().unwrap_or_default();
            connector.reach(node, endpoint).await?;
            let let_join = |mut connection: Connection| async move {
                forget(&mut connection, node).await?;
                create_token(&mut connection, cluster, node, driver).await
            };
            connector.persistently(cluster, let_join).await
        }
        DRAIN => {
            let seconds = operation.arguments["seconds"].as_u64().unwrap_or_default();
            drain::drain(&connector, cluster, host, Duration::from_secs(seconds)).await
        }
        other => bail!("kubernetes has no operation {other}"),
    }
}

/// Deletes the node that a host was before it lost its disk: kubeadm joins none that is there and ready, which the API may take that one for yet.
async fn forget(connection: &mut Connection, node: &Node) -> anyhow::Result<()> {
    let path = format!("/api/v1/nodes/{}", node.host);
    let Some(former) = connection.get(&path).await? else { return Ok(()) };
    let address = View::of(&former).address;
    if !address.is_empty() && address != node.address.to_string() {
        let (name, host) = (&node.host, node.address);
        return Err(Refused(format!("the cluster has a node {name} at {address}, and the host is at {host}")).into());
    }
    connection.delete(&path).await
}

async fn create_token(
    connection: &mut Connection,
    cluster: &Cluster,
    node: &Node,
    driver: &Driver<'_>,
) -> anyhow::Result<()> {
    let token = token::of(driver.secrets, &cluster.service, &node.host);
    connection.apply(&token.manifest(driver.time)?).await?;
    // A joining host believes what is signed with its token; a controller does that soon after.
    let end = tokio::time::Instant::now() + SIGNED;
    let signature = format!("jws-kubeconfig-{}", token.id);
    loop {
        let info = connection.get("/api/v1/namespaces/kube-public/configmaps/cluster-info").await?.unwrap_or_default();
        if !info["data"][&signature].is_null() {
            return Ok(());
        }
        if tokio::time::Instant::now() >= end {
            let seconds = SIGNED.as_secs();
            return Err(Refused(format!("the control plane did not take the token within {seconds} s")).into());
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Opens nodes that were emptied to be upgraded, once they are back, upgraded or not.
pub(super) async fn settle(cluster: &Cluster, driver: &Driver<'_>) -> anyhow::Result<()> {
    let connector = Connector::new(cluster, driver)?;
    let mut connection = connector.any(cluster).await?;
    let nodes = connection.get("/api/v1/nodes").await?.unwrap_or_default();
    for view in nodes["items"].as_array().into_iter().flatten().map(View::of) {
        if view.drained && view.ready {
            drain::open(&mut connection, &view.name).await?;
        }
    }
    Ok(())
}

/// Makes an object as it should be.
pub(super) async fn put(cluster: &Cluster, object: &Object, driver: &Driver<'_>) -> anyhow::Result<()> {
    let connector = &Connector::new(cluster, driver)?;
    let Some(name) = object.id.strip_prefix(NODE) else {
        let apply = |mut connection: Connection| async move { connection.apply(&object.wanted).await };
        return connector.persistently(cluster, apply).await;
    };
    match objects::removal(object) {
        Some(patience) => remove(connector, cluster, name, patience).await,
        None => {
            let change =
                |mut connection: Connection| async move { change(&mut connection, name, &object.wanted).await };
            connector.persistently(cluster, change).await
        }
    }
}

/// Deletes a node once its pods have left it. Nobody on a dead node answers to being asked to leave.
async fn remove(connector: &Connector<'_>, cluster: &Cluster, name: &str, patience: Duration) -> anyhow::Result<()> {
    let path = &format!("/api/v1/nodes/{name}");
    let look = |mut connection: Connection| async move { connection.get(path).await };
    if connector.persistently(cluster, look).await?.is_some_and(|node| View::of(&node).ready) {
        drain::drain(connector, cluster, name, patience).await?;
    }
    connector.persistently(cluster, |mut connection: Connection| async move { connection.delete(path).await }).await
}

/// Gives a node its labels and taints, and opens it if it was emptied by us.
async fn change(connection: &mut Connection, name: &str, wanted: &Value) -> anyhow::Result<()> {
    let path = format!("/api/v1/nodes/{name}");
    // Labels alone would make a node of a host that has none.
    connection.get(&path).await?.ok_or_else(|| Refused(format!("there is no node {name}")))?;
    let metadata = json!({ "name": name, "labels": wanted["labels"] });
    let labels = json!({ "apiVersion": "v1", "kind": "Node", "metadata": metadata });
    let node = connection.apply_at(&path, &labels).await?;
    let view = View::of(&node);
    if view.drained && view.ready {
        drain::open(connection, name).await?;
    }
    let wanted = wanted["taints"].as_array().cloned().unwrap_or_default();
    if json!(view.taints) != json!(wanted) {
        let taints: Vec<Value> = wanted.into_iter().chain(view.passing).collect();
        let version = node["metadata"]["resourceVersion"].clone();
        // Kubernetes sets taints of its own meanwhile; the version keeps those from being lost.
        let metadata = json!({ "resourceVersion": version });
        connection.merge(&path, &json!({ "metadata": metadata, "spec": { "taints": taints } })).await?;
    }
    Ok(())
}
