//! The directory of users: found by handle and name.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::Result;
use crate::domain::{TeamId, UserId};

/// A user in the directory.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Document {
    /// The user.
    pub id: UserId,
    /// Display name.
    pub name: String,
    /// Unique name.
    pub handle: Option<String>,
    /// Colour of the avatar.
    pub accent_id: i32,
    /// The team.
    pub team: Option<TeamId>,
}

/// Who looks for what.
#[derive(Clone, Debug)]
pub struct SearchQuery {
    /// Who looks; not among the found.
    pub searcher: UserId,
    /// Their team: found first.
    pub team: Option<TeamId>,
    /// Whether only the team is searched.
    pub team_only: bool,
    /// What they typed.
    pub text: String,
    /// The most to find.
    pub size: usize,
}

/// The directory.
#[async_trait]
pub trait Search: Send + Sync {
    /// Enters a user, or changes the entry.
    async fn put(&self, document: &Document) -> Result<()>;
    /// Takes a user out.
    async fn delete(&self, user: UserId) -> Result<()>;
    /// Finds users: the exact handle first, then handles and names that begin with the text, then names that hold a word that does.
    async fn find(&self, query: &SearchQuery) -> Result<Vec<Document>>;
}
