//! Carrying a plan out, with the hosts held for this run.

use std::time::Duration;

use tokio::sync::watch;

use super::health::{Row, SETTLING};
use super::{Choice, Flow, FlowError, Survey};
use crate::execute::{self, Execution, Leases, Outcome};
use crate::plan::{Plan, Saved};
use crate::report::EventKind;
use crate::services::Severity;
use crate::site::names::ServiceName;
use crate::workspace::machine::Holder;

/// How applying ended.
pub struct Applied {
    /// What was to be done.
    pub plan: Plan,
    /// How it went; `None` when nothing was to be done, or nobody agreed.
    pub outcome: Option<Outcome>,
    /// The clusters' health afterwards.
    pub health: Vec<Row>,
}

/// A run that applies.
pub struct Run<'a> {
    /// Its name.
    pub name: &'a str,
    /// Who it is.
    pub holder: &'a Holder,
    /// The saved plan to carry out, if it is one.
    pub saved: Option<&'a Saved>,
    /// The service whose nodes are to restart although nothing differs, if that is what the run is for.
    pub restart: Option<&'a ServiceName>,
    /// Turns true when the operator wants to stop.
    pub interrupted: watch::Receiver<bool>,
}

impl Choice {
    /// The choice that a saved plan was made for.
    #[must_use]
    pub fn of_saved(saved: &Saved, accept_new_host_keys: bool) -> Self {
        Self { limit: saved.limit.clone(), only: saved.only.clone(), accept_new_host_keys, allowed: saved.allowed }
    }
}

impl Flow {
    /// Makes the hosts what the site says. `agree` is asked once the plan was shown and says whether to go on; the leases are
    /// renewed while it takes its time.
    ///
    /// # Errors
    /// When hosts cannot be reached, are held by others or unfit, or the plan is refused; nothing was changed then.
    pub async fn apply(&self, run: &Run<'_>, agree: impl AsyncFnOnce() -> bool) -> Result<Applied, FlowError> {
        let lease = run.holder.lease(run.name);
        let time = run.saved.map(|saved| saved.plan.time);
        let mut survey = self.survey(Some(&lease), time).await?;
        if self.take_over(run.holder, &lease, &survey.held).await {
            survey = self.survey(Some(&lease), time).await?;
        }
        let work = async |leases: &Leases<'_>| match run.restart {
            Some(service) => self.apply_held(run, leases, &self.restarting(&survey, service)?, agree).await,
            None => self.apply_held(run, leases, &survey, agree).await,
        };
        self.while_held(lease, &survey.observed, &survey.held, work).await
    }

    async fn apply_held(
        &self,
        run: &Run<'_>,
        leases: &Leases<'_>,
        survey: &Survey,
        agree: impl AsyncFnOnce() -> bool,
    ) -> Result<Applied, FlowError> {
        let fatal: Vec<_> =
            survey.findings.iter().filter(|finding| finding.severity == Severity::Fatal).cloned().collect();
        if !fatal.is_empty() {
            return Err(FlowError::Unfit(fatal));
        }
        for finding in survey.findings.iter().filter(|finding| finding.severity == Severity::Warning) {
            self.reporter.send(finding.into());
        }
        let plan = self.exact_plan(survey)?;
        if let Some(saved) = run.saved {
            saved.still_holds(&plan)?;
        }
        self.reporter.send(EventKind::Planned { plan: Box::new(plan.clone()) });
        if plan.is_empty() {
            let health = self.health_at_end(&survey.desired, Some(&survey.observed), SETTLING).await;
            return Ok(Applied { plan, outcome: None, health });
        }
        if !agree().await {
            return Ok(Applied { plan, outcome: None, health: Vec::new() });
        }
        let execution = Execution {
            observer: self.observer(),
            desired: &survey.desired,
            observed: &survey.observed,
            plan: &plan,
            store: &self.store,
            restart: run.restart.is_some(),
            allowed: self.allowed,
            run: run.name,
            interrupted: run.interrupted.clone(),
            lease_lost: leases.lost(),
        };
        let outcome = execute::run(&execution).await;
        let health = if outcome.stopped.is_some() {
            Vec::new()
        } else {
            let patience = if outcome.complete() { SETTLING } else { Duration::ZERO };
            self.health_at_end(&survey.desired, None, patience).await
        };
        Ok(Applied { plan, outcome: Some(outcome), health })
    }
}
