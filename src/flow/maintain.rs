//! A service's maintenance tasks.

use tokio::sync::watch;

use super::{Flow, FlowError};
use crate::desired::{Operation, service_of};
use crate::execute::{Leases, Stop};
use crate::observe::now;
use crate::services::Driver;
use crate::site::names::ServiceName;
use crate::workspace::machine::Holder;

impl Flow {
    /// Runs a task of a service on its running cluster, with its hosts held. Whether it came to its end before `interrupted`
    /// turned true.
    ///
    /// # Errors
    /// When there is no such service or task, its hosts cannot be reached or are held by others, or it fails.
    pub async fn maintain(
        &self,
        service: &ServiceName,
        task: &str,
        run: &str,
        holder: &Holder,
        mut interrupted: watch::Receiver<bool>,
    ) -> Result<bool, FlowError> {
        let outline = self.outline()?;
        let cluster = outline.cluster(service).ok_or_else(|| FlowError::NotInstalled(service.clone()))?;
        let known = service_of(cluster).ok_or_else(|| FlowError::NotInstalled(service.clone()))?;
        let Some((name, about)) = known.tasks().iter().find(|(name, _)| *name == task) else {
            let tasks: Vec<&str> = known.tasks().iter().map(|(name, _)| *name).collect();
            let hint = if tasks.is_empty() { "it has none".to_owned() } else { format!("it has {}", tasks.join(", ")) };
            return Err(FlowError::UnknownTask { service: service.clone(), name: task.to_owned(), hint });
        };
        let operation = Operation {
            name: (*name).to_owned(),
            description: (*about).to_owned(),
            arguments: serde_json::Value::Null,
        };
        let lease = holder.lease(run);
        let gathered = self.claimed(&outline, holder, &lease).await;
        let work = async |leases: &Leases<'_>| {
            let mut lost = leases.lost();
            let driver = Driver { network: &self.hosts, secrets: &self.secrets, time: now() };
            tokio::select! {
                done = known.operate(cluster, &operation, &driver) => match done {
                    Ok(()) => Ok(true),
                    Err(error) => Err(FlowError::Failed(format!("{service} {name}: {error:#}"))),
                },
                _ = interrupted.wait_for(|stop| *stop) => Ok(false),
                _ = lost.wait_for(|lost| *lost) => Err(FlowError::Failed(Stop::LeaseLost.to_string())),
            }
        };
        self.while_held(lease, &gathered.observed, &gathered.held, work).await
    }
}
