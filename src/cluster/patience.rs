//! How long something is waited for: from when it last got on, not from when it began. Many pods that come one by one take their time. Pure.

use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

/// What Kubernetes gives a pod to end, unless that says otherwise.
const USUAL_GRACE_SECONDS: u64 = 30;

/// A wait, and how far it has come.
pub(super) struct Patience {
    limit: Duration,
    /// The most that were ready. One that comes and goes is no progress.
    best: u64,
    since: Instant,
}

impl Patience {
    /// One that ends when nothing gets on for `limit`; without any, it is looked once.
    pub(super) fn new(limit: Duration, now: Instant) -> Self {
        Self { limit, best: 0, since: now }
    }

    /// So many are ready.
    pub(super) fn note(&mut self, ready: u64, now: Instant) {
        if ready > self.best {
            (self.best, self.since) = (ready, now);
        }
    }

    /// For how long nothing got on.
    pub(super) fn idle(&self, now: Instant) -> Duration {
        now - self.since
    }

    /// How long nothing may get on, where a pod that is replaced may take `grace` to end before the next one begins.
    pub(super) fn limit(&self, grace: Duration) -> Duration {
        if self.limit.is_zero() { Duration::ZERO } else { self.limit + grace }
    }
}

/// How long the pods of an object, and those of a former version of it, may take to end.
pub(super) fn grace(object: &Value, pods: &[Value]) -> Duration {
    let seconds = |spec: &Value| spec["terminationGracePeriodSeconds"].as_u64().unwrap_or(USUAL_GRACE_SECONDS);
    let former = pods.iter().map(|pod| seconds(&pod["spec"])).max().unwrap_or_default();
    Duration::from_secs(former.max(seconds(&object["spec"]["template"]["spec"])))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_slow_roll_out_that_gets_on_is_waited_for() {
        let (begin, second) = (Instant::now(), Duration::from_secs(1));
        let mut patience = Patience::new(180 * second, begin);
        // cannon's pods, one by one.
        for (ready, now) in [(0, 100), (1, 135), (0, 200), (1, 250), (2, 270), (3, 405)] {
            patience.note(ready, begin + now * second);
            assert!(patience.idle(begin + now * second) < patience.limit(Duration::ZERO), "at {now} s");
        }
        // One that comes and goes.
        for (ready, now) in [(2, 450), (3, 500), (2, 550), (3, 590)] {
            patience.note(ready, begin + now * second);
        }
        assert_eq!(patience.idle(begin + 590 * second), 185 * second);
    }

    #[test]
    fn what_a_pod_takes_to_end_is_waited_for_beside() {
        let object = json!({"spec": {"template": {"spec": {"terminationGracePeriodSeconds": 85}}}});
        let former = json!({"spec": {"terminationGracePeriodSeconds": 200}});
        assert_eq!(grace(&object, &[]), Duration::from_secs(85));
        assert_eq!(grace(&object, &[former]), Duration::from_secs(200));
        assert_eq!(grace(&json!({}), &[]), Duration::from_secs(30));
        let patience = Patience::new(Duration::from_secs(180), Instant::now());
        assert_eq!(patience.limit(Duration::from_secs(85)), Duration::from_secs(265));
        let look = Patience::new(Duration::ZERO, Instant::now());
        assert_eq!(look.limit(Duration::from_secs(85)), Duration::ZERO, "`status` looks once");
    }
}
