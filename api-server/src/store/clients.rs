//! Devices.

use std::collections::HashMap;

use async_trait::async_trait;

use super::Result;
use crate::domain::client::{Client, ClientChange};
use crate::domain::{ClientId, UserId};

/// Devices.
#[async_trait]
pub trait Clients: Send + Sync {
    /// Keeps a new device; false when its id is taken, also by an insertion whose answer was lost.
    async fn insert(&self, user: UserId, client: &Client) -> Result<bool>;
    /// One device.
    async fn get(&self, user: UserId, id: ClientId) -> Result<Option<Client>>;
    /// A user's devices, by id.
    async fn list(&self, user: UserId) -> Result<Vec<Client>>;
    /// Several users' devices; users without any have no entry.
    async fn list_many(&self, users: &[UserId]) -> Result<HashMap<UserId, Vec<Client>>>;
    /// Sets fields of a device; false when there is none.
    async fn update(&self, user: UserId, id: ClientId, change: ClientChange) -> Result<bool>;
    /// Removes a device; false when there is none.
    async fn delete(&self, user: UserId, id: ClientId) -> Result<bool>;
}
