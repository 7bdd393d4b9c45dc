//! Restarting a service's nodes one by one although nothing differs.

use wire_deploy_agent::resource::{Resource, Unit};
use wire_deploy_agent::state::State;

use super::survey::Planned;
use super::{Flow, FlowError, Survey};
use crate::desired::Cluster;
use crate::observed::Observed;
use crate::plan::{self, Refusal};
use crate::site::names::{HostName, ServiceName};

impl Flow {
    /// The survey as it would be if nobody knew what the service's units were started with: the plan then rolls its nodes, each
    /// after what the service does before a restart.
    ///
    /// # Errors
    /// When the service has no hosts, a node of it is down or out of reach, something else is to be done first, or the cluster can
    /// spare no node.
    pub(super) fn restarting(&self, survey: &Survey, service: &ServiceName) -> Result<Survey, FlowError> {
        let cluster = survey.desired.cluster(service).ok_or_else(|| FlowError::NotInstalled(service.clone()))?;
        let down = cluster.nodes.iter().filter(|node| !plan::node_is_up(node, &survey.observed));
        let down: Vec<HostName> = down.map(|node| node.host.clone()).collect();
        if !down.is_empty() {
            return Err(Refusal::NodesDown { service: service.clone(), hosts: down }.into());
        }
        if !self.exact_plan(survey)?.is_empty() {
            return Err(Refusal::Unsettled { service: service.clone() }.into());
        }
        let mut observed = survey.observed.clone();
        forget_starts(cluster, &mut observed, |host| self.is_selected(host));
        let Planned { desired, verdicts, plan } = self.plan(&observed)?;
        let (findings, held) = (survey.findings.clone(), survey.held.clone());
        Ok(Survey { desired, observed, verdicts, findings, plan, held })
    }
}

fn forget_starts(cluster: &Cluster, observed: &mut Observed, is_selected: impl Fn(&HostName) -> bool) {
    for node in cluster.nodes.iter().filter(|node| is_selected(&node.host)) {
        let Some(found) = observed.hosts.get_mut(&node.host) else { continue };
        for resource in &node.resources {
            if let Resource::Unit(Unit { running: true, started_with: Some(_), .. }) = resource
                && let Some(State::Unit(unit)) = found.states.get_mut(&resource.id())
            {
                unit.started_with = None;
            }
        }
    }
}
