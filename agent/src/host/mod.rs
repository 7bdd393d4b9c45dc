//! Observing and applying on the host itself. Only the agent runs this.
//!
//! One file per kind of resource; everything below [`root::Root`], so that all but systemd, dpkg and the kernel's own
//! parameters is tested in a temporary folder. Observing needs no lock and changes nothing but what the agent remembers.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::sync::Mutex;
use std::time::{Duration, SystemTime};

use crate::diff::{Action, diff};
use crate::digest::{Digest, FingerprintKey};
use crate::protocol::{Event, Failure};
use crate::resource::{Content, Resource, Unit};
use crate::state::{Facts, Lease, State};

mod account;
mod address;
mod archive;
mod blobs;
mod container_image;
mod directory;
mod exec;
mod facts;
mod file;
mod known_digest;
mod lease;
mod names;
mod packages;
mod place;
mod probe;
mod problem;
mod process;
mod root;
mod symlink;
mod sysctl;
mod transaction;
mod unit;

#[cfg(test)]
mod tests;

use blobs::Blobs;
pub use blobs::Incoming;
use container_image::Listed;
pub use facts::clock;
use lease::Lock;
use names::Names;
use problem::Doing as _;
pub use problem::Problem;
pub use root::Root;
use root::{KEPT, RUNTIME};
use transaction::Transaction;

/// Where agents' own files are, each named by its sha256.
const AGENTS: &str = "/var/lib/wire-deploy/agent";

/// No agent takes longer than this to arrive on a host.
const ARRIVAL: Duration = Duration::from_secs(3600);

/// The host, as the agent sees and changes it.
#[derive(Debug)]
pub struct Host {
    root: Root,
    /// Blobs that were used and need not be kept for longer than this session, and when they were used last.
    used: Mutex<BTreeMap<Digest, SystemTime>>,
}

/// What a request to apply wants.
pub struct Wanted<'a> {
    /// In order.
    pub resources: &'a [Resource],
    /// Key for the fingerprints of sensitive files.
    pub key: &'a FingerprintKey,
    /// Name under which the former files are kept.
    pub transaction: Option<&'a str>,
}

impl Host {
    /// The host below a root.
    #[must_use]
    pub fn new(root: Root) -> Self {
        Self { root, used: Mutex::default() }
    }

    /// The root.
    #[must_use]
    pub fn root(&self) -> &Root {
        &self.root
    }

    /// Clears what a killed agent may have left: a policy that forbids starts, old blobs, former agents' files.
    ///
    /// # Errors
    /// When it cannot be cleared.
    pub fn begin_session(&self) -> Result<(), Problem> {
        // While another agent changes the host, the policy is its own.
        if let Some(_lock) = Lock::try_for_changes(&self.root)? {
            packages::restore_policy(&self.root)?;
        }
        Blobs::prune(&self.root, SystemTime::now())?;
        let own = std::env::current_exe().doing("find the agent's own file")?;
        for entry in fs::read_dir(self.root.path(AGENTS)).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let former = name.to_str().is_some_and(|name| Digest::try_from(name.to_owned()).is_ok());
            // Another agent may be on its way to the host right now, under a name of its own.
            let written = entry.metadata().and_then(|metadata| metadata.modified()).ok();
            let age = written.and_then(|written| SystemTime::now().duration_since(written).ok());
            let abandoned = age.is_some_and(|age| age > ARRIVAL);
            if (former || abandoned) && own.file_name() != Some(name.as_os_str()) {
                fs::remove_file(entry.path()).doing("delete a former agent")?;
            }
        }
        Ok(())
    }

    /// Deletes the blobs that this session used: what they held is installed. Those stay that another session counts on since.
    pub fn end_session(&self) {
        let used = std::mem::take(&mut *lock(&self.used));
        for (blob, since) in used {
            // One that stays is deleted when it is old.
            let _ = Blobs::remove_unless_wanted_since(&self.root, &blob, since);
        }
    }

    /// What is there for each of these resources, in their order. At most one process is run for all of them, and one for
    /// all images, but for those that are commands.
    #[must_use]
    pub fn observe(&self, resources: &[Resource], key: &FingerprintKey) -> Vec<State> {
        let units: Vec<Unit> = resources.iter().filter_map(unit_of).cloned().collect();
        let asked = unit::Asked::ask(&self.root, units);
        let names = Names::read(&self.root);
        let images = Listed::default();
        let observed = resources.iter().map(|resource| match unit_of(resource) {
            Some(_) => None,
            None => Some(self.observe_one(resource, names.as_ref(), &images, key)),
        });
        let observed: Vec<Option<State>> = observed.collect();
        let mut units = asked.answer(&self.root).into_iter();
        let unanswered = || State::Failed { reason: "systemd gave no answer".to_owned() };
        observed.into_iter().map(|state| state.unwrap_or_else(|| units.next().unwrap_or_else(unanswered))).collect()
    }

    fn observe_one(
        &self,
        resource: &Resource,
        names: Result<&Names, &Problem>,
        images: &Listed,
        key: &FingerprintKey,
    ) -> State {
        let root = &self.root;
        let observe = || {
            let names = names.map_err(Clone::clone)?;
            match resource {
                Resource::Directory(wanted) => directory::observe(root, names, wanted),
                Resource::File(wanted) => file::observe(root, names, wanted, key),
                Resource::Symlink(wanted) => symlink::observe(root, names, wanted),
                Resource::User(wanted) => Ok(account::observe_user(names, wanted)),
                Resource::Group(wanted) => Ok(account::observe_group(names, wanted)),
                Resource::Packages(wanted) => packages::observe(root, wanted),
                Resource::Archive(wanted) => archive::observe(root, wanted),
                Resource::Sysctl(wanted) => sysctl::observe(root, wanted),
                Resource::Unit(wanted) => {
                    let answered = unit::Asked::ask(root, vec![wanted.clone()]).answer(root).pop();
                    answered.ok_or_else(|| Problem::new("systemd gave no answer"))
                }
                Resource::Exec(wanted) => exec::observe(wanted),
                Resource::ContainerImage(wanted) => container_image::observe(root, images, wanted),
                Resource::Probe(wanted) => probe::observe(root, wanted),
            }
        };
        observe().unwrap_or_else(|problem| State::Failed { reason: problem.message })
    }

    /// The host's facts, with the file systems that these resources go to.
    #[must_use]
    pub fn facts(&self, resources: &[Resource]) -> Facts {
        facts::gather(&self.root, resources)
    }

    /// Makes the resources what they should be, in order. Stops at the first that fails, and before the next one once
    /// `stop` says so.
    ///
    /// # Errors
    /// When one fails.
    pub fn apply(
        &self,
        wanted: &Wanted<'_>,
        stop: &dyn Fn() -> bool,
        on_event: &mut dyn FnMut(Event),
    ) -> Result<(), Failure> {
        let take_lock = |on_event: &mut dyn FnMut(Event)| {
            Lock::for_changes(&self.root, &mut log_to(on_event)).map_err(|problem| problem.into_failure(None))
        };
        let mut lock = None;
        let transaction = wanted.transaction.map(|name| Transaction::begin(&self.root, name));
        let mut transaction = transaction.transpose().map_err(|problem| problem.into_failure(None))?;
        for resource in wanted.resources {
            if stop() {
                return Err(gone());
            }
            // A start may take minutes, during which other services of this host are worked on.
            lock = match (resource, lock) {
                (Resource::Unit(_), _) => None,
                (_, None) => Some(take_lock(on_event)?),
                (_, held) => held,
            };
            on_event(Event::Applying { resource: resource.id() });
            let changed = self
                .apply_one(resource, wanted.key, transaction.as_mut(), on_event)
                .map_err(|problem| problem.into_failure(Some(resource.id())))?;
            on_event(Event::Applied { resource: resource.id(), changed });
        }
        Ok(())
    }

    fn apply_one(
        &self,
        resource: &Resource,
        key: &FingerprintKey,
        transaction: Option<&mut Transaction>,
        on_event: &mut dyn FnMut(Event),
    ) -> Result<bool, Problem> {
        let root = &self.root;
        let names = Names::read(root)?;
        let state = self.observe_one(resource, Ok(&names), &Listed::default(), key);
        if let State::Failed { reason } = state {
            return Err(Problem::new(reason));
        }
        let Some(change) = diff(resource, &state, key) else { return Ok(false) };
        let mut on_line = log_to(on_event);
        match resource {
            Resource::Directory(wanted) => directory::apply(root, &names, wanted)?,
            Resource::File(wanted) => {
                let right = file::content_is_right(wanted, &state, key);
                file::apply(root, &names, wanted, right, transaction)?;
                if let Content::Blob(blob) = &wanted.content {
                    self.has_used([blob]);
                }
            }
            Resource::Symlink(wanted) => symlink::apply(root, wanted, transaction)?,
            Resource::User(wanted) => account::apply_user(root, &names, wanted)?,
            Resource::Group(wanted) => account::apply_group(root, wanted)?,
            Resource::Packages(wanted) => {
                packages::apply(root, wanted, &mut on_line)?;
                self.has_used(wanted.closure.iter().map(|package| &package.blob));
            }
            Resource::Archive(wanted) => {
                archive::apply(root, wanted)?;
                self.has_used([&wanted.blob]);
            }
            Resource::Sysctl(wanted) => sysctl::apply(root, wanted)?,
            Resource::Unit(wanted) => unit::apply(root, wanted, change.action, transaction, &mut on_line)?,
            Resource::Exec(wanted) => {
                exec::apply(wanted, &mut on_line)?;
                if exec::observe(wanted)? != (State::Exec { code: 0 }) {
                    return Err(Problem::new(format!("{} is done, and its check still fails", wanted.name)));
                }
            }
            Resource::ContainerImage(wanted) => {
                container_image::apply(root, wanted, &mut on_line)?;
                self.has_used([&wanted.blob]);
            }
            Resource::Probe(_) => debug_assert!(change.action != Action::Run, "a probe is never a change"),
        }
        Ok(true)
    }

    fn has_used<'a>(&self, blobs: impl IntoIterator<Item = &'a Digest>) {
        let now = SystemTime::now();
        lock(&self.used).extend(blobs.into_iter().map(|blob| (blob.clone(), now)));
    }

    /// Puts back what a transaction replaced, restarts the units that ran, and forgets the transaction.
    ///
    /// # Errors
    /// When something cannot be put back; the transaction is then kept.
    pub fn put_back(&self, transaction: &str, on_event: &mut dyn FnMut(Event)) -> Result<(), Problem> {
        let mut on_line = log_to(on_event);
        let _lock = Lock::for_changes(&self.root, &mut on_line)?;
        let units = transaction::put_back(&self.root, transaction)?;
        unit::put_back(&self.root, &units, &mut on_line)?;
        transaction::forget(&self.root, transaction)
    }

    /// Forgets what units were started with, so that applying them restarts them.
    ///
    /// # Errors
    /// When a stamp cannot be deleted.
    pub fn forget_starts(&self, units: &[String]) -> Result<(), Problem> {
        let _lock = Lock::for_changes(&self.root, &mut |_| {})?;
        units.iter().try_for_each(|name| unit::forget_start(&self.root, name))
    }

    /// Forgets a transaction.
    ///
    /// # Errors
    /// When it cannot be deleted.
    pub fn commit(&self, transaction: &str) -> Result<(), Problem> {
        transaction::forget(&self.root, transaction)
    }

    /// Removes what the resources stand for, the last one first; none any more once `stop` says so. Packages stay.
    ///
    /// # Errors
    /// When one cannot be removed; those before it in the list are then untouched.
    pub fn remove(
        &self,
        resources: &[Resource],
        stop: &dyn Fn() -> bool,
        on_event: &mut dyn FnMut(Event),
    ) -> Result<(), Failure> {
        let root = &self.root;
        let _lock = Lock::for_changes(root, &mut log_to(on_event)).map_err(|problem| problem.into_failure(None))?;
        for resource in resources.iter().rev() {
            if stop() {
                return Err(gone());
            }
            on_event(Event::Applying { resource: resource.id() });
            let removed = match resource {
                Resource::Directory(wanted) => directory::remove(root, wanted),
                Resource::File(wanted) => file::remove(root, wanted),
                Resource::Symlink(wanted) => symlink::remove(root, wanted),
                Resource::User(wanted) => {
                    Names::read(root).and_then(|names| account::remove_user(root, &names, wanted))
                }
                Resource::Group(wanted) => account::remove_group(root, wanted),
                Resource::Archive(wanted) => archive::remove(root, wanted),
                Resource::Sysctl(wanted) => sysctl::remove(root, wanted),
                Resource::Unit(wanted) => unit::remove(root, wanted, &mut log_to(on_event)),
                Resource::ContainerImage(wanted) => container_image::remove(root, wanted),
                Resource::Exec(wanted) => exec::undo(wanted, &mut log_to(on_event)),
                Resource::Packages(_) | Resource::Probe(_) => Ok(()),
            };
            removed.map_err(|problem| problem.into_failure(Some(resource.id())))?;
            on_event(Event::Applied { resource: resource.id(), changed: true });
        }
        if resources.iter().any(|resource| unit_of(resource).is_some()) {
            unit::reload(root, &mut log_to(on_event)).map_err(|problem| problem.into_failure(None))?;
        }
        Ok(())
    }

    /// Deletes everything that agents left on the host, their own files included.
    ///
    /// # Errors
    /// When it cannot be deleted.
    pub fn uninstall(&self) -> Result<(), Problem> {
        let _lock = Lock::for_changes(&self.root, &mut |_| {})?;
        packages::restore_policy(&self.root)?;
        for folder in [KEPT, RUNTIME] {
            match fs::remove_dir_all(self.root.path(folder)) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                removed => removed.doing(format!("delete {folder}"))?,
            }
        }
        Ok(())
    }

    /// Those of the blobs that the host lacks. Those that it has are kept for who asks.
    #[must_use]
    pub fn missing_blobs(&self, blobs: &[Digest]) -> Vec<Digest> {
        let missing = blobs.iter().filter(|blob| !Blobs::want(&self.root, blob)).cloned().collect();
        // What this session itself has used and asks for again is still its own to delete.
        let now = SystemTime::now();
        for blob in blobs {
            lock(&self.used).entry(blob.clone()).and_modify(|since| *since = now);
        }
        missing
    }

    /// Who holds the host.
    ///
    /// # Errors
    /// When the lease cannot be read.
    pub fn lease(&self) -> Result<Option<Lease>, Problem> {
        lease::held(&self.root, facts::clock())
    }

    /// Takes or renews the lease; the other's, if another run holds it.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn take_lease(&self, wanted: Lease, seconds: u32, force: bool) -> Result<Option<Lease>, Problem> {
        lease::take(&self.root, wanted, seconds, force, facts::clock())
    }

    /// Gives the lease back.
    ///
    /// # Errors
    /// When it cannot be deleted.
    pub fn release_lease(&self, run: &str) -> Result<(), Problem> {
        lease::release(&self.root, run, facts::clock())
    }

    /// The last lines of a unit's journal.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn journal(&self, unit: &str, lines: u32) -> Result<Vec<String>, Problem> {
        unit::journal(unit, lines)
    }
}

fn gone() -> Failure {
    Problem::new("the operator is gone").into_failure(None)
}

fn unit_of(resource: &Resource) -> Option<&Unit> {
    if let Resource::Unit(unit) = resource { Some(unit) } else { None }
}

fn log_to(on_event: &mut dyn FnMut(Event)) -> impl FnMut(&str) {
    |line| on_event(Event::Log { line: line.to_owned() })
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
