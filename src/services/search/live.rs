//! The running cluster: how it is, and what is done to it.

use std::collections::BTreeMap;

use anyhow::{Context as _, bail};
use futures_util::future::join_all;
use serde_json::{Value, json};

use super::connection::{Connection, Connector};
use super::judge::{detail, fact};
use super::nodes::{ALLOCATION_OBJECT, INDEX_OBJECT, TEMPLATE_OBJECT, flavor_of};
use super::security::{self, Kind};
use super::{DIRECTORY, HOLD_ALLOCATION, REINDEX, USER_PASSWORD, directory, reindex};
use crate::desired::{Cluster, Node, Object, Operation};
use crate::observed::{LiveState, Member};
use crate::services::Driver;
use crate::services::http::{Method, StatusCode};

/// What holds copies where they are, until the next start of the whole cluster at most.
const ALLOCATION: &str = "cluster.routing.allocation.enable";
const SETTINGS: &str = "/_cluster/settings";

/// Asks every node how it is, and one of them for what all agree on.
pub(super) async fn observe(cluster: &Cluster, driver: &Driver<'_>) -> anyhow::Result<LiveState> {
    let connector = &Connector::new(cluster, driver, flavor_of(cluster));
    let answers = join_all(cluster.nodes.iter().map(|node| async move {
        let mut connection = connector.admin(node).await?;
        let member = member(&mut connection).await?;
        anyhow::Ok((connection, member))
    }))
    .await;
    let mut live = LiveState::default();
    let mut answering = Vec::new();
    for (node, answer) in cluster.nodes.iter().zip(answers) {
        let member = match answer {
            Ok((connection, member)) => {
                answering.push((node, connection));
                member
            }
            Err(error) => Member::silent(&error),
        };
        live.members.insert(node.host.clone(), member);
    }
    for (node, mut connection) in answering {
        // A node that is cut off from the others, or has no leader yet, knows nothing of the cluster: that is no answer.
        match facts(&mut connection).await {
            Ok(facts) => live.facts = facts,
            Err(error) => {
                let silent = Member::silent(&error.context("knows nothing of its cluster"));
                live.members.insert(node.host.clone(), silent);
                continue;
            }
        }
        for object in &cluster.objects {
            match find(object, node, &mut connection, connector, driver, cluster).await {
                Ok(found) => drop(live.objects.insert(object.id.clone(), found)),
                Err(error) => {
                    live.facts.insert(fact::OBJECTS.to_owned(), format!("{}: {error:#}", object.id));
                }
            }
        }
        break;
    }
    Ok(live)
}

async fn member(connection: &mut Connection) -> anyhow::Result<Member> {
    let about = connection.get("/").await?;
    let state = connection.get("/_cluster/state/master_node,version?local=true").await?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let details = [
        (detail::CLUSTER.to_owned(), text(&about["cluster_uuid"])),
        (detail::LEADER.to_owned(), text(&state["master_node"])),
    ];
    Ok(Member {
        answers: true,
        version: about["version"]["number"].as_str().map(str::to_owned),
        details: details.into(),
        ..Member::default()
    })
}

async fn facts(connection: &mut Connection) -> anyhow::Result<BTreeMap<String, String>> {
    let health = connection.get("/_cluster/health?timeout=1s").await?;
    let held = allocation(connection).await? != "all";
    let text = |name: &str| match &health[name] {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    Ok([
        (fact::STATUS, text("status")),
        (fact::NODES, text("number_of_nodes")),
        (fact::UNASSIGNED, text("unassigned_shards")),
        (fact::HELD, if held { "yes" } else { "no" }.to_owned()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into())
}

/// Which parts and copies may go to another node: `all` unless somebody said otherwise.
async fn allocation(connection: &mut Connection) -> anyhow::Result<String> {
    let settings = connection.get(&format!("{SETTINGS}?flat_settings=true")).await?;
    let said = [&settings["transient"], &settings["persistent"]].into_iter().find_map(|said| said[ALLOCATION].as_str());
    Ok(said.unwrap_or("all").to_owned())
}

/// What the cluster holds for an object.
async fn find(
    object: &Object,
    node: &Node,
    connection: &mut Connection,
    connector: &Connector<'_>,
    driver: &Driver<'_>,
    cluster: &Cluster,
) -> anyhow::Result<Value> {
    match object.id.as_str() {
        ALLOCATION_OBJECT => Ok(json!(allocation(connection).await?)),
        TEMPLATE_OBJECT => {
            let found = connection.find(&format!("/_index_template/{DIRECTORY}")).await?.unwrap_or_default();
            let found = &found["index_templates"][0]["index_template"];
            let ours =
                |found: &Value| json!({ "index_patterns": found["index_patterns"], "template": found["template"] });
            Ok(if found.is_null() { Value::Null } else { ours(found) })
        }
        INDEX_OBJECT => {
            let Some(indices) = connection.find(&format!("/{DIRECTORY}/_settings")).await? else {
                return Ok(Value::Null);
            };
            let settings =
                indices.as_object().into_iter().flatten().map(|(_, about)| &about["settings"]["index"]).next();
            let replicas = settings.and_then(|settings| settings["number_of_replicas"].as_str()?.parse::<u32>().ok());
            Ok(json!({ "replicas": replicas }))
        }
        id => {
            let Some(kind) = Kind::of(id) else { bail!("search has no object {id}") };
            let Some(answer) = connection.find(&security::path(kind)).await? else { return Ok(Value::Null) };
            let mut found = security::found(kind, &answer);
            if kind == Kind::User && !found.is_null() {
                // A password cannot be asked for. That it is the one of this generation is seen by using it.
                let known = connector.user(node).await?.ask(Method::GET, security::WHO_AM_I, None).await?;
                let generation = driver.secrets.generation(&cluster.service, USER_PASSWORD);
                found["password"] =
                    if known.status == StatusCode::OK { json!(generation) } else { json!("another one") };
            }
            Ok(found)
        }
    }
}

/// Makes an object what it should be, through the first node that answers.
pub(super) async fn put_object(cluster: &Cluster, object: &Object, driver: &Driver<'_>) -> anyhow::Result<()> {
    let connection = &mut any(cluster, driver).await?;
    match object.id.as_str() {
        ALLOCATION_OBJECT => hold(connection, Value::Null).await,
        TEMPLATE_OBJECT => put(connection, &format!("/_index_template/{DIRECTORY}"), &object.wanted).await,
        INDEX_OBJECT if connection.find(&format!("/_alias/{DIRECTORY}")).await?.is_none() => {
            let body = json!({ "aliases": { DIRECTORY: { "is_write_index": true } } });
            // A node more or less at that moment must not make it fail; the cluster's health tells what lacks.
            put(connection, &format!("/{}?wait_for_active_shards=all&timeout=30s", directory::index(1)), &body).await
        }
        INDEX_OBJECT => {
            let body = json!({ "index": { "number_of_replicas": object.wanted["replicas"] } });
            put(connection, &format!("/{DIRECTORY}/_settings"), &body).await
        }
        id => match Kind::of(id) {
            Some(kind @ Kind::User) => {
                let password = driver.password(cluster, USER_PASSWORD);
                put(connection, &security::path(kind), &json!({ "password": password.expose() })).await
            }
            Some(kind) => put(connection, &security::path(kind), &object.wanted).await,
            None => bail!("search has no object {id}"),
        },
    }
}

async fn put(connection: &mut Connection, path: &str, body: &Value) -> anyhow::Result<()> {
    connection.send(Method::PUT, path, body).await.map(drop)
}

/// Does an operation or a task.
pub(super) async fn operate(cluster: &Cluster, operation: &Operation, driver: &Driver<'_>) -> anyhow::Result<()> {
    let connection = &mut any(cluster, driver).await?;
    match operation.name.as_str() {
        HOLD_ALLOCATION => {
            hold(connection, json!("primaries")).await?;
            // What is in memory goes to disk, so that the node has less to do when it comes back.
            connection.ask(Method::POST, "/_flush", None).await.map(drop)
        }
        REINDEX => reindex::reindex(connection).await,
        other => bail!("search has no operation {other}"),
    }
}

/// Once every node is in the cluster, copies may go where they belong again.
pub(super) async fn settle(cluster: &Cluster, driver: &Driver<'_>) -> anyhow::Result<()> {
    let connection = &mut any(cluster, driver).await?;
    let facts = facts(connection).await?;
    let nodes = facts.get(fact::NODES).and_then(|nodes| nodes.parse::<usize>().ok()).unwrap_or_default();
    if facts.get(fact::HELD).is_some_and(|held| held == "yes") && nodes >= cluster.nodes.len() {
        hold(connection, Value::Null).await?;
    }
    Ok(())
}

async fn hold(connection: &mut Connection, value: Value) -> anyhow::Result<()> {
    // An operator's own word would be a persistent setting; it is taken back, too, for nothing else would ever do so.
    let body = match &value {
        Value::Null => json!({ "transient": { ALLOCATION: null }, "persistent": { ALLOCATION: null } }),
        value => json!({ "transient": { ALLOCATION: value } }),
    };
    put(connection, SETTINGS, &body).await
}

/// The first node that answers and sees the cluster.
async fn any(cluster: &Cluster, driver: &Driver<'_>) -> anyhow::Result<Connection> {
    let connector = Connector::new(cluster, driver, flavor_of(cluster));
    let mut last = None;
    for node in &cluster.nodes {
        let attempt = async {
            let mut connection = connector.admin(node).await?;
            facts(&mut connection).await?;
            anyhow::Ok(connection)
        };
        match attempt.await {
            Ok(connection) => return Ok(connection),
            Err(error) => last = Some(error),
        }
    }
    Err(last.context("the cluster has no nodes")?.context("no node answers"))
}
