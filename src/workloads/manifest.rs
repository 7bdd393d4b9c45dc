//! One object of Kubernetes as it should be.

use core::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Names an object within a Kubernetes cluster.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub struct ManifestId {
    /// As in its manifest: `v1`, `apps/v1`.
    pub api_version: String,
    /// As in its manifest: `Deployment`.
    pub kind: String,
    /// `None` for what lives in no namespace.
    pub namespace: Option<String>,
    /// Its name.
    pub name: String,
}

/// An object as it should be.
#[derive(Debug, Clone, PartialEq)]
pub struct Manifest {
    /// Which object.
    pub id: ManifestId,
    /// All of it, secrets included: it goes to the API and is shown to nobody.
    pub value: Value,
    /// The template that it was rendered from, as errors name it: `templates/kube/nginz/deployment.yaml`.
    pub template: String,
}

impl fmt::Display for ManifestId {
    /// As kubectl's users write it: `Deployment wire/brig`, `Namespace wire`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} ", self.kind)?;
        if let Some(namespace) = &self.namespace {
            write!(formatter, "{namespace}/")?;
        }
        formatter.write_str(&self.name)
    }
}

impl ManifestId {
    /// Whether what the object holds is secret.
    #[must_use]
    pub fn is_secret(&self) -> bool {
        self.kind == "Secret" && self.api_version == "v1"
    }
}
