//! Writing so that a file is either what it was or what it should be, whenever the machine stops.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

/// Whether an existing file is replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existing {
    /// It is replaced.
    Replace,
    /// It is left, and writing fails with [`io::ErrorKind::AlreadyExists`].
    Keep,
}

/// Writes a file with `mode`: under another name in the same folder, synced, renamed, the folder synced.
///
/// # Errors
/// When the folder cannot be written, or the file exists and is to be kept.
pub fn write(path: &Path, content: &[u8], mode: u32, existing: Existing) -> io::Result<()> {
    // A link stays one; what it points to is replaced.
    let linked = existing == Existing::Replace && path.is_symlink();
    let path = if linked { &fs::canonicalize(path)? } else { path };
    let folder = folder_of(path);
    let mut temporary = tempfile::Builder::new().prefix(".wire-deploy-").tempfile_in(folder)?;
    temporary.write_all(content)?;
    temporary.as_file().set_permissions(fs::Permissions::from_mode(mode))?;
    temporary.as_file().sync_all()?;
    match existing {
        Existing::Replace => temporary.persist(path).map_err(|error| error.error)?,
        Existing::Keep => temporary.persist_noclobber(path).map_err(|error| error.error)?,
    };
    File::open(folder)?.sync_all()
}

/// The folder a path is in; the current one if it names none.
#[must_use]
pub fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    }
}

/// A path as an operator writes it: `~/` is the home folder, anything relative is below `folder`.
#[must_use]
pub fn resolve(folder: &Path, written: &str) -> PathBuf {
    let home = std::env::var_os("HOME").filter(|home| !home.is_empty());
    match (written.strip_prefix("~/"), home) {
        (Some(rest), Some(home)) => PathBuf::from(home).join(rest),
        _ if folder == Path::new(".") => PathBuf::from(written),
        _ => folder.join(written),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;

    #[test]
    fn a_file_is_written_whole_with_its_mode_and_nothing_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        write(&path, b"one", 0o640, Existing::Keep).unwrap();
        assert_eq!(write(&path, b"two", 0o640, Existing::Keep).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&path).unwrap(), b"one");
        write(&path, b"three", 0o600, Existing::Replace).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"three");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        let link = folder.path().join("link");
        std::os::unix::fs::symlink("file", &link).unwrap();
        write(&link, b"four", 0o600, Existing::Replace).unwrap();
        assert_eq!((fs::read(&path).unwrap().as_slice(), link.is_symlink()), (b"four".as_slice(), true));
    }

    #[test]
    fn paths_are_below_the_site_files_folder() {
        let home = PathBuf::from(std::env::var_os("HOME").unwrap());
        for (folder, written, expected) in [
            ("site", "hosts.yaml", PathBuf::from("site/hosts.yaml")),
            ("site", "/etc/hosts.yaml", PathBuf::from("/etc/hosts.yaml")),
            (".", "hosts.yaml", PathBuf::from("hosts.yaml")),
            ("site", "~/.ssh/id", home.join(".ssh/id")),
            ("site", "~other/x", PathBuf::from("site/~other/x")),
        ] {
            assert_eq!(resolve(Path::new(folder), written), expected, "{folder} {written}");
        }
        assert_eq!(folder_of(Path::new("wire-deploy.yaml")), Path::new("."));
    }
}
