//! What is not wanted any more: found by what was written down of earlier applies, never by looking for what else there is.

use std::collections::BTreeSet;

use super::api::{Api, ApiError};
use super::inventory::Inventory;
use super::look::Seen;
use super::shape::{label, uid};
use super::{Purpose, SITE_LABEL, WORKLOAD_LABEL, order};
use crate::workloads::ManifestId;
use crate::workloads::found::{Found, Kept, ObjectFound};

/// What was applied of a workload, is there, and is not among `wanted`; in the order in which it is deleted.
pub(super) async fn unwanted(
    api: &Api<'_>,
    purpose: &Purpose<'_>,
    workload: &str,
    inventory: &Inventory,
    wanted: &BTreeSet<&ManifestId>,
    seen: &Seen,
) -> Vec<ObjectFound> {
    let mut objects = Vec::new();
    for id in inventory.objects.iter().filter(|id| !wanted.contains(id)) {
        let found = match seen.objects.get(id) {
            Some(live) => fate(id, live, purpose, workload),
            None => match api.collection(id).await.and_then(|collection| seen.forbidden.get(&collection).cloned()) {
                Some(right) => Found::Forbidden { right },
                None => continue,
            },
        };
        objects.push(ObjectFound { id: id.clone(), template: None, found });
    }
    objects.sort_by_key(|object| core::cmp::Reverse(order::rank(&object.id)));
    objects
}

/// Whether an object is deleted, or why it is not.
fn fate(id: &ManifestId, live: &serde_json::Value, purpose: &Purpose<'_>, workload: &str) -> Found {
    let site = label(live, SITE_LABEL);
    let because = if site != Some(purpose.site) {
        let owner =
            site.map_or_else(|| "nobody's site (it lost its label)".to_owned(), |site| format!("the site {site}"));
        Kept::Foreign(owner)
    } else if let Some(other) = label(live, WORKLOAD_LABEL).filter(|other| *other != workload) {
        Kept::Foreign(format!("the workload {other}"))
    } else if order::holds_data(id) && !purpose.allowed.prune_data {
        Kept::HoldsData
    } else {
        return Found::Unwanted;
    };
    Found::Kept { because }
}

/// Deletes an object unless it is another's meanwhile. What is gone already is none the worse.
pub(super) async fn delete(
    api: &Api<'_>,
    purpose: &Purpose<'_>,
    workload: &str,
    id: &ManifestId,
) -> Result<bool, ApiError> {
    let Some(path) = api.find(id).await? else { return Ok(false) };
    let Some(live) = api.get(&path, &format!("read {id}")).await? else { return Ok(false) };
    if !matches!(fate(id, &live, purpose, workload), Found::Unwanted) {
        return Ok(false);
    }
    api.delete(&path, uid(&live), &format!("delete {id}")).await?;
    Ok(true)
}
