//! Notifications: groups of events in a user's log.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{ClientId, NotificationId, UserId};

/// How long a notification is kept: 28 days, in seconds.
pub const LIFETIME: i64 = 28 * 24 * 3600;

/// A notification on its way into a user's log.
#[derive(Clone, Debug)]
pub struct NewNotification {
    /// Whose log.
    pub user: UserId,
    /// The devices it is for; `None` means all.
    pub clients: Option<Vec<ClientId>>,
    /// The events.
    pub payload: Vec<Value>,
    /// The connection (of the access token) whose request caused this: it has the event in its answer, and its websocket is spared.
    pub origin: Option<String>,
}

/// A notification in a user's log.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Notification {
    /// Grows within a user's log.
    pub id: NotificationId,
    /// The devices it is for; `None` means all.
    pub clients: Option<Vec<ClientId>>,
    /// The events.
    pub payload: Vec<Value>,
    /// The connection that caused it.
    pub origin: Option<String>,
}

impl Notification {
    /// Whether a device is to see this.
    pub fn is_for(&self, client: Option<ClientId>) -> bool {
        match (&self.clients, client) {
            (None, _) | (_, None) => true,
            (Some(clients), Some(client)) => clients.contains(&client),
        }
    }

    /// As the API shows it.
    pub fn view(&self) -> NotificationView<'_> {
        NotificationView { id: self.id, payload: &self.payload, transient: None }
    }
}

/// A notification as the API shows it.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct NotificationView<'a> {
    /// Its id in the log.
    pub id: NotificationId,
    /// Its events.
    pub payload: &'a [Value],
    /// Whether it is in no log.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transient: Option<bool>,
}
