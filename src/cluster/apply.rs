//! Making objects as they should be, in order.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::api::{Api, ApiError, Mode};
use super::shape::{self, Maker};
use super::{Purpose, examine, look};
use crate::workloads::found::{Found, ObjectFound};
use crate::workloads::{Manifest, ManifestId};

/// How long a deleted object may take to be gone.
const GONE: Duration = Duration::from_secs(120);
/// Between two looks whether it is.
const PAUSE: Duration = Duration::from_millis(250);

/// Why an object was not applied.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum ApplyError {
    /// The API does not do it.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// Something is there that was not when it was planned.
    #[error("{0:?}")]
    Obstacle(Box<ObjectFound>),
    /// What was deleted is still there.
    #[error("{0} is still there {seconds} s after it was deleted: {1}", seconds = GONE.as_secs())]
    Lingers(Box<ManifestId>, String),
}

/// Applies one manifest for which this was found.
pub(super) async fn apply(
    api: &Api<'_>,
    purpose: &Purpose<'_>,
    workload: &str,
    manifest: &Manifest,
    found: &Found,
) -> Result<(), ApplyError> {
    let id = &manifest.id;
    let mut force = matches!(found, Found::Differs { taken, .. } if !taken.is_empty());
    match found {
        Found::Missing | Found::Differs { .. } => {}
        Found::Replaced { .. } => remove(api, id).await?,
        // Its namespace was not there to try it in.
        Found::Deferred { .. } => {
            let found = look_again(api, purpose, workload, manifest).await?;
            match &found.found {
                Found::Same => return Ok(()),
                // An earlier run made it before it was killed.
                Found::Differs { taken, .. } => force = !taken.is_empty(),
                Found::Missing | Found::Deferred { .. } => {}
                _ => return Err(ApplyError::Obstacle(Box::new(found))),
            }
        }
        _ => return Ok(()),
    }
    put(api, purpose, workload, manifest, force).await
}

/// Applies a manifest, whatever is there.
pub(super) async fn put(
    api: &Api<'_>,
    purpose: &Purpose<'_>,
    workload: &str,
    manifest: &Manifest,
    force: bool,
) -> Result<(), ApplyError> {
    let id = &manifest.id;
    let value = shape::applied(manifest, Maker { site: purpose.site, workload });
    let Some(path) = api.find(id).await? else { return Err(unknown(manifest)) };
    api.apply(&path, &value, Mode { dry: false, force }, &format!("apply {id}")).await?;
    Ok(())
}

fn unknown(manifest: &Manifest) -> ApplyError {
    let (id, template) = (manifest.id.clone(), Some(manifest.template.clone()));
    ApplyError::Obstacle(Box::new(ObjectFound { id, template, found: Found::UnknownKind }))
}

async fn look_again(
    api: &Api<'_>,
    purpose: &Purpose<'_>,
    workload: &str,
    manifest: &Manifest,
) -> Result<ObjectFound, ApiError> {
    let mut seen = look::Seen::default();
    if let Some(namespace) = &manifest.id.namespace {
        seen.namespaces.insert(namespace.clone(), look::namespace(api, namespace).await?);
    }
    if let Some(path) = api.find(&manifest.id).await?
        && let Some(live) = api.get(&path, &format!("read {}", manifest.id)).await?
    {
        seen.objects.insert(manifest.id.clone(), live);
    }
    examine::examine_one(api, purpose, workload, manifest, &seen).await
}

/// Deletes an object and waits until it is gone.
pub(super) async fn remove(api: &Api<'_>, id: &ManifestId) -> Result<(), ApplyError> {
    let Some(path) = api.find(id).await? else { return Ok(()) };
    let action = format!("delete {id}");
    let end = Instant::now() + GONE;
    let mut deleted = None;
    loop {
        let Some(live) = api.get(&path, &action).await? else { return Ok(()) };
        let uid = shape::uid(&live).to_owned();
        if deleted.as_ref() != Some(&uid) {
            api.delete(&path, &uid, &action).await?;
            deleted = Some(uid);
            continue;
        }
        if Instant::now() > end {
            let finalizers = live["metadata"]["finalizers"].to_string();
            return Err(ApplyError::Lingers(Box::new(id.clone()), format!("it waits for finalizers {finalizers}")));
        }
        sleep(PAUSE).await;
    }
}
