//! Connections, and users' own small data.

use std::collections::BTreeMap;

use async_trait::async_trait;
use scylla::DeserializeRow;
use serde_json::Value;

use super::Shared;
use super::values::{from_json, json};
use crate::domain::connection::Connection;
use crate::domain::{ConversationId, Time, UserId};
use crate::store::connections::Connections;
use crate::store::properties::Properties;
use crate::store::{Page, Result};

/// Connections in the keyspace of brig.
pub(super) struct CassandraConnections(pub(super) Shared);

#[derive(DeserializeRow)]
struct Row {
    user: UserId,
    other: UserId,
    status: String,
    conversation: ConversationId,
    last_update: Time,
}

impl Row {
    fn side(self) -> Result<Connection> {
        Ok(Connection {
            from: self.user,
            to: self.other,
            status: from_json(&self.status)?,
            conversation: self.conversation,
            last_update: self.last_update,
        })
    }
}

macro_rules! columns {
    () => {
        "user, other, status, conversation, last_update"
    };
}

const PUT: &str = concat!("INSERT INTO connections (", columns!(), ") VALUES (?, ?, ?, ?, ?)");
const GET: &str = concat!("SELECT ", columns!(), " FROM connections WHERE user = ? AND other = ?");
const FIRST: &str = concat!("SELECT ", columns!(), " FROM connections WHERE user = ? LIMIT ?");
const FOLLOWING: &str = concat!("SELECT ", columns!(), " FROM connections WHERE user = ? AND other > ? LIMIT ?");
const DELETE_ALL: &str = "DELETE FROM connections WHERE user = ?";

#[async_trait]
impl Connections for CassandraConnections {
    async fn put(&self, side: &Connection) -> Result<()> {
        let values = (side.from, side.to, json(&side.status)?, side.conversation, side.last_update);
        self.0.brig.write(PUT, values).await
    }

    async fn get(&self, from: UserId, to: UserId) -> Result<Option<Connection>> {
        self.0.brig.row::<Row>(GET, (from, to)).await?.map(Row::side).transpose()
    }

    async fn list(&self, from: UserId, after: Option<UserId>, size: usize) -> Result<Page<Connection>> {
        let limit = i32::try_from(size.saturating_add(1)).unwrap_or(i32::MAX);
        let rows: Vec<Row> = match after {
            None => self.0.brig.rows(FIRST, (from, limit)).await?,
            Some(to) => self.0.brig.rows(FOLLOWING, (from, to, limit)).await?,
        };
        Ok(Page::cut(rows.into_iter().map(Row::side).collect::<Result<_>>()?, size))
    }

    async fn delete_all(&self, from: UserId) -> Result<()> {
        self.0.brig.write(DELETE_ALL, (from,)).await
    }
}

/// Properties in the keyspace of brig.
pub(super) struct CassandraProperties(pub(super) Shared);

const PUT_PROPERTY: &str = "INSERT INTO properties (user, key, value) VALUES (?, ?, ?)";
const PROPERTY: &str = "SELECT value FROM properties WHERE user = ? AND key = ?";
const PROPERTIES: &str = "SELECT key, value FROM properties WHERE user = ?";
const DELETE_PROPERTY: &str = "DELETE FROM properties WHERE user = ? AND key = ?";
const CLEAR: &str = "DELETE FROM properties WHERE user = ?";

#[async_trait]
impl Properties for CassandraProperties {
    async fn put(&self, user: UserId, key: &str, value: &Value) -> Result<()> {
        self.0.brig.write(PUT_PROPERTY, (user, key, json(value)?)).await
    }

    async fn get(&self, user: UserId, key: &str) -> Result<Option<Value>> {
        let row = self.0.brig.row::<(String,)>(PROPERTY, (user, key)).await?;
        row.map(|(value,)| from_json(&value)).transpose()
    }

    async fn list(&self, user: UserId) -> Result<BTreeMap<String, Value>> {
        let rows: Vec<(String, String)> = self.0.brig.rows(PROPERTIES, (user,)).await?;
        rows.into_iter().map(|(key, value)| Ok((key, from_json(&value)?))).collect()
    }

    async fn delete(&self, user: UserId, key: &str) -> Result<()> {
        self.0.brig.write(DELETE_PROPERTY, (user, key)).await
    }

    async fn clear(&self, user: UserId) -> Result<()> {
        self.0.brig.write(CLEAR, (user,)).await
    }
}
