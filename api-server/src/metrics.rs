//! Counters in Prometheus's text form.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::watch;

/// The counters of a process.
#[derive(Default)]
pub struct Metrics {
    /// Requests by the first digit of their status, 1 to 5.
    requests: [AtomicU64; 5],
    /// Time spent in requests, in microseconds.
    request_microseconds: AtomicU64,
    /// Open websockets.
    websockets: watch::Sender<usize>,
    /// Requests under way that change something; their clients may be gone.
    changes: watch::Sender<usize>,
    /// Notifications sent over websockets.
    delivered: AtomicU64,
}

/// Counts something as long as it lives.
pub struct Counted(watch::Sender<usize>);

impl Counted {
    fn among(others: &watch::Sender<usize>) -> Self {
        others.send_modify(|count| *count += 1);
        Self(others.clone())
    }
}

impl Metrics {
    /// Counts an answered request.
    pub fn request(&self, status: u16, duration: std::time::Duration) {
        let class = usize::from(status / 100).clamp(1, 5) - 1;
        self.requests[class].fetch_add(1, Ordering::Relaxed);
        let microseconds = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        self.request_microseconds.fetch_add(microseconds, Ordering::Relaxed);
    }

    /// Counts notifications sent over a websocket.
    pub fn delivered(&self, count: usize) {
        self.delivered.fetch_add(u64::try_from(count).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Counts a websocket until it is dropped.
    pub fn open_socket(&self) -> Counted {
        Counted::among(&self.websockets)
    }

    /// Counts a request that changes something until it is dropped.
    pub fn change(&self) -> Counted {
        Counted::among(&self.changes)
    }

    /// Open websockets.
    pub fn sockets(&self) -> usize {
        *self.websockets.borrow()
    }

    /// Waits until no websocket is open, and nothing that changes something under way.
    pub async fn idle(&self) {
        for counted in [&self.websockets, &self.changes] {
            // The sender is held here.
            let _ = counted.subscribe().wait_for(|count| *count == 0).await;
        }
    }

    /// All counters as Prometheus reads them.
    pub fn text(&self) -> String {
        let mut text = String::from("# TYPE wire_api_requests_total counter\n");
        // Writing to a String cannot fail.
        for (class, count) in (1..).zip(&self.requests) {
            let _ = writeln!(text, "wire_api_requests_total{{status=\"{class}xx\"}} {}", count.load(Ordering::Relaxed));
        }
        let seconds = std::time::Duration::from_micros(self.request_microseconds.load(Ordering::Relaxed)).as_secs_f64();
        let _ =
            writeln!(text, "# TYPE wire_api_request_seconds_total counter\nwire_api_request_seconds_total {seconds}");
        let _ = writeln!(text, "# TYPE wire_api_websockets gauge\nwire_api_websockets {}", self.sockets());
        let changes = *self.changes.borrow();
        let _ = writeln!(text, "# TYPE wire_api_changes_under_way gauge\nwire_api_changes_under_way {changes}");
        let delivered = self.delivered.load(Ordering::Relaxed);
        let _ = writeln!(
            text,
            "# TYPE wire_api_notifications_delivered_total counter\nwire_api_notifications_delivered_total {delivered}"
        );
        text
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}
