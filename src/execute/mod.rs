//! Doing what a plan says.
//!
//! [`schedule`] starts each step when the steps it needs are done and its host has room for it ([`turns`]); [`step`] does one; [`lease`]
//! keeps other operators away meanwhile. A failed step stops what needs it and nothing else. What was done stays done: the next run
//! observes again and goes on.

mod configure;
mod lease;
mod schedule;
mod step;
mod turns;
mod workload;

use std::collections::BTreeMap;

use tokio::sync::watch;

use crate::artifacts::store::Store;
use crate::desired::Desired;
use crate::observe::Observer;
use crate::observed::Observed;
use crate::plan::{Plan, StepId};
use crate::report::StepOutcome;
use crate::workloads::found::Allowed;

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
    /// What the operator allows in Kubernetes.
    pub allowed: Allowed,
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
    let permits = turns::Permits::new(execution.observer.site.limits, execution.observed);
    schedule::run(execution, &permits).await
}
