//! The content-addressed store: blobs in files named by their sha256, safe for several processes at once.
//!
//! A blob appears under its name only when it is whole and on disk, so a name that is there can be trusted to have been
//! right once. What became of it since is found by its size when it is asked for, and by its digest when it is read; a
//! damaged blob is removed, so that it is made again.

use std::fs::{self, File};
use std::io::{self, Read, Write as _};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncRead, ReadBuf};
use wire_deploy_agent::digest::Digest;

use super::ArtifactError;
use crate::lock::LockedFile;
use crate::workspace::files::{self, Existing};

/// Age after which a temporary file was left behind by a run that was killed.
const ABANDONED_AFTER: Duration = Duration::from_hours(24);
/// How often a name that another process holds is asked for again.
const EXCLUSIVE_RETRY: Duration = Duration::from_millis(100);
/// Bytes read at a time.
const CHUNK: usize = 128 * 1024;

/// The store, and beside it whatever else making artifacts keeps between runs.
#[derive(Debug, Clone)]
pub struct Store {
    root: PathBuf,
}

/// A name that no other process holds until this is dropped.
#[derive(Debug)]
pub struct Exclusive {
    // The lock is the open file's, so it ends with it, also when the process is killed.
    _file: File,
}

impl Store {
    /// The operator's store: `wire-deploy` in `$XDG_CACHE_HOME`, or in `~/.cache`.
    ///
    /// # Errors
    /// When neither variable says where that is.
    pub fn of_user() -> Result<Self, ArtifactError> {
        let absolute = |variable: &str| std::env::var_os(variable).map(PathBuf::from).filter(|path| path.is_absolute());
        let cache = absolute("XDG_CACHE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".cache")));
        cache.map(|cache| Self::at(cache.join("wire-deploy"))).ok_or_else(|| {
            ArtifactError::new(
                "there is no folder for artifacts: neither XDG_CACHE_HOME nor HOME is set to an absolute path",
                "set XDG_CACHE_HOME to a folder that you may write",
            )
        })
    }

    /// A store in a folder, which is made when something is put into it.
    #[must_use]
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// Where a blob is or would be.
    #[must_use]
    pub fn path(&self, blob: &Digest) -> PathBuf {
        self.blobs().join(blob.as_str())
    }

    /// A folder of that name for what a client such as apt keeps between runs; it is made if need be.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn client_folder(&self, name: &str) -> Result<PathBuf, ArtifactError> {
        let folder = self.root.join(name);
        make_folder(&folder)?;
        Ok(folder)
    }

    /// Whether a blob is there. One of another size is damaged: it is removed and counts as absent.
    ///
    /// # Errors
    /// When the store cannot be looked at, or a damaged blob not removed.
    pub fn has(&self, blob: &Digest, size: u64) -> Result<bool, ArtifactError> {
        let path = self.path(blob);
        match fs::metadata(&path) {
            Ok(found) if found.len() == size => Ok(true),
            Ok(_) => {
                remove(&path)?;
                Ok(false)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(failed("read", &path, &error)),
        }
    }

    /// Puts what `content` gives into the store.
    ///
    /// # Errors
    /// When it cannot be read or the store not written.
    pub fn put(&self, content: &mut dyn Read) -> Result<LockedFile, ArtifactError> {
        let folder = self.blobs();
        make_folder(&folder)?;
        let mut temporary =
            tempfile::NamedTempFile::new_in(&folder).map_err(|error| failed("write to", &folder, &error))?;
        let mut hasher = Sha256::new();
        let mut size = 0;
        let mut buffer = vec![0; CHUNK];
        loop {
            let count = match content.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => {
                    return Err(ArtifactError::new(
                        format!("cannot read what was to be stored: {error}"),
                        "run the command again; if it happens again, look at the machine's disk",
                    ));
                }
            };
            hasher.update(&buffer[..count]);
            temporary.write_all(&buffer[..count]).map_err(|error| failed("write to", &folder, &error))?;
            size += count as u64;
        }
        let blob = Digest::from_hasher(hasher);
        let path = self.path(&blob);
        temporary.as_file().sync_all().map_err(|error| failed("write to", &folder, &error))?;
        // Renaming replaces whatever is there: the same bytes, or a damaged blob.
        temporary.persist(&path).map_err(|error| failed("write", &path, &error.error))?;
        File::open(&folder).and_then(|folder| folder.sync_all()).map_err(|error| failed("write", &folder, &error))?;
        Ok(LockedFile { blob, size })
    }

    /// Puts a file into the store.
    ///
    /// # Errors
    /// As [`Self::put`].
    pub fn put_file(&self, path: &Path) -> Result<LockedFile, ArtifactError> {
        self.put(&mut File::open(path).map_err(|error| failed("read", path, &error))?)
    }

    /// A blob's size in bytes.
    ///
    /// # Errors
    /// When it is not there.
    pub fn size(&self, blob: &Digest) -> Result<u64, ArtifactError> {
        let path = self.path(blob);
        fs::metadata(&path).map(|found| found.len()).map_err(|error| failed("read", &path, &error))
    }

    /// A blob's content. The reader fails at the end, and removes the blob, if the content is not what its name says.
    ///
    /// # Errors
    /// When it is not there or cannot be opened.
    pub fn read(&self, blob: &Digest) -> Result<BlobReader, ArtifactError> {
        let path = self.path(blob);
        match File::open(&path) {
            Ok(file) => Ok(BlobReader {
                file: tokio::fs::File::from_std(file),
                hasher: Some(Sha256::new()),
                blob: blob.clone(),
                path,
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(ArtifactError::new(
                format!("blob {} is not in the store at {}", blob.short(), self.root.display()),
                "run the command again: what is missing is made anew",
            )),
            Err(error) => Err(failed("read", &path, &error)),
        }
    }

    /// Holds a name until the result is dropped, waiting for another process that has it; `waiting` is called once if so.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn exclusive(&self, name: &str, waiting: impl FnOnce()) -> Result<Exclusive, ArtifactError> {
        let folder = self.client_folder("locks")?;
        let path = folder.join(name);
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(|error| failed("write", &path, &error))?;
        let mut waiting = Some(waiting);
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Exclusive { _file: file }),
                Err(fs::TryLockError::WouldBlock) => {
                    if let Some(waiting) = waiting.take() {
                        waiting();
                    }
                    // Asked again rather than waited for in a thread, so that Ctrl-C ends the wait.
                    tokio::time::sleep(EXCLUSIVE_RETRY).await;
                }
                Err(fs::TryLockError::Error(error)) => return Err(failed("lock", &path, &error)),
            }
        }
    }

    /// Removes what killed runs left half written.
    pub fn sweep(&self) {
        let Ok(entries) = fs::read_dir(self.blobs()) else { return };
        for entry in entries.flatten() {
            let temporary = entry.file_name().to_string_lossy().starts_with('.');
            let age = entry.metadata().and_then(|found| found.modified()).ok().and_then(|time| time.elapsed().ok());
            if temporary && age.is_some_and(|age| age > ABANDONED_AFTER) {
                // Only room is lost if it stays.
                let _ = fs::remove_file(entry.path());
            }
        }
    }

    fn blobs(&self) -> PathBuf {
        self.root.join("store/sha256")
    }
}

/// A blob that is read and checked at once.
#[derive(Debug)]
pub struct BlobReader {
    file: tokio::fs::File,
    hasher: Option<Sha256>,
    blob: Digest,
    path: PathBuf,
}

impl AsyncRead for BlobReader {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let room = buffer.remaining() > 0;
        ready!(Pin::new(&mut self.file).poll_read(context, buffer))?;
        let new = &buffer.filled()[before..];
        if !new.is_empty() {
            if let Some(hasher) = &mut self.hasher {
                hasher.update(new);
            }
        } else if room && let Some(hasher) = self.hasher.take() {
            let found = Digest::from_hasher(hasher);
            if found != self.blob {
                // If it cannot be removed, it is found damaged again next time.
                let _ = fs::remove_file(&self.path);
                return Poll::Ready(Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    format!(
                        "blob {} was damaged on disk (its content is {}) and has been removed; run the command again and it is made anew",
                        self.blob.short(),
                        found.short()
                    ),
                )));
            }
        }
        Poll::Ready(Ok(()))
    }
}

/// Makes a folder and its parents.
pub(super) fn make_folder(folder: &Path) -> Result<(), ArtifactError> {
    fs::create_dir_all(folder).map_err(|error| failed("make", folder, &error))
}

/// Writes a file so that it is either the old one or the new one, and on disk.
pub(super) fn write_whole(path: &Path, content: &[u8]) -> Result<(), ArtifactError> {
    files::write(path, content, 0o644, Existing::Replace).map_err(|error| failed("write", path, &error))
}

fn remove(path: &Path) -> Result<(), ArtifactError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("remove", path, &error)),
        _ => Ok(()),
    }
}

/// An error of the file system, in terms of what was to be done.
pub(super) fn failed(action: &str, path: &Path, error: &io::Error) -> ArtifactError {
    let hint = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "free some space there, or set XDG_CACHE_HOME to a folder on another disk"
        }
        io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied => {
            "make it writable for you, or set XDG_CACHE_HOME to a folder that is"
        }
        io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => {
            "a folder is expected there: move away what is in its place"
        }
        _ => "look at the disk and the permissions there",
    };
    ArtifactError::new(format!("cannot {action} {}: {error}", path.display()), hint)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use proptest::prelude::*;
    use tokio::io::AsyncReadExt as _;

    use super::*;

    fn temporary() -> (tempfile::TempDir, Store) {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::at(folder.path().join("cache"));
        (folder, store)
    }

    async fn content(store: &Store, blob: &Digest) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        store.read(blob).map_err(io::Error::other)?.read_to_end(&mut bytes).await?;
        Ok(bytes)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn what_is_put_is_read_back_under_its_digest(contents in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..3000), 1..5)) {
            let (_folder, store) = temporary();
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            for bytes in &contents {
                let put = store.put(&mut bytes.as_slice()).unwrap();
                prop_assert_eq!(&put.blob, &Digest::of(bytes));
                prop_assert_eq!(put.size, bytes.len() as u64);
            }
            for bytes in &contents {
                let blob = Digest::of(bytes);
                prop_assert!(store.has(&blob, bytes.len() as u64).unwrap());
                prop_assert_eq!(&runtime.block_on(content(&store, &blob)).unwrap(), bytes);
            }
        }
    }

    #[test]
    fn what_was_never_put_is_absent_and_leaves_no_trace() {
        let (folder, store) = temporary();
        assert!(!store.has(&Digest::of(b"x"), 1).unwrap());
        assert!(store.read(&Digest::of(b"x")).is_err());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_truncated_blob_is_removed_and_can_be_put_again() {
        let (_folder, store) = temporary();
        let put = store.put(&mut b"whole".as_slice()).unwrap();
        fs::write(store.path(&put.blob), "who").unwrap();
        assert!(!store.has(&put.blob, put.size).unwrap());
        assert!(!store.path(&put.blob).exists());
        store.put(&mut b"whole".as_slice()).unwrap();
        assert!(store.has(&put.blob, put.size).unwrap());
    }

    #[tokio::test]
    async fn a_damaged_blob_fails_to_read_and_is_removed() {
        let (_folder, store) = temporary();
        let put = store.put(&mut b"whole".as_slice()).unwrap();
        fs::write(store.path(&put.blob), "whale").unwrap();
        let error = content(&store, &put.blob).await.unwrap_err();
        assert!(error.to_string().contains("damaged"), "{error}");
        assert!(!store.has(&put.blob, put.size).unwrap());
    }

    #[test]
    fn many_writers_of_the_same_blobs_leave_whole_blobs_only() {
        let (_folder, store) = temporary();
        let bytes: Vec<Vec<u8>> = (0_u8..8).map(|seed| vec![seed; 200_000]).collect();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| bytes.iter().for_each(|bytes| drop(store.put(&mut bytes.as_slice()).unwrap())));
            }
        });
        let names: Vec<_> = fs::read_dir(store.blobs()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names.len(), bytes.len(), "{names:?}");
        for bytes in &bytes {
            assert_eq!(&fs::read(store.path(&Digest::of(bytes))).unwrap(), bytes);
        }
    }

    #[test]
    fn a_reader_that_fails_leaves_nothing_behind() {
        struct Broken;
        impl Read for Broken {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::Error::other("broken"))
            }
        }
        let (_folder, store) = temporary();
        assert!(store.put(&mut Read::chain(b"a".as_slice(), Broken)).unwrap_err().message.contains("broken"));
        assert_eq!(fs::read_dir(store.blobs()).unwrap().count(), 0);
    }

    #[test]
    fn a_store_in_the_place_of_a_file_says_so() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = Store::at(file.path()).put(&mut b"a".as_slice()).unwrap_err();
        assert!(error.message.contains(&file.path().display().to_string()), "{error}");
        assert!(error.hint.contains("a folder is expected"), "{error:?}");
    }

    #[test]
    fn a_full_disk_has_its_own_hint() {
        let error = failed("write", Path::new("/x"), &io::Error::from(io::ErrorKind::StorageFull));
        assert!(error.hint.contains("free some space"), "{error:?}");
    }

    #[tokio::test]
    async fn a_name_is_held_by_one_at_a_time() {
        let (_folder, store) = temporary();
        let held = store.exclusive("name", || panic!("nobody holds it")).await.unwrap();
        let (sender, mut waits) = tokio::sync::mpsc::unbounded_channel();
        let other = store.clone();
        let waiter = tokio::spawn(async move { other.exclusive("name", || sender.send(()).unwrap()).await.map(drop) });
        waits.recv().await.unwrap();
        assert!(!waiter.is_finished());
        drop(held);
        waiter.await.unwrap().unwrap();
    }
}
