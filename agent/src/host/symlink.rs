//! Symbolic links.

use rustix::fs::FileType;

use super::directory::{at, entry, path_state};
use super::names::Names;
use super::place::Place;
use super::problem::Problem;
use super::root::Root;
use super::transaction::Transaction;
use crate::resource::Symlink;
use crate::state::State;

/// What is at the link's path.
///
/// # Errors
/// When it cannot be looked at.
pub fn observe(root: &Root, names: &Names, wanted: &Symlink) -> Result<State, Problem> {
    let Some((place, found)) = at(root, &wanted.path)? else { return Ok(State::Absent) };
    Ok(path_state(names, &found, entry(&place, found.kind)?))
}

/// Makes the link point where it should; a file in its place is replaced.
///
/// # Errors
/// When a folder is there or the link cannot be made.
pub fn apply(root: &Root, wanted: &Symlink, transaction: Option<&mut Transaction>) -> Result<(), Problem> {
    let place = Place::make(root, &wanted.path)?;
    if let Some(transaction) = transaction {
        transaction.keep_path(&place)?;
    }
    place.link(&wanted.target)
}

/// Removes the link, if it is one.
///
/// # Errors
/// When it cannot be removed.
pub fn remove(root: &Root, wanted: &Symlink) -> Result<(), Problem> {
    match at(root, &wanted.path)? {
        Some((place, found)) if found.kind == FileType::Symlink => place.remove(),
        _ => Ok(()),
    }
}
