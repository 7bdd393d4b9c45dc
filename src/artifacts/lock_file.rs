//! `artifacts.lock` on disk: JSON beside the site file.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::ArtifactError;
use super::store;
use crate::lock::{FORMAT, Lock};

/// The file's name.
pub const NAME: &str = "artifacts.lock";

/// Where the lock of a site file is.
#[must_use]
pub fn beside(site_file: &Path) -> PathBuf {
    site_file.with_file_name(NAME)
}

/// The lock in a file; an empty one if there is no such file.
///
/// # Errors
/// When it cannot be read, is of another format or is not a lock.
pub fn read(path: &Path) -> Result<Lock, ArtifactError> {
    match fs::read_to_string(path) {
        Ok(text) => parse(&text, path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Lock::default()),
        Err(error) => Err(store::failed("read", path, &error)),
    }
}

/// Writes the lock, unless it is what the file holds already.
///
/// # Errors
/// When it cannot be written.
pub fn write(path: &Path, lock: &Lock) -> Result<(), ArtifactError> {
    let mut text = serde_json::to_string_pretty(lock).map_err(|error| {
        ArtifactError::new(format!("cannot write {}: {error}", path.display()), "report this as a bug")
    })?;
    text.push('\n');
    if fs::read_to_string(path).is_ok_and(|there| there == text) {
        return Ok(());
    }
    store::write_whole(path, text.as_bytes())
}

fn parse(text: &str, path: &Path) -> Result<Lock, ArtifactError> {
    #[derive(Deserialize)]
    struct Format {
        format: u32,
    }
    let damaged = |error: serde_json::Error| {
        ArtifactError::new(
            format!("{} is not a lock of artifacts: {error}", path.display()),
            "restore it from version control; or delete it, and everything is resolved anew",
        )
    };
    let Format { format } = serde_json::from_str(text).map_err(damaged)?;
    if format != FORMAT {
        return Err(ArtifactError::new(
            format!("{} is of format {format}; this program reads format {FORMAT}", path.display()),
            "use the program that wrote it; or delete it, and everything is resolved anew",
        ));
    }
    serde_json::from_str(text).map_err(damaged)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use std::collections::BTreeMap;

    use wire_deploy_agent::digest::Digest;
    use wire_deploy_agent::resource::Package;

    use super::*;
    use crate::lock::{Closure, Locked, LockedFile};

    fn example() -> Lock {
        let package = Package {
            name: "hello".to_owned(),
            version: "2.10-3".to_owned(),
            architecture: "amd64".to_owned(),
            blob: Digest::of(b"hello"),
            size: 5,
        };
        let closure = Closure { wanted: vec!["hello".to_owned()], packages: vec![package] };
        let locked = Locked {
            recipe: Digest::of(b"recipe"),
            version: "2.10".to_owned(),
            releases: BTreeMap::from([("bookworm".to_owned(), closure)]),
            files: BTreeMap::from([("etcd".to_owned(), LockedFile { blob: Digest::of(b"etcd"), size: 4 })]),
            image: None,
            images: BTreeMap::new(),
        };
        Lock { format: FORMAT, recipes: BTreeMap::from([("hello".to_owned(), locked)]) }
    }

    #[test]
    fn a_lock_is_read_as_it_was_written_and_ends_with_a_newline() {
        let folder = tempfile::tempdir().unwrap();
        let path = beside(&folder.path().join("wire-deploy.yaml"));
        write(&path, &example()).unwrap();
        assert_eq!(read(&path).unwrap(), example());
        assert!(fs::read_to_string(&path).unwrap().ends_with("}\n"));
    }

    #[test]
    fn no_file_is_an_empty_lock() {
        assert_eq!(read(Path::new("/nonexistent/artifacts.lock")).unwrap(), Lock::default());
    }

    #[test]
    fn an_unchanged_lock_is_not_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(NAME);
        write(&path, &example()).unwrap();
        let inode = std::os::unix::fs::MetadataExt::ino(&fs::metadata(&path).unwrap());
        write(&path, &example()).unwrap();
        assert_eq!(std::os::unix::fs::MetadataExt::ino(&fs::metadata(&path).unwrap()), inode);
        write(&path, &Lock::default()).unwrap();
        assert_eq!(read(&path).unwrap(), Lock::default());
    }

    #[test]
    fn another_format_and_damage_are_refused() {
        let path = Path::new("artifacts.lock");
        let error = parse(r#"{"format": 7, "recipes": [], "more": 1}"#, path).unwrap_err();
        assert_eq!(error.message, "artifacts.lock is of format 7; this program reads format 1");
        for text in ["", "{}", r#"{"format": 1}"#, r#"{"format": 1, "recipes": {}, "more": 1}"#] {
            let error = parse(text, path).unwrap_err();
            assert!(error.message.contains("is not a lock of artifacts"), "{text}: {error}");
        }
    }
}
