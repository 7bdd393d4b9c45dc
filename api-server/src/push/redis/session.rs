//! One connection to the primary, as long as it is good.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use redis::{PushInfo, PushKind};
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, sleep_until};

use super::link::{Address, Connection, Link, expect_primary};
use super::message::{EVERYBODY, channel, encode};
use super::{CHUNK, PACE, Shared};
use crate::domain::UserId;
use crate::push::Hint;

/// Hints said at a time.
const BATCH: usize = 256;
/// Redis is asked for its role this often, so that one that died is noticed.
const HEARTBEAT: Duration = Duration::from_secs(2);
/// The Sentinels are asked this often whether it is still the primary: one that is cut off from the others does not know.
const LOOK: Duration = Duration::from_secs(10);
/// Channels of users who have gone are left this often.
const SWEEP: Duration = Duration::from_secs(30);
/// Several processes that tell everybody within this time are obeyed once.
const TOGETHER: Duration = Duration::from_secs(1);

/// A connection to the primary.
pub(super) struct Session {
    address: Address,
    connection: Connection,
    lost: Arc<Notify>,
    /// Whose channels are subscribed to.
    subscribed: HashSet<UserId>,
    telling: Option<JoinHandle<()>>,
}

/// Finds the primary.
pub(super) async fn open(shared: &Arc<Shared>, link: &Link) -> anyhow::Result<Session> {
    let lost = Arc::new(Notify::new());
    let heard = {
        let (shared, lost) = (Arc::clone(shared), Arc::clone(&lost));
        move |said: PushInfo| {
            match said.kind {
                PushKind::Disconnection => lost.notify_one(),
                _ => shared.hear(&said),
            }
            Ok::<(), std::convert::Infallible>(())
        }
    };
    let (address, connection) = link.to_primary(heard).await?;
    Ok(Session { address, connection, lost, subscribed: HashSet::new(), telling: None })
}

impl Session {
    /// Where the primary is.
    pub fn address(&self) -> &str {
        &self.address.0
    }

    /// Says what waits and hears what others say, until the connection is no good any more: gives why. `gap`: something may not have
    /// been said before.
    pub async fn serve(
        mut self,
        shared: &Arc<Shared>,
        link: &Link,
        waiting: &mut mpsc::Receiver<(UserId, Hint)>,
        batch: &mut Vec<(UserId, Hint)>,
        gap: bool,
    ) -> anyhow::Error {
        shared.fresh().extend(shared.local.users());
        if gap {
            shared.dropped.store(true, Ordering::Relaxed);
        }
        let moved = moved(link, self.address.clone());
        tokio::pin!(moved);
        let mut heartbeat = interval(HEARTBEAT);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut sweep = interval(SWEEP);
        let (mut resume, mut tell_at) = (Instant::now(), None);
        // What an earlier connection could not say for certain comes first.
        let mut step = self.begin(shared, batch).await;
        loop {
            if let Err(error) = step {
                return error;
            }
            step = tokio::select! {
                taken = waiting.recv_many(batch, BATCH) => match taken {
                    0 => Err(anyhow::anyhow!("this process ends")),
                    _ => self.say(shared, batch).await,
                },
                users = async { sleep_until(resume).await; shared.take_fresh().await } => {
                    if users.len() == CHUNK {
                        resume = Instant::now() + PACE;
                    }
                    self.subscribe(users).await
                }
                () = shared.everybody.notified() => {
                    tell_at = tell_at.or(Some(Instant::now() + TOGETHER));
                    Ok(())
                }
                () = sleep_until(tell_at.unwrap_or_else(Instant::now)), if tell_at.is_some() => {
                    tell_at = None;
                    self.tell_everybody(shared);
                    Ok(())
                }
                _ = heartbeat.tick() => expect_primary(&mut self.connection.redis).await,
                _ = sweep.tick() => self.leave(shared).await,
                () = &mut moved => Err(anyhow::anyhow!("the primary is another one")),
                () = self.lost.notified() => Err(anyhow::anyhow!("the connection broke")),
            };
        }
    }

    async fn begin(&mut self, shared: &Shared, batch: &mut Vec<(UserId, Hint)>) -> anyhow::Result<()> {
        self.connection.redis.subscribe(EVERYBODY).await?;
        self.say(shared, batch).await
    }

    /// Says a batch, and to everybody if something was not said before.
    async fn say(&mut self, shared: &Shared, batch: &mut Vec<(UserId, Hint)>) -> anyhow::Result<()> {
        let mut pipeline = redis::pipe();
        let dropped = shared.dropped.swap(false, Ordering::Relaxed);
        if dropped {
            pipeline.cmd("PUBLISH").arg(EVERYBODY).arg(encode(shared.own, &Hint::Missed)).ignore();
        }
        for (user, hint) in batch.iter() {
            pipeline.cmd("PUBLISH").arg(channel(*user)).arg(encode(shared.own, hint)).ignore();
        }
        if pipeline.is_empty() {
            return Ok(());
        }
        let said: redis::RedisResult<()> = pipeline.query_async(&mut self.connection.redis).await;
        if let Err(error) = said {
            // The next connection says it again, unless Redis does not want to hear it.
            if error.is_unrecoverable_error() || error.is_timeout() {
                shared.dropped.fetch_or(dropped, Ordering::Relaxed);
            } else {
                shared.dropped.store(true, Ordering::Relaxed);
                batch.clear();
            }
            return Err(error.into());
        }
        batch.clear();
        Ok(())
    }

    /// Redis's answer is heard as one that hints may have been missed: see [`Shared::hear`].
    async fn subscribe(&mut self, users: Vec<UserId>) -> anyhow::Result<()> {
        let channels: Vec<_> = users.iter().map(|user| channel(*user)).collect();
        self.subscribed.extend(users);
        Ok(self.connection.redis.subscribe(channels).await?)
    }

    async fn leave(&mut self, shared: &Shared) -> anyhow::Result<()> {
        let present: HashSet<_> = shared.local.users().into_iter().collect();
        let gone: Vec<_> = self.subscribed.difference(&present).copied().collect();
        for users in gone.chunks(CHUNK) {
            let channels: Vec<_> = users.iter().map(|user| channel(*user)).collect();
            self.connection.redis.unsubscribe(channels).await?;
            for user in users {
                self.subscribed.remove(user);
            }
        }
        Ok(())
    }

    fn tell_everybody(&mut self, shared: &Arc<Shared>) {
        let shared = Arc::clone(shared);
        let telling = tokio::spawn(async move { shared.tell_everybody().await });
        // Who would have been told by the former one is told by this one.
        if let Some(former) = self.telling.replace(telling) {
            former.abort();
        }
    }
}

/// Ends when the Sentinels name another primary.
async fn moved(link: &Link, address: Address) {
    loop {
        sleep(LOOK).await;
        if link.primary().await.is_ok_and(|primary| primary != address) {
            return;
        }
    }
}
