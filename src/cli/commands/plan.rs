//! `plan` and `drift`: what lies between the site and the hosts.

use super::meeting::{allowed, begin, choice, none_is_fatal, open, or_interrupted, tell_findings};
use super::{Outcome, wait_for};
use crate::cli::Session;
use crate::cli::arguments::{Drift, Plan};
use crate::cli::error::CommandError;
use crate::cli::exit::ExitCode;
use crate::flow::artifacts::Need;
use crate::flow::{Choice, Flow};
use crate::plan::{self, Saved};
use crate::report::EventKind;
use crate::services::{Finding, Severity};
use crate::workspace::files::{self, Existing};

pub(super) fn run(session: &Session, arguments: &Plan) -> Outcome {
    let allowed = allowed(arguments.permission);
    let choice = Choice { allowed, ..choice(&arguments.selection, &arguments.connecting) };
    let Made { flow, plan, findings } =
        wait_for(or_interrupted(session, made(session, "plan", Need::Lock, choice.clone())))?;
    // What `apply` would refuse is shown and not saved.
    none_is_fatal(&findings)?;
    let changes = !plan.is_empty();
    if let Some(path) = &arguments.file {
        let saved = Saved { plan, limit: choice.limit, only: choice.only, allowed: choice.allowed };
        let failed = || CommandError::failed(format!("cannot save the plan to {}", path.display()));
        let text = flow.seal(&saved).map_err(|error| failed().because(error))?;
        files::write(path, text.as_bytes(), 0o600, Existing::Replace).map_err(|error| failed().because(error))?;
        session.reporter.note(format!("saved; `wire-deploy apply {}` does exactly this", path.display()));
    }
    Ok(if changes && arguments.detailed_exitcode { ExitCode::Changes } else { ExitCode::Done })
}

pub(super) fn drift(session: &Session, arguments: &Drift) -> Outcome {
    let allowed = allowed(arguments.permission);
    let choice = Choice { allowed, ..choice(&arguments.selection, &arguments.connecting) };
    let Made { plan, .. } = wait_for(or_interrupted(session, made(session, "drift", Need::Locked, choice)))?;
    Ok(if plan.is_empty() { ExitCode::Done } else { ExitCode::Changes })
}

/// A plan, and what it was made with.
struct Made {
    flow: Flow,
    plan: plan::Plan,
    findings: Vec<Finding>,
}

async fn made(session: &Session, command: &str, need: Need, choice: Choice) -> Result<Made, CommandError> {
    begin(session, None, command)?;
    let flow = open(session, choice, need).await?;
    let survey = flow.survey(None, None).await;
    flow.close().await;
    let survey = survey?;
    tell_findings(session, survey.findings.iter().filter(|finding| finding.severity > Severity::Good));
    let plan = flow.exact_plan(&survey)?;
    session.reporter.send(EventKind::Planned { plan: Box::new(plan.clone()) });
    Ok(Made { flow, plan, findings: survey.findings })
}
