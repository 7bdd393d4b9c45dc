//! A file on its way in parts. Dropped before it is complete, nothing of it is kept.

use std::sync::Arc;
use std::sync::atomic::AtomicU16;

use bytes::Bytes;
use tokio::runtime::Handle;

use super::bucket::{Bucket, Part};
use crate::store::Result;

/// A file on its way.
pub(super) struct Upload {
    bucket: Arc<Bucket>,
    object: String,
    id: String,
    parts: Vec<Part>,
    next: AtomicU16,
    complete: bool,
}

impl Upload {
    /// Begins a file.
    pub async fn begin(bucket: &Arc<Bucket>, object: String) -> Result<Self> {
        let id = bucket.begin_parts(&object).await?;
        Ok(Self { bucket: Arc::clone(bucket), object, id, parts: Vec::new(), next: AtomicU16::new(1), complete: false })
    }

    /// Sends the next part.
    pub async fn send(&mut self, bytes: Bytes) -> Result<()> {
        self.parts.push(self.bucket.put_part(&self.object, &self.id, &self.next, bytes).await?);
        Ok(())
    }

    /// Puts the parts together.
    pub async fn complete(mut self) -> Result<()> {
        self.bucket.complete_parts(&self.object, &self.id, &self.parts).await?;
        self.complete = true;
        Ok(())
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        // Without a runtime the process is at its end; the server drops what is left after a day.
        let Ok(runtime) = Handle::try_current() else { return };
        if self.complete {
            return;
        }
        let (bucket, object, id) =
            (Arc::clone(&self.bucket), std::mem::take(&mut self.object), std::mem::take(&mut self.id));
        runtime.spawn(async move {
            if let Err(error) = bucket.abort_parts(&object, &id).await {
                tracing::warn!(%error, "the parts of a broken upload could not be dropped");
            }
        });
    }
}
