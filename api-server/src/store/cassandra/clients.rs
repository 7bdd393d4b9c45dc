//! Devices.

use std::collections::{BTreeMap, HashMap};

use async_trait::async_trait;
use scylla::DeserializeRow;
use scylla::value::{CqlValue, MaybeUnset};
use uuid::Uuid;

use super::Shared;
use super::session::Vote;
use super::values::{from_json, from_json_or_default, json, needed};
use crate::domain::client::{Client, ClientChange};
use crate::domain::{ClientId, Time, UserId};
use crate::store::Result;
use crate::store::clients::Clients;

/// Devices in the keyspace of brig. All changes are votes: none brings back a device that is gone.
pub(super) struct CassandraClients(pub(super) Shared);

#[derive(DeserializeRow)]
struct Row {
    user: UserId,
    id: ClientId,
    kind: Option<String>,
    class: Option<String>,
    time: Option<Time>,
    cookie: Option<String>,
    label: Option<String>,
    model: Option<String>,
    capabilities: Option<String>,
    mls_public_keys: Option<BTreeMap<String, String>>,
    last_active: Option<Time>,
}

impl Row {
    fn client(self) -> Result<Client> {
        Ok(Client {
            id: self.id,
            kind: from_json(&needed(self.kind, "kind")?)?,
            class: self.class.as_deref().map(from_json).transpose()?,
            time: needed(self.time, "time")?,
            cookie: self.cookie,
            label: self.label,
            model: self.model,
            capabilities: from_json_or_default(self.capabilities.as_deref())?,
            mls_public_keys: self.mls_public_keys.unwrap_or_default(),
            last_active: self.last_active,
        })
    }
}

macro_rules! columns {
    () => {
        "user, id, kind, class, time, cookie, label, model, capabilities, mls_public_keys, last_active"
    };
}

const INSERT: &str = concat!(
    "INSERT INTO clients (",
    columns!(),
    ", insertion) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) IF NOT EXISTS"
);
const GET: &str = concat!("SELECT ", columns!(), " FROM clients WHERE user = ? AND id = ?");
const LIST: &str = concat!("SELECT ", columns!(), " FROM clients WHERE user = ?");
const UPDATE: &str = "UPDATE clients SET label = ?, capabilities = ?, mls_public_keys = mls_public_keys + ?, last_active = ? \
                      WHERE user = ? AND id = ? IF EXISTS";
const DELETE: &str = "DELETE FROM clients WHERE user = ? AND id = ? IF EXISTS";

#[async_trait]
impl Clients for CassandraClients {
    async fn insert(&self, user: UserId, client: &Client) -> Result<bool> {
        let insertion = Uuid::new_v4();
        let values = (
            user,
            client.id,
            json(&client.kind)?,
            client.class.map(|class| json(&class)).transpose()?,
            client.time,
            &client.cookie,
            &client.label,
            &client.model,
            json(&client.capabilities)?,
            &client.mls_public_keys,
            client.last_active,
            insertion,
        );
        let (vote, _) = self.0.brig.vote_until_known(INSERT, values).await?;
        Ok(match vote {
            Vote::Carried => true,
            // By an attempt of ours whose answer was lost.
            Vote::Refused(present) => present.get("insertion") == Some(&CqlValue::Uuid(insertion)),
            Vote::Lost(_) => false,
        })
    }

    async fn get(&self, user: UserId, id: ClientId) -> Result<Option<Client>> {
        self.0.brig.row::<Row>(GET, (user, id)).await?.map(Row::client).transpose()
    }

    async fn list(&self, user: UserId) -> Result<Vec<Client>> {
        let rows: Vec<Row> = self.0.brig.rows(LIST, (user,)).await?;
        sorted(rows)
    }

    async fn list_many(&self, users: &[UserId]) -> Result<HashMap<UserId, Vec<Client>>> {
        let lists = self.0.brig.rows_each::<Row, _>(LIST, users.iter().map(|user| (*user,))).await?;
        let entry = |rows: Vec<Row>| rows.first().map(|row| row.user).map(|user| Ok((user, sorted(rows)?)));
        lists.into_iter().filter_map(entry).collect()
    }

    async fn update(&self, user: UserId, id: ClientId, change: ClientChange) -> Result<bool> {
        let values = (
            MaybeUnset::from_option(change.label),
            MaybeUnset::from_option(change.capabilities.map(|capabilities| json(&capabilities)).transpose()?),
            MaybeUnset::from_option(change.mls_public_keys),
            MaybeUnset::from_option(change.last_active),
            user,
            id,
        );
        match self.0.brig.vote_until_known(UPDATE, values).await? {
            (Vote::Carried, _) => Ok(true),
            (Vote::Refused(_), _) => Ok(false),
            (Vote::Lost(error), _) => Err(error),
        }
    }

    async fn delete(&self, user: UserId, id: ClientId) -> Result<bool> {
        match self.0.brig.vote_until_known(DELETE, (user, id)).await? {
            (Vote::Carried, _) => Ok(true),
            // An attempt before may have removed it.
            (Vote::Refused(_), lost) => Ok(lost),
            (Vote::Lost(error), _) => Err(error),
        }
    }
}

fn sorted(rows: Vec<Row>) -> Result<Vec<Client>> {
    let mut clients = rows.into_iter().map(Row::client).collect::<Result<Vec<_>>>()?;
    // Cassandra's numbers have a sign.
    clients.sort_by_key(|client| client.id);
    Ok(clients)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn devices_are_listed_by_their_ids_without_a_sign() {
        let row = |id| Row {
            user: UserId::random(),
            id: ClientId(id),
            kind: Some("\"permanent\"".to_owned()),
            class: None,
            time: Some(Time::from_milliseconds(1)),
            cookie: None,
            label: None,
            model: None,
            capabilities: None,
            mls_public_keys: None,
            last_active: None,
        };
        let ids: Vec<_> = sorted(vec![row(u64::MAX), row(1)]).unwrap().iter().map(|client| client.id.0).collect();
        assert_eq!(ids, [1, u64::MAX]);
        assert!(sorted(vec![Row { time: None, ..row(1) }]).is_err());
    }
}
