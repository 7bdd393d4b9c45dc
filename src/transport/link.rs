//! A running program's three streams and its end, wherever it runs: what the bootstrap is spoken over.

use std::sync::{Mutex, PoisonError};

use futures_util::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Notify;

/// Bytes kept of what a program writes to its standard error.
const KEPT: usize = 16 * 1024;

/// A program that was started.
pub(super) struct Link {
    /// Its standard output.
    pub(super) reader: Box<dyn AsyncRead + Send + Unpin>,
    /// Its standard input.
    pub(super) writer: Box<dyn AsyncWrite + Send + Unpin>,
    /// Its standard error.
    pub(super) diagnostics: std::sync::Arc<Diagnostics>,
    /// Its end.
    pub(super) ended: BoxFuture<'static, Ended>,
}

/// How a program ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ended {
    /// Its exit code, if it got that far.
    pub(super) code: Option<i32>,
    /// In words that follow the program's name.
    pub(super) reason: String,
}

/// The last that a program wrote to its standard error.
#[derive(Default)]
pub(super) struct Diagnostics {
    text: Mutex<Vec<u8>>,
    changed: Notify,
}

impl Diagnostics {
    /// Takes what was written.
    pub(super) fn add(&self, bytes: &[u8]) {
        let mut text = self.text.lock().unwrap_or_else(PoisonError::into_inner);
        text.extend_from_slice(bytes);
        let excess = text.len().saturating_sub(KEPT);
        text.drain(..excess);
        self.changed.notify_one();
    }

    /// What is kept.
    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.text.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
    }

    /// Waits until something was written since the last wait.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }
}
