//! One workload's way to what it should be.

use std::time::Duration;

use super::step::{Failed, tell};
use super::{Cause, Execution, Finished};
use crate::cluster::{self, Purpose, RollOutError, RolledOut, Wanted, WayBack};
use crate::observe::kubernetes::{Unasked, wanted};
use crate::plan::Step;
use crate::report::StepOutcome;
use crate::workloads::found::{Found, WorkloadFound};

/// Rolls a workload out: as it was found when the plan was made, or, where the cluster could not be asked then, as it is found now.
pub(super) async fn run(
    execution: &Execution<'_>,
    step: &Step,
    found: Option<&WorkloadFound>,
    timeout_seconds: u32,
) -> Finished {
    let name = step.service.as_str();
    let workload = execution.desired.workloads.iter().find(|workload| workload.name.as_str() == name);
    // One that left the site has no objects any more.
    let wanted = workload.map_or(Wanted { workload: name, manifests: &[] }, wanted);
    let key = execution.observer.kubernetes_key();
    let purpose = execution.observer.purpose(&key, execution.allowed);
    let patience = Duration::from_secs(u64::from(timeout_seconds));
    let progress = |message: &str| tell(execution, &step.id, message.to_owned());
    let work = async |api: &cluster::Api<'_>| {
        let planned = match found {
            Some(found) => found.clone(),
            None => look(api, &purpose, wanted).await?,
        };
        Ok::<_, Trouble>(cluster::roll_out(api, &purpose, &wanted, &planned, patience, &progress).await?)
    };
    match execution.observer.with_api(execution.desired, work).await.map_err(Trouble::from).and_then(|done| done) {
        Ok(done) => Finished::done(changed(&done)),
        Err(trouble) => trouble.into(),
    }
}

/// Why it was not rolled out.
enum Trouble {
    Unasked(Unasked),
    /// Something is there that the plan said nothing of.
    Unplanned(String),
    RollOut(Box<RollOutError>),
}

impl From<Unasked> for Trouble {
    fn from(error: Unasked) -> Self {
        Self::Unasked(error)
    }
}

impl From<RollOutError> for Trouble {
    fn from(error: RollOutError) -> Self {
        Self::RollOut(Box::new(error))
    }
}

/// Nothing but creation was promised, so nothing else is done.
async fn look(api: &cluster::Api<'_>, purpose: &Purpose<'_>, wanted: Wanted<'_>) -> Result<WorkloadFound, Trouble> {
    let found = cluster::examine(api, purpose, &[wanted]).await.map_err(Unasked::from)?;
    let found = found.into_iter().find(|found| found.workload == wanted.workload);
    let found = found.ok_or_else(|| Trouble::Unplanned("nothing was found out about it".to_owned()))?;
    let is_other = |found: &Found| matches!(found, Found::Differs { .. } | Found::Replaced { .. } | Found::Unwanted);
    match found.objects.iter().find(|object| is_other(&object.found)) {
        Some(object) => Err(Trouble::Unplanned(format!(
            "{} is there already and differs; changing it was not in the plan",
            object.id
        ))),
        None => Ok(found),
    }
}

fn changed(done: &RolledOut) -> Vec<String> {
    done.applied.iter().chain(&done.deleted).map(ToString::to_string).collect()
}

impl From<Trouble> for Finished {
    fn from(trouble: Trouble) -> Self {
        let failed = |reason: String, hint: String, log: &[String], cause: Cause| {
            Self::from(Failed { reason, hint: Some(hint), log: log.to_vec(), cause })
        };
        match trouble {
            Trouble::Unasked(Unasked { message, hint }) => failed(message, hint, &[], Cause::Work),
            Trouble::Unplanned(reason) => {
                let hint = "run `wire-deploy plan` to see the change, then apply again".to_owned();
                failed(reason, hint, &[], Cause::Work)
            }
            Trouble::RollOut(error) => {
                if let RollOutError::DoesNotRun { why, back: WayBack::Back } = error.as_ref() {
                    let outcome = StepOutcome::PutBack { reason: why.to_string(), log: why.log().to_vec() };
                    return Self { outcome, cause: Cause::Gate };
                }
                let (hint, log) = match error.as_ref() {
                    RollOutError::Obstacles(obstacles) => {
                        (obstacles.first().map(|obstacle| obstacle.hint.clone()).unwrap_or_default(), &[][..])
                    }
                    RollOutError::Api(error) => (error.hint(), &[][..]),
                    RollOutError::Unwatched(error) => {
                        (format!("{}; nothing was put back, and the next apply goes on", error.hint()), &[][..])
                    }
                    RollOutError::Lingers { .. } => ("apply again once it is gone".to_owned(), &[][..]),
                    RollOutError::DoesNotRun { why, .. } => (
                        "`kubectl describe` tells more; for a cluster of the site's own `wire-deploy kubeconfig` gives it access"
                            .to_owned(),
                        why.log(),
                    ),
                };
                let gate = matches!(error.as_ref(), RollOutError::DoesNotRun { .. });
                failed(error.to_string(), hint, log, if gate { Cause::Gate } else { Cause::Work })
            }
        }
    }
}
