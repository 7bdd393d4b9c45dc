//! Removing everything: units, files, users and data. The only thing that deletes data.

use std::time::Duration;

use futures_util::stream::{self, StreamExt as _};
use tokio::sync::watch;
use wire_deploy_agent::protocol::{Event, Request};
use wire_deploy_agent::resource::Resource;

use super::{Flow, FlowError};
use crate::cluster::{self, Api, Wanted};
use crate::desired::Desired;
use crate::execute::Leases;
use crate::plan::StepId;
use crate::report::{EventKind, StepOutcome};
use crate::services::kubernetes;
use crate::site::names::HostName;
use crate::transport::AgentError;
use crate::workloads::found::Allowed;
use crate::workspace::machine::Holder;

/// How destroying ended.
pub struct Destroyed {
    /// The hosts that could not be cleared, with the reason.
    pub failed: Vec<(HostName, String)>,
    /// How many hosts were left as they were when the operator interrupted.
    pub not_begun: usize,
}

impl Flow {
    /// Removes everything that the site installs from its hosts, and the agent's own leavings. Once `interrupted` turns true no
    /// further host is begun.
    ///
    /// # Errors
    /// When hosts cannot be reached or are held by others; nothing was removed then.
    pub async fn destroy(
        &self,
        run: &str,
        holder: &Holder,
        interrupted: &watch::Receiver<bool>,
    ) -> Result<Destroyed, FlowError> {
        let outline = self.outline()?;
        let lease = holder.lease(run);
        let gathered = self.claimed(&outline, holder, &lease).await;
        let work = async |leases: &Leases<'_>| {
            let cluster = self.clear_cluster().await.err().map(|reason| (HostName::from(kubernetes::NAME), reason));
            let clearing = outline.by_host().into_iter().map(async |(host, resources)| {
                if *interrupted.borrow() { None } else { Some((host, self.clear(run, leases, host, resources).await)) }
            });
            let limit = self.site.limits.hosts.max(1);
            let ends: Vec<_> = stream::iter(clearing).buffer_unordered(limit).collect().await;
            let not_begun = ends.iter().filter(|end| end.is_none()).count();
            let failed = ends.into_iter().flatten().filter_map(|(host, failed)| Some((host.clone(), failed?)));
            Ok(Destroyed { failed: cluster.into_iter().chain(failed).collect(), not_begun })
        };
        self.while_held(lease, &gathered.observed, &gathered.held, work).await
    }

    /// Deletes what the site has in a cluster of the operator's. One of the site's own goes with its hosts.
    async fn clear_cluster(&self) -> Result<(), String> {
        if self.site.kubernetes.existing.is_none() {
            return Ok(());
        }
        let observer = self.observer();
        let key = observer.kubernetes_key();
        let purpose = observer.purpose(&key, Allowed { prune_data: true, prune_workloads: true, ..self.allowed });
        let clear = async |api: &Api<'_>| {
            let found = cluster::examine(api, &purpose, &[]).await.map_err(|error| error.to_string())?;
            // The namespace, which goes last, is of the one that is made first.
            for gone in found.iter().rev() {
                let wanted = Wanted { workload: &gone.workload, manifests: &[] };
                let done = cluster::roll_out(api, &purpose, &wanted, gone, Duration::ZERO, &|_| ()).await;
                done.map_err(|error| error.to_string())?;
            }
            Ok(())
        };
        observer.with_api(&Desired::default(), clear).await.map_err(|error| error.to_string())?
    }

    /// Clears one host; why it could not be.
    async fn clear(
        &self,
        run: &str,
        leases: &Leases<'_>,
        host: &HostName,
        resources: Vec<&Resource>,
    ) -> Option<String> {
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
        let removal = Request::Remove { run: run.to_owned(), resources: resources.into_iter().cloned().collect() };
        let failed = match self.hosts.agent(host).await {
            Err(error) => Some(error.reason),
            Ok(agent) => match agent.change(&removal, &mut told).await {
                Err(error) => Some(reason(error)),
                Ok(()) => {
                    // Renewed from now on, the lease would be all that is left on the host.
                    leases.forget(host);
                    match agent.request(&Request::Uninstall, &mut |_| {}).await {
                        Err(error @ AgentError::Failed(_)) => Some(reason(error)),
                        // The agent ends with its answer; a broken connection is as good.
                        _ => None,
                    }
                }
            },
        };
        let outcome = match &failed {
            None => StepOutcome::Done { changed: vec![host.to_string()] },
            Some(reason) => StepOutcome::Failed { reason: reason.clone(), hint: None, log: Vec::new() },
        };
        let milliseconds = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.reporter.send(EventKind::StepFinished { step, outcome, milliseconds });
        failed
    }
}

fn reason(error: AgentError) -> String {
    match error {
        AgentError::Failed(failure) => failure.text(),
        broken => broken.to_string(),
    }
}
