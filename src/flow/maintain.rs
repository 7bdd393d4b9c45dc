//! A service's maintenance tasks.

use super::{Flow, FlowError};
use crate::desired::{Operation, service_of};
use crate::observe::now;
use crate::services::Driver;
use crate::site::names::ServiceName;

impl Flow {
    /// Runs a task of a service on its running cluster.
    ///
    /// # Errors
    /// When there is no such service or task, or it fails.
    pub async fn maintain(&self, service: &ServiceName, task: &str) -> Result<(), FlowError> {
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
        let driver = Driver { network: &self.hosts, secrets: &self.secrets, time: now() };
        known
            .operate(cluster, &operation, &driver)
            .await
            .map_err(|error| FlowError::Failed(format!("{service} {name}: {error:#}")))
    }
}
