//! One run from its beginning to its end: what the subcommands that meet hosts call.
//!
//! [`Flow::open`] has of the [`artifacts`] what the run needs and knows the hosts; [`Flow::survey`] observes them and plans; [`apply`] carries a plan
//! out; [`health`] asks whether the clusters are well; [`destroy`] and [`maintain`] are the rest.

pub mod apply;
pub mod artifacts;
pub mod destroy;
mod error;
pub mod health;
mod hold;
pub mod keys;
pub mod maintain;
mod restart;
mod survey;
pub mod unlock;

use std::collections::BTreeSet;
use std::sync::Arc;

use wire_deploy_agent::digest::Digest;

use crate::artifacts::Store;
use crate::desired::{self, Sources};
use crate::lock::Lock;
use crate::observe::Observer;
use crate::plan::Saved;
use crate::report::Reporter;
use crate::services::{self, DynService, kubernetes};
use crate::site::model::Site;
use crate::site::names::{HostName, ServiceName};
use crate::site::secrets::Secrets;
use crate::site::{problem, selection};
use crate::templates::Templates;
use crate::transport::{AgentBinary, Hosts, Options};
use crate::workloads::found::Allowed;
use crate::workloads::{self, DynWorkload};
use crate::workspace::sources::Workspace;

use artifacts::Need;
pub use error::FlowError;
pub use survey::Survey;

include!(concat!(env!("OUT_DIR"), "/agent.rs"));

/// What a run is about.
#[derive(Debug, Clone, Default)]
pub struct Choice {
    /// `--limit`, as given.
    pub limit: Option<String>,
    /// `--only`.
    pub only: Vec<String>,
    /// `--accept-new-host-keys`.
    pub accept_new_host_keys: bool,
    /// `--take`, `--replace`, `--prune-data`.
    pub allowed: Allowed,
}

/// A site, ready to be worked on.
pub struct Flow {
    site: Site,
    secrets: Secrets,
    templates: Templates,
    lock: Lock,
    store: Store,
    hosts: Hosts,
    services: Vec<&'static dyn DynService>,
    workloads: Vec<&'static dyn DynWorkload>,
    allowed: Allowed,
    /// The hosts that may be changed; all when `None`.
    selected: Option<BTreeSet<HostName>>,
    reporter: Reporter,
}

impl Flow {
    /// Has everything ready that a run needs on this machine; connects nowhere yet.
    ///
    /// # Errors
    /// When the choice means nothing, a key cannot be used, a template does not parse or an artifact cannot be made.
    pub async fn open(
        workspace: Workspace,
        secrets: Secrets,
        choice: Choice,
        need: Need,
        reporter: &Reporter,
    ) -> Result<Self, FlowError> {
        let (services, workloads) = chosen(&choice)?;
        let selected = match &choice.limit {
            Some(limit) => Some(selection::select(&workspace.site, limit)?.into_iter().collect()),
            None => None,
        };
        keys::check(&workspace, selected.as_ref()).map_err(FlowError::Site)?;
        let Workspace { site, file, templates, .. } = workspace;
        let templates = Templates::new(&templates)?;
        let store = Store::of_user()?;
        let lock = artifacts::ready(need, &site, &services, &file, &store, reporter).await?;
        let hosts = Hosts::new(&site, transport_options(&choice, reporter)?, &secrets);
        let reporter = reporter.clone();
        // Only who looks at all workloads knows which others of the site there are.
        let allowed = Allowed { prune_workloads: choice.only.is_empty(), ..choice.allowed };
        Ok(Self { site, secrets, templates, lock, store, hosts, services, workloads, allowed, selected, reporter })
    }

    /// Ends all connections in good order.
    pub async fn close(&self) {
        self.hosts.close().await;
    }

    /// The text of a saved plan, sealed under the site's key.
    ///
    /// # Errors
    /// Never for plans, which are plain data.
    pub fn seal(&self, saved: &Saved) -> Result<String, serde_json::Error> {
        saved.seal(&self.secrets.plan_key())
    }

    /// The site's name.
    #[must_use]
    pub fn site_name(&self) -> &str {
        &self.site.name
    }

    fn observer(&self) -> Observer<'_> {
        Observer { site: &self.site, secrets: &self.secrets, hosts: &self.hosts, reporter: &self.reporter }
    }

    fn sources(&self) -> Sources<'_> {
        Sources {
            site: &self.site,
            secrets: &self.secrets,
            lock: &self.lock,
            templates: &self.templates,
            selected: self.selected.as_ref(),
            services: &self.services,
            workloads: &self.workloads,
        }
    }

    fn outline(&self) -> Result<desired::Desired, FlowError> {
        Ok(desired::outline(self.sources())?)
    }

    /// Whether `--limit` leaves a host in.
    #[must_use]
    pub fn is_selected(&self, host: &HostName) -> bool {
        self.selected.as_ref().is_none_or(|selected| selected.contains(host))
    }
}

/// The services and workloads that `--only` names; all without it. With `--limit` no workloads: they are on no host in particular.
#[expect(clippy::type_complexity, reason = "two lists of the same kind")]
fn chosen(choice: &Choice) -> Result<(Vec<&'static dyn DynService>, Vec<&'static dyn DynWorkload>), FlowError> {
    let only = &choice.only;
    let names: Vec<ServiceName> = services::ALL.iter().map(|service| service.name()).collect();
    let known = || names.iter().map(ServiceName::as_str).chain(workloads::ALL.iter().map(|workload| workload.name()));
    if let Some(unknown) = only.iter().find(|wanted| !known().any(|name| name == wanted.as_str())) {
        return Err(FlowError::UnknownService {
            name: unknown.clone(),
            hint: problem::hint_for(unknown, "service", known()).unwrap_or_default(),
        });
    }
    let is_chosen = |name: &str| only.is_empty() || only.iter().any(|only| only == name);
    let workloads: Vec<_> = workloads::ALL.iter().copied().filter(|workload| is_chosen(workload.name())).collect();
    let workloads = if choice.limit.is_none() { workloads } else { Vec::new() };
    // Workloads are reached through the cluster that they run on.
    let is_needed = |name: &str| is_chosen(name) || (name == kubernetes::NAME && !workloads.is_empty());
    let services = services::ALL.iter().copied().filter(|service| is_needed(service.name().as_str()));
    Ok((services.collect(), workloads))
}

fn transport_options(choice: &Choice, reporter: &Reporter) -> Result<Options, FlowError> {
    let digest = Digest::try_from(AGENT_SHA256.to_owned()).map_err(|_| FlowError::NoAgent)?;
    let told = reporter.clone();
    Ok(Options {
        accept_new_host_keys: choice.accept_new_host_keys,
        agent: AgentBinary { digest, gzip: Arc::from(AGENT_GZ) },
        notice: Arc::new(move |host, message| told.warn(format!("{host}: {message}"), None)),
    })
}
