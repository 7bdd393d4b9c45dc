//! The directory of users: found by handle and name.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::Result;
use crate::domain::{TeamId, Time, UserId};

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

impl SearchQuery {
    /// What is looked for: lower case, without the `@` of handles. Empty finds nobody.
    pub fn wanted(&self) -> String {
        self.text.trim().trim_start_matches('@').to_lowercase()
    }

    /// The best of those who fit, the best first.
    pub fn choose(&self, documents: impl IntoIterator<Item = Document>) -> Vec<Document> {
        let wanted = self.wanted();
        if wanted.is_empty() {
            return Vec::new();
        }
        let others = documents.into_iter().filter(|document| document.id != self.searcher);
        let allowed = others.filter(|document| !self.team_only || document.team == self.team);
        let mut found: Vec<_> = allowed.filter_map(|document| Some((rank(&document, &wanted)?, document))).collect();
        let foreign = |document: &Document| self.team.is_none() || document.team != self.team;
        found.sort_by(|(left, a), (right, b)| {
            (left, foreign(a), &a.name, a.id).cmp(&(right, foreign(b), &b.name, b.id))
        });
        found.into_iter().take(self.size).map(|(_, document)| document).collect()
    }
}

/// How well a user fits: less is better; `None` is not at all.
fn rank(document: &Document, wanted: &str) -> Option<u8> {
    let handle = document.handle.as_deref().unwrap_or_default();
    let name = document.name.to_lowercase();
    if handle == wanted {
        Some(0)
    } else if handle.starts_with(wanted) || name.starts_with(wanted) {
        Some(1)
    } else if name.split_whitespace().any(|word| word.starts_with(wanted)) {
        Some(2)
    } else {
        None
    }
}

/// The directory. What was entered or taken out is seen by the next search.
#[async_trait]
pub trait Search: Send + Sync {
    /// Enters a user, or changes the entry.
    async fn put(&self, document: &Document) -> Result<()>;
    /// Takes a user out.
    async fn delete(&self, user: UserId) -> Result<()>;
    /// Enters and takes out many who were read from the users' store at a time: an entry that changed since then stays.
    async fn load(&self, read: Time, present: &[Document], gone: &[UserId]) -> Result<()>;
    /// Finds users: the exact handle first, then handles and names that begin with the text, then names that hold a word that does.
    async fn find(&self, query: &SearchQuery) -> Result<Vec<Document>>;
}
