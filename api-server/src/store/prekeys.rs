//! Prekeys: each is given out once, but for the one of last resort.

use async_trait::async_trait;

use super::Result;
use crate::domain::client::Prekey;
use crate::domain::{ClientId, UserId};

/// Prekeys.
#[async_trait]
pub trait Prekeys: Send + Sync {
    /// Adds prekeys, in place of ones of the same ids.
    async fn put(&self, user: UserId, client: ClientId, prekeys: &[Prekey]) -> Result<()>;
    /// Takes a prekey out, or gives the one of last resort when no other is left. No two claims get the same one; a claim whose
    /// answer was lost has used one up.
    async fn claim(&self, user: UserId, client: ClientId) -> Result<Option<Prekey>>;
    /// The ids that are left, in order.
    async fn ids(&self, user: UserId, client: ClientId) -> Result<Vec<u16>>;
    /// Removes all.
    async fn delete(&self, user: UserId, client: ClientId) -> Result<()>;
}
