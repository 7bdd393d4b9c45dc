//! `check`: what is missing, wrong or about to expire on the hosts.

use super::meeting::{begin, choice, none_is_fatal, open, or_interrupted, tell_findings};
use super::{Outcome, wait_for};
use crate::cli::Session;
use crate::cli::arguments::Check;
use crate::cli::error::CommandError;
use crate::cli::exit::ExitCode;
use crate::report::count;

pub(super) fn run(session: &Session, arguments: &Check) -> Outcome {
    let choice = choice(&arguments.selection, &arguments.connecting);
    let survey = wait_for(or_interrupted(session, async {
        begin(session, None, "check")?;
        let flow = open(session, choice).await?;
        let survey = flow.survey(None, None).await;
        flow.close().await;
        Ok(survey?)
    }))?;
    tell_findings(session, &survey.findings);
    if !survey.observed.unreachable.is_empty() {
        let unreachable = count(survey.observed.unreachable.len(), "host");
        return Err(CommandError::new(ExitCode::Unreachable, format!("{unreachable} cannot be reached")));
    }
    none_is_fatal(&survey.findings)?;
    session.reporter.note(format!("{} fit", count(survey.observed.hosts.len(), "host")));
    Ok(ExitCode::Done)
}
