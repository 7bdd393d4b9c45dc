//! Waiting for a cluster to come to where an operation wants it.

use std::time::Duration;

use tokio::time::{Instant, sleep};

/// Asks `attempt` until it says yes (`Ok`), with the given pause in between. Its last answer (`Err`: why not yet) is the error
/// when `patience` is over.
///
/// # Errors
/// When it did not come to it in time.
pub async fn until<T, F: Future<Output = anyhow::Result<T>>>(
    patience: Duration,
    pause: Duration,
    mut attempt: impl FnMut() -> F,
) -> anyhow::Result<T> {
    let end = Instant::now() + patience;
    loop {
        match attempt().await {
            Ok(value) => return Ok(value),
            Err(error) if Instant::now() + pause > end => {
                return Err(error.context(format!("gave up after {} s", patience.as_secs())));
            }
            Err(_) => sleep(pause).await,
        }
    }
}
