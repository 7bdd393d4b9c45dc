//! Brings keyspaces to the newest version of their schema. May be run twice, and by several at once: one at a time holds a lease, and
//! the others wait for it.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use scylla::client::session::Session;
use scylla::errors::{DbError, ExecutionError, RequestAttemptError};
use scylla::statement::Consistency;
use scylla::statement::unprepared::Statement;
use scylla::value::CqlValue;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::schema::{self, Version};
use super::session::{Keyspace, Vote, connect};
use crate::config::{Cassandra, CassandraLogin};

/// Where a keyspace's version and the lease are.
const TABLE: &str = "wire_api_schema";
/// Seconds that a lease lasts when its holder is gone.
const LEASE: i32 = 60;
/// Who waits looks this often whether it is their turn.
const TURN: Duration = Duration::from_millis(300);
/// Every node has heard of a new keyspace or table after this time.
const HEARSAY: Duration = Duration::from_secs(20);
/// Others are waited for this long.
const PATIENCE: Duration = Duration::from_secs(180);

const VERSION: &str = "SELECT version FROM wire_api_schema WHERE name = 'schema'";
const SET_VERSION: &str = "UPDATE wire_api_schema SET version = ? WHERE name = 'schema' IF version = ?";
const TAKE_LEASE: &str = "INSERT INTO wire_api_schema (name, holder) VALUES ('lease', ?) IF NOT EXISTS USING TTL ?";
const KEEP_LEASE: &str = "UPDATE wire_api_schema USING TTL ? SET holder = ? WHERE name = 'lease' IF holder = ?";
const END_LEASE: &str = "DELETE FROM wire_api_schema WHERE name = 'lease' IF holder = ?";

/// What was done to a keyspace.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Migrated {
    /// The keyspace.
    pub keyspace: String,
    /// Its version before.
    pub from: i32,
    /// Its version now.
    pub to: i32,
}

/// Brings all keyspaces to the newest version.
///
/// # Errors
/// Nodes that do not answer, a replication factor above their number, a role that may not.
pub async fn migrate(config: &Cassandra) -> anyhow::Result<Vec<Migrated>> {
    let mut done = Vec::new();
    for (login, text) in super::areas(config) {
        let name = login.keyspace();
        let migrated = one(config, login, text).await.with_context(|| format!("keyspace {name}"))?;
        tracing::info!(keyspace = name, from = migrated.from, to = migrated.to, "migrated");
        done.push(migrated);
    }
    Ok(done)
}

/// The version of a keyspace's schema; 0 when there is none.
pub(super) async fn version(keyspace: &Keyspace) -> crate::store::Result<i32> {
    let row = keyspace.row::<(Option<i32>,)>(VERSION, ()).await?;
    Ok(row.and_then(|(version,)| version).unwrap_or(0))
}

async fn one(config: &Cassandra, login: &CassandraLogin, text: &str) -> anyhow::Result<Migrated> {
    let session = connect(config, login, None).await?;
    let nodes = nodes(&session);
    match replication(&session, login.keyspace()).await? {
        Some(replication) => check(&replication, &nodes)?,
        None => create(&session, config, login, &nodes).await?,
    }
    let id = table_id(login.keyspace());
    let columns = "(name text PRIMARY KEY, version int, holder uuid)";
    let table = format!("CREATE TABLE IF NOT EXISTS \"{}\".{TABLE} {columns} WITH ID = {id}", login.keyspace());
    let begun = Instant::now();
    while let Err(error) = define(&session, &table).await {
        // A node may not have heard yet of a keyspace that another process has just made.
        if begun.elapsed() > HEARSAY || !is_hearsay(&error) {
            return Err(error);
        }
        tokio::time::sleep(TURN).await;
    }
    session.use_keyspace(login.keyspace(), true).await?;
    session.await_schema_agreement().await?;
    let keyspace = Keyspace::new(session, login.keyspace());
    let holder = Uuid::new_v4();
    lease(&keyspace, holder).await?;
    let outcome = apply(&keyspace, text, holder).await;
    // When this fails the lease ends by itself.
    let _ = keyspace.vote_until_known(END_LEASE, (holder,)).await;
    outcome
}

async fn apply(keyspace: &Keyspace, text: &str, holder: Uuid) -> anyhow::Result<Migrated> {
    let from = version(keyspace).await?;
    let mut present = from;
    for Version { number, statements } in schema::missing(text, from) {
        for statement in statements {
            match keyspace.vote_until_known(KEEP_LEASE, (LEASE, holder, holder)).await? {
                (Vote::Carried, _) => {}
                (Vote::Refused(_), _) => bail!("another process took over; run this again"),
                (Vote::Lost(error), _) => return Err(error.into()),
            }
            define(keyspace.session()?, &statement).await?;
        }
        let expected = (present > 0).then_some(present);
        match keyspace.vote_until_known(SET_VERSION, (number, expected)).await? {
            (Vote::Carried, _) | (Vote::Refused(_), true) => present = number,
            (Vote::Refused(_), false) => bail!("another process changed the version; run this again"),
            (Vote::Lost(error), _) => return Err(error.into()),
        }
    }
    Ok(Migrated { keyspace: keyspace.name().to_owned(), from, to: present })
}

async fn lease(keyspace: &Keyspace, holder: Uuid) -> anyhow::Result<()> {
    let begun = Instant::now();
    loop {
        match keyspace.vote(TAKE_LEASE, (holder, LEASE)).await {
            Ok(Vote::Carried) => return Ok(()),
            // By an attempt before, whose answer was lost.
            Ok(Vote::Refused(present)) if present.get("holder") == Some(&CqlValue::Uuid(holder)) => return Ok(()),
            // A node may not have heard yet of a table that another process has just made.
            Err(error) if begun.elapsed() > HEARSAY => return Err(error.into()),
            _ => {}
        }
        ensure!(begun.elapsed() < PATIENCE, "another process has been migrating it for {} s", PATIENCE.as_secs());
        tokio::time::sleep(TURN).await;
    }
}

async fn define(session: &Session, statement: &str) -> anyhow::Result<()> {
    let mut statement = Statement::new(statement);
    // Other nodes hear of it before this is answered: a loaded cluster takes its time.
    statement.set_request_timeout(Some(Duration::from_secs(60)));
    session.query_unpaged(statement, ()).await?;
    Ok(())
}

/// A table that several make at once must have one id, or they would make several of one name. The one of versions is made before there
/// is a lease, so its id follows from the keyspace.
fn table_id(keyspace: &str) -> Uuid {
    let digest = Sha256::new().chain_update(TABLE).chain_update(keyspace).finalize();
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    uuid::Builder::from_random_bytes(bytes).into_uuid()
}

/// Whether a node refused a statement for what it does not know.
fn is_hearsay(error: &anyhow::Error) -> bool {
    let refused = error.downcast_ref::<ExecutionError>();
    matches!(refused, Some(ExecutionError::LastAttemptError(RequestAttemptError::DbError(DbError::Invalid, _))))
}

/// Nodes by data centre.
fn nodes(session: &Session) -> HashMap<String, u32> {
    let mut nodes = HashMap::new();
    for node in session.get_cluster_state().get_nodes_info() {
        *nodes.entry(node.datacenter.clone().unwrap_or_default()).or_insert(0) += 1;
    }
    nodes
}

async fn replication(session: &Session, keyspace: &str) -> anyhow::Result<Option<HashMap<String, String>>> {
    let mut statement = Statement::new("SELECT replication FROM system_schema.keyspaces WHERE keyspace_name = ?");
    // These tables are each node's own.
    statement.set_consistency(Consistency::One);
    let rows = session.query_unpaged(statement, (keyspace,)).await?.into_rows_result()?;
    Ok(rows.maybe_first_row::<(HashMap<String, String>,)>()?.map(|(replication,)| replication))
}

/// Refuses what no number of nodes at hand can keep: writes at quorum would wait for nodes that are not there.
fn check(replication: &HashMap<String, String>, nodes: &HashMap<String, u32>) -> anyhow::Result<()> {
    for (key, value) in replication {
        // `3` or, with transient replicas, `3/1`.
        let Some(factor) = value.split('/').next().and_then(|factor| factor.parse::<u32>().ok()) else { continue };
        let (place, present) = match key.as_str() {
            "class" => continue,
            "replication_factor" => ("the cluster", nodes.values().sum()),
            datacenter => (datacenter, nodes.get(datacenter).copied().unwrap_or(0)),
        };
        ensure!(
            factor <= present,
            "rows are to be on {factor} nodes, and {place} has {present}: lower the replication factor or add nodes"
        );
    }
    Ok(())
}

async fn create(
    session: &Session,
    config: &Cassandra,
    login: &CassandraLogin,
    nodes: &HashMap<String, u32>,
) -> anyhow::Result<()> {
    let datacenter = match (&config.datacenter, nodes.len()) {
        (Some(datacenter), _) => datacenter.clone(),
        (None, 1) => nodes.keys().next().cloned().unwrap_or_default(),
        _ => bail!("it is missing, and there are several data centres: set cassandra.datacenter"),
    };
    let wanted = HashMap::from([(datacenter.clone(), config.replication_factor.to_string())]);
    check(&wanted, nodes)?;
    let statement = format!(
        "CREATE KEYSPACE IF NOT EXISTS \"{}\" WITH replication = {{'class': 'NetworkTopologyStrategy', '{datacenter}': {}}}",
        login.keyspace(),
        config.replication_factor
    );
    define(session, &statement).await.with_context(|| format!("it is missing, and {} cannot make it", login.user))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn map<V>(entries: &[(&str, V)]) -> HashMap<String, V>
    where
        V: Clone,
    {
        entries.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect()
    }

    #[test]
    fn a_replication_factor_above_the_nodes_is_refused() {
        let topology = |factor: &str| {
            map(&[
                ("class", "org.apache.cassandra.locator.NetworkTopologyStrategy".to_owned()),
                ("dc1", factor.to_owned()),
            ])
        };
        let nodes = map(&[("dc1", 3), ("dc2", 5)]);
        assert!(check(&topology("3"), &nodes).is_ok());
        let refused = check(&topology("4"), &nodes).unwrap_err().to_string();
        assert!(refused.contains("4 nodes") && refused.contains("dc1 has 3"), "{refused}");
        assert!(check(&topology("3/1"), &nodes).is_ok());
        assert!(check(&map(&[("dc3", "1".to_owned())]), &nodes).is_err(), "a data centre without nodes");
        let simple =
            |factor: &str| map(&[("class", "SimpleStrategy".to_owned()), ("replication_factor", factor.to_owned())]);
        assert!(check(&simple("8"), &nodes).is_ok());
        assert!(check(&simple("9"), &nodes).is_err());
    }
}
