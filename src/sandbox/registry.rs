//! Which sandboxes there are on this machine, and whose they are: one file each under `/run`.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

use super::process::Identity;
use super::{STATE, cgroup, remove_folder, take_down};

const FOLDER: &str = "/run/wire-deploy/sandboxes";
const MOST: u8 = 254;

/// One sandbox's entry: what must be known to take it down, however little of it was made.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Registration {
    /// From 1 to 254.
    pub(super) number: u8,
    /// Its folder, absolute.
    pub(super) folder: PathBuf,
    /// Its control groups, one per hierarchy.
    pub(super) cgroups: Vec<PathBuf>,
    /// The process it must not outlive; none if it is kept until taken down.
    owner: Option<Identity>,
}

impl Registration {
    /// Registers a new sandbox owned by this process, after clearing those whose owners are dead.
    pub(super) fn create(folder: &Path) -> Result<Self> {
        let folder = std::path::absolute(folder).with_context(|| format!("resolving {}", folder.display()))?;
        let _lock = lock()?;
        let living = clear()?;
        if living.iter().any(|registration| registration.folder == folder) {
            bail!("a sandbox is already up in {}; end it with `wire-deploy sandbox down`", folder.display());
        }
        if folder.join(STATE).exists() {
            remove_folder(&folder)?;
        } else if fs::read_dir(&folder).is_ok_and(|mut entries| entries.next().is_some()) {
            bail!("{} is not empty and not a sandbox; expected a folder of its own", folder.display());
        }
        let Some(number) = (1..=MOST).find(|number| !living.iter().any(|other| other.number == *number)) else {
            bail!("{MOST} sandboxes are up on this machine, which is the most there can be; end some first");
        };
        let cgroups = cgroup::paths(number)?;
        let registration = Self { number, folder, cgroups, owner: Some(Identity::own()?) };
        registration.write()?;
        Ok(registration)
    }

    /// The sandbox that lives in a folder.
    pub(super) fn of(folder: &Path) -> Result<Option<Self>> {
        let folder = std::path::absolute(folder).with_context(|| format!("resolving {}", folder.display()))?;
        Ok(all()?.into_iter().find(|registration| registration.folder == folder))
    }

    /// Lets it outlive this process.
    pub(super) fn keep(&mut self) -> Result<()> {
        self.owner = None;
        self.write()
    }

    /// Forgets it.
    pub(super) fn remove(&self) -> Result<()> {
        let path = self.path();
        match fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).with_context(|| format!("removing {}", path.display()))
            }
            _ => Ok(()),
        }
    }

    fn write(&self) -> Result<()> {
        let mut file = tempfile::NamedTempFile::new_in(FOLDER).with_context(|| format!("writing into {FOLDER}"))?;
        serde_json::to_writer(&mut file, self)?;
        file.persist(self.path()).with_context(|| format!("writing {}", self.path().display()))?;
        Ok(())
    }

    fn path(&self) -> PathBuf {
        Path::new(FOLDER).join(format!("{}.json", self.number))
    }
}

/// Takes down the sandboxes whose owners are dead.
pub(super) fn clear_leftovers() -> Result<()> {
    let _lock = lock()?;
    clear().map(drop)
}

/// Takes down the sandboxes whose owners are dead and gives the others. The lock must be held.
fn clear() -> Result<Vec<Registration>> {
    let (dead, living): (Vec<_>, Vec<_>) =
        all()?.into_iter().partition(|registration| registration.owner.is_some_and(|owner| !owner.is_alive()));
    for registration in dead {
        take_down(&registration)
            .with_context(|| format!("clearing the sandbox left in {}", registration.folder.display()))?;
    }
    Ok(living)
}

fn all() -> Result<Vec<Registration>> {
    let entries = match fs::read_dir(FOLDER) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).with_context(|| format!("reading {FOLDER}")),
    };
    let mut registrations = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        match fs::read(&path) {
            Ok(text) => registrations
                .push(serde_json::from_slice(&text).with_context(|| format!("reading {}", path.display()))?),
            // Taken down between listing and reading.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(error).with_context(|| format!("reading {}", path.display())),
        }
    }
    Ok(registrations)
}

fn lock() -> Result<File> {
    fs::create_dir_all(FOLDER).with_context(|| format!("making {FOLDER}"))?;
    let path = Path::new(FOLDER).join("lock");
    let file = File::create(&path).with_context(|| format!("opening {}", path.display()))?;
    flock(&file, FlockOperation::LockExclusive).with_context(|| format!("locking {}", path.display()))?;
    Ok(file)
}
