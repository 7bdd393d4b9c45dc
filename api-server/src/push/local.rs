//! Hints within one process.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::broadcast;

use super::{Hint, Hints};
use crate::domain::UserId;

/// Hints that wait for a slow websocket; when there are more it reads the log.
const WAITING: usize = 16;

/// Listening websockets by user.
#[derive(Default)]
pub struct LocalHints(Mutex<HashMap<UserId, broadcast::Sender<Hint>>>);

impl LocalHints {
    fn listening(&self) -> MutexGuard<'_, HashMap<UserId, broadcast::Sender<Hint>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Listens for a user, and whether nobody did before.
    pub(super) fn listen(&self, user: UserId) -> (broadcast::Receiver<Hint>, bool) {
        let mut listening = self.listening();
        let first = !listening.contains_key(&user);
        (listening.entry(user).or_insert_with(|| broadcast::Sender::new(WAITING)).subscribe(), first)
    }

    /// Those for whom somebody listens. Others are forgotten.
    pub(super) fn users(&self) -> Vec<UserId> {
        let mut listening = self.listening();
        listening.retain(|_, sender| sender.receiver_count() > 0);
        listening.keys().copied().collect()
    }
}

impl Hints for LocalHints {
    fn publish(&self, user: UserId, hint: Hint) {
        let mut listening = self.listening();
        // Nobody listens any more: forget the user.
        if listening.get(&user).is_some_and(|sender| sender.send(hint).is_err()) {
            listening.remove(&user);
        }
    }

    fn subscribe(&self, user: UserId) -> broadcast::Receiver<Hint> {
        self.listen(user).0
    }
}
