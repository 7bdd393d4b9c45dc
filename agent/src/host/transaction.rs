//! What a roll replaced on a host, kept until its gate has judged: former files and links, and what units ran with.
//!
//! A folder `transactions/<name>` with a journal of JSON lines and the former contents as numbered files. A line is on the
//! disk before what it describes is changed, so after a crash the journal knows everything that may have been changed; a
//! torn last line describes something that was not.

use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::time::{Duration, SystemTime};

use rustix::fs::FileType;
use serde::{Deserialize, Serialize};

use super::names::Ids;
use super::place::{Place, make_private_folder};
use super::problem::{Doing as _, Problem};
use super::root::Root;
use crate::digest::Digest;

const FOLDER: &str = "/var/lib/wire-deploy/transactions";
const JOURNAL: &str = "journal";
/// How long after its last change a transaction can no longer be of a run that goes on; gates take minutes.
const ABANDONED: Duration = Duration::from_secs(6 * 3600);

/// One thing that was changed, as it was before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "changed", rename_all = "snake_case")]
enum Entry {
    Path {
        path: String,
        former: Former,
    },
    Unit {
        unit: String,
        running: bool,
        started_with: Option<Digest>,
        #[serde(default)]
        reload_only: bool,
        #[serde(default)]
        reloaded_with: Option<Digest>,
    },
}

/// What was at a path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "former", rename_all = "snake_case")]
enum Former {
    Absent,
    File { copy: u64, user: u32, group: u32, mode: u32 },
    Symlink { target: String },
}

/// A unit as it was before the transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FormerUnit {
    /// Unit name.
    pub unit: String,
    /// It ran.
    pub running: bool,
    /// What its next start would have been stamped with.
    pub started_with: Option<Digest>,
    /// It was reloaded and not restarted.
    pub reload_only: bool,
    /// What its next reload would have been stamped with.
    pub reloaded_with: Option<Digest>,
}

/// A transaction that is being written.
#[derive(Debug)]
pub struct Transaction {
    root: Root,
    folder: String,
    journal: File,
    entries: Vec<Entry>,
}

impl Transaction {
    /// Begins a transaction, or goes on with it. What killed runs left goes: its gates will never be judged. Several
    /// services may be in a transaction on one host at the same time, so only age tells.
    ///
    /// # Errors
    /// When the name is none or the folder cannot be written.
    pub fn begin(root: &Root, name: &str) -> Result<Self, Problem> {
        let folder = folder(name)?;
        make_private_folder(root, FOLDER)?;
        for entry in fs::read_dir(root.path(FOLDER)).doing("read the transactions' folder")?.flatten() {
            let written = fs::metadata(entry.path().join(JOURNAL)).and_then(|journal| journal.modified());
            let age = written.ok().and_then(|written| SystemTime::now().duration_since(written).ok());
            if entry.file_name() != name && age.is_some_and(|age| age > ABANDONED) {
                fs::remove_dir_all(entry.path()).doing("delete an old transaction")?;
            }
        }
        make_private_folder(root, &folder)?;
        let entries = read(root, &folder)?;
        let journal = root.path(&folder).join(JOURNAL);
        let journal =
            File::options().create(true).append(true).open(journal).doing("open the transaction's journal")?;
        Ok(Self { root: root.clone(), folder, journal, entries })
    }

    /// Keeps what is at a place, unless that was done already.
    ///
    /// # Errors
    /// When it cannot be kept.
    pub fn keep_path(&mut self, place: &Place) -> Result<(), Problem> {
        let known = |entry: &Entry| matches!(entry, Entry::Path { path, .. } if path == place.path());
        if self.entries.iter().any(known) {
            return Ok(());
        }
        let former = match place.look()? {
            None => Former::Absent,
            Some(found) if found.kind == FileType::Symlink => Former::Symlink { target: place.target()? },
            Some(found) if found.kind == FileType::RegularFile => {
                let copy = self.entries.len() as u64;
                let kept = Place::make(&self.root, &self.copy(copy))?;
                kept.write(Ids::own(), 0o600, |file| {
                    io::copy(&mut place.open()?, file).doing(format!("keep {}", place.path())).map(|_| ())
                })?;
                Former::File { copy, user: found.ids.user, group: found.ids.group, mode: found.mode }
            }
            // What replaces it will be refused with a better explanation.
            Some(_) => return Ok(()),
        };
        self.write(Entry::Path { path: place.path().to_owned(), former })
    }

    /// Keeps what a unit is, unless that was done already.
    ///
    /// # Errors
    /// When it cannot be kept.
    pub fn keep_unit(&mut self, former: FormerUnit) -> Result<(), Problem> {
        let known = |entry: &Entry| matches!(entry, Entry::Unit { unit, .. } if *unit == former.unit);
        if self.entries.iter().any(known) {
            return Ok(());
        }
        let FormerUnit { unit, running, started_with, reload_only, reloaded_with } = former;
        self.write(Entry::Unit { unit, running, started_with, reload_only, reloaded_with })
    }

    fn copy(&self, copy: u64) -> String {
        format!("{}/{copy}", self.folder)
    }

    fn write(&mut self, entry: Entry) -> Result<(), Problem> {
        // The line begins with its separator, so that a torn one before it cannot swallow it.
        let line = serde_json::to_string(&entry).map_err(io::Error::from).doing("write the transaction's journal")?;
        self.journal.write_all(format!("\n{line}").as_bytes()).doing("write the transaction's journal")?;
        self.journal.sync_all().doing("write the transaction's journal")?;
        self.entries.push(entry);
        Ok(())
    }
}

/// Puts every file and link back, the last one first. What the units were is for the caller to restore.
///
/// # Errors
/// When there is no such transaction or a file cannot be written.
pub fn put_back(root: &Root, name: &str) -> Result<Vec<FormerUnit>, Problem> {
    let folder = folder(name)?;
    if !root.path(&folder).is_dir() {
        return Err(Problem::new(format!("nothing was kept under the name {name:?}"))
            .hint("it was committed, put back, or another run has begun since; apply again"));
    }
    let mut units = Vec::new();
    for entry in read(root, &folder)?.into_iter().rev() {
        match entry {
            Entry::Path { path, former } => restore(root, &folder, &path, former)?,
            Entry::Unit { unit, running, started_with, reload_only, reloaded_with } => {
                units.push(FormerUnit { unit, running, started_with, reload_only, reloaded_with });
            }
        }
    }
    Ok(units)
}

/// Forgets a transaction; one that is not there is as good.
///
/// # Errors
/// When it cannot be deleted.
pub fn forget(root: &Root, name: &str) -> Result<(), Problem> {
    match fs::remove_dir_all(root.path(&folder(name)?)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed.doing("delete the transaction"),
    }
}

fn restore(root: &Root, folder: &str, path: &str, former: Former) -> Result<(), Problem> {
    let place = Place::make(root, path)?;
    match former {
        Former::Absent => place.remove(),
        Former::Symlink { target } => place.link(&target),
        Former::File { copy, user, group, mode } => {
            let kept = root.path(&format!("{folder}/{copy}"));
            let mut kept = File::open(kept).doing(format!("read what was kept of {path}"))?;
            place.write(Ids { user, group }, mode, |file| {
                io::copy(&mut kept, file).doing(format!("put back {path}")).map(|_| ())
            })
        }
    }
}

fn read(root: &Root, folder: &str) -> Result<Vec<Entry>, Problem> {
    let journal = match File::open(root.path(folder).join(JOURNAL)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        journal => journal.doing("read the transaction's journal")?,
    };
    let lines: Result<Vec<String>, _> = BufReader::new(journal).lines().collect();
    let lines = lines.doing("read the transaction's journal")?;
    Ok(lines.iter().filter_map(|line| serde_json::from_str(line).ok()).collect())
}

fn folder(name: &str) -> Result<String, Problem> {
    let valid = !name.is_empty()
        && !name.starts_with('.')
        && name.len() <= 200
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:@+".contains(&byte));
    if valid {
        Ok(format!("{FOLDER}/{name}"))
    } else {
        Err(Problem::new(format!("expected a transaction name of letters, digits and -_.:@+, found {name:?}")))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    fn change(transaction: &mut Transaction, root: &Root, path: &str, content: &str) {
        let place = Place::make(root, path).unwrap();
        transaction.keep_path(&place).unwrap();
        place.write(Ids::own(), 0o644, |file| file.write_all(content.as_bytes()).doing("write")).unwrap();
    }

    #[test]
    fn what_was_there_comes_back() {
        let folder = tempfile::tempdir().unwrap();
        let root = Root::new(folder.path());
        fs::create_dir(root.path("/etc")).unwrap();
        fs::write(root.path("/etc/file"), "one").unwrap();
        fs::set_permissions(root.path("/etc/file"), fs::Permissions::from_mode(0o640)).unwrap();
        symlink("/somewhere", root.path("/etc/link")).unwrap();

        let mut transaction = Transaction::begin(&root, "run-1").unwrap();
        change(&mut transaction, &root, "/etc/file", "two");
        change(&mut transaction, &root, "/etc/new", "two");
        change(&mut transaction, &root, "/etc/link", "two");
        let unit = FormerUnit {
            unit: "a.service".to_owned(),
            running: true,
            started_with: Some(Digest::of(b"")),
            reload_only: false,
            reloaded_with: None,
        };
        transaction.keep_unit(unit.clone()).unwrap();
        // A connection that broke: the run goes on under the same name, and what it finds is not what was.
        let mut transaction = Transaction::begin(&root, "run-1").unwrap();
        change(&mut transaction, &root, "/etc/file", "three");
        transaction.keep_unit(FormerUnit { running: false, ..unit.clone() }).unwrap();
        // Torn by a power cut.
        transaction.journal.write_all(b"\n{\"changed\":\"path\",\"pa").unwrap();

        assert_eq!(put_back(&root, "run-1").unwrap(), [unit]);
        assert_eq!(fs::read_to_string(root.path("/etc/file")).unwrap(), "one");
        assert_eq!(fs::metadata(root.path("/etc/file")).unwrap().permissions().mode() & 0o7777, 0o640);
        assert!(!root.path("/etc/new").exists());
        assert_eq!(fs::read_link(root.path("/etc/link")).unwrap().to_str(), Some("/somewhere"));
    }

    #[test]
    fn what_is_forgotten_or_abandoned_cannot_be_put_back() {
        let folder = tempfile::tempdir().unwrap();
        let root = Root::new(folder.path());
        let abandoned = Transaction::begin(&root, "a").unwrap();
        Transaction::begin(&root, "b").unwrap();
        assert!(put_back(&root, "a").unwrap().is_empty(), "two services at the same time");
        let long_ago = SystemTime::now() - ABANDONED - Duration::from_secs(60);
        abandoned.journal.set_modified(long_ago).unwrap();
        Transaction::begin(&root, "b").unwrap();
        assert!(put_back(&root, "a").is_err());
        assert!(put_back(&root, "b").unwrap().is_empty());
        forget(&root, "b").unwrap();
        forget(&root, "b").unwrap();
        assert!(put_back(&root, "b").is_err());
        for name in ["", "..", "a/b", ".hidden", "ä"] {
            assert!(Transaction::begin(&root, name).is_err(), "{name}");
        }
    }

    #[test]
    fn only_root_may_look_at_what_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let root = Root::new(folder.path());
        fs::create_dir(root.path("/etc")).unwrap();
        fs::write(root.path("/etc/file"), "secret").unwrap();
        let mut transaction = Transaction::begin(&root, "run").unwrap();
        change(&mut transaction, &root, "/etc/file", "two");
        let mode = |path: &str| fs::metadata(root.path(path)).unwrap().permissions().mode() & 0o7777;
        assert_eq!(mode("/var/lib/wire-deploy/transactions/run"), 0o700);
        assert_eq!(mode("/var/lib/wire-deploy/transactions/run/0"), 0o600);
    }
}
