//! `check`: what is missing, wrong or about to expire on the hosts.

use super::meeting::{begin, choice, none_is_fatal, open, or_interrupted, tell_findings};
use super::{Outcome, wait_for};
use crate::cli::Session;
use crate::cli::arguments::Check;
use crate::cli::exit::ExitCode;
use crate::flow::Survey;
use crate::flow::artifacts::Need;
use crate::report::count;

pub(super) fn run(session: &Session, arguments: &Check) -> Outcome {
    let choice = choice(&arguments.selection, &arguments.connecting);
    wait_for(or_interrupted(session, async {
        begin(session, None, "check")?;
        let flow = open(session, choice, Need::Shape).await?;
        let survey = flow.survey(None, None).await;
        flow.close().await;
        let Survey { observed, findings, .. } = survey?;
        tell_findings(session, &findings);
        flow.all_reached(&observed)?;
        none_is_fatal(&findings)?;
        // Hosts that were left out were looked at for what they are to the others.
        let fit = observed.hosts.keys().filter(|host| flow.is_selected(host)).count();
        session.reporter.note(format!("{} fit", count(fit, "host")));
        Ok(ExitCode::Done)
    }))
}
