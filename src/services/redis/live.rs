//! The running cluster: how it is, and what is done to it.

use std::collections::BTreeMap;

use anyhow::{Context as _, bail};
use futures_util::future::{join, join_all};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::connection::{Connection, Connector, is_wrong_password};
use super::judge::{PRIMARY, REPLICA, detail};
use super::primary::PRIMARY_ADDRESS;
use super::{
    ADMIT_PASSWORDS, CLUSTER, FORGET_MEMBERS, HAND_OVER, REPLICATION_USER, SENTINEL_USER, hand_over, password_name,
};
use crate::desired::{Cluster, Node, Object, Operation};
use crate::observed::{LiveState, Member};
use crate::services::Driver;
use crate::site::names::HostName;

/// Each cluster object with the name that Sentinel has for it.
const SENTINEL_SETTINGS: [&str; 4] = ["down-after-milliseconds", "failover-timeout", "parallel-syncs", "quorum"];

/// What one Sentinel says about the cluster.
type SentinelView = BTreeMap<String, String>;

/// Asks every Redis and every Sentinel.
pub(super) async fn observe(cluster: &Cluster, driver: &Driver<'_>) -> anyhow::Result<LiveState> {
    let connector = &Connector::new(cluster, driver)?;
    let answers = join_all(cluster.nodes.iter().map(|node| async move {
        let (server, sentinel) = join(ask_server(connector, node), ask_sentinel(connector, node)).await;
        (node, server, sentinel)
    }))
    .await;
    let mut live = LiveState::default();
    let mut views = BTreeMap::new();
    for (node, server, sentinel) in answers {
        let mut member =
            server.unwrap_or_else(|error| Member { refuses: is_wrong_password(&error), ..Member::silent(&error) });
        match sentinel {
            Ok((view, quorum)) => {
                member.details.extend(sentinel_details(&view, quorum));
                views.insert(node.host.clone(), view);
            }
            Err(error) => {
                member.details.insert(detail::SENTINEL_PROBLEM.to_owned(), format!("{error:#}"));
            }
        }
        live.members.insert(node.host.clone(), member);
    }
    if let Some(address) = agreed(views.values().filter_map(|view| view.get("ip"))) {
        live.facts.insert(PRIMARY_ADDRESS.to_owned(), address.clone());
        if let Some(node) = cluster.nodes.iter().find(|node| node.address.to_string() == *address) {
            live.facts.insert(PRIMARY.to_owned(), node.host.to_string());
        }
    }
    for name in SENTINEL_SETTINGS {
        live.objects.insert(format!("sentinel/{name}"), setting(&views, name));
    }
    Ok(live)
}

async fn ask_server(connector: &Connector<'_>, node: &Node) -> anyhow::Result<Member> {
    let mut server = connector.server(node).await?;
    let info = server.info(&["server", "replication"]).await?;
    let mut details = BTreeMap::new();
    let role = if info.get("role") == Some("master") {
        let online = info.replicas().filter(|replica| replica.online).count();
        details.insert(detail::REPLICAS.to_owned(), online.to_string());
        PRIMARY
    } else {
        let fields = [
            (detail::FOLLOWS, "master_host"),
            (detail::LINK, "master_link_status"),
            (detail::SYNCING, "master_sync_in_progress"),
        ];
        details.extend(
            fields.into_iter().filter_map(|(name, field)| Some((name.to_owned(), info.get(field)?.to_owned()))),
        );
        REPLICA
    };
    let version = info.get("redis_version").map(str::to_owned);
    Ok(Member { answers: true, version, role: Some(role.to_owned()), details, ..Member::default() })
}

/// What a Sentinel knows, and whether it could have another primary chosen.
async fn ask_sentinel(connector: &Connector<'_>, node: &Node) -> anyhow::Result<(SentinelView, String)> {
    let mut sentinel = connector.sentinel(node).await?;
    let view = sentinel.run(&["SENTINEL", "MASTER", CLUSTER]).await?;
    let quorum =
        sentinel.run::<String>(&["SENTINEL", "CKQUORUM", CLUSTER]).await.unwrap_or_else(|error| error.to_string());
    Ok((view, quorum))
}

fn sentinel_details(view: &SentinelView, quorum: String) -> impl Iterator<Item = (String, String)> {
    let fields = [
        (detail::SENTINEL_PRIMARY, "ip"),
        (detail::SENTINEL_STATE, "flags"),
        (detail::SENTINEL_REPLICAS, "num-slaves"),
        (detail::SENTINEL_OTHERS, "num-other-sentinels"),
    ];
    let found = fields.map(|(name, field)| (name.to_owned(), view.get(field).cloned().unwrap_or_default()));
    found.into_iter().chain([(detail::SENTINEL_QUORUM.to_owned(), quorum)])
}

/// What more than half of those who say anything say.
fn agreed<'a>(said: impl Iterator<Item = &'a String>) -> Option<&'a String> {
    let said: Vec<_> = said.collect();
    said.iter().copied().find(|one| said.iter().filter(|other| *other == one).count() * 2 > said.len())
}

/// A setting's value when the Sentinels agree on it; who says what when they do not; nothing when none answered.
fn setting(views: &BTreeMap<HostName, SentinelView>, name: &str) -> Value {
    let value = |view: &SentinelView| view.get(name).and_then(|text| text.parse::<u64>().ok());
    let values: BTreeMap<_, _> = views.iter().map(|(host, view)| (host.as_str(), value(view))).collect();
    match values.values().next() {
        Some(first) if values.values().all(|value| value == first) => json!(first),
        Some(_) => json!(values),
        None => Value::Null,
    }
}

/// Does an operation or a task.
pub(super) async fn operate(cluster: &Cluster, operation: &Operation, driver: &Driver<'_>) -> anyhow::Result<()> {
    let connector = &Connector::new(cluster, driver)?;
    match operation.name.as_str() {
        HAND_OVER => {
            let from = operation.arguments.get("from").and_then(Value::as_str);
            let from = cluster.nodes.iter().find(|node| Some(node.host.as_str()) == from);
            hand_over::hand_over(cluster, from.context("the operation names no host of the cluster")?, connector).await
        }
        ADMIT_PASSWORDS => admit_passwords(cluster, connector, driver).await,
        FORGET_MEMBERS => hand_over::forget_members(cluster, connector).await,
        other => bail!("redis has no operation {other}"),
    }
}

/// Has every Redis and every Sentinel that answers take the present passwords too; one that is down reads them when it starts.
async fn admit_passwords(cluster: &Cluster, connector: &Connector<'_>, driver: &Driver<'_>) -> anyhow::Result<()> {
    let password = |user: &str| {
        let password = driver.password(cluster, &password_name(user));
        (user.to_owned(), format!("#{}", hex::encode(Sha256::digest(password.expose()))))
    };
    let (replication, sentinel) = (&password(REPLICATION_USER), &password(SENTINEL_USER));
    let admit = |mut connection: Connection, logins: Vec<(String, String)>| async move {
        for (user, hash) in logins {
            connection.run::<()>(&["ACL", "SETUSER", &user, &hash]).await?;
        }
        anyhow::Ok(())
    };
    let told = join_all(cluster.nodes.iter().map(|node| async move {
        if let Ok(server) = connector.server(node).await {
            admit(server, vec![replication.clone(), sentinel.clone()])
                .await
                .with_context(|| format!("Redis on {}", node.host))?;
        }
        if let Ok(connection) = connector.sentinel(node).await {
            let told = admit(connection, vec![sentinel.clone()]).await;
            told.with_context(|| format!("the Sentinel on {}", node.host))?;
        }
        anyhow::Ok(())
    }));
    told.await.into_iter().collect()
}

/// Tells every Sentinel a setting. One that is down is told at its next turn: it keeps what it had until then.
pub(super) async fn put_object(cluster: &Cluster, object: &Object, driver: &Driver<'_>) -> anyhow::Result<()> {
    let connector = &Connector::new(cluster, driver)?;
    let name = object.id.strip_prefix("sentinel/").filter(|name| SENTINEL_SETTINGS.contains(name));
    let name = name.with_context(|| format!("redis has no object {}", object.id))?;
    let value = &object.wanted.to_string();
    let told = join_all(cluster.nodes.iter().map(|node| async move {
        let mut sentinel = connector.sentinel(node).await?;
        sentinel.run::<()>(&["SENTINEL", "SET", CLUSTER, name, value]).await?;
        anyhow::Ok(())
    }))
    .await;
    for (node, told) in cluster.nodes.iter().zip(told) {
        told.with_context(|| format!("the Sentinel on {} was not told {name}", node.host))?;
    }
    Ok(())
}

/// Who a Sentinel takes for the primary.
pub(super) async fn primary_of(sentinel: &mut Connection) -> anyhow::Result<String> {
    let (address, _port): (String, String) = sentinel.run(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", CLUSTER]).await?;
    Ok(address)
}
