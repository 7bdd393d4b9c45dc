//! Files: encrypted by clients, kept whole.

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;

use super::Result;
use crate::domain::asset::{AssetKey, AssetMeta};

/// Bytes on their way, with an error when they end too early.
pub type ByteStream = BoxStream<'static, std::io::Result<Bytes>>;

/// Where a file's bytes are.
pub enum Content {
    /// Here.
    Stream {
        /// The bytes.
        bytes: ByteStream,
        /// How many.
        length: u64,
    },
    /// At a signed address, for a while.
    Redirect(String),
}

/// Why a file was not kept.
#[derive(Debug, thiserror::Error)]
pub enum PutError {
    /// The sender's fault: its stream ended too early or was too long.
    #[error("the upload was broken off: {0}")]
    Sender(std::io::Error),
    /// The store's.
    #[error(transparent)]
    Store(#[from] super::StoreError),
}

/// Files.
#[async_trait]
pub trait Assets: Send + Sync {
    /// Whether the store answers.
    async fn ready(&self) -> Result<()>;
    /// Keeps a file as its bytes come. Of a broken stream nothing is kept.
    async fn put(&self, meta: &AssetMeta, bytes: ByteStream) -> std::result::Result<(), PutError>;
    /// What is known of a file, unless it expired.
    async fn meta(&self, key: AssetKey) -> Result<Option<AssetMeta>>;
    /// Sets a file's token, or none.
    async fn set_token(&self, key: AssetKey, token: Option<&str>) -> Result<()>;
    /// A file's bytes.
    async fn content(&self, key: AssetKey) -> Result<Option<Content>>;
    /// Removes a file.
    async fn delete(&self, key: AssetKey) -> Result<()>;
}
