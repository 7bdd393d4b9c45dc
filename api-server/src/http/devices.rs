//! Whether the device that an access token is bound to is still there: a token outlives its device by minutes.
//!
//! Looked up seldom, so that no request waits for it as a rule: a device that was removed through another process may be believed for
//! [`BELIEVED`] more.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::domain::{ClientId, UserId};
use crate::store::clients::Clients;

/// For so long a device that was there is believed to be there.
const BELIEVED: Duration = Duration::from_secs(30);

/// Devices that were there lately, and when.
#[derive(Default)]
pub struct Devices(Mutex<HashMap<(UserId, ClientId), Instant>>);

impl Devices {
    /// Whether a user has a device. Doubt counts for it: a handler that needs the store fails by itself.
    pub async fn is_there(&self, clients: &dyn Clients, user: UserId, client: ClientId, now: Instant) -> bool {
        let is_fresh = |seen: &Instant| now.duration_since(*seen) < BELIEVED;
        if self.seen().get(&(user, client)).is_some_and(is_fresh) {
            return true;
        }
        match clients.get(user, client).await {
            Ok(None) => false,
            Ok(Some(_)) => {
                let mut seen = self.seen();
                // Amortized: each insertion beyond what there is room for sweeps the rest.
                if seen.len() == seen.capacity() {
                    seen.retain(|_, seen| is_fresh(seen));
                }
                seen.insert((user, client), now);
                true
            }
            Err(_) => true,
        }
    }

    /// A device is gone.
    pub fn forget(&self, user: UserId, client: ClientId) {
        self.seen().remove(&(user, client));
    }

    fn seen(&self) -> MutexGuard<'_, HashMap<(UserId, ClientId), Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::domain::Time;
    use crate::domain::client::{Client, ClientKind};

    #[tokio::test]
    async fn a_device_is_believed_for_a_while_and_no_longer() {
        let store = crate::store::memory::store(std::env::temp_dir());
        let (user, id) = (UserId::random(), ClientId(7));
        let client = Client {
            id,
            kind: ClientKind::Permanent,
            class: None,
            time: Time::now(),
            cookie: None,
            label: None,
            model: None,
            capabilities: Vec::new(),
            mls_public_keys: Default::default(),
            last_active: None,
        };
        let (devices, now) = (Devices::default(), Instant::now());
        let is_there = async |later: Duration| devices.is_there(&*store.clients, user, id, now + later).await;
        assert!(!is_there(Duration::ZERO).await);
        store.clients.insert(user, &client).await.unwrap();
        assert!(is_there(Duration::ZERO).await);
        store.clients.delete(user, id).await.unwrap();
        assert!(is_there(BELIEVED - Duration::from_secs(1)).await);
        assert!(!is_there(BELIEVED).await);
        devices.forget(user, id);
        assert!(!is_there(Duration::ZERO).await);
    }
}
