//! Users' logs.
//!
//! An entry and the log's head, the last id that was given, are written by one vote on the user's partition: it is carried only if the
//! head is still the one that the id was made from. So ids grow whatever the hosts' clocks say, and no entry appears after one of a
//! greater id. A read at quorum could still, in rare moments, show an entry and not the one before it; entries name the one before them, so
//! that is seen, and read again behind all votes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures_util::future;
use jiff::Timestamp;
use scylla::DeserializeRow;
use scylla::value::CqlValue;
use uuid::Uuid;

use super::Shared;
use super::locks::Locks;
use super::position::{begin, is_unbroken, next};
use super::session::{CONTENTION, Values, Vote, pause, until_known};
use super::values::{from_json, json};
use crate::domain::notification::{LIFETIME, NewNotification, Notification};
use crate::domain::{ClientId, NotificationId, UserId};
use crate::store::notifications::Notifications;
use crate::store::{Page, Result, StoreError};

/// A host's clock in 100 ns steps since 1970.
pub type Clock = Arc<dyn Fn() -> u64 + Send + Sync>;

/// Logs in the keyspace of gundeck.
pub struct CassandraNotifications {
    shared: Shared,
    locks: Locks,
    clock: Clock,
}

#[derive(DeserializeRow)]
struct Row {
    id: Option<i64>,
    previous: Option<i64>,
    clients: Option<String>,
    payload: Option<String>,
    origin: Option<String>,
}

impl Row {
    /// The entry; none when the row is the log's own.
    fn notification(self) -> Result<Option<Notification>> {
        let (Some(id), Some(payload)) = (self.id, self.payload) else { return Ok(None) };
        Ok(Some(Notification {
            id: named(id),
            clients: self.clients.as_deref().map(from_json).transpose()?,
            payload: from_json(&payload)?,
            origin: self.origin,
        }))
    }
}

macro_rules! columns {
    () => {
        "id, previous, clients, payload, origin"
    };
}

const APPEND: &str = "UPDATE notifications USING TTL ? SET head = ?, previous = ?, writer = ?, clients = ?, payload = ?, origin = ? \
                      WHERE user = ? AND id = ? IF head = ?";
const HEAD: &str = "SELECT DISTINCT user, head FROM notifications WHERE user = ?";
const WRITER: &str = "SELECT writer FROM notifications WHERE user = ? AND id = ?";
const FOLLOWING: &str = concat!("SELECT ", columns!(), " FROM notifications WHERE user = ? AND id > ? LIMIT ?");
const GET: &str = concat!("SELECT ", columns!(), " FROM notifications WHERE user = ? AND id = ?");
const LAST: &str =
    "SELECT id, clients FROM notifications WHERE user = ? AND id > ? AND id < ? ORDER BY id DESC LIMIT 100";
const KEEP_HEAD: &str = "UPDATE notifications USING TTL ? SET head = ? WHERE user = ? IF head = ?";
const DELETE: &str = "DELETE FROM notifications WHERE user = ? AND id <= ?";
const ACKNOWLEDGE: &str =
    "INSERT INTO acknowledged (user, client, position) VALUES (?, ?, ?) USING TIMESTAMP ? AND TTL ?";
const ACKNOWLEDGED: &str = "SELECT position FROM acknowledged WHERE user = ? AND client = ?";

/// Who appends to a log that many append to at once tries this long from the last time that somebody got on.
const PATIENCE: Duration = Duration::from_secs(10);

/// Seconds that entries, heads and positions are kept.
fn lifetime() -> i32 {
    i32::try_from(LIFETIME).unwrap_or(i32::MAX)
}

fn named(id: i64) -> NotificationId {
    NotificationId::from_ticks(id.cast_unsigned())
}

fn ticks(id: NotificationId) -> Option<i64> {
    id.ticks().and_then(|ticks| i64::try_from(ticks).ok())
}

impl CassandraNotifications {
    pub(super) fn new(shared: Shared) -> Self {
        let clock = Arc::new(|| u64::try_from(Timestamp::now().as_nanosecond() / 100).unwrap_or(0));
        Self { shared, locks: Locks::default(), clock }
    }

    /// The same logs as another process with another clock would write them.
    pub fn with_clock(&self, clock: Clock) -> Self {
        Self { shared: self.shared.clone(), locks: Locks::default(), clock }
    }

    async fn head(&self, user: UserId) -> Result<Option<i64>> {
        let row = self.shared.gundeck.row::<(UserId, Option<i64>)>(HEAD, (user,)).await?;
        Ok(row.and_then(|(_, head)| head))
    }

    async fn head_after_votes(&self, user: UserId) -> Result<Option<i64>> {
        let rows = self.shared.gundeck.rows_after_votes::<(UserId, Option<i64>)>(HEAD, (user,)).await?;
        Ok(rows.into_iter().next().and_then(|(_, head)| head))
    }

    /// The one of these ids, of votes whose answers were lost, whose entry is this writer's after all. A later vote that was answered has
    /// settled them.
    async fn written(&self, user: UserId, ids: &[i64], writer: Uuid) -> Result<Option<i64>> {
        for id in ids {
            let row = self.shared.gundeck.row::<(Option<Uuid>,)>(WRITER, (user, *id)).await?;
            if row.is_some_and(|(known,)| known == Some(writer)) {
                return Ok(Some(*id));
            }
        }
        Ok(None)
    }

    async fn entries(&self, user: UserId, position: Option<i64>, size: usize) -> Result<Page<Notification>> {
        let limit = i32::try_from(size.saturating_add(1)).unwrap_or(i32::MAX);
        let values = (user, begin(position, (self.clock)()), limit);
        let mut rows: Vec<Row> = self.shared.gundeck.rows(FOLLOWING, values).await?;
        let links = rows.iter().filter_map(|row| Some((row.id?, row.previous)));
        if !is_unbroken(position, links) {
            rows = self.shared.gundeck.rows_after_votes(FOLLOWING, values).await?;
        }
        let entries = rows.into_iter().filter_map(|row| row.notification().transpose()).collect::<Result<_>>()?;
        Ok(Page::cut(entries, size))
    }

    async fn entry(&self, user: UserId, id: i64) -> Result<Option<Notification>> {
        self.shared.gundeck.row::<Row>(GET, (user, id)).await?.map_or(Ok(None), Row::notification)
    }

    /// Removes entries up to the head; the head stays.
    async fn empty(&self, user: UserId, head: i64) -> Result<Vote> {
        // Both at the time of the vote, so that nothing is left or lost by the clocks.
        let keep: Values = Box::new((lifetime(), head, user, head));
        let delete: Values = Box::new((user, head));
        self.shared.gundeck.vote_on_all(vec![(KEEP_HEAD, keep), (DELETE, delete)]).await
    }
}

/// The head that is there instead of the one that was expected.
fn present_head(value: Option<&CqlValue>) -> Option<i64> {
    match value {
        Some(CqlValue::BigInt(head)) => Some(*head),
        _ => None,
    }
}

#[async_trait]
impl Notifications for CassandraNotifications {
    async fn append(&self, new: NewNotification) -> Result<NotificationId> {
        let clients = new.clients.as_deref().map(json).transpose()?;
        let payload = json(&new.payload)?;
        let writer = Uuid::new_v4();
        let _turn = self.locks.hold(new.user).await;
        let mut head = self.head(new.user).await?;
        let (mut lost, mut stuck_since) = (Vec::new(), Instant::now());
        loop {
            let id = next(head, (self.clock)());
            let values = (lifetime(), id, head, writer, &clients, &payload, &new.origin, new.user, id, head);
            match self.shared.gundeck.vote(APPEND, values).await? {
                Vote::Carried => return Ok(named(id)),
                // Somebody else got in between, or one of ours whose answer was lost.
                Vote::Refused(present) => {
                    if let Some(id) = self.written(new.user, &lost, writer).await? {
                        return Ok(named(id));
                    }
                    lost.clear();
                    head = present_head(present.get("head"));
                    stuck_since = Instant::now();
                }
                // The next one settles it: it is carried only if this one was not.
                Vote::Lost(error) => {
                    if stuck_since.elapsed() > PATIENCE {
                        return Err(error);
                    }
                    lost.push(id);
                    pause().await;
                }
            }
        }
    }

    async fn page(
        &self,
        user: UserId,
        since: Option<NotificationId>,
        size: usize,
    ) -> Result<Option<Page<Notification>>> {
        let Some(since) = since else { return self.entries(user, None, size).await.map(Some) };
        let Some(position) = ticks(since) else { return Ok(None) };
        let (known, page) =
            future::try_join(self.entry(user, position), self.entries(user, Some(position), size)).await?;
        Ok(known.is_some_and(|entry| entry.id == since).then_some(page))
    }

    async fn get(&self, user: UserId, id: NotificationId) -> Result<Option<Notification>> {
        match ticks(id) {
            Some(position) => Ok(self.entry(user, position).await?.filter(|entry| entry.id == id)),
            None => Ok(None),
        }
    }

    async fn last(&self, user: UserId, client: Option<ClientId>) -> Result<Option<Notification>> {
        let (begin, mut before) = (begin(None, (self.clock)()), i64::MAX);
        loop {
            let rows: Vec<(i64, Option<String>)> = self.shared.gundeck.rows(LAST, (user, begin, before)).await?;
            for (id, clients) in &rows {
                let clients: Option<Vec<ClientId>> = clients.as_deref().map(from_json).transpose()?;
                let slim = Notification { id: named(*id), clients, payload: Vec::new(), origin: None };
                if slim.is_for(client)
                    && let Some(entry) = self.entry(user, *id).await?
                {
                    return Ok(Some(entry));
                }
            }
            match rows.last() {
                Some((id, _)) => before = *id,
                None => return Ok(None),
            }
        }
    }

    async fn position(&self, user: UserId) -> Result<Option<NotificationId>> {
        Ok(self.head(user).await?.map(named))
    }

    async fn after(&self, user: UserId, position: Option<NotificationId>, size: usize) -> Result<Page<Notification>> {
        self.entries(user, position.and_then(ticks), size).await
    }

    async fn acknowledged(&self, user: UserId, client: ClientId) -> Result<Option<NotificationId>> {
        let row = self.shared.gundeck.row::<(Option<i64>,)>(ACKNOWLEDGED, (user, client)).await?;
        Ok(row.and_then(|(position,)| position).map(named))
    }

    async fn acknowledge(&self, user: UserId, client: ClientId, position: NotificationId) -> Result<()> {
        // What is no id of ours is nowhere in the log.
        let Some(position) = ticks(position) else { return Ok(()) };
        self.shared.gundeck.write(ACKNOWLEDGE, (user, client, position, position, lifetime())).await
    }

    async fn delete_all(&self, user: UserId) -> Result<()> {
        let _turn = self.locks.hold(user).await;
        let begun = Instant::now();
        while let Some(head) = self.head_after_votes(user).await? {
            match until_known(|| self.empty(user, head)).await? {
                (Vote::Carried, _) => return Ok(()),
                (Vote::Lost(error), _) => return Err(error),
                (Vote::Refused(_), _) if begun.elapsed() > CONTENTION => {
                    return Err(StoreError::Unavailable("a log is written to while it is emptied".to_owned()));
                }
                (Vote::Refused(_), _) => {}
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn the_logs_own_row_is_no_entry() {
        let row = |id, payload: Option<&str>| Row {
            id,
            previous: None,
            clients: Some(r#"["ff"]"#.to_owned()),
            payload: payload.map(str::to_owned),
            origin: None,
        };
        assert_eq!(row(None, None).notification().unwrap(), None);
        let entry = row(Some(7), Some("[{}]")).notification().unwrap().unwrap();
        assert_eq!((entry.id.ticks(), entry.clients, entry.payload.len()), (Some(7), Some(vec![ClientId(255)]), 1));
        assert!(row(Some(7), Some("[")).notification().is_err());
    }
}
