//! Files in S3.
//!
//! A file is two objects: `files/<key>` has its bytes, `about/<key>` what is known of it, so that a new token copies nothing. What has no
//! `about` is not there: it is written last and read first.

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::StreamExt as _;

use super::assets::{Assets, ByteStream, Content, PutError};
use super::{Result, StoreError};
use crate::config;
use crate::domain::Time;
use crate::domain::asset::{AssetKey, AssetMeta};

mod bucket;
mod download;
mod pieces;
mod upload;

use bucket::Bucket;
use pieces::{Piece, Pieces};
use upload::Upload;

/// Bytes held of an upload: S3 takes no smaller parts but the last.
const PART: usize = 5 * 1024 * 1024;

/// Files in S3.
pub struct S3Assets(Arc<Bucket>);

impl S3Assets {
    /// The files of a bucket. Nothing is asked yet.
    ///
    /// # Errors
    /// Addresses or a file of authorities that are none.
    pub fn new(config: &config::S3) -> anyhow::Result<Self> {
        Ok(Self(Arc::new(Bucket::new(config)?)))
    }
}

fn file(key: AssetKey) -> String {
    format!("files/{key}")
}

fn about(key: AssetKey) -> String {
    format!("about/{key}")
}

/// Tells of a file whose bytes are there.
async fn tell(bucket: &Bucket, meta: &AssetMeta) -> Result<()> {
    let text = serde_json::to_vec(meta).map_err(|error| StoreError::Corrupt(error.to_string()))?;
    bucket.put(&about(meta.key), text.into()).await
}

/// Ends an upload on a task of its own: whoever waits for it may go away, and then it is still whole or gone.
async fn finish(
    bucket: &Arc<Bucket>,
    meta: &AssetMeta,
    keep: impl Future<Output = Result<()>> + Send + 'static,
) -> Result<()> {
    let (bucket, meta) = (Arc::clone(bucket), meta.clone());
    let finishing = tokio::spawn(async move {
        let kept = match keep.await {
            Ok(()) => tell(&bucket, &meta).await,
            failed => failed,
        };
        if kept.is_err() {
            // Of what may be there nothing tells; this saves its room.
            let _ = bucket.delete(&file(meta.key)).await;
        }
        kept
    });
    finishing.await.map_err(|broken| StoreError::Unavailable(broken.to_string()))?
}

#[async_trait]
impl Assets for S3Assets {
    async fn ready(&self) -> Result<()> {
        // That this is not there takes an answer of most servers.
        self.0.get("about/ready").await.map(drop)
    }

    async fn put(&self, meta: &AssetMeta, bytes: ByteStream) -> std::result::Result<(), PutError> {
        let object = file(meta.key);
        let mut pieces = Pieces::new(bytes, PART);
        let mut piece = match pieces.next().await.map_err(PutError::Sender)? {
            Piece::Last(bytes) => {
                let bucket = Arc::clone(&self.0);
                return Ok(finish(&self.0, meta, async move { bucket.put(&object, bytes).await }).await?);
            }
            Piece::More(bytes) => bytes,
        };
        let mut upload = Upload::begin(&self.0, object).await?;
        loop {
            upload.send(piece).await?;
            piece = match pieces.next().await.map_err(PutError::Sender)? {
                Piece::More(bytes) => bytes,
                Piece::Last(bytes) => {
                    upload.send(bytes).await?;
                    return Ok(finish(&self.0, meta, upload.complete()).await?);
                }
            };
        }
    }

    async fn meta(&self, key: AssetKey) -> Result<Option<AssetMeta>> {
        let Some(text) = self.0.get(&about(key)).await? else { return Ok(None) };
        let meta: AssetMeta = serde_json::from_slice(&text)
            .map_err(|error| StoreError::Corrupt(format!("what is known of the file {key}: {error}")))?;
        Ok(Some(meta).filter(|meta| meta.expires.is_none_or(|expires| expires > Time::now())))
    }

    async fn set_token(&self, key: AssetKey, token: Option<&str>) -> Result<()> {
        match self.meta(key).await? {
            Some(meta) => tell(&self.0, &AssetMeta { token: token.map(str::to_owned), ..meta }).await,
            None => Ok(()),
        }
    }

    async fn content(&self, key: AssetKey) -> Result<Option<Content>> {
        let object = file(key);
        if let Some(address) = self.0.outside_address(&object) {
            return Ok(Some(Content::Redirect(address)));
        }
        let Some(download) = download::begin(&self.0, object).await? else { return Ok(None) };
        let length = download.length();
        Ok(Some(Content::Stream { bytes: download.bytes().boxed(), length }))
    }

    async fn delete(&self, key: AssetKey) -> Result<()> {
        // What tells of it goes last, so that a deletion that broke off can be done again.
        self.0.delete(&file(key)).await?;
        self.0.delete(&about(key)).await
    }
}
