//! Digests of long files, remembered, so that looking at a host a second time does not read all its binaries again.
//!
//! The kernel changes a file's inode change time whenever its content or its metadata changes, and nobody can set it back.
//! A digest is remembered only if that time was a while ago when the file was read: two changes within one tick of the
//! kernel's clock look alike.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;

use super::facts::clock;
use super::names::Ids;
use super::place::{Place, make_private_folder};
use super::problem::{Doing as _, Problem};
use super::root::Root;
use crate::digest::Digest;

const FOLDER: &str = "/var/lib/wire-deploy/digests";
/// Shorter files are read faster than remembered, in bytes.
const SHORTEST: u64 = 1024 * 1024;
/// How long ago a file must have been changed, in milliseconds.
const SETTLED: i64 = 2000;

/// The digest of the file at a place.
///
/// # Errors
/// When it cannot be read.
pub fn of(root: &Root, place: &Place) -> Result<Digest, Problem> {
    let file = place.open()?;
    let before = fingerprint(&file, place)?;
    let remembered = format!("{FOLDER}/{}", Digest::of(place.path().as_bytes()));
    if let Some(digest) = recall(root, &remembered, &before.text) {
        return Ok(digest);
    }
    let digest = super::file::digest(&file).doing(format!("read {}", place.path()))?;
    let unchanged = fingerprint(&file, place)?.text == before.text;
    if before.length >= SHORTEST && unchanged && clock() - before.changed > SETTLED {
        // Not being able to remember is no reason not to answer.
        let _ = remember(root, &remembered, &before.text, &digest);
    }
    Ok(digest)
}

/// What changes whenever a file does.
struct Fingerprint {
    text: String,
    length: u64,
    /// Milliseconds since the epoch.
    changed: i64,
}

fn fingerprint(file: &File, place: &Place) -> Result<Fingerprint, Problem> {
    let found = file.metadata().doing(format!("look at {}", place.path()))?;
    let (device, inode, length) = (found.dev(), found.ino(), found.size());
    let (modified, changed) = (found.mtime(), found.ctime());
    let (modified_part, changed_part) = (found.mtime_nsec(), found.ctime_nsec());
    Ok(Fingerprint {
        text: format!("{device} {inode} {length} {modified}.{modified_part} {changed}.{changed_part}"),
        length,
        changed: changed.saturating_mul(1000),
    })
}

fn recall(root: &Root, remembered: &str, fingerprint: &str) -> Option<Digest> {
    let text = fs::read_to_string(root.path(remembered)).ok()?;
    let digest = text.strip_prefix(fingerprint)?.strip_prefix('\n')?;
    Digest::try_from(digest.trim_end().to_owned()).ok()
}

fn remember(root: &Root, remembered: &str, fingerprint: &str, digest: &Digest) -> Result<(), Problem> {
    make_private_folder(root, FOLDER)?;
    Place::make(root, remembered)?.write(Ids::own(), 0o600, |file| {
        file.write_all(format!("{fingerprint}\n{digest}\n").as_bytes()).doing("remember a digest")
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_digest_is_remembered_until_the_file_changes() {
        let folder = tempfile::tempdir().unwrap();
        let root = Root::new(folder.path());
        let long = "x".repeat(usize::try_from(SHORTEST).unwrap());
        fs::write(root.path("/file"), &long).unwrap();
        let place = Place::find(&root, "/file").unwrap().unwrap();
        let remembered = || fs::read_dir(root.path(FOLDER)).map_or(0, Iterator::count);
        assert_eq!(of(&root, &place).unwrap(), Digest::of(long.as_bytes()));
        assert_eq!(remembered(), 0, "it has only just been written");
        std::thread::sleep(Duration::from_millis(u64::try_from(SETTLED).unwrap() + 1100));
        assert_eq!(of(&root, &place).unwrap(), Digest::of(long.as_bytes()));
        assert_eq!(remembered(), 1);
        // What is remembered is used: a lie in its place is believed.
        let path = fs::read_dir(root.path(FOLDER)).unwrap().next().unwrap().unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, text.replace(Digest::of(long.as_bytes()).as_str(), Digest::of(b"lie").as_str())).unwrap();
        assert_eq!(of(&root, &place).unwrap(), Digest::of(b"lie"));
        // Same length, same modification time: only the inode's change time tells.
        let modified = fs::metadata(root.path("/file")).unwrap().modified().unwrap();
        let other = "y".repeat(long.len());
        fs::write(root.path("/file"), &other).unwrap();
        File::options().write(true).open(root.path("/file")).unwrap().set_modified(modified).unwrap();
        assert_eq!(of(&root, &place).unwrap(), Digest::of(other.as_bytes()));
    }
}
