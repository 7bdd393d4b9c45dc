//! The one type that everything a run has to say comes as.
//!
//! Events are versioned: a consumer checks `format` and ignores kinds it does not know. No secret is ever in one.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::plan::{Plan, StepId};
use crate::services::{Finding, Severity};
use crate::site::names::{HostName, ServiceName};

/// Version of the events' form.
pub const FORMAT: u32 = 1;

/// One event.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Event {
    /// [`FORMAT`].
    pub format: u32,
    /// When, in UTC.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub time: jiff::Timestamp,
    /// What.
    #[serde(flatten)]
    pub kind: EventKind,
}

/// What happened.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum EventKind {
    /// A run begins.
    RunStarted {
        /// The subcommand.
        command: String,
        /// The site's name.
        site: String,
        /// The run's name, that of its folder, if it leaves one.
        run: Option<String>,
    },
    /// Something before the hosts takes its time, such as an artifact being built.
    Preparing {
        /// What, in a few words.
        what: String,
    },
    /// A line from the program that does it.
    PreparingLog {
        /// What, as in `preparing`.
        what: String,
        /// The line.
        line: String,
    },
    /// It is done.
    Prepared {
        /// What, as in `preparing`.
        what: String,
        /// How long it took.
        milliseconds: u64,
    },
    /// A host was observed.
    Observed {
        /// Which.
        host: HostName,
        /// From connecting to the answer.
        milliseconds: u64,
    },
    /// Hosts cannot be reached, all for the same reason.
    Unreachable {
        /// Which.
        hosts: Vec<HostName>,
        /// Why.
        reason: String,
        /// What to do about it.
        hint: Option<String>,
    },
    /// What will be done.
    Planned {
        /// The plan.
        plan: Box<Plan>,
    },
    /// A step begins.
    StepStarted {
        /// Which.
        step: StepId,
        /// For which service.
        service: ServiceName,
        /// On which host.
        host: Option<HostName>,
        /// What, in a few words.
        title: String,
    },
    /// A step goes on: bytes sent, resources applied, a gate's complaint.
    StepProgress {
        /// Which.
        step: StepId,
        /// What, in a few words.
        message: String,
        /// How far, if known.
        done: Option<u64>,
        /// Of how much.
        total: Option<u64>,
    },
    /// A line of a program's output on a host.
    StepLog {
        /// Which.
        step: StepId,
        /// The line.
        line: String,
    },
    /// A step ended.
    StepFinished {
        /// Which.
        step: StepId,
        /// How.
        outcome: StepOutcome,
        /// How long it took.
        milliseconds: u64,
    },
    /// Something that `check` looked at.
    Finding {
        /// On which host, if on one.
        host: Option<HostName>,
        /// How bad it is.
        level: Level,
        /// What was found.
        message: String,
        /// What to do about it.
        hint: Option<String>,
    },
    /// Something an operator should know.
    Warning {
        /// What.
        message: String,
        /// What to do about it.
        hint: Option<String>,
    },
    /// Something worth saying.
    Note {
        /// What.
        message: String,
    },
    /// A cluster's health, at the end and by `status`, `verify`.
    Health {
        /// Which service.
        service: ServiceName,
        /// Which host.
        host: HostName,
        /// Version that runs there.
        version: Option<String>,
        /// Role there.
        role: Option<String>,
        /// Whether it is well.
        healthy: bool,
        /// What is wrong.
        problem: Option<String>,
    },
    /// A run ends.
    RunFinished {
        /// The program's exit code.
        exit_code: u8,
        /// Steps done.
        done: usize,
        /// Resources and objects changed.
        changed: usize,
        /// How long it took.
        milliseconds: u64,
        /// What went wrong, without secrets.
        error: Option<String>,
    },
}

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// As it should be.
    Good,
    /// It works, but not for long or not as well as it could.
    Warning,
    /// `apply` would fail or is refused.
    Bad,
}

/// How a step ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum StepOutcome {
    /// Done.
    Done {
        /// What was changed, by name.
        changed: Vec<String>,
    },
    /// It failed.
    Failed {
        /// Why.
        reason: String,
        /// What to do about it.
        hint: Option<String>,
        /// The last lines of the log that tells more.
        log: Vec<String>,
    },
    /// It failed and the former configuration is back.
    PutBack {
        /// Why it failed.
        reason: String,
        /// The last lines of the log that tells more.
        #[serde(default)]
        log: Vec<String>,
    },
    /// It was not begun, because something it needs failed or the run was interrupted.
    Skipped {
        /// Why.
        reason: String,
    },
}

/// JSON Schema of an event; `schema/events.json` is a copy of it.
#[must_use]
pub fn schema() -> serde_json::Value {
    schemars::schema_for!(Event).to_value()
}

impl From<&Finding> for EventKind {
    fn from(finding: &Finding) -> Self {
        Self::Finding {
            host: Some(finding.host.clone()),
            level: match finding.severity {
                Severity::Good => Level::Good,
                Severity::Warning => Level::Warning,
                Severity::Fatal => Level::Bad,
            },
            message: finding.message.clone(),
            hint: Some(finding.hint.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_schema_in_the_repository_is_that_of_the_types() {
        let written = include_str!("../../schema/events.json");
        let generated = format!("{:#}\n", super::schema());
        assert!(written == generated, "out of date: cargo run -- schema events > schema/events.json");
    }
}
