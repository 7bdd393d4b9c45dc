//! A workload's way from what is there to what it should be, and back again if it does not run.

use std::time::Duration;

use super::api::{Api, ApiError};
use super::apply::{self, ApplyError};
use super::examine::in_order;
use super::inventory::Inventory;
use super::wait::{WaitError, wait};
use super::{Purpose, Wanted, order, prune};
use crate::workloads::found::{Found, Kept, Obstacle, WorkloadFound};
use crate::workloads::{Manifest, ManifestId};

/// What was done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RolledOut {
    /// Created, changed or made anew, in this order.
    pub applied: Vec<ManifestId>,
    /// Deleted, in this order.
    pub deleted: Vec<ManifestId>,
}

/// Why a workload is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RollOutError {
    /// It cannot be; nothing more was changed.
    #[error("{}", .0.iter().map(|obstacle| obstacle.message.as_str()).collect::<Vec<_>>().join("; "))]
    Obstacles(Vec<Obstacle>),
    /// The API did not do what it was asked. What was done until then stays; the next run goes on.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// What was deleted to be made anew is still there.
    #[error("{what} is still there after it was deleted: {why}")]
    Lingers {
        /// Which object.
        what: ManifestId,
        /// What it waits for.
        why: String,
    },
    /// It was applied, and the API does not say whether it runs. Nothing is put back; the next run goes on.
    #[error("it is applied, but whether it runs is not known: {0}")]
    Unwatched(ApiError),
    /// It does not run.
    #[error("{why}; {back}")]
    DoesNotRun {
        /// Why not.
        why: WaitError,
        /// What came of going back.
        back: WayBack,
    },
}

/// What came of going back to what ran before.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WayBack {
    /// It never ran: what was applied is left to be looked at.
    #[error("no earlier apply of it went well, so it is left as it is")]
    Nowhere,
    /// The objects of the last apply that went well are back and run.
    #[error("the objects of the last apply that went well are back and run")]
    Back,
    /// Some could not be brought back, or do not run.
    #[error("not all objects of the last apply that went well are back: {0}")]
    Failed(String),
}

impl From<ApplyError> for RollOutError {
    fn from(error: ApplyError) -> Self {
        match error {
            ApplyError::Api(error) => Self::Api(error),
            ApplyError::Obstacle(found) => Self::Obstacles(found.obstacle().into_iter().collect()),
            ApplyError::Lingers(what, why) => Self::Lingers { what: *what, why },
        }
    }
}

/// Makes a workload as it should be, by what was found for it: applies in order, waits until it runs, deletes what is not wanted any more. One
/// that does not run goes back to the objects of the last apply that went well.
///
/// It waits while no more than `patience` passes without progress. `progress` is told in words how far it is: `brig: 1 of 3 ready`.
///
/// # Errors
/// When something keeps it from being so, or it does not run.
pub async fn roll_out(
    api: &Api<'_>,
    purpose: &Purpose<'_>,
    wanted: &Wanted<'_>,
    found: &WorkloadFound,
    patience: Duration,
    progress: &(dyn Fn(&str) + Sync),
) -> Result<RolledOut, RollOutError> {
    let obstacles = found.obstacles();
    if !obstacles.is_empty() {
        return Err(RollOutError::Obstacles(obstacles));
    }
    let mut done = RolledOut::default();
    if found.is_same() {
        return Ok(done);
    }
    let rollout = RollOut { api, purpose, workload: wanted.workload, patience, progress };
    let before = rollout.forward(wanted, found, &mut done).await?;
    let ids: Vec<&ManifestId> = wanted.manifests.iter().map(|manifest| &manifest.id).collect();
    rollout.watch(&ids, &before, wanted, found).await?;
    rollout.settle(wanted, found, &mut done).await?;
    Ok(done)
}

struct RollOut<'a> {
    api: &'a Api<'a>,
    purpose: &'a Purpose<'a>,
    workload: &'a str,
    patience: Duration,
    progress: &'a (dyn Fn(&str) + Sync),
}

impl RollOut<'_> {
    /// Applies everything in order. Gives what was written down before.
    async fn forward(
        &self,
        wanted: &Wanted<'_>,
        found: &WorkloadFound,
        done: &mut RolledOut,
    ) -> Result<Inventory, RollOutError> {
        let before = self.api.inventory(self.purpose, self.workload).await?;
        let mut manifests = in_order(wanted.manifests);
        let first = manifests.iter().filter(|manifest| manifest.id.kind == "Namespace").copied().collect::<Vec<_>>();
        manifests.retain(|manifest| manifest.id.kind != "Namespace");
        // The site's own namespace may be among them, and what is written down is kept there.
        for manifest in first {
            self.apply(manifest, found, done).await?;
        }
        let mut meanwhile = before.clone();
        meanwhile.objects.extend(wanted.manifests.iter().map(|manifest| manifest.id.clone()));
        if meanwhile.objects != before.objects {
            self.api.write_inventory(self.purpose, self.workload, &meanwhile).await?;
        }
        let mut awaited: Vec<&ManifestId> = Vec::new();
        for manifest in manifests {
            if !awaited.is_empty() && !order::is_awaited_at_once(&manifest.id) {
                self.watch(&core::mem::take(&mut awaited), &before, wanted, found).await?;
            }
            self.apply(manifest, found, done).await?;
            if order::is_awaited_at_once(&manifest.id) {
                self.start_again(manifest).await?;
                awaited.push(&manifest.id);
            }
        }
        Ok(before)
    }

    async fn apply(
        &self,
        manifest: &Manifest,
        found: &WorkloadFound,
        done: &mut RolledOut,
    ) -> Result<(), RollOutError> {
        let object = found.objects.iter().find(|object| object.id == manifest.id);
        let Some(object) = object.filter(|object| object.found.is_change()) else { return Ok(()) };
        apply::apply(self.api, self.purpose, self.workload, manifest, &object.found).await?;
        (self.progress)(&format!("applied {}", manifest.id));
        done.applied.push(manifest.id.clone());
        Ok(())
    }

    /// A Job that failed in an earlier run never runs again by itself.
    async fn start_again(&self, manifest: &Manifest) -> Result<(), RollOutError> {
        let id = &manifest.id;
        let Some(path) = self.api.find(id).await? else { return Ok(()) };
        let job = self.api.get(&path, &format!("read {id}")).await?.unwrap_or_default();
        let conditions = job["status"]["conditions"].as_array().into_iter().flatten();
        let mut conditions = conditions.into_iter();
        if conditions.any(|condition| condition["type"] == "Failed" && condition["status"] == "True") {
            (self.progress)(&format!("{id} failed in an earlier run and is started again"));
            apply::remove(self.api, id).await?;
            apply::put(self.api, self.purpose, self.workload, manifest, false).await?;
        }
        Ok(())
    }

    /// Deletes what is not wanted any more, and writes down that all is well.
    async fn settle(
        &self,
        wanted: &Wanted<'_>,
        found: &WorkloadFound,
        done: &mut RolledOut,
    ) -> Result<(), RollOutError> {
        for object in found.objects.iter().filter(|object| object.found == Found::Unwanted) {
            if prune::delete(self.api, self.purpose, self.workload, &object.id).await? {
                (self.progress)(&format!("deleted {}", object.id));
                done.deleted.push(object.id.clone());
            }
        }
        let kept = found.objects.iter().filter(|object| object.found == Found::Kept { because: Kept::HoldsData });
        let objects = wanted.manifests.iter().map(|manifest| &manifest.id).chain(kept.map(|object| &object.id));
        let after = Inventory { objects: objects.cloned().collect(), good: wanted.manifests.to_vec() };
        if after.objects.is_empty() {
            self.api.forget_inventory(self.purpose, self.workload).await?;
        } else {
            self.api.write_inventory(self.purpose, self.workload, &after).await?;
        }
        Ok(())
    }

    /// Waits until these run. Where they do not, it goes back to what ran before.
    async fn watch(
        &self,
        ids: &[&ManifestId],
        before: &Inventory,
        wanted: &Wanted<'_>,
        found: &WorkloadFound,
    ) -> Result<(), RollOutError> {
        let why = match wait(self.api, ids, self.patience, self.progress).await {
            Ok(()) => return Ok(()),
            // Nothing bad is known of what was applied.
            Err(WaitError::Api(error)) => return Err(RollOutError::Unwatched(error)),
            Err(why) => why,
        };
        if before.good.is_empty() {
            return Err(RollOutError::DoesNotRun { why, back: WayBack::Nowhere });
        }
        (self.progress)(&format!("{}: {why}; going back", self.workload));
        let troubles = self.restore(before, wanted, found).await;
        let back = if troubles.is_empty() { WayBack::Back } else { WayBack::Failed(troubles.join("; ")) };
        Err(RollOutError::DoesNotRun { why, back })
    }

    /// Brings back as much as it can of what ran before. Gives what it could not, in words.
    async fn restore(&self, before: &Inventory, wanted: &Wanted<'_>, found: &WorkloadFound) -> Vec<String> {
        let mut troubles = Vec::new();
        for manifest in in_order(&before.good) {
            let object = found.objects.iter().find(|object| object.id == manifest.id);
            if let Err(error) = self.put_back(manifest, object.map(|object| &object.found)).await {
                troubles.push(RollOutError::from(error).to_string());
            }
        }
        for id in wanted.manifests.iter().map(|manifest| &manifest.id).filter(|id| !before.objects.contains(id)) {
            if let Err(error) = prune::delete(self.api, self.purpose, self.workload, id).await {
                troubles.push(error.to_string());
            }
        }
        // Until all is back, what is written down is all that may be there.
        if troubles.is_empty() {
            let written = self.api.write_inventory(self.purpose, self.workload, before).await;
            troubles.extend(written.err().map(|error| error.to_string()));
        }
        if troubles.is_empty() {
            let good: Vec<&ManifestId> = before.good.iter().map(|manifest| &manifest.id).collect();
            let runs = wait(self.api, &good, self.patience, self.progress).await;
            troubles.extend(runs.err().map(|error| error.to_string()));
        }
        troubles
    }

    /// Applies a former manifest, by the same means by which the one that failed came into its place.
    async fn put_back(&self, manifest: &Manifest, found: Option<&Found>) -> Result<(), ApplyError> {
        let was_taken = matches!(found, Some(Found::Differs { taken, .. }) if !taken.is_empty());
        let put = async || apply::put(self.api, self.purpose, self.workload, manifest, was_taken).await;
        match put().await {
            Err(ApplyError::Api(error)) if error.is_immutable() && matches!(found, Some(Found::Replaced { .. })) => {
                apply::remove(self.api, &manifest.id).await?;
                put().await
            }
            done => done,
        }
    }
}
