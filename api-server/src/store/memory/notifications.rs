//! Notification logs.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;

use super::Table;
use crate::domain::notification::{LIFETIME, NewNotification, Notification};
use crate::domain::{ClientId, NotificationId, UserId};
use crate::store::notifications::Notifications;
use crate::store::{Page, Result};

/// A host's clock in 100 ns steps since 1970.
pub type Clock = Arc<dyn Fn() -> u64 + Send + Sync>;

/// One user's log: the entries by their instant, and the last instant given out, which stays when entries end.
#[derive(Default)]
struct Log {
    entries: BTreeMap<u64, Notification>,
    last: u64,
    acknowledged: HashMap<ClientId, u64>,
}

type Logs = Arc<Table<HashMap<UserId, Log>>>;

/// Logs by user.
pub struct MemoryNotifications {
    logs: Logs,
    clock: Clock,
}

impl Default for MemoryNotifications {
    fn default() -> Self {
        Self {
            logs: Logs::default(),
            clock: Arc::new(|| u64::try_from(Timestamp::now().as_nanosecond() / 100).unwrap_or(0)),
        }
    }
}

impl MemoryNotifications {
    /// The same logs as another process with another clock would write them.
    pub fn with_clock(&self, clock: Clock) -> Self {
        Self { logs: self.logs.clone(), clock }
    }
}

fn ticks(id: Option<NotificationId>) -> Option<u64> {
    id.and_then(|id| id.ticks())
}

fn following(log: &Log, position: Option<u64>, size: usize) -> Page<Notification> {
    let range = (position.map_or(Bound::Unbounded, Bound::Excluded), Bound::Unbounded);
    Page::cut(log.entries.range(range).take(size + 1).map(|(_, entry)| entry.clone()).collect(), size)
}

#[async_trait]
impl Notifications for MemoryNotifications {
    async fn append(&self, new: NewNotification) -> Result<NotificationId> {
        let now = (self.clock)();
        let mut logs = self.logs.lock();
        let log = logs.entry(new.user).or_default();
        let ticks = now.max(log.last + 1);
        log.last = ticks;
        let oldest = ticks.saturating_sub(LIFETIME.unsigned_abs() * 10_000_000);
        while log.entries.first_key_value().is_some_and(|(ticks, _)| *ticks < oldest) {
            log.entries.pop_first();
        }
        let id = NotificationId::from_ticks(ticks);
        log.entries.insert(ticks, Notification { id, clients: new.clients, payload: new.payload, origin: new.origin });
        Ok(id)
    }

    async fn page(
        &self,
        user: UserId,
        since: Option<NotificationId>,
        size: usize,
    ) -> Result<Option<Page<Notification>>> {
        let logs = self.logs.lock();
        let empty = Log::default();
        let log = logs.get(&user).unwrap_or(&empty);
        let position = ticks(since);
        let known = match since {
            None => true,
            Some(id) => position.and_then(|ticks| log.entries.get(&ticks)).is_some_and(|entry| entry.id == id),
        };
        Ok(known.then(|| following(log, position, size)))
    }

    async fn get(&self, user: UserId, id: NotificationId) -> Result<Option<Notification>> {
        let logs = self.logs.lock();
        let entry = logs.get(&user).and_then(|log| log.entries.get(&id.ticks()?));
        Ok(entry.filter(|entry| entry.id == id).cloned())
    }

    async fn last(&self, user: UserId, client: Option<ClientId>) -> Result<Option<Notification>> {
        let logs = self.logs.lock();
        Ok(logs.get(&user).and_then(|log| log.entries.values().rev().find(|entry| entry.is_for(client)).cloned()))
    }

    async fn position(&self, user: UserId) -> Result<Option<NotificationId>> {
        Ok(self.logs.lock().get(&user).map(|log| NotificationId::from_ticks(log.last)))
    }

    async fn after(&self, user: UserId, position: Option<NotificationId>, size: usize) -> Result<Page<Notification>> {
        let logs = self.logs.lock();
        Ok(logs
            .get(&user)
            .map_or(Page { entries: Vec::new(), has_more: false }, |log| following(log, ticks(position), size)))
    }

    async fn acknowledged(&self, user: UserId, client: ClientId) -> Result<Option<NotificationId>> {
        let logs = self.logs.lock();
        Ok(logs
            .get(&user)
            .and_then(|log| log.acknowledged.get(&client))
            .map(|ticks| NotificationId::from_ticks(*ticks)))
    }

    async fn acknowledge(&self, user: UserId, client: ClientId, position: NotificationId) -> Result<()> {
        if let (Some(ticks), Some(log)) = (position.ticks(), self.logs.lock().get_mut(&user)) {
            let known = log.acknowledged.entry(client).or_default();
            *known = ticks.max(*known);
        }
        Ok(())
    }

    async fn delete_all(&self, user: UserId) -> Result<()> {
        if let Some(log) = self.logs.lock().get_mut(&user) {
            log.entries.clear();
        }
        Ok(())
    }
}
