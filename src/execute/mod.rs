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
    /// Turns true when another run has taken the lease of a host: likewise.
    pub lease_lost: watch::Receiver<bool>,
}

impl Execution<'_> {
    /// Why no further step is to be begun, if so.
    fn stop(&self) -> Option<Stop> {
        let lost = self.lease_lost.borrow().then_some(Stop::LeaseLost);
        lost.or_else(|| self.interrupted.borrow().then_some(Stop::Interrupted))
    }
}

/// Why a run ended before its plan did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Stop {
    /// The operator wanted it.
    #[error("interrupted")]
    Interrupted,
    /// Another run has taken the lease of a host.
    #[error("another run has taken over the lease of a host")]
    LeaseLost,
}

/// How it went, step by step.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Every step of the plan.
    pub steps: BTreeMap<StepId, Finished>,
    /// Why it was stopped, if it was.
    pub stopped: Option<Stop>,
}

/// How one step ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finished {
    /// As it is reported.
    pub outcome: StepOutcome,
    /// Where it failed, why.
    pub cause: Cause,
}

impl Finished {
    /// A step that was done.
    fn done(changed: Vec<String>) -> Self {
        Self { outcome: StepOutcome::Done { changed }, cause: Cause::Work }
    }
}

/// Why a step failed, as far as the program ends differently for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// What it did.
    Work,
    /// A gate did not pass, or a node that was rolled did not come back.
    Gate,
    /// Its host cannot be reached any more.
    Unreachable,
    /// Another run holds its host now.
    LeaseLost,
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
