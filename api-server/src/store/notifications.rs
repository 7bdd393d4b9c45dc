//! Users' notification logs.

use async_trait::async_trait;

use super::{Page, Result};
use crate::domain::notification::{NewNotification, Notification};
use crate::domain::{ClientId, NotificationId, UserId};

/// Notification logs.
#[async_trait]
pub trait Notifications: Send + Sync {
    /// Appends to the user's log. The id is greater than those of all that any reader can have seen in that log, however far the
    /// hosts' clocks are apart: a reader who goes on after the last id it saw misses nothing.
    async fn append(&self, notification: NewNotification) -> Result<NotificationId>;
    /// What follows `since` (from the beginning without it), in order; `None` when `since` is in the log no more, or never was.
    async fn page(
        &self,
        user: UserId,
        since: Option<NotificationId>,
        size: usize,
    ) -> Result<Option<Page<Notification>>>;
    /// One.
    async fn get(&self, user: UserId, id: NotificationId) -> Result<Option<Notification>>;
    /// The last one; with a client, the last for it.
    async fn last(&self, user: UserId, client: Option<ClientId>) -> Result<Option<Notification>>;
    /// The last one's id at most: where a reader of what is new begins.
    async fn position(&self, user: UserId) -> Result<Option<NotificationId>>;
    /// What follows a position, whether or not the log holds it.
    async fn after(&self, user: UserId, position: Option<NotificationId>, size: usize) -> Result<Page<Notification>>;
    /// How far a device has acknowledged the log on an event stream.
    async fn acknowledged(&self, user: UserId, client: ClientId) -> Result<Option<NotificationId>>;
    /// Sets it; never back.
    async fn acknowledge(&self, user: UserId, client: ClientId, position: NotificationId) -> Result<()>;
    /// Removes a user's log.
    async fn delete_all(&self, user: UserId) -> Result<()>;
}
