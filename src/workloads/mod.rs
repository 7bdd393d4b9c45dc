//! What runs on Kubernetes: each workload is rendered from templates into manifests. Pure.
//!
//! A workload is a file here and a folder of its name in `templates/kube/`. What all of them have in common is written once: the pods in
//! `templates/kube/shared/`, and in [`render`] what code adds to every object (labels, the namespace, by what its pods roll).

use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::services::{Problem, Severity};
use crate::site::model::Site;
use crate::site::names::WorkloadName;

pub mod api;
mod base;
pub mod context;
pub mod desired;
pub mod flows;
pub mod found;
mod hosts;
pub mod image;
pub mod ingress;
pub mod manifest;
mod migration;
pub mod nginz;
pub mod pages;
mod registry;
pub mod render;
pub mod settings;
#[cfg(test)]
mod tests;

pub use context::{BuildError, Context};
pub use desired::{Sources, WorkloadDesired, build, examine, recipes};
pub use hosts::too_few_nodes;
pub use manifest::{Manifest, ManifestId};
pub use registry::DynWorkload;

/// Every workload, those first that others come after.
pub static ALL: &[&dyn DynWorkload] = &[
    &base::Base,
    &migration::Migration,
    &api::BRIG,
    &api::GALLEY,
    &api::GUNDECK,
    &api::CANNON,
    &api::CARGOHOLD,
    &api::SPAR,
    &nginz::Nginz,
    &pages::WEBAPP,
    &pages::ACCOUNT_PAGES,
    &pages::TEAM_SETTINGS,
    &ingress::Ingress,
];

/// A workload.
pub trait Workload: Send + Sync + 'static {
    /// Its settings in the site file. Every field is optional there; defaults come with `serde(default)`.
    type Settings: Serialize + DeserializeOwned + JsonSchema + Default;

    /// Its name: the folder's in `templates/kube/` unless several share one, its key in the site file.
    fn name(&self) -> &'static str;

    /// Whether the site file may name it. What others cannot be without is there with them, and has no settings.
    fn is_named(&self) -> bool {
        true
    }

    /// Whether the site installs it.
    fn is_installed(&self, site: &Site) -> bool {
        site.workloads.contains_key(self.name())
    }

    /// The recipes in `artifacts/` whose images it needs with these settings.
    fn recipes(&self, settings: &Self::Settings) -> Vec<&'static str>;

    /// The workloads that must be well before this one is applied, where the site installs them.
    fn after(&self) -> &'static [&'static str];

    /// Seconds that a roll-out may at least go without getting on, whatever the profile says of gates: many begin at once. What keeps one from
    /// ever being done is told at once.
    fn least_patience_seconds(&self) -> u32 {
        180
    }

    /// What cannot be, on a site that is whole otherwise.
    fn check(&self, _site: &Site, _settings: &Self::Settings) -> Vec<Problem> {
        Vec::new()
    }

    /// Its objects.
    ///
    /// # Errors
    /// When a template fails, an image has no entry in the lock or a secret is not there.
    fn build(&self, context: &Context<'_>, settings: &Self::Settings) -> Result<Vec<Manifest>, BuildError>;

    /// What of the cluster this workload cannot be with, or deserves to be told.
    fn examine(&self, _context: &Context<'_>, _settings: &Self::Settings) -> Vec<Finding> {
        Vec::new()
    }
}

/// Something found before anything is changed in the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// About which workload.
    pub workload: WorkloadName,
    /// How bad it is.
    pub severity: Severity,
    /// What.
    pub message: String,
    /// What to do about it.
    pub hint: String,
}

/// The workload of a name.
#[must_use]
pub fn workload_of(name: &str) -> Option<&'static dyn DynWorkload> {
    ALL.iter().copied().find(|workload| workload.name() == name)
}

/// The workloads that a site installs, those first that others come after.
pub fn installed(site: &Site) -> impl Iterator<Item = &'static dyn DynWorkload> {
    ALL.iter().copied().filter(|workload| workload.is_installed(site))
}
