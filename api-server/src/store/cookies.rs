//! Cookies: sessions of users.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::Result;
use crate::domain::{ClientId, Time, UserId};

/// A session.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Cookie {
    /// Unique among the user's.
    pub id: u32,
    /// Whether it ends with the browser's session.
    pub session: bool,
    /// When it began.
    pub created: Time,
    /// When it ends.
    pub expires: Time,
    /// Name given by the client; a new cookie of the same label takes an old one's place.
    pub label: Option<String>,
    /// The device it is bound to.
    pub client: Option<ClientId>,
    /// The cookie that takes its place.
    pub successor: Option<u32>,
}

/// Sessions.
#[async_trait]
pub trait Cookies: Send + Sync {
    /// Keeps a cookie in place of one of the same id.
    async fn put(&self, user: UserId, cookie: &Cookie) -> Result<()>;
    /// One cookie, unless it ended.
    async fn get(&self, user: UserId, id: u32) -> Result<Option<Cookie>>;
    /// All that have not ended.
    async fn list(&self, user: UserId) -> Result<Vec<Cookie>>;
    /// Ends some.
    async fn delete(&self, user: UserId, ids: &[u32]) -> Result<()>;
}
