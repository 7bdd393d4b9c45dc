//! What should be, what is, and what lies between.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use wire_deploy_agent::resource::{Content, File, Resource};
use wire_deploy_agent::state::Lease;

use super::{Flow, FlowError};
use crate::desired::{self, Cluster, Desired, service_of};
use crate::observe::Gathered;
use crate::observed::{LiveState, Observed};
use crate::plan::preflight::preflight;
use crate::plan::{self, Inputs, Plan, Refusal};
use crate::services::{Finding, Verdict, kubernetes};
use crate::site::names::{HostName, ServiceName};
use crate::site::secrets::SecretText;
use crate::workloads::found::WorkloadFound;
use crate::workloads::{self, Manifest};

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

/// What follows from what was found.
pub(super) struct Planned {
    pub desired: Desired,
    pub verdicts: BTreeMap<ServiceName, Verdict>,
    pub plan: Result<Plan, Refusal>,
}

/// How long a cluster may take to recover before a plan is refused for it: a run that was killed has just restarted a node.
const RECOVERY: Duration = Duration::from_secs(15);
/// How long a cluster may stay silent before something is applied without knowing what it holds: a run that was killed has just
/// started it.
const START: Duration = Duration::from_secs(60);
/// Between two looks at a cluster that may soon be another.
const INTERVAL: Duration = Duration::from_millis(500);

/// The cluster that a plan is refused for although all its units run, so that it may soon be well by itself.
fn recovering<'a>(planned: &'a Planned, observed: &Observed) -> Option<&'a Cluster> {
    let Err(Refusal::NothingToSpare { service, unwell, .. }) = &planned.plan else { return None };
    let cluster = planned.desired.cluster(service)?;
    let mut nodes = cluster.nodes.iter().filter(|node| unwell.contains(&node.host));
    nodes.all(|node| plan::node_is_up(node, observed)).then_some(cluster)
}

/// A cluster that runs and tells nobody what it holds, for which nothing would be done although its objects were not compared.
fn starting<'a>(planned: &'a Planned, observed: &Observed) -> Option<&'a Cluster> {
    let Ok(plan) = &planned.plan else { return None };
    let idle = |cluster: &&Cluster| !plan.steps.iter().any(|step| step.service == cluster.service);
    let is_silent = |cluster: &&Cluster| observed.live.get(&cluster.service).is_some_and(LiveState::is_silent);
    planned.desired.clusters.iter().filter(|cluster| !cluster.objects.is_empty()).filter(idle).find(is_silent)
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
        self.reporter.conceal(secret_texts(&desired));
        observed.workloads = self.look_at_workloads(&desired, &observed).await?;
        let mut planned = self.plan_for(desired, &observed);
        let begun = Instant::now();
        let mut told = false;
        loop {
            // Only what is applied has to be exact about a cluster that is about to answer.
            let starts = lease.and_then(|_| starting(&planned, &observed)).map(|cluster| (cluster, START));
            let recovers = || recovering(&planned, &observed).map(|cluster| (cluster, RECOVERY));
            let Some((cluster, patience)) = starts.or_else(recovers) else { break };
            if begun.elapsed() >= patience {
                break;
            }
            if starts.is_some() && !core::mem::replace(&mut told, true) {
                let waits = format!("{} runs and does not answer: it has {} s", cluster.service, START.as_secs());
                self.reporter.warn(waits, None);
            }
            tokio::time::sleep(INTERVAL).await;
            let live = self.observer().ask(cluster).await;
            observed.live.insert(cluster.service.clone(), live);
            planned = self.plan(&observed)?;
        }
        let Planned { desired, verdicts, plan } = planned;
        let of_services = desired::examine(self.sources(), &observed);
        let of_hosts = preflight(&self.site, &desired, &observed).into_iter().chain(of_services);
        let mut findings: Vec<_> = of_hosts.filter(|finding| self.is_selected(&finding.host)).collect();
        findings.extend(desired::examine_workloads(self.sources(), observed.time)?.into_iter().map(as_of_a_host));
        if observed.workloads.is_some()
            && let Some(nodes) = self.observer().nodes_taking_pods(&desired).await
        {
            findings.extend(workloads::too_few_nodes(&desired.workloads, nodes).into_iter().map(as_of_a_host));
        }
        Ok(Survey { desired, observed, verdicts, findings, plan, held })
    }

    /// Asks Kubernetes what it has of the workloads, where it is one that answers: the operator's own, or the site's once it runs.
    async fn look_at_workloads(
        &self,
        desired: &Desired,
        observed: &Observed,
    ) -> Result<Option<Vec<WorkloadFound>>, FlowError> {
        let existing = self.site.kubernetes.existing.is_some();
        let answers = |live: &LiveState| live.members.values().any(|member| member.answers);
        let runs = existing || observed.live.get(&ServiceName::from(kubernetes::NAME)).is_some_and(answers);
        // A site that names none may have had some; then it is its own cluster that says so.
        if self.workloads.is_empty() || !runs || (self.site.workloads.is_empty() && existing) {
            return Ok(None);
        }
        match self.observer().look_at_workloads(desired, self.allowed).await {
            Ok(found) => Ok(Some(found)),
            // Nothing is to be done for a site without workloads, but perhaps for its hosts.
            Err(_) if desired.workloads.is_empty() => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    pub(super) fn plan(&self, observed: &Observed) -> Result<Planned, FlowError> {
        Ok(self.plan_for(desired::build(self.sources(), observed)?, observed))
    }

    fn plan_for(&self, desired: Desired, observed: &Observed) -> Planned {
        let verdicts = judge(&desired, observed);
        let plan = plan::diff(Inputs {
            site: &self.site.name,
            desired: &desired,
            observed,
            verdicts: &verdicts,
            secrets: &self.secrets,
            hosts: self.selected.as_ref(),
        });
        Planned { desired, verdicts, plan }
    }

    /// The plan, if it is exact: every host that it is about was reached.
    ///
    /// # Errors
    /// When one was not, or the plan is refused.
    pub fn exact_plan(&self, survey: &Survey) -> Result<Plan, FlowError> {
        self.all_reached(&survey.observed)?;
        Ok(survey.plan.clone()?)
    }

    /// Whether every host that the run is about was reached.
    ///
    /// # Errors
    /// When one was not.
    pub fn all_reached(&self, observed: &Observed) -> Result<(), FlowError> {
        let hosts: Vec<_> = observed.unreachable.keys().filter(|host| self.is_selected(host)).cloned().collect();
        let others = observed.hosts.keys().any(|host| self.is_selected(host));
        if hosts.is_empty() { Ok(()) } else { Err(FlowError::Unreachable { hosts, others }) }
    }
}

/// What a workload says, in the form in which it is told of hosts.
fn as_of_a_host(finding: workloads::Finding) -> Finding {
    let workloads::Finding { workload, severity, message, hint } = finding;
    Finding { host: HostName::from(workload.as_str()), severity, message, hint }
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

/// What workloads' Secrets hold, likewise. Shorter texts than any that is derived are no secrets: names, or what the operator brought, which is
/// concealed already.
fn secret_texts(desired: &Desired) -> Vec<SecretText> {
    const SHORTEST: usize = 16;
    let manifests = desired.workloads.iter().flat_map(|workload| &workload.manifests);
    let texts = manifests.flat_map(Manifest::secret_texts).filter(|text| text.len() >= SHORTEST);
    texts.map(SecretText::new).collect()
}

/// Every cluster that was asked, as its service judges it.
pub(super) fn judge(desired: &Desired, observed: &Observed) -> BTreeMap<ServiceName, Verdict> {
    let asked = desired.clusters.iter().filter_map(|cluster| {
        let live = observed.live.get(&cluster.service)?;
        Some((cluster.service.clone(), service_of(cluster)?.judge(cluster, live)))
    });
    asked.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::desired::{Bootstrap, Object};
    use crate::observed::Member;
    use crate::plan::FORMAT;

    fn planned(objects: Vec<Object>) -> Planned {
        let cluster = Cluster {
            service: "search".into(),
            version: String::new(),
            nodes: Vec::new(),
            leaving: Vec::new(),
            away: Vec::new(),
            bootstrap: Bootstrap::AllAtOnce,
            after: Vec::new(),
            tolerance: 1,
            gate_timeout_seconds: 1,
            objects,
        };
        let plan = Plan { format: FORMAT, version: String::new(), site: String::new(), time: 0, steps: Vec::new() };
        Planned {
            desired: Desired { clusters: vec![cluster], ..Desired::default() },
            verdicts: BTreeMap::new(),
            plan: Ok(plan),
        }
    }

    fn observed(member: Member) -> Observed {
        let members = BTreeMap::from([(HostName("host1".to_owned()), member)]);
        let live = LiveState { members, ..LiveState::default() };
        Observed { live: BTreeMap::from([("search".into(), live)]), ..Observed::default() }
    }

    #[test]
    fn a_cluster_that_runs_and_says_nothing_is_not_taken_for_done() {
        let index = Object { id: "index".to_owned(), wanted: serde_json::Value::Null };
        let waits = |objects: &[Object], member| starting(&planned(objects.to_vec()), &observed(member)).is_some();
        assert!(waits(std::slice::from_ref(&index), Member::default()));
        assert!(!waits(&[], Member::default()), "it holds nothing that could be compared");
        assert!(!waits(std::slice::from_ref(&index), Member { answers: true, ..Member::default() }));
        assert!(!waits(&[index], Member { refuses: true, ..Member::default() }), "waiting changes nothing");
    }
}
