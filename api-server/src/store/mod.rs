//! What the server keeps. One trait for each area, so that a store is put together from parts: in memory, or Cassandra with
//! OpenSearch, S3 and Redis.
//!
//! Every store keeps the promises written at the traits' functions; one suite checks them on all stores.

use std::sync::Arc;

use anyhow::Context as _;
use futures_util::future;

use crate::config::Config;

pub mod assets;
pub mod cassandra;
pub mod clients;
pub mod codes;
pub mod connections;
pub mod conversations;
pub mod cookies;
pub mod memory;
mod nodes;
pub mod notifications;
pub mod opensearch;
pub mod prekeys;
pub mod properties;
pub mod s3;
pub mod search;
pub mod teams;
pub mod users;

/// Why a store did not do it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Too few of its nodes answer; it may have been done.
    #[error("the store does not answer: {0}")]
    Unavailable(String),
    /// What was read is none of ours.
    #[error("the store holds what cannot be read: {0}")]
    Corrupt(String),
}

/// What a store's functions give.
pub type Result<T> = std::result::Result<T, StoreError>;

/// One page of a list, in the order of its keys.
#[derive(Clone, PartialEq, Debug)]
pub struct Page<T> {
    /// The entries.
    pub entries: Vec<T>,
    /// Whether there are more after these.
    pub has_more: bool,
}

impl<T> Page<T> {
    /// The first `size` of `entries`, of which one more than `size` was read.
    pub fn cut(mut entries: Vec<T>, size: usize) -> Self {
        let has_more = entries.len() > size;
        entries.truncate(size);
        Self { entries, has_more }
    }
}

/// What of the stores may be away by itself.
///
/// The directory is none of it: it is searched and written best effort, and a service that waited for it would keep everybody from logging in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Part {
    /// All areas but the directory and files.
    Tables,
    /// Files.
    Files,
}

/// All areas.
#[derive(Clone)]
pub struct Store {
    /// Users, and who has which e-mail address and handle.
    pub users: Arc<dyn users::Users>,
    /// Codes sent by mail, and counts of failed attempts.
    pub codes: Arc<dyn codes::Codes>,
    /// Sessions.
    pub cookies: Arc<dyn cookies::Cookies>,
    /// Devices.
    pub clients: Arc<dyn clients::Clients>,
    /// Devices' prekeys.
    pub prekeys: Arc<dyn prekeys::Prekeys>,
    /// Connections between users.
    pub connections: Arc<dyn connections::Connections>,
    /// Users' own small data.
    pub properties: Arc<dyn properties::Properties>,
    /// Conversations and members.
    pub conversations: Arc<dyn conversations::Conversations>,
    /// Teams and members.
    pub teams: Arc<dyn teams::Teams>,
    /// Users' notification logs.
    pub notifications: Arc<dyn notifications::Notifications>,
    /// The directory of users.
    pub search: Arc<dyn search::Search>,
    /// Files.
    pub assets: Arc<dyn assets::Assets>,
}

impl Store {
    /// With the directory and files where the configuration has them, if it says so.
    ///
    /// # Errors
    /// Addresses or files of authorities that are none.
    pub fn with_parts(mut self, config: &Config) -> anyhow::Result<Self> {
        if let Some(search) = &config.search {
            self.search = Arc::new(opensearch::OpenSearch::new(search).context("search")?);
        }
        if let Some(s3) = &config.s3 {
            self.assets = Arc::new(s3::S3Assets::new(s3).context("s3")?);
        }
        Ok(self)
    }

    /// Whether these parts answer.
    ///
    /// # Errors
    /// One that does not.
    pub async fn ready(&self, parts: &[Part]) -> Result<()> {
        let answers = async |part: &Part| match part {
            Part::Tables => self.users.ready().await,
            Part::Files => self.assets.ready().await,
        };
        future::try_join_all(parts.iter().map(answers)).await.map(drop)
    }
}
