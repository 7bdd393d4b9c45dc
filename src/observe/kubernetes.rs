//! What Kubernetes has of the site's workloads, asked through its API.

use std::path::Path;

use wire_deploy_agent::digest::FingerprintKey;

use super::{Observer, now};
use crate::cluster::{self, Api, ApiError, KubeconfigError, Purpose, Wanted};
use crate::desired::Desired;
use crate::services::{Driver, kubernetes};
use crate::site::names::HostName;
use crate::workloads::WorkloadDesired;
use crate::workloads::found::{Allowed, WorkloadFound};

/// Why Kubernetes could not be asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Unasked {
    /// What went wrong.
    pub message: String,
    /// What to do about it.
    pub hint: String,
}

impl From<ApiError> for Unasked {
    fn from(error: ApiError) -> Self {
        Self { message: error.to_string(), hint: error.hint() }
    }
}

impl From<KubeconfigError> for Unasked {
    fn from(error: KubeconfigError) -> Self {
        Self { message: error.to_string(), hint: error.hint() }
    }
}

/// A workload as the cluster is asked about it.
#[must_use]
pub fn wanted(workload: &WorkloadDesired) -> Wanted<'_> {
    Wanted { workload: workload.name.as_str(), manifests: &workload.manifests }
}

impl Observer<'_> {
    /// Does `work` with the API of the cluster that workloads run on: the site's own, over its hosts, or the operator's.
    ///
    /// # Errors
    /// When it cannot be spoken to at all.
    pub async fn with_api<T>(&self, desired: &Desired, work: impl AsyncFnOnce(&Api<'_>) -> T) -> Result<T, Unasked> {
        if let Some(existing) = &self.site.kubernetes.existing {
            let api = Api::by_kubeconfig(Path::new(&existing.kubeconfig), &existing.context, now()).await?;
            return Ok(work(&api).await);
        }
        let unmade = |error: anyhow::Error| Unasked {
            message: format!("the Kubernetes API cannot be asked: {error:#}"),
            hint: "`wire-deploy status --only kubernetes` shows its nodes".to_owned(),
        };
        let cluster = desired.cluster(&kubernetes::NAME.into());
        let cluster = cluster.ok_or_else(|| unmade(anyhow::anyhow!("the run leaves the service kubernetes out")))?;
        let driver = Driver { network: self.hosts, secrets: self.secrets, time: now() };
        let api = Api::over_hosts(cluster, &driver).map_err(unmade)?;
        Ok(work(&api).await)
    }

    /// Under what secrets in Kubernetes are fingerprinted.
    #[must_use]
    pub fn kubernetes_key(&self) -> FingerprintKey {
        self.secrets.fingerprint_key(&HostName::from(kubernetes::NAME))
    }

    /// Whose objects they are.
    #[must_use]
    pub fn purpose<'b>(&'b self, key: &'b FingerprintKey, allowed: Allowed) -> Purpose<'b> {
        Purpose { site: &self.site.name, namespace: &self.site.kubernetes.namespace, key, allowed }
    }

    /// How many nodes take pods, of a cluster of the operator's that tells.
    pub async fn nodes_taking_pods(&self, desired: &Desired) -> Option<usize> {
        self.site.kubernetes.existing.as_ref()?;
        self.with_api(desired, async |api| cluster::taking_pods(api).await).await.ok().flatten()
    }

    /// What is there of these workloads.
    ///
    /// # Errors
    /// When the API does not answer.
    pub async fn look_at_workloads(&self, desired: &Desired, allowed: Allowed) -> Result<Vec<WorkloadFound>, Unasked> {
        let key = self.kubernetes_key();
        let purpose = self.purpose(&key, allowed);
        let wanted: Vec<Wanted<'_>> = desired.workloads.iter().map(wanted).collect();
        Ok(self.with_api(desired, async |api| cluster::examine(api, &purpose, &wanted).await).await??)
    }
}
