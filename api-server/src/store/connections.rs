//! Connections: each side is kept by itself.

use async_trait::async_trait;

use super::{Page, Result};
use crate::domain::UserId;
use crate::domain::connection::Connection;

/// Connections.
#[async_trait]
pub trait Connections: Send + Sync {
    /// Keeps one side, in place of what it was.
    async fn put(&self, side: &Connection) -> Result<()>;
    /// One side.
    async fn get(&self, from: UserId, to: UserId) -> Result<Option<Connection>>;
    /// A user's sides after one, by the other's id.
    async fn list(&self, from: UserId, after: Option<UserId>, size: usize) -> Result<Page<Connection>>;
    /// Removes a user's sides.
    async fn delete_all(&self, from: UserId) -> Result<()>;
}
