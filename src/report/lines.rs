//! Events as lines of text, for pipes and for the lines above the bars.

use super::Verbosity;
use super::event::{Event, EventKind, StepOutcome};
use super::hosts::ranges;
use super::style::{ASIDE, BAD, CAUTION, FAINT, GOOD, HEADING, count, duration, harmless, paint};
use super::view::{StepView, View};
use crate::plan::StepId;

/// What an event is told as, without a line's end; `None` when it is not told at this verbosity. `live`: bars already show what goes on.
#[must_use]
pub fn told(event: &Event, view: &View, verbosity: Verbosity, live: bool) -> Option<String> {
    let (least, text) = line(event, view, live)?;
    (verbosity >= least).then_some(text)
}

fn line(event: &Event, view: &View, live: bool) -> Option<(Verbosity, String)> {
    use Verbosity::{Normal, Quiet, Verbose};
    // A smoke test's steps take moments: each is one line, when it has ended.
    let going_on = if live || view.command == "smoke" { Verbose } else { Normal };
    Some(match &event.kind {
        EventKind::RunStarted { command, site, .. } => (Normal, paint(HEADING, &format!("{command} {site}"))),
        EventKind::Preparing { what } => (going_on, format!("{what} …")),
        EventKind::PreparingLog { what, line } => (Verbose, paint(FAINT, &format!("{what} | {}", harmless(line)))),
        EventKind::Prepared { what, milliseconds } => (Normal, format!("{what}: done ({})", duration(*milliseconds))),
        EventKind::Observed { host, milliseconds } => {
            (Verbose, format!("{host}: observed ({})", duration(*milliseconds)))
        }
        EventKind::Unreachable { hosts, reason, hint } => {
            let hosts = ranges(&hosts.iter().collect::<Vec<_>>());
            let text = format!("{} {hosts}: {}", paint(BAD, "unreachable"), harmless(reason));
            (Quiet, with_hint(&text, hint.as_deref()))
        }
        EventKind::StepStarted { step, .. } => (going_on, format!("{} …", name(step, view))),
        EventKind::StepProgress { step, message, done, total } => {
            (Verbose, format!("{}: {}{}", name(step, view), harmless(message), share(*done, *total)))
        }
        EventKind::StepLog { step, line } => {
            (Verbose, paint(FAINT, &format!("{} | {}", name(step, view), harmless(line))))
        }
        EventKind::StepFinished { step, outcome, milliseconds } => ended(&name(step, view), outcome, *milliseconds),
        EventKind::Warning { message, hint } => {
            (Quiet, with_hint(&format!("{}: {}", paint(CAUTION, "warning"), harmless(message)), hint.as_deref()))
        }
        EventKind::Note { message } => (Normal, harmless(message)),
        EventKind::Planned { .. }
        | EventKind::Health { .. }
        | EventKind::Finding { .. }
        | EventKind::RunFinished { .. } => return None,
    })
}

/// The last line of a run.
#[must_use]
pub fn conclusion(view: &View) -> Option<String> {
    let end = view.end.as_ref()?;
    let steps = count(end.done, "step");
    let text = match (end.exit_code, end.done) {
        (0, 0) if view.plan.is_none() => format!("{} in {}", paint(GOOD, "Done"), duration(end.milliseconds)),
        (0, 0) => format!("{} in {}", paint(GOOD, "Nothing to do"), duration(end.milliseconds)),
        (0, _) if end.changed == 0 => format!("{}: {steps} in {}", paint(GOOD, "Done"), duration(end.milliseconds)),
        (0, _) => format!(
            "{}: {steps}, {} in {}",
            paint(GOOD, "Done"),
            count(end.changed, "change"),
            duration(end.milliseconds)
        ),
        (code, _) => format!(
            "{}: {steps} done, {} in {} (exit code {code})",
            paint(BAD, "Not done"),
            count(end.changed, "change"),
            duration(end.milliseconds)
        ),
    };
    Some(text)
}

fn ended(name: &str, outcome: &StepOutcome, milliseconds: u64) -> (Verbosity, String) {
    let time = duration(milliseconds);
    match outcome {
        StepOutcome::Done { changed } if changed.is_empty() => {
            (Verbosity::Normal, format!("{name}: {} ({time})", paint(GOOD, "done")))
        }
        StepOutcome::Done { changed } => {
            let changes = count(changed.len(), "change");
            (Verbosity::Normal, format!("{name}: {}, {changes} ({time})", paint(GOOD, "done")))
        }
        StepOutcome::Failed { reason, hint, log } => {
            let failed = format!("{name}: {}: {} ({time})", paint(BAD, "failed"), harmless(reason));
            (Verbosity::Quiet, with_log(with_hint(&failed, hint.as_deref()), log))
        }
        StepOutcome::PutBack { reason, log } => {
            let back = paint(CAUTION, "former configuration put back");
            (Verbosity::Quiet, with_log(format!("{name}: {back}: {} ({time})", harmless(reason)), log))
        }
        StepOutcome::Skipped { reason } => {
            (Verbosity::Normal, format!("{name}: {}: {}", paint(CAUTION, "skipped"), harmless(reason)))
        }
    }
}

fn name(step: &StepId, view: &View) -> String {
    view.step(step).map_or_else(|| step.0.clone(), title)
}

/// A step as `db1 redis: configure`.
#[must_use]
pub fn title(step: &StepView) -> String {
    match &step.host {
        Some(host) => format!("{host} {}: {}", step.service, harmless(&step.title)),
        None => format!("{}: {}", step.service, harmless(&step.title)),
    }
}

/// How far something is, as ` 42 %`.
#[must_use]
pub fn share(done: Option<u64>, total: Option<u64>) -> String {
    match (done, total) {
        (Some(done), Some(total)) if total > 0 => format!(" {} %", done.min(total).saturating_mul(100) / total),
        _ => String::new(),
    }
}

/// A text with the lines of a log below it.
fn with_log(text: String, log: &[String]) -> String {
    let log = log.iter().map(|line| paint(FAINT, &format!("    | {}", harmless(line))));
    std::iter::once(text).chain(log).collect::<Vec<_>>().join("\n")
}

/// A text with a hint below it.
#[must_use]
pub fn with_hint(text: &str, hint: Option<&str>) -> String {
    hint.map_or_else(|| text.to_owned(), |hint| format!("{text}\n  {} {}", paint(ASIDE, "hint:"), harmless(hint)))
}
