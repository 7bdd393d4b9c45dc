//! Rates of requests, as the front end of a Wire backend limits them: a leaky bucket per user, and one per address and path.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use serde::Deserialize;

use crate::domain::UserId;

/// A rate and how far it may be exceeded for a moment.
#[derive(Clone, Copy, PartialEq, Debug, Deserialize)]
pub struct Rate {
    /// Requests a second.
    pub per_second: f64,
    /// Requests at once beyond the rate.
    pub burst: f64,
}

/// Buckets for as many as have asked lately.
pub struct Buckets<K> {
    rate: Option<Rate>,
    filled: Mutex<HashMap<K, (f64, Instant)>>,
}

/// More buckets than this are looked through for empty ones.
const MANY: usize = 10_000;

impl<K: Eq + Hash> Buckets<K> {
    /// Buckets that leak at a rate; `None` lets everything pass.
    pub fn new(rate: Option<Rate>) -> Self {
        Self { rate, filled: Mutex::default() }
    }

    /// Whether one request more is within the rate.
    pub fn admit(&self, key: K, now: Instant) -> bool {
        let Some(rate) = self.rate else { return true };
        let mut filled = self.filled.lock().unwrap_or_else(PoisonError::into_inner);
        let level = |(level, since): (f64, Instant)| {
            (level - now.duration_since(since).as_secs_f64() * rate.per_second).max(0.0)
        };
        if filled.len() > MANY {
            filled.retain(|_, bucket| level(*bucket) > 0.0);
        }
        let next = filled.get(&key).map_or(0.0, |bucket| level(*bucket) + 1.0);
        if next > rate.burst {
            return false;
        }
        filled.insert(key, (next, now));
        true
    }
}

/// The limits of one process.
pub struct Limits {
    /// By user.
    pub users: Buckets<UserId>,
    /// By address and path, where there is no user yet.
    pub addresses: Buckets<(IpAddr, String)>,
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_burst_passes_and_then_the_rate() {
        let buckets = Buckets::new(Some(Rate { per_second: 2.0, burst: 3.0 }));
        let start = Instant::now();
        let admitted = |at| (0..10).filter(|_| buckets.admit("a", at)).count();
        assert_eq!(admitted(start), 4);
        assert_eq!(admitted(start + Duration::from_secs(1)), 2);
        assert!(buckets.admit("b", start));
    }
}
