//! The suite on the store in memory.

use std::sync::Arc;

use wire_api::store::memory::{self, MemoryNotifications};
use wire_api::store::notifications::Notifications;

use super::suite::{self, Logs};

struct MemoryLogs(MemoryNotifications);

impl Logs for MemoryLogs {
    fn with_clock(&self, ahead: i64) -> Arc<dyn Notifications> {
        let now = || u64::try_from(jiff::Timestamp::now().as_nanosecond() / 100).unwrap();
        Arc::new(self.0.with_clock(Arc::new(move || now().saturating_add_signed(ahead * 10_000_000))))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_store_in_memory_keeps_every_promise() {
    let folder = tempfile::tempdir().unwrap();
    let store = memory::store(folder.path().to_owned());
    suite::run(&store, &MemoryLogs(MemoryNotifications::default())).await;
}
