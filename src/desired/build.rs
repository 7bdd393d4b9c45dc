//! From the site to the clusters, through the services.

use std::collections::{BTreeMap, BTreeSet};

use wire_deploy_agent::digest::FingerprintKey;
use wire_deploy_agent::resource::{Content, File, Resource};
use wire_deploy_agent::state::Facts;

use super::{Cluster, Desired, memory};
use crate::lock::Lock;
use crate::observed::{HostObserved, Observed};
use crate::services::{self, Context, DynService, Finding};
use crate::site::model::{Host, Site};
use crate::site::names::HostName;
use crate::site::secrets::Secrets;
use crate::templates::Templates;
use crate::workloads::{self, DynWorkload};

/// What the clusters are worked out from, but for what was found.
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
    /// The hosts that may be changed; all when `None`.
    pub selected: Option<&'a BTreeSet<HostName>>,
    /// The services to work out, of all that are known.
    pub services: &'a [&'static dyn DynService],
    /// The workloads to work out, likewise.
    pub workloads: &'a [&'static dyn DynWorkload],
}

/// Why it could not be worked out what should be.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// A cluster could not.
    #[error(transparent)]
    Service(#[from] services::BuildError),
    /// A workload could not.
    #[error(transparent)]
    Workload(#[from] workloads::BuildError),
}

/// What to look at: the clusters as the site alone tells them.
///
/// # Errors
/// As [`build`].
pub fn outline(sources: Sources<'_>) -> Result<Desired, BuildError> {
    // What to look at in Kubernetes follows from the manifests themselves, which are worked out but once.
    Ok(Desired { clusters: clusters(sources, &Observed::default(), true)?, workloads: Vec::new() })
}

/// What should be, now that it is known what is.
///
/// # Errors
/// When a template fails or the lock lacks something.
pub fn build(sources: Sources<'_>, observed: &Observed) -> Result<Desired, BuildError> {
    let mut workloads = workloads::build(of_workloads(sources, observed.time))?;
    workloads.retain(|built| sources.workloads.iter().any(|chosen| chosen.name() == built.name.as_str()));
    Ok(Desired { clusters: clusters(sources, observed, false)?, workloads })
}

fn of_workloads(sources: Sources<'_>, time: i64) -> workloads::Sources<'_> {
    let Sources { site, secrets, lock, templates, .. } = sources;
    workloads::Sources { site, secrets, lock, templates, time }
}

/// Works the clusters out as if all hosts were there and bare, so that a template that uses what there is not is found before
/// any host is met. Certificates are issued as of `time` (milliseconds since the epoch).
///
/// # Errors
/// When a template fails.
pub fn rehearse(sources: Sources<'_>, time: i64) -> Result<(), BuildError> {
    outline(sources)?;
    let hosts = sources.site.hosts.iter().map(|host| (host.name.clone(), bare(host)));
    build(sources, &Observed { time, hosts: hosts.collect(), ..Observed::default() }).map(drop)
}

/// A host as it may well be found before the first run.
fn bare(host: &Host) -> HostObserved {
    let facts = Facts {
        hostname: host.name.to_string(),
        release: host.release.clone(),
        processors: 2,
        memory: 4 << 30,
        systemd: true,
        addresses: vec![host.address.to_string()],
        ..Facts::default()
    };
    HostObserved { facts, ..HostObserved::default() }
}

fn clusters(sources: Sources<'_>, observed: &Observed, outline: bool) -> Result<Vec<Cluster>, BuildError> {
    let installed = sources.services.iter().filter(|service| !sources.site.hosts_of(&service.name()).is_empty());
    let clusters = installed.map(|service| service.build(&context(sources, *service, observed, outline)));
    let mut clusters: Vec<Cluster> = clusters.collect::<Result<_, _>>()?;
    // What comes after another service is planned after it.
    clusters.sort_by_key(|cluster| !cluster.after.is_empty());
    Ok(clusters)
}

/// What the workloads say of the cluster that they are to run on.
///
/// # Errors
/// When settings do not fit.
pub fn examine_workloads(sources: Sources<'_>, time: i64) -> Result<Vec<workloads::Finding>, BuildError> {
    let findings = workloads::examine(of_workloads(sources, time))?;
    let chosen = |finding: &workloads::Finding| {
        sources.workloads.iter().any(|chosen| chosen.name() == finding.workload.as_str())
    };
    Ok(findings.into_iter().filter(chosen).collect())
}

/// What the services say of the hosts as they were observed.
#[must_use]
pub fn examine(sources: Sources<'_>, observed: &Observed) -> Vec<Finding> {
    let installed = sources.services.iter().filter(|service| !sources.site.hosts_of(&service.name()).is_empty());
    let findings = installed.flat_map(|service| service.examine(&context(sources, *service, observed, false)));
    findings.chain(memory::overcommitted(sources.site, sources.services, observed)).collect()
}

fn context<'a>(sources: Sources<'a>, service: &dyn DynService, observed: &'a Observed, outline: bool) -> Context<'a> {
    let Sources { site, secrets, lock, templates, selected, .. } = sources;
    Context { site, service: service.name(), secrets, lock, templates, observed, selected, outline }
}

/// The recipes that a site needs (the images of its workloads among them), each with the releases of the hosts that its packages are for.
#[must_use]
pub fn recipes(site: &Site, services: &[&'static dyn DynService]) -> BTreeMap<String, Vec<String>> {
    let images = workloads::recipes(site).into_iter().map(|recipe| (recipe.to_owned(), Vec::new()));
    let mut recipes: BTreeMap<String, Vec<String>> = images.collect();
    for service in services {
        for host in site.hosts_of(&service.name()) {
            let settings = site.settings.get(&service.name()).and_then(|hosts| hosts.get(&host.name));
            let needed = settings.map_or_else(|| service.recipes().to_vec(), |settings| service.recipes_for(settings));
            for recipe in needed {
                let releases = recipes.entry(recipe.to_owned()).or_default();
                if !releases.contains(&host.release) {
                    releases.push(host.release.clone());
                }
            }
        }
    }
    recipes
}

/// The service that a cluster belongs to.
#[must_use]
pub fn service_of(cluster: &Cluster) -> Option<&'static dyn DynService> {
    services::ALL.iter().copied().find(|service| service.name() == cluster.service)
}

/// A resource in the form in which it is sent to be looked at and bound into plans: digests instead of contents,
/// fingerprints instead of secrets.
#[must_use]
pub fn without_content(resource: &Resource, key: &FingerprintKey) -> Resource {
    match resource {
        Resource::File(file) => {
            let digest = match &file.content {
                Content::Text(text) if file.sensitive => key.fingerprint(text.as_bytes()),
                Content::Text(text) => wire_deploy_agent::digest::Digest::of(text.as_bytes()),
                Content::Blob(digest) | Content::Digest(digest) => digest.clone(),
            };
            Resource::File(File { content: Content::Digest(digest), ..file.clone() })
        }
        other => other.clone(),
    }
}

impl Desired {
    /// All resources of every host, in the order of the clusters; what two services both want is there once.
    #[must_use]
    pub fn by_host(&self) -> BTreeMap<&HostName, Vec<&Resource>> {
        let mut hosts: BTreeMap<&HostName, Vec<&Resource>> = BTreeMap::new();
        let mut seen = std::collections::HashSet::new();
        for node in self.clusters.iter().flat_map(|cluster| cluster.nodes.iter().chain(&cluster.leaving)) {
            let resources = hosts.entry(&node.host).or_default();
            for resource in &node.resources {
                if seen.insert((&node.host, resource.id())) {
                    resources.push(resource);
                }
            }
        }
        hosts
    }

    /// The cluster of a service.
    #[must_use]
    pub fn cluster(&self, service: &crate::site::names::ServiceName) -> Option<&Cluster> {
        self.clusters.iter().find(|cluster| &cluster.service == service)
    }
}
