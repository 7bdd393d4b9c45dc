//! Hints within one process.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use tokio::sync::broadcast;

use super::{Hint, Hints};
use crate::domain::UserId;

/// Hints that wait for a slow websocket; when there are more it reads the log.
const WAITING: usize = 16;

/// Listening websockets by user.
#[derive(Default)]
pub struct LocalHints(Mutex<HashMap<UserId, broadcast::Sender<Hint>>>);

impl Hints for LocalHints {
    fn publish(&self, user: UserId, hint: Hint) {
        let mut listening = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Nobody listens any more: forget the user.
        if listening.get(&user).is_some_and(|sender| sender.send(hint).is_err()) {
            listening.remove(&user);
        }
    }

    fn subscribe(&self, user: UserId) -> broadcast::Receiver<Hint> {
        let mut listening = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        listening.entry(user).or_insert_with(|| broadcast::Sender::new(WAITING)).subscribe()
    }
}
