//! Telling users what happened: first written to the log, then hinted at.
//!
//! A hint says only that there is something new; the websocket's process reads the log. So a hint that is lost, doubled or late
//! costs time and no notification. After hints were missed the log is read, and whether the device is still there. Transient events are in no log and travel in the hint itself.

use std::sync::Arc;

use anyhow::Context as _;
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use serde_json::Value;
use uuid::Uuid;

use crate::config::Config;
use crate::domain::notification::NewNotification;
use crate::domain::{ClientId, NotificationId, UserId};
use crate::http::Failure;
use crate::store::notifications::Notifications;

mod local;
mod redis;

pub use local::LocalHints;
pub use redis::RedisHints;

/// What a websocket is told.
#[derive(Clone, Debug)]
pub enum Hint {
    /// The log has grown.
    Log,
    /// An event that is in no log.
    Transient(Arc<Transient>),
    /// A device is gone: its websockets are closed.
    ClientGone(ClientId),
    /// Hints may have been missed: the log may have grown, and the device may be gone.
    Missed,
}

/// An event that is in no log.
#[derive(Clone, Debug)]
pub struct Transient {
    /// Only names it.
    pub id: NotificationId,
    /// The devices it is for; `None` means all.
    pub clients: Option<Vec<ClientId>>,
    /// The events.
    pub payload: Vec<Value>,
}

/// Hints between processes.
pub trait Hints: Send + Sync {
    /// Tells a user's websockets. Never fails for the caller: the log is the truth.
    fn publish(&self, user: UserId, hint: Hint);
    /// Hears what a user's websockets are told. A receiver that lags has missed hints, as after [`Hint::Missed`].
    fn subscribe(&self, user: UserId) -> tokio::sync::broadcast::Receiver<Hint>;
}

/// Hints as the configuration has them: through Redis, or within this process.
///
/// # Errors
/// Addresses or a file of authorities that are none.
pub fn hints(config: &Config) -> anyhow::Result<Arc<dyn Hints>> {
    Ok(match &config.redis {
        Some(redis) => Arc::new(RedisHints::start(redis).context("redis")?),
        None => Arc::new(LocalHints::default()),
    })
}

/// How many logs are written at a time for one event.
const WRITES: usize = 64;

/// Tells users what happened.
pub struct Push {
    log: Arc<dyn Notifications>,
    hints: Arc<dyn Hints>,
}

impl Push {
    /// Through a log and hints.
    pub fn new(log: Arc<dyn Notifications>, hints: Arc<dyn Hints>) -> Self {
        Self { log, hints }
    }

    /// Hears what a user's websockets are told.
    pub fn subscribe(&self, user: UserId) -> tokio::sync::broadcast::Receiver<Hint> {
        self.hints.subscribe(user)
    }

    /// Writes notifications to their logs, each hinted at as soon as it is kept.
    ///
    /// # Errors
    /// A log that did not take one; others may have.
    pub async fn send(&self, notifications: Vec<NewNotification>) -> Result<(), Failure> {
        self.send_at_once(notifications, WRITES).await
    }

    /// Likewise, so many at a time and at most as many as suit the logs: each is made when its turn comes, so that of large ones there are few.
    ///
    /// # Errors
    /// As [`Push::send`].
    pub async fn send_at_once(
        &self,
        notifications: impl IntoIterator<Item = NewNotification, IntoIter: Send>,
        at_once: usize,
    ) -> Result<(), Failure> {
        stream::iter(notifications)
            .map(|notification| async {
                let user = notification.user;
                self.log.append(notification).await?;
                self.hints.publish(user, Hint::Log);
                Ok(())
            })
            .buffer_unordered(at_once.clamp(1, WRITES))
            .try_collect::<()>()
            .await
    }

    /// Tells all devices of some users one event.
    ///
    /// # Errors
    /// As [`Push::send`].
    pub async fn tell(
        &self,
        users: impl IntoIterator<Item = UserId>,
        event: &Value,
        origin: Option<&str>,
    ) -> Result<(), Failure> {
        let origin = origin.filter(|origin| !origin.is_empty());
        let notification = |user| NewNotification {
            user,
            clients: None,
            payload: vec![event.clone()],
            origin: origin.map(str::to_owned),
        };
        self.send(users.into_iter().map(notification).collect()).await
    }

    /// Tells devices that are listening now an event that is in no log.
    pub fn tell_now(&self, user: UserId, clients: Option<Vec<ClientId>>, event: &Value) {
        let transient = Transient { id: NotificationId(Uuid::new_v4()), clients, payload: vec![event.clone()] };
        self.hints.publish(user, Hint::Transient(Arc::new(transient)));
    }

    /// Closes the websockets of a device that is gone.
    pub fn client_gone(&self, user: UserId, client: ClientId) {
        self.hints.publish(user, Hint::ClientGone(client));
    }
}
