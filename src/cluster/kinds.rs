//! Which kinds of objects the cluster knows, and where they are found.

use futures_util::future::try_join_all;
use serde_json::Value;

use super::api::{Api, ApiError};
use crate::workloads::ManifestId;

/// A kind of objects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Kind {
    /// As in manifests: `Deployment`.
    name: String,
    /// As in paths: `deployments`.
    plural: String,
    /// Whether its objects live in namespaces.
    namespaced: bool,
}

/// Where objects of one kind are.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Collection(pub(super) String);

impl Api<'_> {
    /// Learns what the cluster knows of these versions, once each.
    pub(super) async fn learn(&self, versions: impl Iterator<Item = &str>) -> Result<(), ApiError> {
        let known = self.kinds.read().await;
        let unknown: std::collections::BTreeSet<&str> =
            versions.filter(|version| !known.contains_key(*version)).collect();
        drop(known);
        let learned = try_join_all(unknown.into_iter().map(async |version| {
            let found = self.get(&root(version), &format!("tell what {version} has")).await?;
            Ok::<_, ApiError>((version.to_owned(), found.as_ref().map(kinds)))
        }));
        let learned = learned.await?;
        self.kinds.write().await.extend(learned);
        Ok(())
    }

    /// Where objects such as this one are; none if the cluster knows no such kind. [`Self::learn`] comes first.
    pub(super) async fn collection(&self, id: &ManifestId) -> Option<Collection> {
        let known = self.kinds.read().await;
        let kind = known.get(&id.api_version)?.as_ref()?.iter().find(|kind| kind.name == id.kind)?;
        let namespace = match &id.namespace {
            Some(namespace) if kind.namespaced => format!("/namespaces/{namespace}"),
            _ => String::new(),
        };
        Some(Collection(format!("{}{namespace}/{}", root(&id.api_version), kind.plural)))
    }

    /// Where an object is, likewise.
    pub(super) async fn path(&self, id: &ManifestId) -> Option<String> {
        self.collection(id).await.map(|collection| collection.of(&id.name))
    }

    /// Where an object is, whatever was asked before.
    pub(super) async fn find(&self, id: &ManifestId) -> Result<Option<String>, ApiError> {
        self.learn(core::iter::once(id.api_version.as_str())).await?;
        Ok(self.path(id).await)
    }
}

impl Collection {
    /// The path of an object in it.
    pub(super) fn of(&self, name: &str) -> String {
        format!("{}/{name}", self.0)
    }
}

fn root(version: &str) -> String {
    if version.contains('/') { format!("/apis/{version}") } else { format!("/api/{version}") }
}

/// The kinds in an `APIResourceList`, without what is below others' names (`deployments/scale`).
fn kinds(list: &Value) -> Vec<Kind> {
    let resources = list["resources"].as_array().into_iter().flatten();
    let kind = |resource: &Value| {
        let plural = resource["name"].as_str().filter(|name| !name.contains('/'))?;
        Some(Kind {
            name: resource["kind"].as_str()?.to_owned(),
            plural: plural.to_owned(),
            namespaced: resource["namespaced"].as_bool().unwrap_or_default(),
        })
    };
    resources.filter_map(kind).collect()
}
