//! The services that wire-deploy installs over SSH, one folder each.
//!
//! A folder that is added here, one of the same name in `templates/hosts/` and a recipe in `artifacts/` are all that a
//! new service needs: `build.rs` lists the folders and makes the registry ([`ALL`]) from them. Everything in a folder is
//! pure but `live.rs`, which talks to the running cluster through streams that it is given.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::desired::{Cluster, Node, Object, Operation};
use crate::observed::{LiveState, Member};
use crate::site::names::{HostName, ServiceName};

pub mod context;
pub mod cql;
mod driver;
mod finding;
pub mod http;
mod java;
mod registry;
pub mod resources;
pub mod restart;
#[cfg(test)]
mod testing;
pub mod tls;
pub mod wait;

pub use context::{BuildError, Context, NodeCertificate};
pub use driver::{ANSWER, Driver, Network, OPERATOR, Stream, within};
pub use finding::{Finding, Severity};
pub use registry::{DynService, SettingError};

include!(concat!(env!("OUT_DIR"), "/services.rs"));

/// A service.
pub trait Service: Send + Sync + 'static {
    /// Its settings in the site file. Every field is optional there; defaults come with `serde(default)`.
    type Settings: Serialize + DeserializeOwned + JsonSchema + Default;

    /// Its name: the folder's, with `-` for `_`.
    const NAME: &'static str;
    /// The recipes in `artifacts/` that it needs.
    const RECIPES: &'static [&'static str];
    /// Its derived secrets that are passwords, for `secrets list` and `show`: name, and whether each host has its own.
    const PASSWORDS: &'static [(&'static str, bool)] = &[];

    /// The recipes in whose place a site may bring files (`artifacts` in the site file), with these files' names.
    const UPSTREAM: &'static [(&'static str, &'static [&'static str])] = &[];

    /// Groups of some of its hosts that it wants beside its own, and how many hosts `init` writes into each.
    const SUBGROUPS: &'static [(&'static str, usize)] = &[];

    /// Those of [`Self::RECIPES`] that it needs with these settings.
    fn recipes(&self, _settings: &Self::Settings) -> Vec<&'static str> {
        Self::RECIPES.to_vec()
    }

    /// Checks that concern this service alone, on the site: how many hosts, which zones. Each problem is a sentence and a hint.
    fn check(&self, hosts: &[&crate::site::model::Host], settings: &Self::Settings) -> Vec<Problem>;

    /// Checks that concern other services and groups as well, on a site that is whole otherwise.
    fn check_site(&self, _site: &crate::site::model::Site) -> Vec<Problem> {
        Vec::new()
    }

    /// MiB that it may take on a host with so many bytes of memory, where that is a share of the host's or said in settings. Default: 0, it
    /// needs little.
    fn memory(&self, _settings: &Self::Settings, _host: u64) -> u64 {
        0
    }

    /// What its cluster should be.
    ///
    /// # Errors
    /// When a template fails or a recipe's artifact has no entry in the lock.
    fn build(&self, context: &Context<'_>) -> Result<Cluster, BuildError>;

    /// What of the observed hosts this service cannot be with, or deserves to be told: data of another cluster, disks that are shared.
    fn examine(&self, _context: &Context<'_>) -> Vec<Finding> {
        Vec::new()
    }

    /// Whether the cluster is well, from what its nodes said; why not, if it is not. Nodes that are
    /// [`Cluster::away`] are not expected to be up: the others are judged without them.
    fn judge(&self, cluster: &Cluster, live: &LiveState) -> Verdict;

    /// Asks the running cluster. Nodes that do not answer are members with a problem, not an error.
    fn observe(&self, cluster: &Cluster, driver: &Driver<'_>)
    -> impl Future<Output = anyhow::Result<LiveState>> + Send;

    /// Does one operation: those of a node's `before` and of [`Self::TASKS`]. Done twice is done once.
    fn operate(
        &self,
        cluster: &Cluster,
        operation: &Operation,
        driver: &Driver<'_>,
    ) -> impl Future<Output = anyhow::Result<()>> + Send;

    /// Lets go on what an operation before a restart has put off, as soon as that can be. It is called again and again while a gate
    /// is waited for.
    fn settle(&self, _cluster: &Cluster, _driver: &Driver<'_>) -> impl Future<Output = anyhow::Result<()>> + Send {
        async { Ok(()) }
    }

    /// Longest that one operation may take.
    fn patience(&self, _cluster: &Cluster, _operation: &Operation) -> Duration {
        Duration::from_secs(120)
    }

    /// Longest that making one object what it should be may take.
    fn object_patience(&self, _object: &Object) -> Duration {
        Duration::from_secs(120)
    }

    /// Makes an object what it should be. A service without objects has nothing to say here.
    fn put_object(
        &self,
        _cluster: &Cluster,
        object: &Object,
        _driver: &Driver<'_>,
    ) -> impl Future<Output = anyhow::Result<()>> + Send {
        async move { anyhow::bail!("{} has no object {}", Self::NAME, object.id) }
    }

    /// What an operator may have done to the running cluster: name and what it does, in a sentence.
    const TASKS: &'static [(&'static str, &'static str)] = &[];
}

/// What is wrong with a site from a service's point of view.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// What.
    pub message: String,
    /// What to do about it.
    pub hint: String,
}

/// A gate's judgement.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verdict {
    /// What is wrong, one sentence each; none means healthy.
    pub problems: Vec<String>,
    /// The hosts whose node is not well.
    pub unwell: Vec<HostName>,
}

impl Verdict {
    /// Nothing is wrong.
    #[must_use]
    pub fn healthy(&self) -> bool {
        self.problems.is_empty()
    }

    /// Judges each node by what it said, or did not say: one with problems is not well.
    #[must_use]
    pub fn of_nodes(
        cluster: &Cluster,
        live: &LiveState,
        problems: impl Fn(&Node, Result<&Member, String>) -> Vec<String>,
    ) -> Self {
        let mut verdict = Self::default();
        for node in &cluster.nodes {
            let member = match live.members.get(&node.host) {
                None => Err("was not asked".to_owned()),
                Some(member) if !member.answers => {
                    Err(format!("does not answer: {}", member.problem.as_deref().unwrap_or("no reason given")))
                }
                Some(member) => Ok(member),
            };
            let problems = problems(node, member);
            if !problems.is_empty() {
                verdict.unwell.push(node.host.clone());
            }
            verdict.problems.extend(problems.into_iter().map(|problem| format!("{}: {problem}", node.host)));
        }
        verdict
    }
}

/// The purpose of the password of a user whom a service has.
#[must_use]
pub fn password_name(user: &str) -> String {
    format!("user/{user}")
}

/// The name of a service as a [`ServiceName`].
#[must_use]
pub fn name_of<S: Service>() -> ServiceName {
    ServiceName(S::NAME.to_owned())
}
