//! The directory.

use std::collections::HashMap;

use async_trait::async_trait;

use super::Table;
use crate::domain::UserId;
use crate::store::Result;
use crate::store::search::{Document, Search, SearchQuery};

/// Users by id.
#[derive(Default)]
pub struct MemorySearch(Table<HashMap<UserId, Document>>);

/// How well a user fits: less is better; `None` is not at all.
fn rank(document: &Document, text: &str) -> Option<u8> {
    let handle = document.handle.as_deref().unwrap_or_default();
    let name = document.name.to_lowercase();
    if handle == text {
        Some(0)
    } else if handle.starts_with(text) || name.starts_with(text) {
        Some(1)
    } else if name.split_whitespace().any(|word| word.starts_with(text)) {
        Some(2)
    } else {
        None
    }
}

#[async_trait]
impl Search for MemorySearch {
    async fn put(&self, document: &Document) -> Result<()> {
        self.0.lock().insert(document.id, document.clone());
        Ok(())
    }

    async fn delete(&self, user: UserId) -> Result<()> {
        self.0.lock().remove(&user);
        Ok(())
    }

    async fn find(&self, query: &SearchQuery) -> Result<Vec<Document>> {
        let text = query.text.trim().trim_start_matches('@').to_lowercase();
        if text.is_empty() {
            return Ok(Vec::new());
        }
        let documents = self.0.lock();
        let others = documents.values().filter(|document| document.id != query.searcher);
        let allowed = others.filter(|document| !query.team_only || document.team == query.team);
        let mut found: Vec<_> = allowed.filter_map(|document| Some((rank(document, &text)?, document))).collect();
        let foreign = |document: &Document| query.team.is_none() || document.team != query.team;
        found.sort_by(|(left, a), (right, b)| {
            (left, foreign(a), &a.name, a.id).cmp(&(right, foreign(b), &b.name, b.id))
        });
        Ok(found.into_iter().take(query.size).map(|(_, document)| document.clone()).collect())
    }
}
