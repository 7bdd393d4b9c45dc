//! What runs on Kubernetes: each workload is rendered from templates into manifests. Pure.

pub mod found;
pub mod manifest;

pub use manifest::{Manifest, ManifestId};
