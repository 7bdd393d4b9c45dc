//! One step.

use std::time::Duration;

use super::turns::Permits;
use super::{Cause, Execution, Finished, configure, workload};
use crate::desired::{Cluster, Object, Operation, service_of};
use crate::plan::{ObjectChange, Step, StepId, Work, expected_at};
use crate::report::{EventKind, StepOutcome};
use crate::services::{Driver, DynService, Verdict};
use crate::site::names::HostName;

/// Between two looks at a cluster that is not well yet.
const GATE_INTERVAL: Duration = Duration::from_millis(500);

/// Why a step failed, ready to be reported.
pub(super) struct Failed {
    pub reason: String,
    pub hint: Option<String>,
    pub log: Vec<String>,
    pub cause: Cause,
}

impl Failed {
    pub(super) fn new(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), hint: None, log: Vec::new(), cause: Cause::Work }
    }
}

impl From<anyhow::Error> for Failed {
    fn from(error: anyhow::Error) -> Self {
        Self::new(format!("{error:#}"))
    }
}

impl From<Failed> for Finished {
    fn from(failed: Failed) -> Self {
        let Failed { reason, hint, log, cause } = failed;
        Self { outcome: StepOutcome::Failed { reason, hint, log }, cause }
    }
}

/// The cluster that a step is for, and its service.
#[derive(Clone, Copy)]
struct Target<'a> {
    cluster: &'a Cluster,
    service: &'static dyn DynService,
}

pub(super) async fn run(execution: &Execution<'_>, permits: &Permits, step: &Step) -> Finished {
    let cluster = execution.desired.cluster(&step.service);
    let target = cluster.and_then(|cluster| Some(Target { cluster, service: service_of(cluster)? }));
    let outcome = match (&step.work, target) {
        (Work::RollOut { found, timeout_seconds }, _) => {
            return workload::run(execution, step, Some(found), *timeout_seconds).await;
        }
        (Work::DeferredRollOut { timeout_seconds, .. }, _) => {
            return workload::run(execution, step, None, *timeout_seconds).await;
        }
        (_, None) => Err(Failed::new(format!("no cluster of {} in this site", step.service))),
        (Work::Configure { changes, roll, founding, .. }, Some(target)) => {
            let wanted = configure::Wanted { changes, roll: *roll, founding: *founding };
            let finished = configure::run(execution, permits, step, wanted).await;
            if matches!(finished.outcome, StepOutcome::PutBack { .. }) {
                // What was put off for a restart that did not come to pass need not wait for the next run.
                let _ = target.service.settle(target.cluster, &driver(execution)).await;
            }
            return finished;
        }
        (Work::Gate { guards, timeout_seconds }, Some(target)) => {
            return gate(execution, step, target, guards.as_ref(), *timeout_seconds).await;
        }
        (Work::Operate { operation }, Some(target)) => operate(execution, target, operation).await,
        (Work::Objects { changes }, Some(target)) => put(execution, step, target, changes).await,
        (Work::Deferred { objects }, Some(target)) => deferred(execution, step, target, objects).await,
    };
    outcome.map_or_else(Finished::from, Finished::done)
}

fn driver<'a>(execution: &Execution<'a>) -> Driver<'a> {
    Driver { network: execution.observer.hosts, secrets: execution.observer.secrets, time: crate::observe::now() }
}

async fn operate(execution: &Execution<'_>, target: Target<'_>, operation: &Operation) -> Result<Vec<String>, Failed> {
    let driver = driver(execution);
    let work = target.service.operate(target.cluster, operation, &driver);
    let patience = target.service.patience(target.cluster, operation);
    match tokio::time::timeout(patience, work).await {
        Ok(result) => result.map(|()| vec![operation.description.clone()]).map_err(Failed::from),
        Err(_) => Err(Failed::new(format!("not done within {} s", patience.as_secs()))),
    }
}

async fn put(
    execution: &Execution<'_>,
    step: &Step,
    target: Target<'_>,
    changes: &[ObjectChange],
) -> Result<Vec<String>, Failed> {
    let driver = driver(execution);
    let mut changed = Vec::new();
    for change in changes {
        let id = &change.object.id;
        tell(execution, &step.id, id.clone());
        let work = target.service.put_object(target.cluster, &change.object, &driver);
        let patience = target.service.object_patience(&change.object);
        match tokio::time::timeout(patience, work).await {
            Ok(Ok(())) => changed.push(id.clone()),
            Ok(Err(error)) => return Err(Failed::new(format!("{id}: {error:#}"))),
            Err(_) => return Err(Failed::new(format!("{id}: not done within {} s", patience.as_secs()))),
        }
    }
    Ok(changed)
}

/// The cluster can be asked now; nothing but creation was promised, so nothing else is done.
async fn deferred(
    execution: &Execution<'_>,
    step: &Step,
    target: Target<'_>,
    objects: &[Object],
) -> Result<Vec<String>, Failed> {
    let live = execution.observer.ask(target.cluster).await;
    if !live.tells_objects() {
        return Err(Failed::new("the cluster does not tell what it holds"));
    }
    let found = |object: &Object| live.objects.get(&object.id).cloned().unwrap_or_default();
    let differing: Vec<&Object> = objects.iter().filter(|object| found(object) != object.wanted).collect();
    if let Some(there) = differing.iter().find(|object| !found(object).is_null()) {
        return Err(Failed {
            hint: Some("run `wire-deploy plan` to see the change, then apply again".to_owned()),
            ..Failed::new(format!("{} is there already and differs; changing it was not in the plan", there.id))
        });
    }
    let changes: Vec<ObjectChange> = differing
        .into_iter()
        .map(|object| ObjectChange { object: object.clone(), from: serde_json::Value::Null })
        .collect();
    put(execution, step, target, &changes).await
}

async fn gate(
    execution: &Execution<'_>,
    step: &Step,
    target: Target<'_>,
    guards: Option<&StepId>,
    timeout_seconds: u32,
) -> Finished {
    let timeout = Duration::from_secs(u64::from(timeout_seconds));
    let cluster = expected_at(target.cluster, execution.plan, &step.id, execution.observed);
    let target = Target { cluster: &cluster, ..target };
    let Err(verdict) = passes(execution, &step.id, target, timeout, &[]).await else {
        if let Some(guarded) = guards {
            // What is left over costs space only; the next transaction on the host removes it.
            let _ = configure::commit(execution, guarded).await;
        }
        return Finished::done(Vec::new());
    };
    let reason = format!("not well after {timeout_seconds} s: {}", verdict.problems.join("; "));
    let log = match guards {
        Some(guarded) => configure::last_lines(execution, guarded).await,
        None => Vec::new(),
    };
    let failed = |reason| Failed {
        reason,
        hint: Some("`wire-deploy status` shows each node; its journal on the host says more".to_owned()),
        log: log.clone(),
        cause: Cause::Gate,
    };
    let Some(guarded) = guards else { return failed(reason).into() };
    match configure::put_back(execution, guarded).await {
        Err(why) => failed(format!("{reason}; putting back failed: {why}")).into(),
        Ok(()) => {
            // What others lacked before cannot be this node's doing, so it is not waited for once this node is well again.
            let host =
                execution.plan.steps.iter().find(|known| known.id == *guarded).and_then(|known| known.host.as_ref());
            let others: Vec<_> = verdict.unwell.into_iter().filter(|unwell| Some(unwell) != host).collect();
            match passes(execution, &step.id, target, timeout, &others).await {
                Ok(()) => Finished { outcome: StepOutcome::PutBack { reason, log }, cause: Cause::Gate },
                Err(still) => {
                    failed(format!("{reason}; with the former configuration: {}", still.problems.join("; "))).into()
                }
            }
        }
    }
}

/// Waits until the service calls its cluster well, but for hosts that are `excused`; else what was wrong last.
async fn passes(
    execution: &Execution<'_>,
    step: &StepId,
    target: Target<'_>,
    timeout: Duration,
    excused: &[HostName],
) -> Result<(), Verdict> {
    let end = tokio::time::Instant::now() + timeout;
    let silence = format!("nothing was said within {} s", timeout.as_secs());
    let mut last = Verdict { problems: vec![silence], unwell: Vec::new() };
    let waiting = async {
        loop {
            // A cluster that cannot be asked yet has nothing to settle; what is still put off then, its judge tells.
            let _ = target.service.settle(target.cluster, &driver(execution)).await;
            let live = execution.observer.ask(target.cluster).await;
            let verdict = target.service.judge(target.cluster, &live);
            if verdict.healthy() || is_excused(&verdict, excused) {
                return;
            }
            if verdict.problems != last.problems {
                tell(execution, step, verdict.problems.join("; "));
            }
            last = verdict;
            tokio::time::sleep(GATE_INTERVAL).await;
        }
    };
    tokio::time::timeout_at(end, waiting).await.map_err(|_| last)
}

/// Something is wrong, and with hosts alone that are excused.
fn is_excused(verdict: &Verdict, excused: &[HostName]) -> bool {
    !verdict.unwell.is_empty() && verdict.unwell.iter().all(|unwell| excused.contains(unwell))
}

pub(super) fn tell(execution: &Execution<'_>, step: &StepId, message: String) {
    execution.observer.reporter.send(EventKind::StepProgress { step: step.clone(), message, done: None, total: None });
}
