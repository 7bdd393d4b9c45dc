//! The directory.

use std::collections::HashMap;

use async_trait::async_trait;

use super::Table;
use crate::domain::{Time, UserId};
use crate::store::Result;
use crate::store::search::{Document, Search, SearchQuery};

/// Users by id, and when each was entered.
#[derive(Default)]
pub struct MemorySearch(Table<HashMap<UserId, (Time, Document)>>);

#[async_trait]
impl Search for MemorySearch {
    async fn put(&self, document: &Document) -> Result<()> {
        self.0.lock().insert(document.id, (Time::now(), document.clone()));
        Ok(())
    }

    async fn delete(&self, user: UserId) -> Result<()> {
        self.0.lock().remove(&user);
        Ok(())
    }

    async fn load(&self, read: Time, present: &[Document], gone: &[UserId]) -> Result<()> {
        let mut documents = self.0.lock();
        let changed =
            |documents: &HashMap<_, (Time, _)>, user| documents.get(user).is_some_and(|(time, _)| *time > read);
        for document in present {
            if !changed(&documents, &document.id) {
                documents.insert(document.id, (read, document.clone()));
            }
        }
        for user in gone {
            if !changed(&documents, user) {
                documents.remove(user);
            }
        }
        Ok(())
    }

    async fn find(&self, query: &SearchQuery) -> Result<Vec<Document>> {
        let documents = self.0.lock();
        Ok(query.choose(documents.values().map(|(_, document)| document.clone())))
    }
}
