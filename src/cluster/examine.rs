//! What would change: compared here with what is there, and tried by the API where it differs.

use std::collections::BTreeSet;

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use serde_json::Value;

use super::api::{Api, ApiError, Mode};
use super::fields::{Comparison, compare};
use super::look::{AT_ONCE, Namespace, Seen, look};
use super::refusal::{Refusal, Status};
use super::shape::{self, Maker, label};
use super::{FIELD_MANAGER, Purpose, SITE_LABEL, Wanted, order, prune, rights};
use crate::workloads::found::{Difference, FieldOwner, Found, ObjectFound, WorkloadFound};
use crate::workloads::{Manifest, ManifestId};
use wire_deploy_agent::diff::{Reason, TextChange};

/// By these names the API knows edits that a person makes with kubectl. What they change of ours is drift and set back, unlike what another
/// program sets.
const HANDS: [&str; 7] =
    ["kubectl", "kubectl-annotate", "kubectl-edit", "kubectl-label", "kubectl-patch", "kubectl-replace", "kubectl-set"];

/// Looks at what is there of some workloads and finds what is to be done. Nothing is changed.
///
/// What one object's trouble is stands in [`Found`]; see [`WorkloadFound::obstacles`].
///
/// # Errors
/// When the API does not answer.
pub async fn examine(
    api: &Api<'_>,
    purpose: &Purpose<'_>,
    wanted: &[Wanted<'_>],
) -> Result<Vec<WorkloadFound>, ApiError> {
    let seen = look(api, purpose, wanted).await?;
    let mut found = Vec::new();
    for wanted in wanted {
        let inventory = seen.inventories.get(wanted.workload).cloned().unwrap_or_default();
        let mut objects: Vec<ObjectFound> = stream::iter(in_order(wanted.manifests))
            .map(|manifest| examine_one(api, purpose, wanted.workload, manifest, &seen))
            .buffered(AT_ONCE)
            .try_collect()
            .await?;
        objects.extend(
            prune::unwanted(api, purpose, wanted.workload, &inventory, &all_ids(found_ids(wanted)), &seen).await,
        );
        let settled = inventory.is_settled(wanted.manifests);
        if !settled || objects.iter().any(|object| object.found.is_change()) {
            objects = rights::require(api, wanted.manifests, &seen, objects).await?;
        }
        found.push(WorkloadFound { workload: wanted.workload.to_owned(), objects, settled });
    }
    if purpose.allowed.prune_workloads {
        let known: BTreeSet<&str> = wanted.iter().map(|wanted| wanted.workload).collect();
        let all = all_ids(wanted.iter().flat_map(found_ids));
        for (workload, inventory) in seen.inventories.iter().filter(|(workload, _)| !known.contains(workload.as_str()))
        {
            let objects = prune::unwanted(api, purpose, workload, inventory, &all, &seen).await;
            let objects = rights::require(api, &[], &seen, objects).await?;
            // What is left on purpose is still known; a workload of which nothing is there is to be forgotten.
            let settled =
                !objects.is_empty() && objects.iter().all(|object| matches!(object.found, Found::Kept { .. }));
            found.push(WorkloadFound { workload: workload.clone(), objects, settled });
        }
    }
    Ok(found)
}

fn found_ids<'a>(wanted: &Wanted<'a>) -> impl Iterator<Item = &'a ManifestId> {
    wanted.manifests.iter().map(|manifest| &manifest.id)
}

fn all_ids<'a>(ids: impl Iterator<Item = &'a ManifestId>) -> BTreeSet<&'a ManifestId> {
    ids.collect()
}

/// Manifests in the order in which they are applied.
pub(super) fn in_order(manifests: &[Manifest]) -> Vec<&Manifest> {
    let mut manifests: Vec<&Manifest> = manifests.iter().collect();
    manifests.sort_by_key(|manifest| order::rank(&manifest.id));
    manifests
}

/// What is found for one object.
pub(super) async fn examine_one(
    api: &Api<'_>,
    purpose: &Purpose<'_>,
    workload: &str,
    manifest: &Manifest,
    seen: &Seen,
) -> Result<ObjectFound, ApiError> {
    let found = find(api, purpose, workload, manifest, seen).await?;
    Ok(ObjectFound { id: manifest.id.clone(), template: Some(manifest.template.clone()), found })
}

async fn find(
    api: &Api<'_>,
    purpose: &Purpose<'_>,
    workload: &str,
    manifest: &Manifest,
    seen: &Seen,
) -> Result<Found, ApiError> {
    let id = &manifest.id;
    let Some(collection) = api.collection(id).await else { return Ok(Found::UnknownKind) };
    if let Some(right) = seen.forbidden.get(&collection) {
        return Ok(Found::Forbidden { right: right.clone() });
    }
    let namespace = id.namespace.as_ref().and_then(|name| Some((name, seen.namespaces.get(name)?)));
    match namespace {
        Some((name, Namespace::Missing)) => return Ok(Found::Deferred { namespace: name.clone() }),
        Some((name, Namespace::Terminating(waits_for))) => {
            return Ok(Found::Terminating { namespace: name.clone(), waits_for: waits_for.clone() });
        }
        Some((_, Namespace::There)) | None => {}
    }
    let live = seen.objects.get(id);
    if let Some(site) = live.and_then(|live| label(live, SITE_LABEL)).filter(|site| *site != purpose.site) {
        return Ok(Found::Foreign { site: site.to_owned() });
    }
    if id.kind == "Namespace"
        && live.is_some_and(|live| label(live, SITE_LABEL).is_none() && our_fields(live).is_none())
    {
        return Ok(Found::Unclaimed { site: purpose.site.to_owned() });
    }
    let wanted = shape::applied(manifest, Maker { site: purpose.site, workload });
    if compare(&wanted, live) == Comparison::Same {
        return Ok(Found::Same);
    }
    attempt(api, purpose, id, &collection.of(&id.name), &wanted, live).await
}

/// Has the API say what would come of it.
async fn attempt(
    api: &Api<'_>,
    purpose: &Purpose<'_>,
    id: &ManifestId,
    path: &str,
    wanted: &Value,
    live: Option<&Value>,
) -> Result<Found, ApiError> {
    let action = format!("apply {id}");
    let mut taken = Vec::new();
    let mut tried = api.apply(path, wanted, Mode { dry: true, force: false }, &action).await;
    if let Err(error) = &tried
        && let Some(Refusal::Conflict(fields)) = error.status().map(Status::refusal)
    {
        if !purpose.allowed.take && !live.is_some_and(|live| by_hand(live, &fields)) {
            return Ok(Found::Conflict { fields });
        }
        taken = fields;
        tried = api.apply(path, wanted, Mode { dry: true, force: true }, &action).await;
    }
    match tried {
        Ok(result) => Ok(live.map_or(Found::Missing, |live| differs(live, &result, taken, purpose))),
        Err(error) => match error.status().map(Status::refusal) {
            None => Err(error),
            Some(Refusal::Conflict(fields)) => Ok(Found::Conflict { fields }),
            Some(Refusal::Immutable(fields)) if purpose.allowed.replace => Ok(Found::Replaced { fields }),
            Some(Refusal::Immutable(fields)) => Ok(Found::Immutable { fields }),
            Some(Refusal::Forbidden(right)) => Ok(Found::Forbidden { right }),
            Some(Refusal::NamespaceMissing) => {
                Ok(Found::Deferred { namespace: id.namespace.clone().unwrap_or_default() })
            }
            Some(Refusal::Terminating) => {
                Ok(Found::Terminating { namespace: id.namespace.clone().unwrap_or_default(), waits_for: Vec::new() })
            }
            Some(Refusal::Other(message)) => Ok(Found::Refused { message }),
        },
    }
}

/// What differs between what is there and what would be.
fn differs(live: &Value, result: &Value, taken: Vec<FieldOwner>, purpose: &Purpose<'_>) -> Found {
    if let Some(difference) = shape::difference(live, result, purpose.key) {
        return Found::Differs { difference, taken };
    }
    if our_fields(live) == our_fields(result) {
        return Found::Same;
    }
    // The same values, but not yet ours: whoever set them may drop them without our noticing.
    let reason = Reason { field: "field manager".to_owned(), from: String::new(), to: FIELD_MANAGER.to_owned() };
    let text = TextChange { from: String::new(), to: String::new() };
    Found::Differs { difference: Difference { reasons: vec![reason], text }, taken }
}

fn our_fields(object: &Value) -> Option<&Value> {
    let entries = object.pointer("/metadata/managedFields")?.as_array()?;
    let ours = entries.iter().find(|entry| entry["manager"] == FIELD_MANAGER && entry["operation"] == "Apply");
    ours.map(|entry| &entry["fieldsV1"])
}

/// Whether it is an object of ours of which a person has changed these fields by kubectl.
fn by_hand(live: &Value, fields: &[FieldOwner]) -> bool {
    let entries = live.pointer("/metadata/managedFields").and_then(Value::as_array);
    let entries: Vec<&Value> = entries.into_iter().flatten().collect();
    let is_hand = |manager: &str| {
        HANDS.contains(&manager)
            && entries.iter().filter(|entry| entry["manager"] == manager).all(|entry| entry["operation"] == "Update")
    };
    our_fields(live).is_some() && fields.iter().all(|field| is_hand(&field.manager))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_persons_edit_is_told_from_another_programs() {
        let live = |manager: &str, operation: &str| {
            json!({"metadata": {"managedFields": [
                {"manager": FIELD_MANAGER, "operation": "Apply", "fieldsV1": {}},
                {"manager": manager, "operation": operation, "fieldsV1": {}},
            ]}})
        };
        let by = |manager: &str, operation: &str| {
            let field = FieldOwner { field: ".spec.replicas".to_owned(), manager: manager.to_owned() };
            by_hand(&live(manager, operation), &[field])
        };
        assert!(by("kubectl-edit", "Update"));
        assert!(by("kubectl", "Update"), "kubectl scale");
        assert!(!by("kubectl", "Apply"), "kubectl apply --server-side keeps files of its own");
        assert!(!by("kubectl-client-side-apply", "Update"), "likewise");
        assert!(!by("kube-controller-manager", "Update"), "an autoscaler");
    }

    #[test]
    fn what_a_person_made_is_no_edit_of_ours() {
        let live = json!({"metadata": {"managedFields": [{"manager": "kubectl-edit", "operation": "Update"}]}});
        let field = FieldOwner { field: ".data.a".to_owned(), manager: "kubectl-edit".to_owned() };
        assert!(!by_hand(&live, &[field]));
    }
}
