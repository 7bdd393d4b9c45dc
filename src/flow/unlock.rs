//! Who holds the hosts, and taking that away.

use std::collections::BTreeMap;

use wire_deploy_agent::protocol::Request;
use wire_deploy_agent::state::Lease;

use super::{Flow, FlowError};
use crate::site::names::HostName;

impl Flow {
    /// The leases on the chosen hosts.
    ///
    /// # Errors
    /// When a host cannot be reached.
    pub async fn leases(&self) -> Result<BTreeMap<HostName, Lease>, FlowError> {
        let gathered = self.observer().gather(&self.outline()?, None).await;
        self.all_reached(&gathered.observed)?;
        let held = gathered.observed.hosts.into_iter().filter(|(host, _)| self.is_selected(host));
        Ok(held.filter_map(|(host, found)| Some((host, found.lease?))).collect())
    }

    /// Takes leases away from their holders.
    ///
    /// # Errors
    /// When a host cannot be told.
    pub async fn unlock(&self, leases: &BTreeMap<HostName, Lease>) -> Result<(), FlowError> {
        for (host, lease) in leases {
            let failed = |why: String| FlowError::Failed(format!("{host}: the lease stays: {why}"));
            let agent = self.hosts.agent(host).await.map_err(|error| failed(error.reason))?;
            let request = Request::Release { run: lease.run.clone() };
            agent.request(&request, &mut |_| {}).await.map_err(|error| failed(error.to_string()))?;
        }
        Ok(())
    }
}
