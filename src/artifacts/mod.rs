//! What is installed: recipes, the content-addressed store, the lock.

pub mod lock;
