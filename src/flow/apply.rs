//! Carrying a plan out, with the hosts held for this run.

use std::collections::BTreeMap;

use tokio::sync::watch;
use wire_deploy_agent::state::Lease;

use super::health::Row;
use super::{Choice, Flow, FlowError, Survey};
use crate::execute::{self, Execution, Leases, Outcome};
use crate::plan::{Plan, Saved};
use crate::report::EventKind;
use crate::services::Severity;
use crate::site::names::HostName;
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
    /// Turns true when the operator wants to stop.
    pub interrupted: watch::Receiver<bool>,
}

impl Choice {
    /// The choice that a saved plan was made for.
    #[must_use]
    pub fn of_saved(saved: &Saved, accept_new_host_keys: bool) -> Self {
        Self { limit: saved.limit.clone(), only: saved.only.clone(), accept_new_host_keys }
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
        if !survey.held.is_empty() && self.take_over(run.holder, &lease, &survey.held).await {
            survey = self.survey(Some(&lease), time).await?;
        }
        let held = survey.observed.hosts.keys().filter(|host| !survey.held.contains_key(*host)).cloned().collect();
        let leases = Leases { hosts: &self.hosts, held, lease };
        let work = self.apply_held(run, survey, agree);
        let result = tokio::select! {
            result = work => result,
            () = leases.renew(&self.reporter) => Err(FlowError::Failed("the leases' renewal ended".to_owned())),
        };
        leases.release().await;
        result
    }

    async fn apply_held(
        &self,
        run: &Run<'_>,
        survey: Survey,
        agree: impl AsyncFnOnce() -> bool,
    ) -> Result<Applied, FlowError> {
        if !survey.held.is_empty() {
            return Err(FlowError::Locked(survey.held));
        }
        self.all_reached(&survey.observed)?;
        let fatal: Vec<_> =
            survey.findings.iter().filter(|finding| finding.severity == Severity::Fatal).cloned().collect();
        if !fatal.is_empty() {
            return Err(FlowError::Unfit(fatal));
        }
        for finding in survey.findings.iter().filter(|finding| finding.severity == Severity::Warning) {
            self.reporter.send(finding.into());
        }
        let plan = self.exact_plan(&survey)?;
        if let Some(saved) = run.saved {
            saved.still_holds(&plan)?;
        }
        self.reporter.send(EventKind::Planned { plan: Box::new(plan.clone()) });
        if plan.is_empty() {
            let health = self.health_of(&survey.desired, &survey.observed);
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
            run: run.name,
            interrupted: run.interrupted.clone(),
        };
        let outcome = execute::run(&execution).await;
        let health = if outcome.interrupted { Vec::new() } else { self.health_now(&survey.desired).await };
        Ok(Applied { plan, outcome: Some(outcome), health })
    }

    /// Takes the leases over that were left by runs of this very machine which live no more. Whether any was.
    async fn take_over(&self, holder: &Holder, lease: &Lease, held: &BTreeMap<HostName, Lease>) -> bool {
        if !held.values().all(|other| holder.knows_dead(other)) {
            return false;
        }
        for (host, other) in held {
            let Ok(agent) = self.hosts.agent(host).await else { return false };
            if !matches!(crate::observe::claim(&agent, lease, true).await, Ok(None)) {
                return false;
            }
            self.reporter.note(format!("{host}: took over the lease of run {}, which lives no more", other.run));
        }
        true
    }
}
