//! The host's blob cache: files named by their sha256, written once, checked before they get their name.
//!
//! Packages, archives and files live on in their installed form, so a blob that a session has used is deleted when the
//! session ends, and one that none has used for a week when the next begins.

use std::fs::{self, File};
use std::io::{self, Seek as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use sha2::{Digest as _, Sha256};

use super::place::{Place, make_private_folder};
use super::problem::{Doing as _, Problem};
use super::root::Root;
use crate::digest::Digest;

/// Where blobs are.
const FOLDER: &str = "/var/lib/wire-deploy/blobs";
/// How long a blob that nothing used is kept.
const UNUSED: Duration = Duration::from_secs(7 * 24 * 3600);
/// How long ago something half written must have been touched last to be a left-over.
const ABANDONED: Duration = Duration::from_secs(3600);
/// What follows the digest in the name of something half written.
const PARTIAL: &str = ".part-";

/// The host's blob cache.
pub struct Blobs;

impl Blobs {
    /// The path of a blob on the host.
    #[must_use]
    pub fn path(blob: &Digest) -> String {
        format!("{FOLDER}/{blob}")
    }

    /// Whether the host has it.
    #[must_use]
    pub fn has(root: &Root, blob: &Digest) -> bool {
        root.path(&Self::path(blob)).is_file()
    }

    /// Whether the host has it; if so, it counts as wanted from now on. An agent whose operator is long gone may still end, and
    /// would delete it otherwise.
    #[must_use]
    pub fn want(root: &Root, blob: &Digest) -> bool {
        let file = File::open(root.path(&Self::path(blob)));
        file.is_ok_and(|file| file.set_modified(SystemTime::now()).is_ok())
    }

    /// Opens a blob after checking that it is still what its name says: disks err.
    ///
    /// # Errors
    /// When the host does not have it.
    pub fn open(root: &Root, blob: &Digest) -> Result<File, Problem> {
        let path = Self::path(blob);
        let missing =
            || Problem::new(format!("the host lacks blob {}", blob.short())).hint("apply again: it is then sent");
        let Some(place) = Place::find(root, &path)? else { return Err(missing()) };
        if place.look()?.is_none() {
            return Err(missing());
        }
        let mut file = place.open()?;
        if super::file::digest(&mut file).doing("read a blob")? != *blob {
            place.remove()?;
            return Err(Problem::new(format!("blob {} was damaged on the host and is removed", blob.short()))
                .hint("apply again: it is then sent anew; look at the host's disk"));
        }
        file.rewind().doing("read a blob")?;
        Ok(file)
    }

    /// Deletes a blob, unless someone wanted it after `since`.
    ///
    /// # Errors
    /// When it cannot be deleted.
    pub fn remove_unless_wanted_since(root: &Root, blob: &Digest, since: SystemTime) -> Result<(), Problem> {
        let wanted = fs::metadata(root.path(&Self::path(blob))).and_then(|found| found.modified());
        if wanted.is_ok_and(|wanted| wanted > since) {
            return Ok(());
        }
        Place::find(root, &Self::path(blob))?.map_or(Ok(()), |place| place.remove())
    }

    /// Deletes what has not been used for long, and what a killed agent left half written.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn prune(root: &Root, now: SystemTime) -> Result<(), Problem> {
        let entries = match fs::read_dir(root.path(FOLDER)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            entries => entries.doing("read the blobs' folder")?,
        };
        for entry in entries.flatten() {
            let written = entry.metadata().and_then(|metadata| metadata.modified());
            let partial = entry.file_name().to_string_lossy().contains(PARTIAL);
            let most = if partial { ABANDONED } else { UNUSED };
            if written.is_ok_and(|written| now.duration_since(written).is_ok_and(|age| age > most)) {
                fs::remove_file(entry.path()).doing("delete an old blob")?;
            }
        }
        Ok(())
    }
}

/// A blob that is coming in. Dropped before it is whole, it is gone.
pub struct Incoming {
    file: File,
    path: PathBuf,
    blob: Digest,
    hasher: Sha256,
    missing: u64,
}

impl Incoming {
    /// Begins a blob of `size` bytes. `name` is unlike any other that is coming in.
    ///
    /// # Errors
    /// When there is no room.
    pub fn begin(root: &Root, blob: Digest, size: u64, name: &str) -> Result<Self, Problem> {
        make_private_folder(root, FOLDER)?;
        let free = rustix::fs::statvfs(root.path(FOLDER)).doing("ask for free space")?;
        let free = free.f_bavail.saturating_mul(free.f_frsize);
        if free < size {
            return Err(Problem::new(format!("{FOLDER} has {free} bytes free, a blob needs {size}"))
                .hint("make room on that file system"));
        }
        let path = root.path(&format!("{FOLDER}/{blob}{PARTIAL}{name}"));
        let file = File::options().write(true).create_new(true).mode(0o600).open(&path).doing("write a blob")?;
        Ok(Self { file, path, blob, hasher: Sha256::new(), missing: size })
    }

    /// Takes the next bytes.
    ///
    /// # Errors
    /// When there are more than announced or they cannot be written.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), Problem> {
        let more = || Problem::new(format!("blob {} is longer than announced", self.blob.short()));
        self.missing = self.missing.checked_sub(bytes.len() as u64).ok_or_else(more)?;
        self.hasher.update(bytes);
        self.file.write_all(bytes).doing("write a blob")
    }

    /// Gives the blob its name, if it is what the name says.
    ///
    /// # Errors
    /// When it is not, or cannot be written.
    pub fn finish(self, root: &Root) -> Result<(), Problem> {
        let digest = Digest::from_hasher(self.hasher.clone());
        if self.missing > 0 || digest != self.blob {
            return Err(Problem::new(format!("expected blob {}, received {}", self.blob.short(), digest.short()))
                .hint("the artifact store's copy is damaged, or it was damaged on the way; `wire-deploy` can build it anew"));
        }
        self.file.sync_all().doing("write a blob")?;
        fs::rename(&self.path, root.path(&Blobs::path(&self.blob))).doing("name a blob")?;
        File::open(root.path(FOLDER)).and_then(|folder| folder.sync_all()).doing("write the blobs' folder")
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        // After `finish` it has another name and nothing is there.
        let _ = fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn a_blob_is_there_only_when_whole_and_right() {
        let folder = tempfile::tempdir().unwrap();
        let root = Root::new(folder.path());
        let blob = Digest::of(b"content");
        let mut incoming = Incoming::begin(&root, blob.clone(), 7, "a").unwrap();
        incoming.write(b"cont").unwrap();
        assert!(!Blobs::has(&root, &blob));
        incoming.write(b"ent").unwrap();
        incoming.finish(&root).unwrap();
        assert!(Blobs::has(&root, &blob));

        let other = Digest::of(b"other");
        for content in [&b"othes"[..], b"othe", b"others"] {
            let mut incoming = Incoming::begin(&root, other.clone(), 5, "b").unwrap();
            assert!(incoming.write(content).and_then(|()| incoming.finish(&root)).is_err());
        }
        assert!(!Blobs::has(&root, &other));
        assert_eq!(fs::read_dir(root.path(FOLDER)).unwrap().count(), 1, "nothing half written stays");

        fs::write(root.path(&Blobs::path(&blob)), "damaged").unwrap();
        assert!(Blobs::open(&root, &blob).is_err());
        assert!(!Blobs::has(&root, &blob), "so that it is sent again");
    }

    #[test]
    fn a_blob_that_another_session_counts_on_stays() {
        let folder = tempfile::tempdir().unwrap();
        let root = Root::new(folder.path());
        let blob = Digest::of(b"");
        assert!(!Blobs::want(&root, &blob));
        Incoming::begin(&root, blob.clone(), 0, "a").unwrap().finish(&root).unwrap();
        let used = SystemTime::now() - Duration::from_secs(1);
        assert!(Blobs::want(&root, &blob));
        Blobs::remove_unless_wanted_since(&root, &blob, used).unwrap();
        assert!(Blobs::has(&root, &blob));
        Blobs::remove_unless_wanted_since(&root, &blob, SystemTime::now() + Duration::from_secs(1)).unwrap();
        assert!(!Blobs::has(&root, &blob));
    }

    #[test]
    fn old_blobs_go() {
        let folder = tempfile::tempdir().unwrap();
        let root = Root::new(folder.path());
        let blob = Digest::of(b"");
        Incoming::begin(&root, blob.clone(), 0, "a").unwrap().finish(&root).unwrap();
        Blobs::prune(&root, SystemTime::now()).unwrap();
        assert!(Blobs::has(&root, &blob));
        Blobs::prune(&root, SystemTime::now() + UNUSED + Duration::from_secs(60)).unwrap();
        assert!(!Blobs::has(&root, &blob));
    }
}
