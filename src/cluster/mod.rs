//! Kubernetes through its API: what is there of the workloads' objects, what would change, and making it so.
//!
//! A run goes through it like this. [`Api`] is the connection, by a kubeconfig or over streams that the control planes' hosts open. [`examine()`]
//! lists what is there once for each kind, compares it with the manifests here ([`fields`]), and has the API try (dry run) only what
//! differs. [`roll_out()`] applies it in order under our own field manager, waits until it runs, and deletes what is not wanted any more; what goes
//! wrong is explained, and the last good manifests are applied again. What was applied is written down in the cluster ([`inventory`]) before
//! it is done, so that a run which is killed leaves nothing behind that nobody knows of.

mod api;
mod apply;
mod examine;
pub mod fields;
mod hosts;
mod inventory;
mod kinds;
mod kubeconfig;
mod look;
mod nodes;
mod order;
mod patience;
mod prune;
mod quantity;
mod refusal;
mod rights;
mod roll_out;
mod said;
pub mod shape;
mod trouble;
mod wait;

pub use api::{Api, ApiError};
pub use examine::examine;
pub use kubeconfig::KubeconfigError;
pub use nodes::taking_pods;
pub use refusal::Status;
pub use roll_out::{RollOutError, RolledOut, WayBack, roll_out};
pub use trouble::is_awaited;
pub use wait::{WaitError, wait};

use wire_deploy_agent::digest::FingerprintKey;

use crate::workloads::Manifest;
use crate::workloads::found::Allowed;
use crate::workloads::render::{SITE_LABEL, WORKLOAD_LABEL};

/// Our name as a manager of fields.
pub const FIELD_MANAGER: &str = "wire-deploy";

/// A workload's objects as they should be.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// Its name, as a part of an object's name.
    pub workload: &'a str,
    /// Its manifests, in any order.
    pub manifests: &'a [Manifest],
}

/// Whose objects they are, and what is allowed.
#[derive(Debug, Clone, Copy)]
pub struct Purpose<'a> {
    /// The site's name.
    pub site: &'a str,
    /// The namespace where what was applied is written down.
    pub namespace: &'a str,
    /// Under which secrets are fingerprinted where they are shown.
    pub key: &'a FingerprintKey,
    /// What the operator allows.
    pub allowed: Allowed,
}
