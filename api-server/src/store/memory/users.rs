//! Users, connections, properties.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;

use async_trait::async_trait;
use serde_json::Value;

use super::Table;
use crate::domain::connection::Connection;
use crate::domain::user::{User, UserChange};
use crate::domain::{Time, UserId};
use crate::store::connections::Connections;
use crate::store::properties::Properties;
use crate::store::users::{Claim, Users};
use crate::store::{Page, Result};

/// Users by id, passwords by user, users by claim.
#[derive(Default)]
pub struct MemoryUsers {
    users: Table<BTreeMap<UserId, User>>,
    passwords: Table<HashMap<UserId, String>>,
    /// With the time at which it was taken.
    claims: Table<HashMap<Claim, (UserId, Time)>>,
}

#[async_trait]
impl Users for MemoryUsers {
    async fn ready(&self) -> Result<()> {
        Ok(())
    }

    async fn insert(&self, user: &User) -> Result<()> {
        self.users.lock().insert(user.id, user.clone());
        Ok(())
    }

    async fn get(&self, id: UserId) -> Result<Option<User>> {
        Ok(self.users.lock().get(&id).cloned())
    }

    async fn get_many(&self, ids: &[UserId]) -> Result<Vec<User>> {
        let users = self.users.lock();
        Ok(ids.iter().filter_map(|id| users.get(id).cloned()).collect())
    }

    async fn update(&self, id: UserId, change: UserChange) -> Result<()> {
        if let Some(user) = self.users.lock().get_mut(&id) {
            change.apply(user);
        }
        Ok(())
    }

    async fn all(&self, after: Option<UserId>, size: usize) -> Result<Page<User>> {
        let users = self.users.lock();
        let range = (after.map_or(Bound::Unbounded, Bound::Excluded), Bound::Unbounded);
        Ok(Page::cut(users.range(range).take(size + 1).map(|(_, user)| user.clone()).collect(), size))
    }

    async fn set_password(&self, id: UserId, hash: Option<&str>) -> Result<()> {
        let mut passwords = self.passwords.lock();
        match hash {
            Some(hash) => passwords.insert(id, hash.to_owned()),
            None => passwords.remove(&id),
        };
        Ok(())
    }

    async fn password(&self, id: UserId) -> Result<Option<String>> {
        Ok(self.passwords.lock().get(&id).cloned())
    }

    async fn claim(&self, claim: &Claim, user: UserId) -> Result<bool> {
        Ok(self.claims.lock().entry(claim.clone()).or_insert((user, Time::now())).0 == user)
    }

    async fn take_over(&self, claim: &Claim, user: UserId, before: Time) -> Result<bool> {
        let users = self.users.lock();
        let mut claims = self.claims.lock();
        let stale =
            claims.get_mut(claim).filter(|(owner, taken)| *taken < before && !claim.is_borne_by(users.get(owner)));
        Ok(stale.map(|taken| *taken = (user, Time::now())).is_some())
    }

    async fn release(&self, claim: &Claim, user: UserId) -> Result<()> {
        let mut claims = self.claims.lock();
        if claims.get(claim).is_some_and(|(owner, _)| *owner == user) {
            claims.remove(claim);
        }
        Ok(())
    }

    async fn owner(&self, claim: &Claim) -> Result<Option<UserId>> {
        Ok(self.claims.lock().get(claim).map(|(owner, _)| *owner))
    }
}

/// Sides of connections by both users.
#[derive(Default)]
pub struct MemoryConnections(Table<BTreeMap<(UserId, UserId), Connection>>);

#[async_trait]
impl Connections for MemoryConnections {
    async fn put(&self, side: &Connection) -> Result<()> {
        self.0.lock().insert((side.from, side.to), side.clone());
        Ok(())
    }

    async fn get(&self, from: UserId, to: UserId) -> Result<Option<Connection>> {
        Ok(self.0.lock().get(&(from, to)).cloned())
    }

    async fn list(&self, from: UserId, after: Option<UserId>, size: usize) -> Result<Page<Connection>> {
        let table = self.0.lock();
        let after = after.map_or(Bound::Unbounded, |to| Bound::Excluded((from, to)));
        let sides = table.range((after, Bound::Unbounded)).map(|(_, side)| side);
        let own = sides.skip_while(|side| side.from < from).take_while(|side| side.from == from);
        Ok(Page::cut(own.take(size + 1).cloned().collect(), size))
    }

    async fn delete_all(&self, from: UserId) -> Result<()> {
        self.0.lock().retain(|(user, _), _| *user != from);
        Ok(())
    }
}

/// Properties by user.
#[derive(Default)]
pub struct MemoryProperties(Table<HashMap<UserId, BTreeMap<String, Value>>>);

#[async_trait]
impl Properties for MemoryProperties {
    async fn put(&self, user: UserId, key: &str, value: &Value) -> Result<()> {
        self.0.lock().entry(user).or_default().insert(key.to_owned(), value.clone());
        Ok(())
    }

    async fn get(&self, user: UserId, key: &str) -> Result<Option<Value>> {
        Ok(self.0.lock().get(&user).and_then(|properties| properties.get(key).cloned()))
    }

    async fn list(&self, user: UserId) -> Result<BTreeMap<String, Value>> {
        Ok(self.0.lock().get(&user).cloned().unwrap_or_default())
    }

    async fn delete(&self, user: UserId, key: &str) -> Result<()> {
        if let Some(properties) = self.0.lock().get_mut(&user) {
            properties.remove(key);
        }
        Ok(())
    }

    async fn clear(&self, user: UserId) -> Result<()> {
        self.0.lock().remove(&user);
        Ok(())
    }
}
