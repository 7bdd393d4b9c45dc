//! `apply`: makes the hosts what the site says, or does exactly what a saved plan says.

use std::fs;
use std::io::IsTerminal as _;
use std::path::Path;

use tokio::sync::watch;

use super::meeting::{allowed, begin, choice, listen, open};
use super::{Outcome, read_secrets, read_site, wait_for};
use crate::cli::Session;
use crate::cli::arguments::{Apply, Recording, Restart};
use crate::cli::error::CommandError;
use crate::cli::exit::ExitCode;
use crate::execute::{self, Cause, Finished, Stop};
use crate::flow::Choice;
use crate::flow::apply::{Applied, Run};
use crate::flow::artifacts::Need;
use crate::plan::Saved;
use crate::report::{StepOutcome, count};
use crate::site::names::ServiceName;
use crate::workspace::machine::Holder;

pub(super) fn run(session: &Session, arguments: &Apply) -> Outcome {
    someone_agrees(arguments.yes)?;
    let saved = match &arguments.file {
        Some(path) => Some(read_saved(session, path)?),
        None => None,
    };
    let choice = match &saved {
        Some(saved) => Choice::of_saved(saved, arguments.connecting.accept_new_host_keys),
        None => {
            Choice { allowed: allowed(arguments.permission), ..choice(&arguments.selection, &arguments.connecting) }
        }
    };
    let what = What { command: "apply", choice, yes: arguments.yes, saved: saved.as_ref(), restart: None };
    carry_out(session, &arguments.recording, what)
}

/// `restart`: a service's nodes one by one, although nothing differs.
pub(super) fn restart(session: &Session, arguments: &Restart) -> Outcome {
    someone_agrees(arguments.yes)?;
    let service = ServiceName(arguments.service.clone());
    let choice = Choice {
        limit: arguments.limit.clone(),
        only: vec![arguments.service.clone()],
        accept_new_host_keys: arguments.connecting.accept_new_host_keys,
        ..Choice::default()
    };
    let what = What { command: "restart", choice, yes: arguments.yes, saved: None, restart: Some(&service) };
    carry_out(session, &arguments.recording, what)
}

/// What is carried out.
struct What<'a> {
    command: &'static str,
    choice: Choice,
    /// Nobody is asked.
    yes: bool,
    saved: Option<&'a Saved>,
    restart: Option<&'a ServiceName>,
}

fn someone_agrees(yes: bool) -> Result<(), CommandError> {
    if yes || std::io::stdin().is_terminal() {
        return Ok(());
    }
    Err(CommandError::usage("stdin is no terminal, so nobody can agree to the plan; nothing was done")
        .hint("`--yes` agrees beforehand; `plan -o FILE` and `apply FILE --yes` let someone look in between"))
}

fn carry_out(session: &Session, recording: &Recording, what: What<'_>) -> Outcome {
    let applied: Result<_, CommandError> = wait_for(async {
        let interrupted = listen(session)?;
        let name = begin(session, Some(recording), what.command)?;
        let flow = open(session, what.choice, Need::Stored).await?;
        let holder = Holder::current();
        let (saved, restart) = (what.saved, what.restart);
        let run = Run { name: &name, holder: &holder, saved, restart, interrupted: interrupted.clone() };
        let applied = flow.apply(&run, async || what.yes || agrees(session, interrupted.clone()).await).await;
        flow.close().await;
        Ok((applied?, *interrupted.borrow()))
    });
    let (applied, interrupted) = applied?;
    if interrupted && applied.outcome.is_none() && !applied.plan.is_empty() {
        return Err(CommandError::new(ExitCode::Interrupted, "interrupted; nothing was changed"));
    }
    conclude(&applied)
}

fn read_saved(session: &Session, path: &Path) -> Result<Saved, CommandError> {
    let text = fs::read_to_string(path)
        .map_err(|error| CommandError::usage(format!("cannot read the plan {}", path.display())).because(error))?;
    let site = read_site(session)?.site;
    let key = read_secrets(&site)?.plan_key();
    Saved::open(&text, &key, &site.name).map_err(|refusal| CommandError::from(&refusal))
}

/// Whether a person says yes to the plan that was just shown; an interruption is no.
async fn agrees(session: &Session, mut interrupted: watch::Receiver<bool>) -> bool {
    let reporter = session.reporter.clone();
    let answer = tokio::task::spawn_blocking(move || reporter.ask("Apply this plan? Only `yes` is taken:"));
    tokio::select! {
        answer = answer => answer.ok().flatten().as_deref() == Some("yes"),
        _ = interrupted.wait_for(|stop| *stop) => false,
    }
}

/// Says how it went; the first of what an operator has to know decides over the exit code.
fn conclude(applied: &Applied) -> Outcome {
    let Some(outcome) = &applied.outcome else {
        if !applied.plan.is_empty() {
            return Err(CommandError::failed("not agreed, so nothing was done"));
        }
        return unless_unwell(applied);
    };
    if let Some(stop) = outcome.stopped.filter(|_| !outcome.complete()) {
        let (code, hint) = match stop {
            Stop::Interrupted => (ExitCode::Interrupted, "`wire-deploy apply` goes on where this stopped"),
            Stop::LeaseLost => {
                (ExitCode::Locked, "once the other has ended, `wire-deploy apply` goes on where this stopped")
            }
        };
        return Err(CommandError::new(code, stop.to_string()).hint(hint));
    }
    let failed = outcome.steps.iter().find(|(_, step)| failed(step));
    if let Some((id, step)) = failed {
        return Err(failure(id.0.as_str(), step, outcome));
    }
    unless_unwell(applied)
}

fn failed(step: &Finished) -> bool {
    matches!(step.outcome, StepOutcome::Failed { .. } | StepOutcome::PutBack { .. })
}

fn failure(id: &str, step: &Finished, outcome: &execute::Outcome) -> CommandError {
    let skipped = outcome.steps.values().filter(|step| matches!(step.outcome, StepOutcome::Skipped { .. })).count();
    let further = outcome.steps.values().filter(|step| failed(step)).count().saturating_sub(1);
    let error = match &step.outcome {
        StepOutcome::PutBack { reason, .. } => {
            CommandError::new(ExitCode::PutBack, format!("{id} failed and the former configuration is back"))
                .because(reason)
                .hint("correct the setting that the change was about, then apply again")
        }
        // The lines of its log were told when it failed.
        StepOutcome::Failed { reason, hint, .. } => {
            let code = match step.cause {
                Cause::Work => ExitCode::Failed,
                Cause::Gate => ExitCode::Unhealthy,
                Cause::Unreachable => ExitCode::Unreachable,
                Cause::LeaseLost => ExitCode::Locked,
            };
            let error = CommandError::new(code, format!("{id} failed")).because(reason);
            match hint {
                Some(hint) => error.hint(hint),
                None => error.hint("correct that and apply again: it goes on where this stopped"),
            }
        }
        StepOutcome::Done { .. } | StepOutcome::Skipped { .. } => CommandError::failed(format!("{id} failed")),
    };
    match (further, skipped) {
        (0, 0) => error,
        (0, skipped) => error.because(format!("{} not begun", count(skipped, "further step"))),
        (further, 0) => error.because(format!("{} failed too", count(further, "step"))),
        (further, skipped) => error.because(format!("{} failed too, {skipped} not begun", count(further, "step"))),
    }
}

fn unless_unwell(applied: &Applied) -> Outcome {
    let unwell: Vec<_> = applied.health.iter().filter(|row| !row.healthy).collect();
    let Some(first) = unwell.first() else { return Ok(ExitCode::Done) };
    let problem = first.problem.clone().unwrap_or_default();
    Err(CommandError::new(ExitCode::Unhealthy, format!("{} on {} is not well", first.service, first.host))
        .because(problem)
        .hint("`wire-deploy status` shows each node; its journal on the host says more"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cause_of_a_failure_decides_over_the_exit_code() {
        let ends = |cause| {
            let outcome = StepOutcome::Failed { reason: "it is so".into(), hint: None, log: Vec::new() };
            failure("db1/redis/configure", &Finished { outcome, cause }, &execute::Outcome::default()).exit_code
        };
        let causes = [Cause::Work, Cause::Gate, Cause::Unreachable, Cause::LeaseLost];
        let codes = [ExitCode::Failed, ExitCode::Unhealthy, ExitCode::Unreachable, ExitCode::Locked];
        assert_eq!(causes.map(ends), codes);
    }
}
