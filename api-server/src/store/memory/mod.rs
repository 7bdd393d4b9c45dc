//! The store in this process's memory (files in a folder): for tests and a first look. It is gone with the process.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Store;

mod assets;
mod clients;
mod conversations;
mod notifications;
mod search;
mod sessions;
mod teams;
mod users;

pub use notifications::{Clock, MemoryNotifications};

/// An empty store; files go into `folder`.
pub fn store(folder: PathBuf) -> Store {
    let sessions = Arc::new(sessions::Sessions::default());
    let clients = Arc::new(clients::MemoryClients::default());
    Store {
        users: Arc::new(users::MemoryUsers::default()),
        codes: sessions.clone(),
        cookies: sessions,
        clients: clients.clone(),
        prekeys: clients,
        connections: Arc::new(users::MemoryConnections::default()),
        properties: Arc::new(users::MemoryProperties::default()),
        conversations: Arc::new(conversations::MemoryConversations::default()),
        teams: Arc::new(teams::MemoryTeams::default()),
        notifications: Arc::new(MemoryNotifications::default()),
        search: Arc::new(search::MemorySearch::default()),
        assets: Arc::new(assets::FolderAssets::new(folder)),
    }
}

/// A table under a lock that is never held across an await.
#[derive(Default)]
struct Table<T>(Mutex<T>);

impl<T> Table<T> {
    fn lock(&self) -> MutexGuard<'_, T> {
        // A panic in a holder leaves no half-made entry: each change is one insertion or removal.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
