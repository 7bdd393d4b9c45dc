//! What limits how much happens at once.
//!
//! A host works on a few nodes at a time. What is done to a cluster before a node of it is touched (its clients are sent elsewhere, its
//! copies held) belongs to that node's turn: a node that is ready to restart must not have to wait for others on its host.

use std::collections::BTreeMap;

use tokio::sync::{Semaphore, SemaphorePermit};

use crate::observed::Observed;
use crate::plan::{Step, StepId, Work};
use crate::site::model::Limits;
use crate::site::names::HostName;

/// Semaphores are never closed, so permits are always had.
pub(super) struct Permits {
    hosts: Semaphore,
    pub(super) uploads: Semaphore,
    steps: BTreeMap<HostName, Semaphore>,
}

impl Permits {
    pub(super) fn new(limits: Limits, observed: &Observed) -> Self {
        let hosts = observed.hosts.iter();
        Self {
            hosts: Semaphore::new(limits.hosts.max(1)),
            uploads: Semaphore::new(limits.uploads.max(1)),
            steps: hosts
                .map(|(host, found)| (host.clone(), Semaphore::new(steps_of_a_host(found.facts.processors))))
                .collect(),
        }
    }

    async fn turn(&self, host: &HostName, goes_first: bool) -> Turn<'_> {
        let among_steps = match self.steps.get(host) {
            Some(steps) if !goes_first => steps.acquire().await.ok(),
            _ => None,
        };
        Turn { _among_steps: among_steps, _among_hosts: self.hosts.acquire().await.ok() }
    }
}

/// How many nodes of a host are worked on at once, given its processors: packages are installed one after the other anyway, and what
/// starts keeps two processors busy.
fn steps_of_a_host(processors: u32) -> usize {
    (processors / 2).max(1) as usize
}

/// A node is worked on, until this is dropped.
pub(super) struct Turn<'a> {
    _among_steps: Option<SemaphorePermit<'a>>,
    _among_hosts: Option<SemaphorePermit<'a>>,
}

/// Whose turn it is.
pub(super) struct Turns<'a> {
    permits: &'a Permits,
    /// By operation: the next step of the node that it is done for.
    heirs: BTreeMap<&'a StepId, &'a StepId>,
    /// Turns of nodes between two of their steps, by the next one.
    kept: BTreeMap<&'a StepId, Turn<'a>>,
}

impl<'a> Turns<'a> {
    pub(super) fn new(permits: &'a Permits, steps: &'a [Step]) -> Self {
        let operations: BTreeMap<_, _> = steps
            .iter()
            .filter(|step| matches!(step.work, Work::Operate { .. }))
            .map(|step| (&step.id, step))
            .collect();
        let heirs = steps.iter().filter_map(|step| match step.needs.as_slice() {
            [only] => {
                operations.get(only).filter(|before| before.host == step.host).map(|before| (&before.id, &step.id))
            }
            _ => None,
        });
        Self { permits, heirs: heirs.collect(), kept: BTreeMap::new() }
    }

    /// Waits for the step's turn; what asks clusters and prepares no node needs none. One that `goes_first` does not wait for its host.
    pub(super) fn wait(
        &mut self,
        step: &'a Step,
        goes_first: bool,
    ) -> impl Future<Output = Option<Turn<'a>>> + use<'a> {
        let kept = self.kept.remove(&step.id);
        let changes = matches!(step.work, Work::Configure { .. }) || self.heirs.contains_key(&step.id);
        let (permits, host) = (self.permits, step.host.as_ref().filter(|_| changes));
        async move {
            match (kept, host) {
                (Some(turn), _) => Some(turn),
                (None, Some(host)) => Some(permits.turn(host, goes_first).await),
                (None, None) => None,
            }
        }
    }

    /// The step is not begun any more.
    pub(super) fn skipped(&mut self, step: &Step) {
        self.kept.remove(&step.id);
    }

    /// The step has ended: if it was done, the node's next one goes on.
    pub(super) fn ended(&mut self, step: &Step, turn: Option<Turn<'a>>, done: bool) {
        if let (true, Some(turn), Some(heir)) = (done, turn, self.heirs.get(&step.id)) {
            self.kept.insert(*heir, turn);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use futures_util::FutureExt as _;
    use wire_deploy_agent::digest::Digest;

    use super::*;
    use crate::desired::Operation;
    use crate::plan::Impact;

    fn step(id: &str, work: Work, needs: &[&str]) -> Step {
        Step {
            id: StepId(id.to_owned()),
            service: "example".into(),
            host: Some("db1".into()),
            work,
            needs: needs.iter().map(|need| StepId((*need).to_owned())).collect(),
            impact: Impact::default(),
        }
    }

    fn configure() -> Work {
        Work::Configure { changes: Vec::new(), roll: true, founding: false, contents: Digest::of(b"") }
    }

    fn operate() -> Work {
        let (name, description) = ("drain".to_owned(), String::new());
        Work::Operate { operation: Operation { name, description, arguments: serde_json::Value::Null } }
    }

    #[test]
    fn a_node_keeps_its_turn_from_its_operations_to_its_end() {
        let steps = [
            step("drain", operate(), &["gate"]),
            step("hold", operate(), &["drain"]),
            step("node", configure(), &["hold"]),
            step("other", configure(), &[]),
        ];
        let [drain, hold, node, other] = &steps;
        let permits = Permits {
            hosts: Semaphore::new(9),
            uploads: Semaphore::new(1),
            steps: BTreeMap::from([("db1".into(), Semaphore::new(1))]),
        };
        let mut turns = Turns::new(&permits, &steps);
        let mut others = Box::pin(turns.wait(other, false));
        let mut turn = turns.wait(drain, false).now_or_never().unwrap();
        for (ended, next) in [(drain, hold), (hold, node)] {
            assert!((&mut others).now_or_never().is_none(), "it waits for the node");
            turns.ended(ended, turn, true);
            turn = turns.wait(next, false).now_or_never().unwrap();
        }
        assert!((&mut others).now_or_never().is_none(), "it waits for the node");
        turns.ended(node, turn, true);
        assert!(others.now_or_never().is_some());

        // Of a node whose operation failed, nothing follows.
        let turn = turns.wait(drain, false).now_or_never().unwrap();
        turns.ended(drain, turn, false);
        assert!(turns.wait(other, false).now_or_never().is_some());
        // Neither is a node waited for whose operation was done when the run was interrupted.
        let turn = turns.wait(drain, false).now_or_never().unwrap();
        turns.ended(drain, turn, true);
        turns.skipped(hold);
        // What goes first waits for no one on its host.
        let _busy = turns.wait(other, false).now_or_never().unwrap();
        assert!(turns.wait(drain, true).now_or_never().is_some());
    }
}
