//! What runs on Kubernetes: each workload is rendered from templates into manifests. Pure.

pub mod manifest;
pub mod nginz;

pub use manifest::{Manifest, ManifestId};
