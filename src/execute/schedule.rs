//! Each step as soon as what it needs is done.

use std::collections::BTreeMap;
use std::time::Instant;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;

use super::{Execution, Finished, Outcome, Permits, step};
use crate::plan::{Step, StepId};
use crate::report::{EventKind, StepOutcome};

/// The steps that are still to come.
struct Waiting<'a> {
    /// In the plan's order.
    steps: Vec<&'a Step>,
    finished: BTreeMap<StepId, Finished>,
}

impl<'a> Waiting<'a> {
    /// Takes the steps out whose needs are done, and those whose needs cannot be done any more.
    fn ready(&mut self) -> (Vec<&'a Step>, Vec<(&'a Step, String)>) {
        let (mut ready, mut lost, mut still) = (Vec::new(), Vec::new(), Vec::new());
        for step in self.steps.drain(..) {
            let needs = step.needs.iter().map(|need| (need, self.finished.get(need)));
            let failed = needs.clone().find(|(_, end)| end.is_some_and(|end| !done(end)));
            if let Some((need, _)) = failed {
                lost.push((step, format!("{need} was not done")));
            } else if needs.clone().all(|(_, end)| end.is_some()) {
                ready.push(step);
            } else {
                still.push(step);
            }
        }
        self.steps = still;
        (ready, lost)
    }
}

fn done(finished: &Finished) -> bool {
    matches!(finished.outcome, StepOutcome::Done { .. })
}

pub(super) async fn run(execution: &Execution<'_>, permits: &Permits) -> Outcome {
    let mut waiting = Waiting { steps: execution.plan.steps.iter().collect(), finished: BTreeMap::new() };
    let mut running = FuturesUnordered::new();
    loop {
        let (ready, lost) = waiting.ready();
        let stop = *execution.interrupted.borrow();
        let again = !lost.is_empty() || (stop && !ready.is_empty());
        for (step, reason) in lost {
            skip(execution, &mut waiting, step, reason);
        }
        for step in ready {
            if stop {
                skip(execution, &mut waiting, step, "interrupted".to_owned());
            } else {
                running.push(timed(execution, permits, step));
            }
        }
        if again {
            continue;
        }
        let Some((step, finished)) = running.next().await else { break };
        waiting.finished.insert(step.id.clone(), finished);
    }
    Outcome { steps: waiting.finished, interrupted: *execution.interrupted.borrow() }
}

fn skip(execution: &Execution<'_>, waiting: &mut Waiting<'_>, step: &Step, reason: String) {
    let outcome = StepOutcome::Skipped { reason };
    let event = EventKind::StepFinished { step: step.id.clone(), outcome: outcome.clone(), milliseconds: 0 };
    execution.observer.reporter.send(event);
    waiting.finished.insert(step.id.clone(), Finished { outcome, gate: false });
}

async fn timed<'a>(execution: &Execution<'_>, permits: &Permits, step: &'a Step) -> (&'a Step, Finished) {
    let started = Instant::now();
    execution.observer.reporter.send(EventKind::StepStarted {
        step: step.id.clone(),
        service: step.service.clone(),
        host: step.host.clone(),
        title: step.title(),
    });
    let finished = step::run(execution, permits, step).await;
    execution.observer.reporter.send(EventKind::StepFinished {
        step: step.id.clone(),
        outcome: finished.outcome.clone(),
        milliseconds: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
    });
    (step, finished)
}
