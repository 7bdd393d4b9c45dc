//! Doing what a plan says.
//!
//! [`schedule`] starts each step when the steps it needs are done; [`step`] does one; [`lease`] keeps other operators away
//! meanwhile. A failed step stops what needs it and nothing else. What was done stays done: the next run observes again and goes on.

mod configure;
mod lease;
mod schedule;
mod step;

use std::collections::BTreeMap;

use tokio::sync::{Semaphore, SemaphorePermit, watch};

use crate::artifacts::store::Store;
use crate::desired::Desired;
use crate::observe::Observer;
use crate::observed::Observed;
use crate::plan::{Plan, Step, StepId, Work};
use crate::report::StepOutcome;
use crate::site::names::HostName;

pub use lease::Leases;

/// A plan about to be carried out.
pub struct Execution<'a> {
    /// The hosts, the site, its secrets, and who is told.
    pub observer: Observer<'a>,
    /// What should be.
    pub desired: &'a Desired,
    /// What the plan was made from.
    pub observed: &'a Observed,
    /// What is to be done.
    pub plan: &'a Plan,
    /// Where blobs come from.
    pub store: &'a Store,
    /// Units restart although nothing differs.
    pub restart: bool,
    /// The run's name, which names what hosts keep for putting back.
    pub run: &'a str,
    /// Turns true when the operator wants to stop: steps in hand are finished, no other is begun.
    pub interrupted: watch::Receiver<bool>,
}

/// How it went, step by step.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Every step of the plan.
    pub steps: BTreeMap<StepId, Finished>,
    /// The operator stopped it.
    pub interrupted: bool,
}

/// How one step ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finished {
    /// As it is reported.
    pub outcome: StepOutcome,
    /// A gate did not pass, or a node that was rolled did not come back.
    pub gate: bool,
}

impl Outcome {
    /// Steps that were done.
    #[must_use]
    pub fn done(&self) -> usize {
        self.steps.values().filter(|step| matches!(step.outcome, StepOutcome::Done { .. })).count()
    }

    /// Resources and objects that were changed.
    #[must_use]
    pub fn changed(&self) -> usize {
        let changed = self.steps.values().map(|step| match &step.outcome {
            StepOutcome::Done { changed } => changed.len(),
            _ => 0,
        });
        changed.sum()
    }

    /// Every step was done.
    #[must_use]
    pub fn complete(&self) -> bool {
        self.done() == self.steps.len()
    }
}

/// Carries the plan out.
pub async fn run(execution: &Execution<'_>) -> Outcome {
    let limits = execution.observer.site.limits;
    let hosts = execution.observed.hosts.iter();
    let permits = Permits {
        hosts: Semaphore::new(limits.hosts.max(1)),
        uploads: Semaphore::new(limits.uploads.max(1)),
        steps: hosts
            .map(|(host, found)| (host.clone(), Semaphore::new(steps_of_a_host(found.facts.processors))))
            .collect(),
    };
    schedule::run(execution, &permits).await
}

/// How many nodes of a host are worked on at once, given its processors: packages are installed one after the other anyway, and what
/// starts keeps two processors busy.
fn steps_of_a_host(processors: u32) -> usize {
    (processors / 2).max(1) as usize
}

/// What limits how much happens at once.
struct Permits {
    hosts: Semaphore,
    uploads: Semaphore,
    steps: BTreeMap<HostName, Semaphore>,
}

/// Semaphores are never closed, so permits are always had. What asks clusters and changes no host needs none.
impl Permits {
    /// Waits for the step's turn on its host.
    async fn among_steps(&self, step: &Step) -> Option<SemaphorePermit<'_>> {
        let Work::Configure { .. } = step.work else { return None };
        self.steps.get(step.host.as_ref()?)?.acquire().await.ok()
    }

    /// Waits for the host's turn.
    async fn among_hosts(&self, step: &Step) -> Option<SemaphorePermit<'_>> {
        let Work::Configure { .. } = step.work else { return None };
        self.hosts.acquire().await.ok()
    }
}
