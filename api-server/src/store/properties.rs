//! Properties: small JSON values that a user's devices share.

use std::collections::BTreeMap;

use async_trait::async_trait;
use serde_json::Value;

use super::Result;
use crate::domain::UserId;

/// Properties.
#[async_trait]
pub trait Properties: Send + Sync {
    /// Sets one.
    async fn put(&self, user: UserId, key: &str, value: &Value) -> Result<()>;
    /// One.
    async fn get(&self, user: UserId, key: &str) -> Result<Option<Value>>;
    /// All.
    async fn list(&self, user: UserId) -> Result<BTreeMap<String, Value>>;
    /// Removes one.
    async fn delete(&self, user: UserId, key: &str) -> Result<()>;
    /// Removes all.
    async fn clear(&self, user: UserId) -> Result<()>;
}
