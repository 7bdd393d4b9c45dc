//! The running cluster: how it is, and what is done to it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use futures_util::future::join_all;
use serde_json::{Map, Value};
use tokio::time::Instant;

use super::connection::{Connection, Connector, is_wrong_password};
use super::judge::{ADDRESSES, Known, detail};
use super::objects::{self, DEFAULT_SUPERUSER, Kind, password_hash};
use super::{DATACENTER, LET_IN, REPLACE_SUPERUSER, TENANTS};
use crate::desired::{Cluster, Object, Operation};
use crate::observed::{LiveState, Member};
use crate::services::cql::{Consistency, Row};
use crate::services::wait::until;
use crate::services::{ANSWER, Driver, OPERATOR, within};

/// Silence after which a node is taken for dead: Cassandra's phi_convict_threshold of 8 is reached after 18.4 times the mean time between
/// heartbeats, which is a second where hosts are not busy.
const TAKEN_FOR_DEAD: Duration = Duration::from_secs(22);
const PAUSE: Duration = Duration::from_millis(500);
/// How long it may take to put our superuser in the place of Cassandra's own.
const REPLACED: Duration = Duration::from_secs(60);
/// How long it may take until every copy of a role is where it belongs.
const REPAIRED: Duration = Duration::from_secs(60);

/// Asks every node how it is and how it sees the others, and one of them for what all hold.
pub(super) async fn observe(cluster: &Cluster, driver: &Driver<'_>) -> anyhow::Result<LiveState> {
    let connector = &Connector::new(cluster, driver)?;
    let answers = join_all(cluster.nodes.iter().map(|node| async move {
        within(ANSWER * 2, &node.host, async {
            let mut connection = connector.node(node).await?;
            let member = member(&mut connection).await?;
            Ok((connection, member))
        })
        .await
    }))
    .await;
    let mut live = LiveState::default();
    let mut connections = Vec::new();
    for (node, answer) in cluster.nodes.iter().zip(answers) {
        let member = match answer {
            Ok((connection, member)) => {
                connections.push(connection);
                member
            }
            Err(error) => Member { refuses: is_wrong_password(&error), ..Member::silent(&error) },
        };
        live.members.insert(node.host.clone(), member);
    }
    live.facts.insert(ADDRESSES.to_owned(), addresses(&live).into_iter().collect::<Vec<_>>().join(","));
    let mut why = None;
    for connection in &mut connections {
        // A node that has just started may not find enough others yet; one of those does.
        match within(ANSWER, "the cluster", held(connection, driver)).await {
            Ok(objects) => {
                live.objects = objects;
                return Ok(live);
            }
            Err(error) => why = Some(error),
        }
    }
    // Nothing is known of what the cluster holds, which is not the same as that it holds nothing.
    why.map_or(Ok(live), |error| Err(error.context("keyspaces and roles cannot be read")))
}

fn text(row: &Row, column: &str) -> String {
    row.get(column).and_then(Value::as_str).unwrap_or_default().to_owned()
}

async fn member(connection: &mut Connection) -> anyhow::Result<Member> {
    let local =
        "SELECT release_version, schema_version, bootstrapped, broadcast_address FROM system.local WHERE key = 'local'";
    let local = connection.query(local).await?.pop().context("a node knows nothing of itself")?;
    let gossip = connection.query("SELECT * FROM system_views.gossip_info").await?;
    let hints = connection.query("SELECT address FROM system_views.pending_hints").await?;
    let hints: Vec<_> = hints.iter().map(|row| text(row, "address")).collect();
    let known: BTreeMap<_, _> = gossip.iter().map(|row| (text(row, "address"), known(row))).collect();
    let details = [
        (detail::ADDRESS, text(&local, "broadcast_address")),
        (detail::SCHEMA, text(&local, "schema_version")),
        (detail::BOOTSTRAPPED, text(&local, "bootstrapped")),
        (detail::KNOWS, serde_json::to_string(&known)?),
        (detail::HINTS, hints.join(",")),
    ];
    let mut details: BTreeMap<String, String> = details.map(|(name, value)| (name.to_owned(), value)).into();
    if connection.as_default {
        details.insert(detail::DEFAULT_SUPERUSER.to_owned(), "true".to_owned());
    }
    Ok(Member { answers: true, version: Some(text(&local, "release_version")), details, ..Member::default() })
}

/// A line of a node's gossip. The status has the tokens behind a comma.
fn known(row: &Row) -> Known {
    let number = |column: &str| row.get(column).and_then(Value::as_i64).unwrap_or_default();
    let status = text(row, "status_with_port");
    let status = if status.is_empty() { text(row, "status") } else { status };
    let status = status.split(',').next().unwrap_or_default().to_owned();
    Known { generation: number("generation"), heartbeat: number("heartbeat"), status }
}

/// The addresses of nodes with a share of the data, dead ones included: those that left have another status. One that was taking another's
/// place when it died hibernates, and the place is still the former node's.
fn addresses(live: &LiveState) -> BTreeSet<String> {
    let views = live.members.values().filter_map(|member| member.details.get(detail::KNOWS));
    let views = views.filter_map(|text| serde_json::from_str::<BTreeMap<String, Known>>(text).ok());
    let holds = |known: &Known| matches!(known.status.as_str(), "NORMAL" | "shutdown" | "hibernate" | "BOOT_REPLACE");
    views.flatten().filter(|(_, known)| holds(known)).map(|(address, _)| address).collect()
}

/// What the cluster holds for each object. One copy is read: whoever just wants to know how things are must not wait for a node that
/// died and is not known to be dead yet, and the gate sees to it that copies do not differ for long.
async fn held(connection: &mut Connection, driver: &Driver<'_>) -> anyhow::Result<BTreeMap<String, Value>> {
    let mut held = BTreeMap::new();
    let one = Consistency::LocalOne;
    for row in connection.query_at("SELECT keyspace_name, replication FROM system_schema.keyspaces", one).await? {
        let replication = row.get("replication").and_then(Value::as_object).map_or(Value::Null, replication);
        held.insert(Kind::Keyspace(&text(&row, "keyspace_name")).id(), replication);
    }
    let roles = "SELECT role, can_login, is_superuser, salted_hash FROM system_auth.roles";
    for row in connection.query_at(roles, one).await? {
        let says = |column: &str| row.get(column).and_then(Value::as_bool).unwrap_or_default();
        let role = objects::role(driver.secrets, says("can_login"), says("is_superuser"), &text(&row, "salted_hash"));
        held.insert(Kind::Role(&text(&row, "role")).id(), role);
    }
    let mut grants: BTreeMap<String, Map<String, Value>> = BTreeMap::new();
    let permissions = "SELECT role, resource, permissions FROM system_auth.role_permissions";
    for row in connection.query_at(permissions, one).await? {
        let (role, resource) = (text(&row, "role"), text(&row, "resource"));
        // Whoever makes a table has every right on it; that is within the keyspace.
        if !resource.starts_with(&format!("{}/", objects::resource_of(&role))) {
            grants.entry(role).or_default().insert(resource, row.get("permissions").cloned().unwrap_or_default());
        }
    }
    let named = grants.into_iter().filter(|(role, _)| TENANTS.contains(&role.as_str()));
    held.extend(named.map(|(role, rights)| (Kind::Grants(&role).id(), Value::Object(rights))));
    Ok(held)
}

/// A keyspace's replication as an object tells it; null where Cassandra itself made it so, for one node.
fn replication(found: &Map<String, Value>) -> Value {
    if !found.get("class").and_then(Value::as_str).is_some_and(|class| class.ends_with("NetworkTopologyStrategy")) {
        return Value::Null;
    }
    let number =
        |value: &Value| value.as_str().and_then(|text| text.parse::<u32>().ok()).map_or(value.clone(), Value::from);
    found.iter().filter(|(name, _)| *name != "class").map(|(name, value)| (name.clone(), number(value))).collect()
}

/// Longest that an operation may take: letting a node in waits twice for others, and says itself what for.
pub(super) fn patience(cluster: &Cluster, operation: &Operation) -> Duration {
    let waits = if operation.name == LET_IN { 2 } else { 0 };
    waits * waiting(cluster) + REPLACED
}

/// How long others are waited for.
fn waiting(cluster: &Cluster) -> Duration {
    Duration::from_secs(cluster.gate_timeout_seconds.into())
}

/// Does an operation.
pub(super) async fn operate(cluster: &Cluster, operation: &Operation, driver: &Driver<'_>) -> anyhow::Result<()> {
    let connector = Connector::new(cluster, driver)?;
    match operation.name.as_str() {
        REPLACE_SUPERUSER => replace_superuser(cluster, &connector, driver).await,
        LET_IN => {
            replace_superuser(cluster, &connector, driver).await?;
            let patience = waiting(cluster);
            let host = operation.arguments.get("host").and_then(Value::as_str);
            let node = cluster.nodes.iter().find(|node| Some(node.host.as_str()) == host);
            let address = node.with_context(|| format!("{LET_IN} names no host of the cluster"))?.address.to_string();
            until(patience, PAUSE, || no_other_moves(cluster, &connector, &address)).await?;
            let silent = fell_silent(cluster, &connector, &address);
            tokio::time::timeout(patience, silent).await.with_context(|| format!("a node at {address} still runs"))?
        }
        other => bail!("cassandra has no operation {other}"),
    }
}

/// A connection to the first node that answers.
async fn any(cluster: &Cluster, connector: &Connector<'_>) -> anyhow::Result<Connection> {
    let mut why = anyhow::anyhow!("the cluster has no nodes");
    for node in &cluster.nodes {
        match connector.node(node).await {
            Ok(connection) => return Ok(connection),
            Err(error) => why = error,
        }
    }
    Err(why.context("no node answers"))
}

/// Makes wire-deploy's own superuser and drops the one whose password everyone knows. Done twice is done once.
async fn replace_superuser(cluster: &Cluster, connector: &Connector<'_>, driver: &Driver<'_>) -> anyhow::Result<()> {
    let mut connection = any(cluster, connector).await?;
    if connection.as_default {
        let hash = password_hash(driver.secrets, &cluster.service, OPERATOR);
        let options = format!("HASHED PASSWORD = '{hash}' AND SUPERUSER = true AND LOGIN = true");
        connection.query(&format!("CREATE ROLE IF NOT EXISTS \"{OPERATOR}\" WITH {options}")).await?;
        // Nobody can drop the role that he is.
        connection = any(cluster, connector).await?;
        ensure!(!connection.as_default, "{OPERATOR} was made and cannot log in");
    }
    connection.query(&format!("DROP ROLE IF EXISTS {DEFAULT_SUPERUSER}")).await.map(drop)
}

/// Only one node may come in at a time: each is told its share by those that were there before.
async fn no_other_moves(cluster: &Cluster, connector: &Connector<'_>, own: &str) -> anyhow::Result<()> {
    let gossip = any(cluster, connector).await?.query("SELECT * FROM system_views.gossip_info").await?;
    let moves = |row: &&Row| matches!(known(row).status.as_str(), "BOOT" | "BOOT_REPLACE" | "LEAVING" | "MOVING");
    // What has the own address is a former attempt that was cut short.
    let moving = gossip.iter().filter(|row| text(row, "address") != own).find(moves);
    match moving {
        Some(row) => bail!("{} is joining or leaving at the moment", text(row, "address")),
        None => Ok(()),
    }
}

/// Waits until the others take the node that had an address for dead, if there was one: they let none in in the place of one that they
/// believe alive.
async fn fell_silent(cluster: &Cluster, connector: &Connector<'_>, own: &str) -> anyhow::Result<()> {
    let mut heard = None;
    loop {
        let gossip = any(cluster, connector).await?.query("SELECT * FROM system_views.gossip_info").await?;
        let former =
            gossip.iter().filter(|row| text(row, "address") == own).map(known).find(|known| known.status == "NORMAL");
        let Some(former) = former else { return Ok(()) };
        match heard {
            Some((heartbeat, since)) if heartbeat == former.heartbeat => {
                if Instant::now() - since >= TAKEN_FOR_DEAD {
                    return Ok(());
                }
            }
            _ => heard = Some((former.heartbeat, Instant::now())),
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Makes an object what it should be.
pub(super) async fn put_object(cluster: &Cluster, object: &Object, driver: &Driver<'_>) -> anyhow::Result<()> {
    let connector = Connector::new(cluster, driver)?;
    let mut connection = any(cluster, &connector).await?;
    match Kind::of(&object.id) {
        Some(Kind::Keyspace(name)) => {
            put_keyspace(&mut connection, name, &object.wanted).await?;
            if objects::SYSTEM_KEYSPACES.first() == Some(&name) {
                drop(connection);
                return until(REPAIRED, PAUSE, || spread_roles(cluster, &connector)).await;
            }
            Ok(())
        }
        Some(Kind::Role(name)) if object.wanted.is_null() => {
            connection.query(&format!("DROP ROLE IF EXISTS \"{name}\"")).await.map(drop)
        }
        Some(Kind::Role(name)) => {
            let hash = password_hash(driver.secrets, &cluster.service, name);
            let options = format!("HASHED PASSWORD = '{hash}' AND SUPERUSER = {} AND LOGIN = true", name == OPERATOR);
            connection.query(&format!("CREATE ROLE IF NOT EXISTS \"{name}\" WITH {options}")).await?;
            // One may not take one's own rights away, so those of one's own are not named.
            let options = if name == OPERATOR { format!("HASHED PASSWORD = '{hash}'") } else { options };
            connection.query(&format!("ALTER ROLE \"{name}\" WITH {options}")).await.map(drop)
        }
        Some(Kind::Grants(name)) => put_grants(&mut connection, name, &object.wanted).await,
        None => bail!("cassandra has no object {}", object.id),
    }
}

async fn put_keyspace(connection: &mut Connection, name: &str, wanted: &Value) -> anyhow::Result<()> {
    let factor = wanted.get(DATACENTER).and_then(Value::as_u64).context("a keyspace without a replication factor")?;
    let options = format!("replication = {{'class': 'NetworkTopologyStrategy', '{DATACENTER}': {factor}}}");
    if !objects::SYSTEM_KEYSPACES.contains(&name) {
        connection.query(&format!("CREATE KEYSPACE IF NOT EXISTS \"{name}\" WITH {options}")).await?;
    }
    connection.query(&format!("ALTER KEYSPACE \"{name}\" WITH {options}")).await.map(drop)
}

/// Brings every role to all nodes that are to hold it now: what is read from all replicas is made the same on all. Each node is
/// tried, because only those that hold a role already can tell that we may read.
async fn spread_roles(cluster: &Cluster, connector: &Connector<'_>) -> anyhow::Result<()> {
    let mut why = None;
    for node in &cluster.nodes {
        let spread = async {
            let mut connection = connector.node(node).await?;
            let keyspace = objects::SYSTEM_KEYSPACES[0];
            let tables = format!("SELECT table_name FROM system_schema.tables WHERE keyspace_name = '{keyspace}'");
            for row in connection.query(&tables).await? {
                let statement = format!("SELECT * FROM {keyspace}.\"{}\"", text(&row, "table_name"));
                connection.query_at(&statement, Consistency::All).await?;
            }
            anyhow::Ok(())
        };
        match spread.await {
            Ok(()) => return Ok(()),
            Err(error) => why = Some(error),
        }
    }
    why.map_or(Ok(()), Err)
}

/// Gives a role the rights that it should have, and takes those that it should not.
async fn put_grants(connection: &mut Connection, role: &str, wanted: &Value) -> anyhow::Result<()> {
    let found = connection.query(&format!("LIST ALL PERMISSIONS OF \"{role}\"")).await?;
    let own = objects::resource_of(role);
    for row in found {
        // As `<keyspace brig>`, `<table brig.user>`, `<all keyspaces>`.
        let resource = text(&row, "resource");
        let within = resource == format!("<keyspace {role}>") || resource.starts_with(&format!("<table {role}."));
        if !within {
            let on = resource.trim_start_matches('<').trim_end_matches('>');
            connection.query(&format!("REVOKE {} ON {on} FROM \"{role}\"", text(&row, "permission"))).await?;
        }
    }
    let rights = wanted.get(&own).and_then(Value::as_array).context("a role without rights")?;
    for right in rights.iter().filter_map(Value::as_str) {
        connection.query(&format!("GRANT {right} ON KEYSPACE \"{role}\" TO \"{role}\"")).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::services::testing;

    #[test]
    fn replication_is_told_by_data_centre_once_it_is_ours() {
        let found = |value: Value| replication(value.as_object().unwrap_or(&Map::new()));
        let class = "org.apache.cassandra.locator.NetworkTopologyStrategy";
        assert_eq!(found(json!({ "class": class, "dc1": "3" })), json!({ "dc1": 3 }));
        let class = "org.apache.cassandra.locator.SimpleStrategy";
        assert_eq!(found(json!({ "class": class, "replication_factor": "1" })), Value::Null);
    }

    #[test]
    fn a_place_is_kept_for_whoever_lost_it_also_when_taking_it_again_was_cut_short() {
        let known = |status: &str| Known { generation: 1, heartbeat: 1, status: status.to_owned() };
        let statuses = ["NORMAL", "shutdown", "hibernate", "BOOT", "LEFT", "removed"];
        let view: BTreeMap<_, _> = statuses.iter().map(|status| (*status, known(status))).collect();
        let details = BTreeMap::from([(detail::KNOWS.to_owned(), serde_json::to_string(&view).unwrap_or_default())]);
        let member = Member { details, ..Member::default() };
        let live = LiveState { members: BTreeMap::from([("host1".into(), member)]), ..LiveState::default() };
        assert_eq!(addresses(&live), ["NORMAL", "hibernate", "shutdown"].map(str::to_owned).into());
    }

    #[test]
    fn whoever_waits_for_others_has_the_time_to_say_for_whom() {
        let cluster = Cluster { gate_timeout_seconds: 600, ..testing::cluster("cassandra") };
        let operation =
            |name: &str| Operation { name: name.to_owned(), description: String::new(), arguments: Value::Null };
        assert!(patience(&cluster, &operation(LET_IN)) > waiting(&cluster) * 2);
        assert_eq!(patience(&cluster, &operation(REPLACE_SUPERUSER)), REPLACED);
    }

    #[test]
    fn gossip_is_read_without_the_tokens() {
        let row = json!({ "address": "10.0.0.1", "generation": 5, "heartbeat": 7, "status_with_port": "NORMAL,-123" });
        let known = known(row.as_object().unwrap_or(&Map::new()));
        assert_eq!(known, Known { generation: 5, heartbeat: 7, status: "NORMAL".to_owned() });
    }
}
