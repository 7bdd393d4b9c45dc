//! What comes after applying needs rights, too: to wait for what runs, and to delete. They are tried while nothing has been changed yet.

use std::collections::BTreeSet;

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use serde_json::Value;

use super::api::{Api, ApiError};
use super::look::{AT_ONCE, Seen};
use super::refusal::{Refusal, Status};
use super::{shape, wait};
use crate::workloads::found::{Found, ObjectFound};
use crate::workloads::{Manifest, ManifestId};

/// Turns what could be applied, but not waited for or not deleted, into what it lacks.
pub(super) async fn require(
    api: &Api<'_>,
    manifests: &[Manifest],
    seen: &Seen,
    objects: Vec<ObjectFound>,
) -> Result<Vec<ObjectFound>, ApiError> {
    // Waiting takes the same rights for all of a kind.
    let mut kinds = BTreeSet::new();
    let objects = objects.into_iter().map(|object| {
        let is_first = kinds.insert((object.id.namespace.clone(), object.id.kind.clone()));
        (object, is_first)
    });
    let tried = stream::iter(objects.collect::<Vec<_>>()).map(async |(mut object, is_first)| {
        let wanted = manifests.iter().find(|manifest| is_first && manifest.id == object.id);
        if let Some(lack) = lack(api, wanted, seen, &object).await? {
            object.found = lack;
        }
        Ok(object)
    });
    tried.buffered(AT_ONCE).try_collect().await
}

async fn lack(
    api: &Api<'_>,
    wanted: Option<&Manifest>,
    seen: &Seen,
    object: &ObjectFound,
) -> Result<Option<Found>, ApiError> {
    let id = &object.id;
    if matches!(object.found, Found::Unwanted | Found::Replaced { .. })
        && let Some(live) = seen.objects.get(id)
        && let Some(lack) = try_delete(api, id, live).await?
    {
        return Ok(Some(lack));
    }
    // Where the namespace is not there yet, nobody has rights in it alone.
    let is_deferred = matches!(object.found, Found::Deferred { .. });
    let Some(wanted) = wanted.filter(|_| object.obstacle().is_none() && !is_deferred) else { return Ok(None) };
    let right = wait::missing_right(api, id, &wanted.value).await?;
    Ok(right.map(|right| Found::Forbidden { right }))
}

/// Has the API say what would come of deleting it.
async fn try_delete(api: &Api<'_>, id: &ManifestId, live: &Value) -> Result<Option<Found>, ApiError> {
    let Some(path) = api.find(id).await? else { return Ok(None) };
    match api.try_delete(&path, shape::uid(live), &format!("delete {id}")).await {
        Ok(()) => Ok(None),
        Err(error) => match error.status().map(Status::refusal) {
            None => Err(error),
            Some(Refusal::Forbidden(right)) => Ok(Some(Found::Forbidden { right })),
            Some(_) => Ok(Some(Found::Refused { message: error.to_string() })),
        },
    }
}
