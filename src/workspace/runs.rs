//! The folders that runs leave behind: `runs/<time>/` with `events.jsonl`, `hosts/<host>.log`, `plan.json` and `report.html`.
//!
//! Folders are 0700 and files 0600: a plan tells much about a site, though no secret.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// The folder of one run, made and still empty.
#[derive(Debug, Clone)]
pub struct RunFolder {
    path: PathBuf,
    name: String,
}

impl RunFolder {
    /// Makes `<runs>/<time>/`, named by the time in UTC as `2026-11-24T11-25-03Z`; a number is added when that is taken.
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub fn create(runs: &Path, time: jiff::Timestamp) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(runs)?;
        let wanted = time.strftime("%Y-%m-%dT%H-%M-%SZ").to_string();
        let mut name = wanted.clone();
        for number in 2.. {
            match DirBuilder::new().mode(0o700).create(runs.join(&name)) {
                Ok(()) => break,
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => name = format!("{wanted}-{number}"),
                Err(error) => return Err(error),
            }
        }
        let path = runs.join(&name);
        DirBuilder::new().mode(0o700).create(path.join("hosts"))?;
        Ok(Self { path, name })
    }

    /// The run's name, that of its folder.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Opens a file of the folder to append to it; made 0600 if it is not there.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn open(&self, file: &str) -> io::Result<File> {
        OpenOptions::new().append(true).create(true).mode(0o600).open(self.path.join(file))
    }

    /// Opens the log of a host. A name with a slash in it, which no valid inventory has, cannot leave the folder.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn host_log(&self, host: &str) -> io::Result<File> {
        self.open(&format!("hosts/{}.log", host.replace('/', "_")))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::io::Write as _;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn mode(path: &Path) -> u32 {
        path.metadata().unwrap().permissions().mode() & 0o7777
    }

    #[test]
    fn a_run_leaves_a_private_folder_named_by_its_time() {
        let folder = tempfile::tempdir().unwrap();
        let runs = folder.path().join("runs");
        let time = "2026-11-24T11:25:03.5Z".parse().unwrap();
        let first = RunFolder::create(&runs, time).unwrap();
        let second = RunFolder::create(&runs, time).unwrap();
        assert_eq!((first.name(), second.name()), ("2026-11-24T11-25-03Z", "2026-11-24T11-25-03Z-2"));
        first.open("events.jsonl").unwrap().write_all(b"{}\n").unwrap();
        first.host_log("../../db1").unwrap();
        assert_eq!(mode(&runs), 0o700);
        assert_eq!(mode(first.path()), 0o700);
        assert_eq!(mode(&first.path().join("hosts")), 0o700);
        assert_eq!(mode(&first.path().join("events.jsonl")), 0o600);
        assert_eq!(mode(&first.path().join("hosts/.._.._db1.log")), 0o600);
    }
}
