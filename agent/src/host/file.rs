//! Files.

use std::fs::File as OpenFile;
use std::io::{self, Read, Write as _};

use rustix::fs::FileType;
use sha2::{Digest as _, Sha256};

use super::blobs::Blobs;
use super::directory::{self, at, path_state};
use super::known_digest;
use super::names::Names;
use super::place::Place;
use super::problem::{Doing as _, Problem};
use super::root::Root;
use super::transaction::Transaction;
use crate::digest::{Digest, FingerprintKey};
use crate::resource::{Content, File, Ownership};
use crate::state::{Entry, MAX_REPORTED_TEXT, State};

/// A file that holds a secret is read whole to be fingerprinted; none is longer than this many bytes.
const LONGEST_SECRET: u64 = 16 * 1024 * 1024;

/// What is at the file's path.
///
/// # Errors
/// When it cannot be looked at.
pub fn observe(root: &Root, names: &Names, wanted: &File, key: &FingerprintKey) -> Result<State, Problem> {
    let Some((place, found)) = at(root, &wanted.path)? else { return Ok(State::Absent) };
    let entry = match found.kind {
        FileType::RegularFile if wanted.sensitive => {
            Entry::File { digest: key.fingerprint(&place.read(LONGEST_SECRET)?), text: None }
        }
        FileType::RegularFile if found.size <= MAX_REPORTED_TEXT => {
            let content = place.read(MAX_REPORTED_TEXT)?;
            let digest = Digest::of(&content);
            let differs = wanted_digest(wanted).is_none_or(|wanted| wanted != digest);
            let text = if differs { String::from_utf8(content).ok() } else { None };
            Entry::File { digest, text }
        }
        FileType::RegularFile => Entry::File { digest: known_digest::of(root, &place)?, text: None },
        kind => directory::entry(&place, kind)?,
    };
    Ok(path_state(names, &found, entry))
}

/// The digest of the wanted content, where the request tells it.
fn wanted_digest(wanted: &File) -> Option<Digest> {
    match &wanted.content {
        Content::Text(text) => Some(Digest::of(text.as_bytes())),
        Content::Blob(digest) | Content::Digest(digest) => Some(digest.clone()),
    }
}

/// Makes the file what it should be. `content_is_right` says that only its owner and mode may differ.
///
/// # Errors
/// When it cannot be written, or its blob is not on the host.
pub fn apply(
    root: &Root,
    names: &Names,
    wanted: &File,
    content_is_right: bool,
    transaction: Option<&mut Transaction>,
) -> Result<(), Problem> {
    let ids = names.ids(&wanted.owner)?;
    let place = Place::make(root, &wanted.path)?;
    if let Some(transaction) = transaction {
        transaction.keep_path(&place)?;
    }
    if content_is_right {
        return place.set_owner_and_mode(ids, wanted.mode.0);
    }
    place.write(ids, wanted.mode.0, |file| match &wanted.content {
        Content::Text(text) => file.write_all(text.as_bytes()).doing(format!("write {}", wanted.path)),
        Content::Blob(blob) => copy_blob(root, blob, file, &wanted.path),
        Content::Digest(_) => Err(Problem::new(format!("{} came without its content", wanted.path))),
    })
}

/// Whether what is there needs no other content.
#[must_use]
pub fn content_is_right(wanted: &File, state: &State, key: &FingerprintKey) -> bool {
    let State::Path(found) = state else { return false };
    let Entry::File { digest, .. } = &found.entry else { return false };
    let right = match &wanted.content {
        Content::Text(text) if wanted.sensitive => key.fingerprint(text.as_bytes()),
        Content::Text(text) => Digest::of(text.as_bytes()),
        Content::Blob(digest) | Content::Digest(digest) => digest.clone(),
    };
    wanted.ownership == Ownership::Seed || *digest == right
}

/// Removes the file, if it is one.
///
/// # Errors
/// When it cannot be removed.
pub fn remove(root: &Root, wanted: &File) -> Result<(), Problem> {
    match at(root, &wanted.path)? {
        Some((place, found)) if found.kind == FileType::RegularFile => place.remove(),
        _ => Ok(()),
    }
}

fn copy_blob(root: &Root, blob: &Digest, file: &mut OpenFile, path: &str) -> Result<(), Problem> {
    let mut source = Blobs::open(root, blob)?;
    io::copy(&mut source, file).doing(format!("write {path}"))?;
    Ok(())
}

/// The digest of everything that a reader gives.
///
/// # Errors
/// When it cannot be read.
pub(super) fn digest(mut reader: impl Read) -> io::Result<Digest> {
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 128 * 1024];
    loop {
        match reader.read(&mut buffer)? {
            0 => return Ok(Digest::from_hasher(hasher)),
            length => hasher.update(&buffer[..length]),
        }
    }
}
