//! Hints between processes, through Redis's channels: one for each user who has a websocket somewhere, and one for everybody.
//!
//! Redis keeps no messages, so a gap loses some. After each gap websockets are told so:
//! - by their own process when it subscribes to their user's channel, at first or after it lost Redis;
//! - by a process that may have told nobody, because it lost Redis or had too much to say: it tells everybody.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use redis::{PushInfo, PushKind, Value};
use tokio::sync::{Notify, broadcast, mpsc};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use super::local::LocalHints;
use super::{Hint, Hints};
use crate::config;
use crate::domain::UserId;

mod link;
mod message;
mod session;

use link::Link;

/// Hints that wait for Redis; when there are more everybody is told so later.
const WAITING: usize = 4096;
/// Users whose channels are subscribed to at a time, and the pause then: their websockets all read the log.
const CHUNK: usize = 200;
const PACE: Duration = Duration::from_millis(20);
/// Waits between attempts: from, to.
const PAUSES: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(3));

/// Hints in this process and through Redis in others.
pub struct RedisHints {
    shared: Arc<Shared>,
    queue: mpsc::Sender<(UserId, Hint)>,
    task: JoinHandle<()>,
}

/// What the task and its connections have in common with who calls.
struct Shared {
    /// Names this process.
    own: Uuid,
    local: LocalHints,
    /// Users whose channels are to be subscribed to.
    fresh: Mutex<HashSet<UserId>>,
    fresh_came: Notify,
    /// A hint was dropped.
    dropped: AtomicBool,
    /// Another process may have told nobody.
    everybody: Notify,
}

impl RedisHints {
    /// Begins to look for Redis, and never ends to.
    ///
    /// # Errors
    /// Addresses or a file of authorities that are none.
    pub fn start(config: &config::Redis) -> anyhow::Result<Self> {
        let link = Link::new(config)?;
        let shared = Arc::new(Shared {
            own: Uuid::new_v4(),
            local: LocalHints::default(),
            fresh: Mutex::default(),
            fresh_came: Notify::new(),
            dropped: AtomicBool::new(false),
            everybody: Notify::new(),
        });
        let (queue, waiting) = mpsc::channel(WAITING);
        let task = tokio::spawn(keep_connected(Arc::clone(&shared), link, waiting));
        Ok(Self { shared, queue, task })
    }
}

impl Drop for RedisHints {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Hints for RedisHints {
    fn publish(&self, user: UserId, hint: Hint) {
        self.shared.local.publish(user, hint.clone());
        if self.queue.try_send((user, hint)).is_err() {
            self.shared.dropped.store(true, Ordering::Relaxed);
        }
    }

    fn subscribe(&self, user: UserId) -> broadcast::Receiver<Hint> {
        let (receiver, first) = self.shared.local.listen(user);
        if first {
            self.shared.fresh().insert(user);
            self.shared.fresh_came.notify_one();
        }
        receiver
    }
}

impl Shared {
    fn fresh(&self) -> MutexGuard<'_, HashSet<UserId>> {
        self.fresh.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Some users whose channels are to be subscribed to, as soon as there are any.
    async fn take_fresh(&self) -> Vec<UserId> {
        loop {
            let taken: Vec<_> = {
                let mut fresh = self.fresh();
                let taken: Vec<_> = fresh.iter().take(CHUNK).copied().collect();
                taken.iter().for_each(|user| {
                    fresh.remove(user);
                });
                taken
            };
            if !taken.is_empty() {
                return taken;
            }
            self.fresh_came.notified().await;
        }
    }

    /// What Redis says unasked.
    fn hear(&self, said: &PushInfo) {
        let Some(Value::BulkString(channel)) = said.data.first() else { return };
        match (&said.kind, said.data.get(1)) {
            // Whatever was said before is missed.
            (PushKind::Subscribe, _) => {
                if let Some(user) = message::user(channel) {
                    self.local.publish(user, Hint::Missed);
                }
            }
            (PushKind::Message, Some(Value::BulkString(text))) => {
                let Some(hint) = message::decode(self.own, text) else { return };
                match message::user(channel) {
                    Some(user) => self.local.publish(user, hint),
                    None => self.everybody.notify_one(),
                }
            }
            _ => {}
        }
    }

    /// Tells all websockets that hints may have been missed, not all at once.
    async fn tell_everybody(&self) {
        for users in self.local.users().chunks(CHUNK) {
            for user in users {
                self.local.publish(*user, Hint::Missed);
            }
            sleep(PACE).await;
        }
    }
}

async fn keep_connected(shared: Arc<Shared>, link: Link, mut waiting: mpsc::Receiver<(UserId, Hint)>) {
    // What was taken from those that wait and is not said for certain.
    let mut batch = Vec::new();
    let (mut pause, mut gap, mut told) = (PAUSES.0, false, String::new());
    loop {
        let began = Instant::now();
        let lost = match session::open(&shared, &link).await {
            Ok(session) => {
                tracing::info!(address = session.address(), "hints go through this Redis");
                (pause, told) = (PAUSES.0, String::new());
                session.serve(&shared, &link, &mut waiting, &mut batch, gap).await
            }
            Err(error) => error,
        };
        gap = true;
        let text = format!("{lost:#}");
        if text != told {
            tracing::warn!(error = text, "no hints to and from other processes; websockets read their logs later");
            told = text;
        }
        if began.elapsed() < PAUSES.1 {
            pause = (pause * 2).min(PAUSES.1);
        }
        // Not all processes come back at the same moment.
        let part = 0.5 + f64::from(getrandom::u32().unwrap_or(0)) / f64::from(u32::MAX) / 2.0;
        sleep(pause.mul_f64(part)).await;
    }
}
