//! The host's lease and its lock.
//!
//! The lease says which run may change the host; it expires by the host's own clock and does not outlive a boot. The lock
//! is held while something is being changed, so that an agent whose operator is gone finishes what it had in hand before
//! another begins.

use std::fs::{self, File};
use std::io::{self, Write as _};

use rustix::fs::FlockOperation;
use rustix::io::Errno;

use super::names::Ids;
use super::place::{Place, make_private_folder};
use super::problem::{Doing as _, Problem};
use super::root::{RUNTIME, Root};
use crate::state::Lease;

const LEASE: &str = "/run/wire-deploy/lease.json";
/// The lease file is replaced, so it cannot be locked itself.
const LEASE_LOCK: &str = "/run/wire-deploy/lease.lock";
const APPLY_LOCK: &str = "/run/wire-deploy/apply.lock";

/// A held lock; dropping it gives it back, and so does the agent's end.
#[derive(Debug)]
pub struct Lock(#[expect(dead_code, reason = "the open file is the lock")] File);

impl Lock {
    /// The lock for changing the host. Waits for another agent that holds it, having told so.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn for_changes(root: &Root, waiting: &mut dyn FnMut(&str)) -> Result<Self, Problem> {
        if let Some(lock) = Self::try_for_changes(root)? {
            return Ok(lock);
        }
        waiting("waiting for another change on this host to be done");
        Self::wait(root, APPLY_LOCK)
    }

    /// The same, unless another agent holds it.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn try_for_changes(root: &Root) -> Result<Option<Self>, Problem> {
        let file = open(root, APPLY_LOCK)?;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(Self(file))),
            Err(Errno::WOULDBLOCK) => Ok(None),
            Err(error) => Err(Problem::io(format!("lock {APPLY_LOCK}"), &error.into())),
        }
    }

    fn wait(root: &Root, path: &str) -> Result<Self, Problem> {
        let file = open(root, path)?;
        loop {
            match rustix::fs::flock(&file, FlockOperation::LockExclusive) {
                Err(Errno::INTR) => {}
                locked => return locked.doing(format!("lock {path}")).map(|()| Self(file)),
            }
        }
    }
}

fn open(root: &Root, path: &str) -> Result<File, Problem> {
    make_private_folder(root, RUNTIME)?;
    File::options().create(true).append(true).open(root.path(path)).doing(format!("open {path}"))
}

/// Who holds the host, unless nobody does any more.
///
/// # Errors
/// When the lease cannot be read.
pub fn held(root: &Root, now: i64) -> Result<Option<Lease>, Problem> {
    match fs::read(root.path(LEASE)) {
        // One that cannot be understood is none: only a crash amid a write before a boot could leave it.
        Ok(text) => Ok(serde_json::from_slice(&text).ok().filter(|lease: &Lease| lease.expires > now)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Problem::io(format!("read {LEASE}"), &error)),
    }
}

/// Takes the lease or renews it. The other's lease, if another run holds it and it is not taken by force.
///
/// # Errors
/// When it cannot be written.
pub fn take(root: &Root, wanted: Lease, seconds: u32, force: bool, now: i64) -> Result<Option<Lease>, Problem> {
    let _lock = Lock::wait(root, LEASE_LOCK)?;
    let current = held(root, now)?;
    let mine = current.as_ref().filter(|lease| lease.run == wanted.run).map(|lease| lease.since);
    if let (Some(other), None, false) = (current, mine, force) {
        return Ok(Some(other));
    }
    let lease = Lease { since: mine.unwrap_or(now), expires: now + i64::from(seconds) * 1000, ..wanted };
    let text = serde_json::to_vec(&lease).map_err(io::Error::from).doing("write the lease")?;
    Place::make(root, LEASE)?.write(Ids::own(), 0o600, |file| file.write_all(&text).doing("write the lease"))?;
    Ok(None)
}

/// Gives the lease back, if this run still holds it.
///
/// # Errors
/// When it cannot be deleted.
pub fn release(root: &Root, run: &str, now: i64) -> Result<(), Problem> {
    let _lock = Lock::wait(root, LEASE_LOCK)?;
    match held(root, now)? {
        Some(lease) if lease.run == run => Place::make(root, LEASE)?.remove(),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    fn lease(run: &str) -> Lease {
        Lease {
            holder: "me@here".to_owned(),
            run: run.to_owned(),
            machine: "m".to_owned(),
            process: 1,
            since: 0,
            expires: 0,
        }
    }

    #[test]
    fn a_lease_belongs_to_one_run_until_it_ends() {
        let folder = tempfile::tempdir().unwrap();
        let root = Root::new(folder.path());
        assert_eq!(held(&root, 0).unwrap(), None);
        assert_eq!(take(&root, lease("a"), 10, false, 1000).unwrap(), None);
        let of_a = Lease { since: 1000, expires: 11_000, ..lease("a") };
        assert_eq!(take(&root, lease("b"), 10, false, 10_999).unwrap(), Some(of_a));
        assert_eq!(take(&root, lease("a"), 10, false, 5000).unwrap(), None, "it is renewed");
        let renewed = Lease { since: 1000, expires: 15_000, ..lease("a") };
        assert_eq!(held(&root, 14_999).unwrap(), Some(renewed));
        assert_eq!(held(&root, 15_000).unwrap(), None);
        assert_eq!(take(&root, lease("b"), 10, false, 15_000).unwrap(), None, "it has expired");
        let of_b = Lease { since: 15_000, expires: 25_000, ..lease("b") };
        assert_eq!(take(&root, lease("a"), 10, false, 15_001).unwrap(), Some(of_b), "and cannot be renewed");
        assert_eq!(take(&root, lease("c"), 10, true, 15_001).unwrap(), None, "force");
        release(&root, "b", 15_002).unwrap();
        assert!(held(&root, 15_002).unwrap().is_some(), "it is no longer theirs to give back");
        release(&root, "c", 15_002).unwrap();
        assert_eq!(held(&root, 15_002).unwrap(), None);
    }

    #[test]
    fn one_agent_changes_the_host_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let root = Root::new(folder.path());
        let lock = Lock::for_changes(&root, &mut |_| panic!("nobody else holds it")).unwrap();
        assert!(Lock::try_for_changes(&root).unwrap().is_none());
        std::thread::scope(|scope| {
            let other = scope.spawn(|| Lock::for_changes(&root, &mut |_| {}).map(|_| ()));
            drop(lock);
            other.join().unwrap().unwrap();
        });
        assert!(Lock::try_for_changes(&root).unwrap().is_some());
    }
}
