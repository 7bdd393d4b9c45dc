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
    attempt: impl FnMut() -> F,
) -> anyhow::Result<T> {
    until_with_back_off(patience, (pause, pause), attempt).await
}

/// As [`until`], with pauses from a first one to a longest one, each twice the one before: whoever is asked may have too much to do.
///
/// # Errors
/// As [`until`].
pub async fn until_with_back_off<T, F: Future<Output = anyhow::Result<T>>>(
    patience: Duration,
    (mut pause, longest): (Duration, Duration),
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
        pause = pause.saturating_mul(2).min(longest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How often something is attempted within 200 ms that never succeeds, by pauses in milliseconds.
    async fn attempts(first: u64, longest: u64) -> u32 {
        let mut attempts = 0;
        let pauses = (Duration::from_millis(first), Duration::from_millis(longest));
        let failed: anyhow::Result<()> = until_with_back_off(Duration::from_millis(200), pauses, || {
            attempts += 1;
            async { anyhow::bail!("no") }
        })
        .await;
        assert_eq!(failed.err().map(|error| format!("{error:#}")).as_deref(), Some("gave up after 0 s: no"));
        attempts
    }

    #[tokio::test]
    async fn pauses_grow() {
        let with_back_off = attempts(10, 1000).await;
        assert!((2..=5).contains(&with_back_off), "{with_back_off}");
        assert!(attempts(10, 10).await >= with_back_off);
    }
}
