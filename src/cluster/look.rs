//! What is there: one list for each kind and namespace, and the few objects that no list has, since they do not carry the site's label.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::try_join;
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use serde_json::Value;

use super::api::{Api, ApiError, of_site};
use super::inventory::{self, Inventory};
use super::kinds::Collection;
use super::refusal::Refusal;
use super::{Purpose, Wanted};
use crate::workloads::ManifestId;
use crate::workloads::found::Right;

/// Questions that are asked at a time.
pub(super) const AT_ONCE: usize = 8;
/// So many objects of one collection that no list has are asked for one by one; if there are more, the names are listed first.
const FEW: usize = 4;

/// What is there.
#[derive(Default)]
pub(super) struct Seen {
    /// The objects of those that were looked for.
    pub(super) objects: BTreeMap<ManifestId, Value>,
    /// What nobody lets us look at.
    pub(super) forbidden: BTreeMap<Collection, Right>,
    /// The namespaces that were looked for.
    pub(super) namespaces: BTreeMap<String, Namespace>,
    /// What was applied, by workload.
    pub(super) inventories: BTreeMap<String, Inventory>,
}

/// How a namespace is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Namespace {
    /// It is there, or nobody lets us see whether it is.
    There,
    /// It is not.
    Missing,
    /// It is being deleted, and that waits for these.
    Terminating(Vec<String>),
}

/// Looks for all objects that are wanted or were applied.
pub(super) async fn look(api: &Api<'_>, purpose: &Purpose<'_>, wanted: &[Wanted<'_>]) -> Result<Seen, ApiError> {
    let manifests = || wanted.iter().flat_map(|wanted| wanted.manifests);
    let names = manifests().filter_map(|manifest| manifest.id.namespace.as_deref());
    let names: BTreeSet<&str> = names.chain([purpose.namespace]).collect();
    let versions = manifests().map(|manifest| manifest.id.api_version.as_str()).chain(["v1"]);
    let (namespaces, ()) = try_join(namespaces(api, names), api.learn(versions)).await?;
    let mut seen = Seen { namespaces, ..Seen::default() };

    // What was applied may have been of kinds and in namespaces that nothing is wanted of any more.
    let secrets = api.collection(&inventory::id(purpose, "")).await;
    if let Some(secrets) = &secrets
        && let Some(found) = list(api, secrets, &of_site(purpose.site), &mut seen).await?
    {
        seen.inventories = inventory::among(&found)?;
        take_in(&found, "v1", "Secret", &mut seen);
    }
    let applied = seen.inventories.values().flat_map(|inventory| &inventory.objects);
    let ids: BTreeSet<ManifestId> = manifests().map(|manifest| &manifest.id).chain(applied).cloned().collect();
    api.learn(ids.iter().map(|id| id.api_version.as_str())).await?;

    let mut collections: BTreeMap<Collection, Vec<&ManifestId>> = BTreeMap::new();
    for id in &ids {
        if let Some(collection) = api.collection(id).await {
            collections.entry(collection).or_default().push(id);
        }
    }
    let looked: Vec<Seen> = stream::iter(&collections)
        .map(async |(collection, ids)| {
            let mut part = Seen::default();
            let is_listed = secrets.as_ref() == Some(collection);
            if let Some(first) = ids.first().filter(|_| !is_listed)
                && let Some(found) = list(api, collection, &of_site(purpose.site), &mut part).await?
            {
                take_in(&found, &first.api_version, &first.kind, &mut part);
            }
            let there = if is_listed { &seen } else { &part };
            if !there.forbidden.contains_key(collection) {
                let unlisted: Vec<&ManifestId> =
                    ids.iter().copied().filter(|id| !there.objects.contains_key(*id) && !is_away(&seen, id)).collect();
                find(api, collection, unlisted, &mut part).await?;
            }
            Ok::<_, ApiError>(part)
        })
        .buffer_unordered(AT_ONCE)
        .try_collect()
        .await?;
    for part in looked {
        seen.objects.extend(part.objects);
        seen.forbidden.extend(part.forbidden);
    }
    Ok(seen)
}

/// Whether an object cannot be there since its namespace is not.
fn is_away(seen: &Seen, id: &ManifestId) -> bool {
    id.namespace.as_ref().is_some_and(|name| seen.namespaces.get(name) == Some(&Namespace::Missing))
}

/// The objects of a collection; nothing, and the missing right noted, where we may not list.
async fn list(
    api: &Api<'_>,
    collection: &Collection,
    selector: &str,
    seen: &mut Seen,
) -> Result<Option<Vec<Value>>, ApiError> {
    match api.list(&collection.0, selector, &format!("list {}", collection.0)).await {
        Ok(found) => Ok(Some(found)),
        Err(error) => {
            let right = error.status().and_then(|status| match status.refusal() {
                Refusal::Forbidden(right) => Some(right),
                _ => None,
            });
            let Some(right) = right else { return Err(error) };
            seen.forbidden.insert(collection.clone(), right);
            Ok(None)
        }
    }
}

/// Items of a list do not say their kind.
fn take_in(found: &[Value], version: &str, kind: &str, seen: &mut Seen) {
    for object in found {
        let mut object = object.clone();
        let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
        let id = ManifestId {
            api_version: version.to_owned(),
            kind: kind.to_owned(),
            namespace: text("/metadata/namespace"),
            name: text("/metadata/name").unwrap_or_default(),
        };
        object["apiVersion"] = version.into();
        object["kind"] = kind.into();
        seen.objects.insert(id, object);
    }
}

/// Objects that no list of the site's had: not there, or not labelled as the site's.
async fn find(
    api: &Api<'_>,
    collection: &Collection,
    mut ids: Vec<&ManifestId>,
    seen: &mut Seen,
) -> Result<(), ApiError> {
    if ids.len() > FEW {
        let names = api.names(&collection.0, &format!("list {}", collection.0)).await?;
        ids.retain(|id| names.contains(&id.name));
    }
    for id in ids {
        if let Some(object) = api.get(&collection.of(&id.name), &format!("read {id}")).await? {
            seen.objects.insert(id.clone(), object);
        }
    }
    Ok(())
}

async fn namespaces(api: &Api<'_>, names: BTreeSet<&str>) -> Result<BTreeMap<String, Namespace>, ApiError> {
    let states = stream::iter(names).map(async |name| Ok((name.to_owned(), namespace(api, name).await?)));
    states.buffer_unordered(AT_ONCE).try_collect().await
}

/// How a namespace is now.
pub(super) async fn namespace(api: &Api<'_>, name: &str) -> Result<Namespace, ApiError> {
    match api.get(&format!("/api/v1/namespaces/{name}"), &format!("read Namespace {name}")).await {
        Ok(None) => Ok(Namespace::Missing),
        Ok(Some(namespace)) if namespace["metadata"]["deletionTimestamp"].is_null() => Ok(Namespace::There),
        Ok(Some(namespace)) => Ok(Namespace::Terminating(waits_for(&namespace))),
        // Whose workload makes the namespace hears of the right there.
        Err(error) if error.status().is_some_and(|status| status.code == 403) => Ok(Namespace::There),
        Err(error) => Err(error),
    }
}

/// What the deletion of a namespace waits for: the finalizers that its conditions name, content that is left, finalizers of its own.
fn waits_for(namespace: &Value) -> Vec<String> {
    let conditions = namespace["status"]["conditions"].as_array().into_iter().flatten();
    let told = conditions.filter(|condition| condition["status"] == "True");
    let mut waits_for: Vec<String> =
        told.filter_map(|condition| condition["message"].as_str().map(str::to_owned)).collect();
    let own = namespace["metadata"]["finalizers"].as_array().into_iter().flatten();
    waits_for.extend(own.filter_map(Value::as_str).map(|finalizer| format!("its own finalizer {finalizer}")));
    waits_for
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_a_namespace_waits_for_is_told() {
        let namespace = json!({
            "metadata": {"finalizers": ["example.com/hold"]},
            "status": {"conditions": [
                {"type": "NamespaceDeletionDiscoveryFailure", "status": "False", "message": "All resources successfully discovered"},
                {"type": "NamespaceFinalizersRemaining", "status": "True", "message": "Some content in the namespace has finalizers remaining: example.com/a in 1 resource instances"},
            ]},
        });
        assert_eq!(
            waits_for(&namespace),
            [
                "Some content in the namespace has finalizers remaining: example.com/a in 1 resource instances",
                "its own finalizer example.com/hold"
            ]
        );
    }
}
