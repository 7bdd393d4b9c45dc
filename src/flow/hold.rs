//! Hosts held for one run: nobody else changes them meanwhile.

use std::collections::BTreeMap;

use wire_deploy_agent::state::Lease;

use super::{Flow, FlowError};
use crate::desired::Desired;
use crate::execute::Leases;
use crate::observe::{Gathered, claim};
use crate::observed::Observed;
use crate::site::names::HostName;
use crate::workspace::machine::Holder;

impl Flow {
    /// Observes the hosts and takes their leases, those of dead runs of this machine included.
    pub(super) async fn claimed(&self, outline: &Desired, holder: &Holder, lease: &Lease) -> Gathered {
        let gathered = self.observer().gather(outline, Some(lease)).await;
        if self.take_over(holder, lease, &gathered.held).await {
            return self.observer().gather(outline, Some(lease)).await;
        }
        gathered
    }

    /// Takes the leases over that were left by runs of this very machine which live no more. Whether any was.
    pub(super) async fn take_over(&self, holder: &Holder, lease: &Lease, held: &BTreeMap<HostName, Lease>) -> bool {
        if held.is_empty() || !held.values().all(|other| holder.knows_dead(other)) {
            return false;
        }
        for (host, other) in held {
            let Ok(agent) = self.hosts.agent(host).await else { return false };
            if !matches!(claim(&agent, lease, true).await, Ok(None)) {
                return false;
            }
            self.reporter.note(format!("{host}: took over the lease of run {}, which lives no more", other.run));
        }
        true
    }

    /// Does `work` on the hosts that were observed and claimed: their leases are renewed meanwhile and given back at the end,
    /// however it ends.
    ///
    /// # Errors
    /// The work's; and when hosts are held by others (`held`) or could not be reached, in which case it is not begun.
    pub(super) async fn while_held<T>(
        &self,
        lease: Lease,
        observed: &Observed,
        held: &BTreeMap<HostName, Lease>,
        work: impl AsyncFnOnce(&Leases<'_>) -> Result<T, FlowError>,
    ) -> Result<T, FlowError> {
        let claimed = observed.hosts.keys().filter(|host| !held.contains_key(*host)).cloned();
        let leases = Leases::new(&self.hosts, claimed.collect(), lease);
        let result = if held.is_empty() {
            match self.all_reached(observed) {
                Ok(()) => tokio::select! {
                    result = work(&leases) => result,
                    never = leases.renew(&self.reporter) => match never {},
                },
                Err(error) => Err(error),
            }
        } else {
            Err(FlowError::Locked(held.clone()))
        };
        leases.release().await;
        result
    }
}
