//! Files in a folder.

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;

use async_trait::async_trait;
use futures_util::{StreamExt as _, TryStreamExt as _};
use tokio::io::AsyncWriteExt as _;
use tokio_util::io::ReaderStream;

use super::Table;
use crate::domain::Time;
use crate::domain::asset::{AssetKey, AssetMeta};
use crate::store::assets::{Assets, ByteStream, Content, PutError};
use crate::store::{Result, StoreError};

/// Bytes in files named by key, the rest in memory.
pub struct FolderAssets {
    folder: PathBuf,
    metas: Table<HashMap<AssetKey, AssetMeta>>,
}

impl FolderAssets {
    /// The folder is made with the first file.
    pub fn new(folder: PathBuf) -> Self {
        Self { folder, metas: Table::default() }
    }

    fn path(&self, key: AssetKey) -> PathBuf {
        self.folder.join(key.to_string())
    }

    async fn write(&self, key: AssetKey, mut bytes: ByteStream) -> std::result::Result<(), PutError> {
        tokio::fs::create_dir_all(&self.folder).await.map_err(|error| unavailable(&error))?;
        let mut file = tokio::fs::File::create(self.path(key)).await.map_err(|error| unavailable(&error))?;
        while let Some(chunk) = bytes.next().await {
            file.write_all(&chunk.map_err(PutError::Sender)?).await.map_err(|error| unavailable(&error))?;
        }
        file.flush().await.map_err(|error| unavailable(&error))?;
        Ok(())
    }
}

fn unavailable(error: &io::Error) -> StoreError {
    StoreError::Unavailable(error.to_string())
}

#[async_trait]
impl Assets for FolderAssets {
    async fn ready(&self) -> Result<()> {
        Ok(())
    }

    async fn put(&self, meta: &AssetMeta, bytes: ByteStream) -> std::result::Result<(), PutError> {
        let written = self.write(meta.key, bytes).await;
        if written.is_err() {
            // What is left of a broken upload; there may be nothing.
            let _ = tokio::fs::remove_file(self.path(meta.key)).await;
            return written;
        }
        self.metas.lock().insert(meta.key, meta.clone());
        Ok(())
    }

    async fn meta(&self, key: AssetKey) -> Result<Option<AssetMeta>> {
        let meta = self.metas.lock().get(&key).cloned();
        Ok(meta.filter(|meta| meta.expires.is_none_or(|expires| expires > Time::now())))
    }

    async fn set_token(&self, key: AssetKey, token: Option<&str>) -> Result<()> {
        if let Some(meta) = self.metas.lock().get_mut(&key) {
            meta.token = token.map(str::to_owned);
        }
        Ok(())
    }

    async fn content(&self, key: AssetKey) -> Result<Option<Content>> {
        let file = match tokio::fs::File::open(self.path(key)).await {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(unavailable(&error)),
        };
        let length = file.metadata().await.map_err(|error| unavailable(&error))?.len();
        Ok(Some(Content::Stream { bytes: ReaderStream::new(file).into_stream().boxed(), length }))
    }

    async fn delete(&self, key: AssetKey) -> Result<()> {
        self.metas.lock().remove(&key);
        match tokio::fs::remove_file(self.path(key)).await {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(unavailable(&error)),
            _ => Ok(()),
        }
    }
}
