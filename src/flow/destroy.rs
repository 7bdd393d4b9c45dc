//! Removing everything: units, files, users and data. The only thing that deletes data.

use futures_util::stream::{self, StreamExt as _};
use wire_deploy_agent::protocol::{Event, Request};
use wire_deploy_agent::resource::Resource;

use super::{Flow, FlowError};
use crate::execute::Leases;
use crate::plan::StepId;
use crate::report::{EventKind, StepOutcome};
use crate::site::names::HostName;
use crate::workspace::machine::Holder;

impl Flow {
    /// Removes everything that the site installs from its hosts, and the agent's own leavings. The names of the hosts that could
    /// not be cleared, with the reason.
    ///
    /// # Errors
    /// When hosts cannot be reached or are held by others; nothing was removed then.
    pub async fn destroy(&self, run: &str, holder: &Holder) -> Result<Vec<(HostName, String)>, FlowError> {
        let outline = self.outline()?;
        let lease = holder.lease(run);
        let gathered = self.observer().gather(&outline, Some(&lease)).await;
        let held = gathered.observed.hosts.keys().filter(|host| !gathered.held.contains_key(*host)).cloned().collect();
        let leases = Leases { hosts: &self.hosts, held, lease };
        if !gathered.held.is_empty() {
            leases.release().await;
            return Err(FlowError::Locked(gathered.held));
        }
        if let Err(error) = self.all_reached(&gathered.observed) {
            leases.release().await;
            return Err(error);
        }
        let by_host = outline.by_host();
        let work = by_host.into_iter().map(|(host, resources)| self.clear(host, resources));
        let ends: Vec<_> = stream::iter(work).buffer_unordered(self.site.limits.hosts.max(1)).collect().await;
        Ok(ends.into_iter().flatten().collect())
    }

    async fn clear(&self, host: &HostName, resources: Vec<&Resource>) -> Option<(HostName, String)> {
        let step = StepId(format!("{host}/remove"));
        let started = std::time::Instant::now();
        self.reporter.send(EventKind::StepStarted {
            step: step.clone(),
            service: "destroy".into(),
            host: Some(host.clone()),
            title: "remove".to_owned(),
        });
        let mut told = |event| {
            if let Event::Log { line } = event {
                self.reporter.send(EventKind::StepLog { step: step.clone(), line });
            }
        };
        let resources = resources.into_iter().cloned().collect();
        let failed = match self.hosts.agent(host).await {
            Err(error) => Some(error.reason),
            Ok(agent) => match agent.request(&Request::Remove { resources }, &mut told).await {
                Err(error) => Some(error.to_string()),
                // The agent ends with its answer; a broken connection is as good.
                Ok(_) => agent.request(&Request::Uninstall, &mut |_| {}).await.err().and_then(|error| match error {
                    crate::transport::AgentError::Failed(failure) => Some(failure.message),
                    _ => None,
                }),
            },
        };
        let outcome = match &failed {
            None => StepOutcome::Done { changed: vec![host.to_string()] },
            Some(reason) => StepOutcome::Failed { reason: reason.clone(), hint: None, log: Vec::new() },
        };
        let milliseconds = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.reporter.send(EventKind::StepFinished { step, outcome, milliseconds });
        failed.map(|reason| (host.clone(), reason))
    }
}
