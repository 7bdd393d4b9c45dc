//! Why a run ends before or without its work.

use std::collections::BTreeMap;

use wire_deploy_agent::state::Lease;

use crate::artifacts::ArtifactError;
use crate::desired::BuildError;
use crate::observe::kubernetes::Unasked;
use crate::plan::Refusal;
use crate::report::ranges;
use crate::services::Finding;
use crate::site::names::{HostName, ServiceName};
use crate::site::problem::Problem;
use crate::site::selection::SelectionError;
use crate::templates::TemplateError;

/// Why a run ends before or without its work.
#[derive(Debug, thiserror::Error)]
pub enum FlowError {
    /// `--limit` means nothing.
    #[error(transparent)]
    Selection(#[from] SelectionError),
    /// `--only` or `maintain` names no service.
    #[error("there is no service {name}")]
    UnknownService {
        /// The name given.
        name: String,
        /// The nearest right one.
        hint: String,
    },
    /// `maintain` names no task.
    #[error("{service} has no task {name}")]
    UnknownTask {
        /// The service.
        service: ServiceName,
        /// The name given.
        name: String,
        /// The tasks there are.
        hint: String,
    },
    /// The service has no hosts in this site.
    #[error("{0} is not installed by this site")]
    NotInstalled(ServiceName),
    /// The program was built without its agent.
    #[error("this build of the program has no agent in it")]
    NoAgent,
    /// A template does not parse.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// A cluster could not be worked out.
    #[error(transparent)]
    Build(Box<BuildError>),
    /// Kubernetes does not answer.
    #[error(transparent)]
    Unasked(#[from] Unasked),
    /// An artifact could not be made.
    #[error(transparent)]
    Artifact(#[from] ArtifactError),
    /// A plan is refused.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// What the site names is of no use, each in its line.
    #[error("the site names what cannot be used")]
    Site(Vec<Problem>),
    /// Hosts that are to be worked on cannot be reached; why was reported as it was found out.
    #[error("{} cannot be reached; nothing was changed", ranges(&.hosts.iter().collect::<Vec<_>>()))]
    Unreachable {
        /// Which.
        hosts: Vec<HostName>,
        /// Others that are to be worked on were reached.
        others: bool,
    },
    /// Someone else works on hosts.
    #[error("{}", holders(.0))]
    Locked(BTreeMap<HostName, Lease>),
    /// Hosts are not fit to be worked on.
    #[error("{} not fit: nothing was changed", if .0.len() == 1 { "one thing is" } else { "some things are" })]
    Unfit(Vec<Finding>),
    /// A task or a removal failed.
    #[error("{0}")]
    Failed(String),
}

impl From<BuildError> for FlowError {
    fn from(error: BuildError) -> Self {
        Self::Build(Box::new(error))
    }
}

fn holders(held: &BTreeMap<HostName, Lease>) -> String {
    let mut by_holder: BTreeMap<(&str, &str), Vec<(&str, i64)>> = BTreeMap::new();
    for (host, lease) in held {
        by_holder.entry((&lease.holder, &lease.run)).or_default().push((host.as_str(), lease.since));
    }
    let told = by_holder.into_iter().map(|((holder, run), hosts)| {
        let since = hosts.iter().map(|(_, since)| *since).min().unwrap_or_default();
        let since = jiff::Timestamp::from_millisecond(since).map(|time| format!(" since {time}")).unwrap_or_default();
        let hosts: Vec<&str> = hosts.into_iter().map(|(host, _)| host).collect();
        format!("{holder} (run {run}) is working on {}{since}", hosts.join(", "))
    });
    told.collect::<Vec<_>>().join("; ")
}
