//! Each step as soon as what it needs is done, and its host has room for it.
//!
//! The cluster with the longest row of steps that follow each other goes first and waits for
//! none: when its last step is done, all others have long been.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::time::Instant;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;

use super::turns::{Permits, Turn, Turns};
use super::{Cause, Execution, Finished, Outcome, step};
use crate::plan::{Step, StepId};
use crate::report::{EventKind, StepOutcome};
use crate::site::names::ServiceName;

/// How many steps of each service follow each other.
fn chains(steps: &[Step]) -> BTreeMap<&ServiceName, usize> {
    let (mut chains, mut depths) = (BTreeMap::new(), BTreeMap::new());
    for step in steps {
        let depth = 1 + step.needs.iter().filter_map(|need| depths.get(need)).max().unwrap_or(&0);
        depths.insert(&step.id, depth);
        let longest = chains.entry(&step.service).or_default();
        *longest = depth.max(*longest);
    }
    chains
}

/// The steps that are still to come.
struct Waiting<'a> {
    /// In the order in which they are begun when several are ready.
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
    let chains = chains(&execution.plan.steps);
    let mut steps: Vec<&Step> = execution.plan.steps.iter().collect();
    // Every host has its steps in the same order: nodes that wait for each other to start get there together.
    steps.sort_by_key(|step| Reverse(chains[&step.service]));
    let longest = chains.values().max().copied();
    let mut waiting = Waiting { steps, finished: BTreeMap::new() };
    let mut turns = Turns::new(permits, &execution.plan.steps);
    let mut running = FuturesUnordered::new();
    loop {
        let (ready, lost) = waiting.ready();
        let stop = execution.stop();
        let again = !lost.is_empty() || (stop.is_some() && !ready.is_empty());
        for (step, reason) in lost {
            skip(execution, &mut waiting, step, reason);
        }
        for step in ready {
            if let Some(stop) = stop {
                turns.skipped(step);
                skip(execution, &mut waiting, step, stop.to_string());
            } else {
                let goes_first = chains.get(&step.service).copied() == longest;
                running.push(timed(execution, permits, step, turns.wait(step, goes_first)));
            }
        }
        if again {
            continue;
        }
        let Some((step, finished, turn)) = running.next().await else { break };
        turns.ended(step, turn, done(&finished));
        waiting.finished.insert(step.id.clone(), finished);
    }
    Outcome { steps: waiting.finished, stopped: execution.stop() }
}

fn skip(execution: &Execution<'_>, waiting: &mut Waiting<'_>, step: &Step, reason: String) {
    waiting.finished.insert(step.id.clone(), skipped(execution, step, reason));
}

fn skipped(execution: &Execution<'_>, step: &Step, reason: String) -> Finished {
    let outcome = StepOutcome::Skipped { reason };
    let event = EventKind::StepFinished { step: step.id.clone(), outcome: outcome.clone(), milliseconds: 0 };
    execution.observer.reporter.send(event);
    Finished { outcome, cause: Cause::Work }
}

async fn timed<'a>(
    execution: &Execution<'_>,
    permits: &Permits,
    step: &'a Step,
    turn: impl Future<Output = Option<Turn<'a>>>,
) -> (&'a Step, Finished, Option<Turn<'a>>) {
    let turn = turn.await;
    if let Some(stop) = execution.stop() {
        return (step, skipped(execution, step, stop.to_string()), turn);
    }
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
    (step, finished, turn)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Impact, Work};

    fn step(id: &str, needs: &[&str]) -> Step {
        Step {
            id: StepId(id.to_owned()),
            service: "example".into(),
            host: None,
            work: Work::Gate { guards: None, timeout_seconds: 1 },
            needs: needs.iter().map(|need| StepId((*need).to_owned())).collect(),
            impact: Impact::default(),
        }
    }

    fn ids<'a>(steps: impl IntoIterator<Item = &'a Step>) -> Vec<&'a str> {
        steps.into_iter().map(|step| step.id.0.as_str()).collect()
    }

    fn ended(outcome: StepOutcome) -> Finished {
        Finished { outcome, cause: Cause::Work }
    }

    #[test]
    fn a_service_is_as_long_as_the_steps_that_follow_each_other() {
        let other = Step { service: "other".into(), ..step("e", &["a"]) };
        let steps = [step("a", &[]), step("b", &["a"]), step("c", &["b"]), step("d", &["a"]), other];
        assert_eq!(chains(&steps), BTreeMap::from([(&"example".into(), 3), (&"other".into(), 2)]));
    }

    #[test]
    fn a_step_is_ready_when_all_it_needs_is_done_and_lost_when_one_of_them_failed() {
        let steps = [step("a", &[]), step("b", &["a"]), step("c", &["a", "x"]), step("d", &["c"])];
        let mut waiting = Waiting { steps: steps.iter().collect(), finished: BTreeMap::new() };
        assert_eq!(ids(waiting.ready().0), ["a"]);
        assert!(waiting.ready().0.is_empty(), "nothing is begun twice");

        waiting.finished.insert(StepId("a".to_owned()), ended(StepOutcome::Done { changed: Vec::new() }));
        assert_eq!(ids(waiting.ready().0), ["b"]);

        waiting
            .finished
            .insert(StepId("x".to_owned()), ended(StepOutcome::PutBack { reason: String::new(), log: Vec::new() }));
        let (ready, lost) = waiting.ready();
        assert!(ready.is_empty());
        assert_eq!(ids(lost.iter().map(|(step, _)| *step)), ["c"]);

        waiting.finished.insert(StepId("c".to_owned()), ended(StepOutcome::Skipped { reason: String::new() }));
        assert_eq!(ids(waiting.ready().1.iter().map(|(step, _)| *step)), ["d"]);
    }
}
