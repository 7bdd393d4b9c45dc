//! Who writes the same log in this process waits for each other here, which is cheaper than losing votes to each other.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::OwnedMutexGuard;

use crate::domain::UserId;

type Lock = tokio::sync::Mutex<()>;

/// A lock for each user who is being written to; gone with the last one who holds or waits for it.
#[derive(Default)]
pub(super) struct Locks(Mutex<HashMap<UserId, Weak<Lock>>>);

impl Locks {
    /// Waits for a user's lock.
    pub(super) async fn hold(&self, user: UserId) -> OwnedMutexGuard<()> {
        let lock = {
            let mut locks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            // Amortized: each insertion beyond twice what is in use sweeps the rest.
            if locks.len() >= 64 && locks.len() == locks.capacity() {
                locks.retain(|_, lock| lock.strong_count() > 0);
            }
            let known = locks.get(&user).and_then(Weak::upgrade);
            known.unwrap_or_else(|| {
                let lock = Arc::new(Lock::default());
                locks.insert(user, Arc::downgrade(&lock));
                lock
            })
        };
        lock.lock_owned().await
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[tokio::test]
    async fn one_user_waits_and_another_does_not() {
        let locks = Locks::default();
        let (ann, bob) = (UserId::random(), UserId::random());
        let held = locks.hold(ann).await;
        let _other = locks.hold(bob).await;
        assert!(futures_util::FutureExt::now_or_never(locks.hold(ann)).is_none());
        drop(held);
        assert!(futures_util::FutureExt::now_or_never(locks.hold(ann)).is_some());
    }

    #[tokio::test]
    async fn locks_that_nobody_holds_are_forgotten() {
        let locks = Locks::default();
        for _ in 0..10_000 {
            drop(locks.hold(UserId::random()).await);
        }
        assert!(locks.0.lock().unwrap().len() < 1000);
    }
}
