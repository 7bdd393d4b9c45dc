//! What is installed: recipes and the content-addressed store.
//!
//! A [`recipe`] says how an artifact is made on a machine that reaches the package registries, with the ordinary clients as
//! that machine has them configured. What it gives is put into the [`store`], named by sha256, and written down in the
//! [`lock`](crate::lock); from then on every host gets those bytes. [`prepare`] makes what is missing, and nothing else.

pub mod brought;
pub mod deb;
pub mod go;
pub mod image;
pub mod lock_file;
pub mod maven;
pub mod prepare;
pub mod recipe;
pub mod store;

mod command;
mod made;

use std::collections::BTreeMap;

pub use prepare::{Wanted, not_locked, prepare, update};
pub use store::Store;

use crate::lock::Lock;
use crate::site::model::Brought;

/// A lock with something for every recipe (with the releases that its packages are for), although nothing was made: enough to
/// work out what hosts should hold, not to install it.
///
/// # Errors
/// When a recipe cannot be used.
pub fn stand_in(
    recipes: &BTreeMap<String, Vec<String>>,
    brought: &BTreeMap<String, Brought>,
) -> Result<Lock, ArtifactError> {
    let locked = |(name, releases): (&String, &Vec<String>)| {
        Ok((name.clone(), recipe::Recipe::of_site(name, brought.get(name))?.stand_in(releases)))
    };
    let recipes = recipes.iter().map(locked).collect::<Result<_, ArtifactError>>()?;
    Ok(Lock { recipes, ..Lock::default() })
}

/// The time of every file in an archive of ours, in seconds since the epoch: 1980-01-01, the first that zip files know too.
const ENTRY_TIME: u64 = 315_532_800;

/// Why an artifact cannot be had. Nobody acts on the kind, so it is text: what went wrong, what to do, and what the
/// program that failed said last.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ArtifactError {
    /// What went wrong.
    pub message: String,
    /// What to do about it.
    pub hint: String,
    /// The last lines of the program that failed, oldest first.
    pub log: Vec<String>,
}

impl ArtifactError {
    pub(crate) fn new(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { message: message.into(), hint: hint.into(), log: Vec::new() }
    }
}
