//! What should be, what is, and what lies between.

use std::collections::BTreeMap;

use wire_deploy_agent::resource::{Content, File, Resource};
use wire_deploy_agent::state::Lease;

use super::{Flow, FlowError};
use crate::desired::{self, Desired, service_of};
use crate::observe::Gathered;
use crate::observed::Observed;
use crate::plan::preflight::{Finding, preflight};
use crate::plan::{self, Inputs, Plan, Refusal};
use crate::services::Verdict;
use crate::site::names::{HostName, ServiceName};
use crate::site::secrets::SecretText;

/// What was found out about a site.
pub struct Survey {
    /// What should be.
    pub desired: Desired,
    /// What is.
    pub observed: Observed,
    /// The running clusters, judged.
    pub verdicts: BTreeMap<ServiceName, Verdict>,
    /// What would make a run fail, or will before long.
    pub findings: Vec<Finding>,
    /// What is to be done.
    pub plan: Result<Plan, Refusal>,
    /// Leases that others hold on hosts for which one was wanted.
    pub held: BTreeMap<HostName, Lease>,
}

impl Flow {
    /// Observes the hosts of the chosen services, asks the clusters that run, and plans. Certificates are issued as of `time`
    /// (milliseconds since the epoch) when one is given, else as of now.
    ///
    /// # Errors
    /// When a cluster cannot be worked out.
    pub async fn survey(&self, lease: Option<&Lease>, time: Option<i64>) -> Result<Survey, FlowError> {
        let outline = self.outline()?;
        self.reporter.conceal(private_keys(&outline));
        let Gathered { mut observed, held } = self.observer().gather(&outline, lease).await;
        observed.time = time.unwrap_or(observed.time);
        let desired = desired::build(self.sources(), &observed)?;
        let verdicts = judge(&desired, &observed);
        let plan = plan::diff(Inputs {
            site: &self.site.name,
            desired: &desired,
            observed: &observed,
            verdicts: &verdicts,
            secrets: &self.secrets,
            hosts: self.selected.as_ref(),
        });
        let findings = preflight(&self.site, &desired, &observed)
            .into_iter()
            .filter(|finding| self.is_selected(&finding.host))
            .collect();
        Ok(Survey { desired, observed, verdicts, findings, plan, held })
    }

    /// The plan, if it is exact: every host that it is about was reached.
    ///
    /// # Errors
    /// When one was not, or the plan is refused.
    pub fn exact_plan(&self, survey: &Survey) -> Result<Plan, FlowError> {
        self.all_reached(&survey.observed)?;
        Ok(survey.plan.clone()?)
    }

    pub(super) fn all_reached(&self, observed: &Observed) -> Result<(), FlowError> {
        let selected = observed.unreachable.iter().filter(|(host, _)| self.is_selected(host));
        let unreachable: BTreeMap<_, _> = selected.map(|(host, why)| (host.clone(), why.clone())).collect();
        if unreachable.is_empty() { Ok(()) } else { Err(FlowError::Unreachable(unreachable)) }
    }
}

/// The private keys among the hosts' files, so that no report shows one. They are the same before and after observing.
fn private_keys(desired: &Desired) -> Vec<SecretText> {
    let resources = desired.clusters.iter().flat_map(|cluster| &cluster.nodes).flat_map(|node| &node.resources);
    let keys = resources.filter_map(|resource| match resource {
        Resource::File(File { sensitive: true, content: Content::Text(text), .. })
            if text.contains("PRIVATE KEY-----") =>
        {
            Some(SecretText::new(text.clone()))
        }
        _ => None,
    });
    keys.collect()
}

/// Every cluster that was asked, as its service judges it.
pub(super) fn judge(desired: &Desired, observed: &Observed) -> BTreeMap<ServiceName, Verdict> {
    let asked = desired.clusters.iter().filter_map(|cluster| {
        let live = observed.live.get(&cluster.service)?;
        Some((cluster.service.clone(), service_of(cluster)?.judge(cluster, live)))
    });
    asked.collect()
}
