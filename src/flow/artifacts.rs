//! What a run needs of the artifacts: those that only look need not have them.

use std::path::Path;

use super::FlowError;
use crate::artifacts::{self, Store, Wanted, lock_file};
use crate::desired;
use crate::lock::{Lock, Locked};
use crate::report::Reporter;
use crate::services::DynService;
use crate::site::model::Site;

/// What a run needs of the artifacts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Nothing but what kinds of things they are: it compares nothing with them. What is not locked is stood in for.
    Shape,
    /// What artifacts.lock says of them, as it is.
    Locked,
    /// An artifacts.lock that is complete and of this program's recipes: what it lacks is made.
    Lock,
    /// The artifacts themselves in this machine's store: they are sent to hosts.
    Stored,
}

/// The lock as it is needed, and made if that takes it.
///
/// # Errors
/// When the lock cannot be read or written, or an artifact cannot be made.
pub(super) async fn ready(
    need: Need,
    site: &Site,
    services: &[&'static dyn DynService],
    site_file: &Path,
    store: &Store,
    reporter: &Reporter,
) -> Result<Lock, FlowError> {
    let path = lock_file::beside(site_file);
    let lock = lock_file::read(&path)?;
    let needed = desired::recipes(site, services);
    let stand_in = || artifacts::stand_in(&needed, &site.artifacts);
    if need == Need::Shape {
        return Ok(lock.completed_by(stand_in()?));
    }
    if need == Need::Locked {
        let changed = changed(&lock, &stand_in()?);
        if !changed.is_empty() {
            let message = format!("artifacts.lock is of other recipes of {} than this program's", changed.join(", "));
            reporter.warn(message, Some("what it names is compared; `wire-deploy plan` makes them anew"));
        }
        return Ok(lock);
    }
    let wanted = needed.into_iter().map(|(recipe, releases)| {
        let brought = site.artifacts.get(&recipe).cloned();
        Wanted { recipe, releases: releases.into_iter().collect(), brought }
    });
    let mut wanted: Vec<Wanted> = wanted.collect();
    if need == Need::Lock {
        wanted = artifacts::not_locked(wanted, &lock)?;
    }
    let lock = artifacts::prepare(&wanted, &lock, store, reporter).await?;
    lock_file::write(&path, &lock)?;
    Ok(lock)
}

/// The recipes that are locked as they were, and are others now.
fn changed<'a>(lock: &'a Lock, now: &Lock) -> Vec<&'a str> {
    let is_other =
        |(name, locked): &(&'a String, &Locked)| now.recipes.get(*name).is_some_and(|now| now.recipe != locked.recipe);
    lock.recipes.iter().filter(is_other).map(|(name, _)| name.as_str()).collect()
}
