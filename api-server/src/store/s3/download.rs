//! A file on its way to a client. When a server breaks off, another one goes on where it stopped.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, stream};
use reqwest::Response;
use tokio::time::timeout;

use super::bucket::Bucket;
use crate::store::nodes::told;
use crate::store::{Result, StoreError};

/// Servers that may break off.
const ATTEMPTS: u32 = 4;
/// A server that sends nothing for so long has broken off.
const SILENCE: Duration = Duration::from_secs(10);

/// A file on its way.
pub(super) struct Download {
    bucket: Arc<Bucket>,
    object: String,
    response: Response,
    length: u64,
    received: u64,
    attempts: u32,
}

/// Begins to read a file.
pub(super) async fn begin(bucket: &Arc<Bucket>, object: String) -> Result<Option<Download>> {
    let Some(response) = bucket.open(&object, 0).await? else { return Ok(None) };
    let length = response.content_length().ok_or(StoreError::Unavailable("a file has no length".to_owned()))?;
    Ok(Some(Download { bucket: Arc::clone(bucket), object, response, length, received: 0, attempts: ATTEMPTS }))
}

impl Download {
    /// How many bytes there are.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// All bytes, or an error.
    pub fn bytes(self) -> impl Stream<Item = io::Result<Bytes>> {
        stream::try_unfold(
            self,
            |mut download| async move { Ok(download.next().await?.map(|bytes| (bytes, download))) },
        )
    }

    async fn next(&mut self) -> io::Result<Option<Bytes>> {
        while self.received < self.length {
            let broken = match timeout(SILENCE, self.response.chunk()).await {
                Ok(Ok(Some(bytes))) => {
                    self.received += bytes.len() as u64;
                    return Ok(Some(bytes));
                }
                Ok(Ok(None)) => "the file ended too early".to_owned(),
                Ok(Err(error)) => told(error),
                Err(_) => "the server fell silent".to_owned(),
            };
            self.attempts -= 1;
            if self.attempts == 0 {
                return Err(io::Error::other(broken));
            }
            let again = self.bucket.open(&self.object, self.received).await.map_err(io::Error::other)?;
            self.response = again.ok_or_else(|| io::Error::other("the file is gone"))?;
        }
        Ok(None)
    }
}
