//! Folders, and what is at any path.

use std::fs;

use rustix::fs::FileType;

use super::file;
use super::names::Names;
use super::place::{Found, Place};
use super::problem::{Doing as _, Problem};
use super::root::Root;
use crate::resource::{Directory, Mode};
use crate::state::{Entry, PathState, State};

/// What is at the folder's path.
///
/// # Errors
/// When it cannot be looked at.
pub fn observe(root: &Root, names: &Names, wanted: &Directory) -> Result<State, Problem> {
    let Some((place, found)) = at(root, &wanted.path)? else { return Ok(State::Absent) };
    Ok(path_state(names, &found, entry(&place, found.kind)?))
}

/// Makes the folder what it should be.
///
/// # Errors
/// When something else is there or it cannot be made.
pub fn apply(root: &Root, names: &Names, wanted: &Directory) -> Result<(), Problem> {
    let ids = names.ids(&wanted.owner)?;
    let place = Place::make(root, &wanted.path)?;
    match place.look()?.map(|found| found.kind) {
        Some(FileType::Directory) => return place.set_owner_and_mode(ids, wanted.mode.0),
        // Behind a link may be the data that the folder is to hold: an empty one in its place would look like a loss.
        Some(FileType::Symlink) if !wanted.data => place.remove()?,
        Some(_) => {
            return Err(Problem::new(format!("{} is there and is no folder", wanted.path))
                .hint("look what it is and move it away, or name another folder in the site file"));
        }
        None => {}
    }
    place.make_folder(ids, wanted.mode.0)
}

/// Deletes the folder: with all in it if it holds data, else only if nothing is left in it that is not ours.
///
/// # Errors
/// When it cannot be deleted.
pub fn remove(root: &Root, wanted: &Directory) -> Result<(), Problem> {
    let Some((place, found)) = at(root, &wanted.path)? else { return Ok(()) };
    if found.kind != FileType::Directory {
        return Ok(());
    }
    if wanted.data {
        remove_entries(root, &wanted.path)?;
    }
    place.remove_empty_folder().map(|_| ())
}

/// Deletes everything in a folder, never following a link. The folder stays: it may be where a disk is mounted.
///
/// # Errors
/// When something cannot be deleted.
pub fn remove_entries(root: &Root, path: &str) -> Result<(), Problem> {
    let doing = || format!("delete what is in {path}");
    for entry in fs::read_dir(root.path(path)).doing(doing())? {
        let entry = entry.doing(doing())?;
        if entry.file_type().doing(doing())?.is_dir() {
            fs::remove_dir_all(entry.path()).doing(doing())?;
        } else {
            fs::remove_file(entry.path()).doing(doing())?;
        }
    }
    Ok(())
}

/// The place and what is there; `None` if nothing is.
pub(super) fn at(root: &Root, path: &str) -> Result<Option<(Place, Found)>, Problem> {
    let Some(place) = Place::find(root, path)? else { return Ok(None) };
    Ok(place.look()?.map(|found| (place, found)))
}

/// What is there, where no content is asked for.
pub(super) fn entry(place: &Place, kind: FileType) -> Result<Entry, Problem> {
    Ok(match kind {
        FileType::Directory => Entry::Directory,
        FileType::RegularFile => {
            let digest = file::digest(place.open()?).doing(format!("read {}", place.path()))?;
            Entry::File { digest, text: None }
        }
        FileType::Symlink => Entry::Symlink { target: place.target()? },
        _ => Entry::Other,
    })
}

pub(super) fn path_state(names: &Names, found: &Found, entry: Entry) -> State {
    State::Path(PathState { entry, owner: names.owner(found.ids), mode: Mode(found.mode) })
}
