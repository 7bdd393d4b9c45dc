//! What is known of a run so far: one model that lines, bars, tables and reports are made from.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::Complaint;
use super::event::{Event, EventKind, Level, StepOutcome};
use crate::plan::{Plan, StepId};
use crate::site::names::{HostName, ServiceName};

/// A run so far.
#[derive(Default)]
pub struct View {
    /// The subcommand; empty before a run starts.
    pub command: String,
    /// The site's name.
    pub site: String,
    /// The run's name, if it leaves a folder.
    pub run: Option<String>,
    /// When it started.
    pub started: Option<Timestamp>,
    /// The plan, once there is one.
    pub plan: Option<Plan>,
    /// Hosts that were observed.
    pub observed: usize,
    /// Steps that were begun, in that order.
    pub steps: Vec<StepView>,
    by_id: BTreeMap<StepId, usize>,
    progress: BTreeMap<StepId, (String, u64)>,
    /// The clusters' health, one row per service and host.
    pub health: BTreeMap<(ServiceName, HostName), Health>,
    /// What `check` found.
    pub findings: Vec<Finding>,
    /// Warnings, with their hints.
    pub warnings: Vec<(String, Option<String>)>,
    /// How it ended.
    pub end: Option<End>,
}

/// A step that was begun, or skipped.
pub struct StepView {
    /// Its name.
    pub id: StepId,
    /// For which service.
    pub service: ServiceName,
    /// On which host.
    pub host: Option<HostName>,
    /// What, in a few words.
    pub title: String,
    /// When it began.
    pub started: Timestamp,
    /// How and after how many milliseconds it ended.
    pub end: Option<(StepOutcome, u64)>,
}

/// A service's health on a host.
pub struct Health {
    /// Version that runs there.
    pub version: Option<String>,
    /// Role there.
    pub role: Option<String>,
    /// Whether it is well.
    pub healthy: bool,
    /// What is wrong.
    pub problem: Option<String>,
}

/// Something that `check` looked at.
pub struct Finding {
    /// On which host.
    pub host: Option<HostName>,
    /// How bad it is.
    pub level: Level,
    /// What was found.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

/// How a run ended.
pub struct End {
    /// The program's exit code.
    pub exit_code: u8,
    /// Steps done.
    pub done: usize,
    /// Resources and objects changed.
    pub changed: usize,
    /// How long it took.
    pub milliseconds: u64,
    /// What went wrong.
    pub error: Option<String>,
}

impl View {
    /// Whether a step's progress says what it said before: the same words, the same whole percent.
    pub fn repeats(&mut self, event: &Event) -> bool {
        let EventKind::StepProgress { step, message, done: Some(done), total: Some(total) } = &event.kind else {
            return false;
        };
        let now = (message.clone(), done.saturating_mul(100) / (*total).max(1));
        let repeated = self.progress.get(step) == Some(&now);
        self.progress.insert(step.clone(), now);
        repeated
    }

    /// Takes an event in.
    pub fn take(&mut self, event: &Event) {
        match &event.kind {
            EventKind::RunStarted { command, site, run } => {
                self.command.clone_from(command);
                self.site.clone_from(site);
                self.run.clone_from(run);
                self.started = Some(event.time);
            }
            EventKind::Observed { .. } => self.observed += 1,
            EventKind::Planned { plan } => self.plan = Some((**plan).clone()),
            EventKind::StepStarted { step, service, host, title } => {
                self.begin(event.time, step, service.clone(), host.clone(), title.clone());
            }
            EventKind::StepFinished { step, outcome, milliseconds } => {
                if !self.by_id.contains_key(step) {
                    self.begin_planned(event.time, step);
                }
                if let Some(view) = self.by_id.get(step).and_then(|index| self.steps.get_mut(*index)) {
                    view.end = Some((outcome.clone(), *milliseconds));
                }
            }
            EventKind::Health { service, host, version, role, healthy, problem } => {
                let health = Health {
                    version: version.clone(),
                    role: role.clone(),
                    healthy: *healthy,
                    problem: problem.clone(),
                };
                self.health.insert((service.clone(), host.clone()), health);
            }
            EventKind::Finding { host, level, message, hint } => {
                let finding =
                    Finding { host: host.clone(), level: *level, message: message.clone(), hint: hint.clone() };
                self.findings.push(finding);
            }
            EventKind::Warning { message, hint } => self.warnings.push((message.clone(), hint.clone())),
            EventKind::RunFinished { exit_code, done, changed, milliseconds, error } => {
                self.end = Some(End {
                    exit_code: *exit_code,
                    done: *done,
                    changed: *changed,
                    milliseconds: *milliseconds,
                    error: error.clone(),
                });
            }
            EventKind::Preparing { .. }
            | EventKind::PreparingLog { .. }
            | EventKind::Prepared { .. }
            | EventKind::Unreachable { .. }
            | EventKind::StepProgress { .. }
            | EventKind::StepLog { .. }
            | EventKind::Note { .. } => {}
        }
    }

    /// The step of that name, if it was begun.
    #[must_use]
    pub fn step(&self, id: &StepId) -> Option<&StepView> {
        self.by_id.get(id).and_then(|index| self.steps.get(*index))
    }

    /// The event that ends the run; none if none was started.
    #[must_use]
    pub fn finished(&self, exit_code: u8, error: Option<&Complaint>) -> Option<EventKind> {
        let elapsed = Timestamp::now().duration_since(self.started?);
        let mut done = 0;
        let mut changes = 0;
        for step in &self.steps {
            if let Some((StepOutcome::Done { changed }, _)) = &step.end {
                done += 1;
                changes += changed.len();
            }
        }
        Some(EventKind::RunFinished {
            exit_code,
            done,
            changed: changes,
            milliseconds: u64::try_from(elapsed.as_millis()).unwrap_or_default(),
            error: error.map(|complaint| complaint.message.clone()),
        })
    }

    fn begin(&mut self, time: Timestamp, step: &StepId, service: ServiceName, host: Option<HostName>, title: String) {
        self.by_id.insert(step.clone(), self.steps.len());
        self.steps.push(StepView { id: step.clone(), service, host, title, started: time, end: None });
    }

    /// A step that ends without having begun, because it was skipped.
    fn begin_planned(&mut self, time: Timestamp, step: &StepId) {
        let planned = self.plan.as_ref().and_then(|plan| plan.steps.iter().find(|planned| &planned.id == step));
        let (service, host, title) = planned.map_or_else(
            || (ServiceName::from(step.0.split('/').next().unwrap_or_default()), None, step.0.clone()),
            |planned| (planned.service.clone(), planned.host.clone(), planned.title()),
        );
        self.begin(time, step, service, host, title);
    }
}
