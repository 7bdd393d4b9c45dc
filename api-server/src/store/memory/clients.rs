//! Devices and prekeys.

use std::collections::{BTreeMap, HashMap};

use async_trait::async_trait;

use super::Table;
use crate::domain::client::{Client, ClientChange, LAST_RESORT, Prekey};
use crate::domain::{ClientId, UserId};
use crate::store::Result;
use crate::store::clients::Clients;
use crate::store::prekeys::Prekeys;

/// Devices by user, prekeys by device.
#[derive(Default)]
pub struct MemoryClients {
    clients: Table<HashMap<UserId, BTreeMap<ClientId, Client>>>,
    prekeys: Table<HashMap<(UserId, ClientId), BTreeMap<u16, String>>>,
}

#[async_trait]
impl Clients for MemoryClients {
    async fn insert(&self, user: UserId, client: &Client) -> Result<bool> {
        let mut clients = self.clients.lock();
        let own = clients.entry(user).or_default();
        let free = !own.contains_key(&client.id);
        if free {
            own.insert(client.id, client.clone());
        }
        Ok(free)
    }

    async fn get(&self, user: UserId, id: ClientId) -> Result<Option<Client>> {
        Ok(self.clients.lock().get(&user).and_then(|own| own.get(&id).cloned()))
    }

    async fn list(&self, user: UserId) -> Result<Vec<Client>> {
        Ok(self.clients.lock().get(&user).map(|own| own.values().cloned().collect()).unwrap_or_default())
    }

    async fn list_many(&self, users: &[UserId]) -> Result<HashMap<UserId, Vec<Client>>> {
        let clients = self.clients.lock();
        let entry = |user: &UserId| {
            let own = clients.get(user)?;
            (!own.is_empty()).then(|| (*user, own.values().cloned().collect()))
        };
        Ok(users.iter().filter_map(entry).collect())
    }

    async fn update(&self, user: UserId, id: ClientId, change: ClientChange) -> Result<bool> {
        let mut clients = self.clients.lock();
        let client = clients.get_mut(&user).and_then(|own| own.get_mut(&id));
        Ok(client.map(|client| change.apply(client)).is_some())
    }

    async fn delete(&self, user: UserId, id: ClientId) -> Result<bool> {
        Ok(self.clients.lock().get_mut(&user).is_some_and(|own| own.remove(&id).is_some()))
    }
}

#[async_trait]
impl Prekeys for MemoryClients {
    async fn put(&self, user: UserId, client: ClientId, prekeys: &[Prekey]) -> Result<()> {
        let mut table = self.prekeys.lock();
        table.entry((user, client)).or_default().extend(prekeys.iter().map(|prekey| (prekey.id, prekey.key.clone())));
        Ok(())
    }

    async fn claim(&self, user: UserId, client: ClientId) -> Result<Option<Prekey>> {
        let mut table = self.prekeys.lock();
        let Some(keys) = table.get_mut(&(user, client)) else { return Ok(None) };
        let Some((&id, key)) = keys.first_key_value() else { return Ok(None) };
        let prekey = Prekey { id, key: key.clone() };
        if id != LAST_RESORT {
            keys.remove(&id);
        }
        Ok(Some(prekey))
    }

    async fn ids(&self, user: UserId, client: ClientId) -> Result<Vec<u16>> {
        Ok(self.prekeys.lock().get(&(user, client)).map(|keys| keys.keys().copied().collect()).unwrap_or_default())
    }

    async fn delete(&self, user: UserId, client: ClientId) -> Result<()> {
        self.prekeys.lock().remove(&(user, client));
        Ok(())
    }
}
