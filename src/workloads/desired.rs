//! From the site to the objects of all workloads.

use super::manifest::Manifest;
use super::{BuildError, Context, DynWorkload, Finding, installed, render};
use crate::lock::Lock;
use crate::site::model::Site;
use crate::site::names::WorkloadName;
use crate::site::secrets::Secrets;
use crate::templates::Templates;

/// What the workloads are worked out from.
#[derive(Clone, Copy)]
pub struct Sources<'a> {
    /// The site.
    pub site: &'a Site,
    /// Its secrets.
    pub secrets: &'a Secrets,
    /// Artifacts by recipe.
    pub lock: &'a Lock,
    /// The templates.
    pub templates: &'a Templates,
    /// Now, milliseconds since the epoch.
    pub time: i64,
}

/// A workload as it should be.
#[derive(Debug, Clone)]
pub struct WorkloadDesired {
    /// Which.
    pub name: WorkloadName,
    /// Its objects, in the order of its templates.
    pub manifests: Vec<Manifest>,
    /// The workloads of this site that must be well before.
    pub after: Vec<WorkloadName>,
    /// Seconds without progress by which a roll-out has failed, beside what its pods may take to end.
    pub gate_timeout_seconds: u32,
}

impl<'a> Sources<'a> {
    fn context(self, workload: &'static dyn DynWorkload) -> Context<'a> {
        let Self { site, secrets, lock, templates, time } = self;
        Context { site, workload: workload.name(), secrets, lock, templates, time }
    }
}

/// The workloads of a site, those first that others come after; none if it names none.
///
/// # Errors
/// When a template fails, two of them make the same object, the lock lacks an image, or a secret is not there.
pub fn build(sources: Sources<'_>) -> Result<Vec<WorkloadDesired>, BuildError> {
    let mut all: Vec<WorkloadDesired> = Vec::new();
    for workload in installed(sources.site) {
        let context = sources.context(workload);
        let mut manifests = workload.build(&context)?;
        render::finish(&context, &mut manifests);
        let after = workload.after().iter().filter(|name| installed(sources.site).any(|there| there.name() == **name));
        all.push(WorkloadDesired {
            name: context.name(),
            manifests,
            after: after.map(|name| WorkloadName::from(*name)).collect(),
            gate_timeout_seconds: sources.site.profile.gate_timeout_seconds.max(workload.least_patience_seconds()),
        });
    }
    render::refuse_twins(all.iter().flat_map(|workload| &workload.manifests))?;
    Ok(all)
}

/// What deserves to be told before anything is changed.
///
/// # Errors
/// When settings do not fit.
pub fn examine(sources: Sources<'_>) -> Result<Vec<Finding>, BuildError> {
    let found = installed(sources.site).map(|workload| workload.examine(&sources.context(workload)));
    Ok(found.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
}

/// The recipes whose images a site's workloads run, each once, in alphabetical order.
#[must_use]
pub fn recipes(site: &Site) -> Vec<&'static str> {
    let recipes: std::collections::BTreeSet<_> = installed(site).flat_map(|workload| workload.recipes(site)).collect();
    recipes.into_iter().collect()
}
