//! Whether the clusters are well, node by node.

use std::time::{Duration, Instant};

use futures_util::future::join_all;

use super::{Flow, FlowError};
use crate::cluster::{self, Api, WaitError, is_awaited};
use crate::desired::{self, Cluster, Desired, service_of};
use crate::observed::{LiveState, Observed};
use crate::report::EventKind;
use crate::services::kubernetes;
use crate::site::names::{HostName, ServiceName};
use crate::workloads::WorkloadDesired;

/// Between two looks at a cluster that is not well yet.
const INTERVAL: Duration = Duration::from_secs(1);
/// How long `apply` waits at its end for what passes by itself, such as writes that a node missed a moment ago.
pub(super) const SETTLING: Duration = Duration::from_secs(30);

/// A service's node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Which service.
    pub service: ServiceName,
    /// Which host.
    pub host: HostName,
    /// The version that it says it runs.
    pub version: Option<String>,
    /// Its role.
    pub role: Option<String>,
    /// Whether it is well.
    pub healthy: bool,
    /// What is wrong with it, or with the cluster.
    pub problem: Option<String>,
}

/// What `status` found.
pub struct Health {
    /// Every node of the chosen services.
    pub rows: Vec<Row>,
    /// Hosts could not be reached.
    pub unreachable: bool,
}

impl Flow {
    /// What runs where, as of now.
    ///
    /// # Errors
    /// When a cluster cannot be worked out.
    pub async fn status(&self) -> Result<Health, FlowError> {
        let outline = self.outline()?;
        let gathered = self.observer().gather(&outline, None).await;
        let mut rows = all_rows(&outline, &gathered.observed);
        rows.extend(self.workload_rows(&self.workloads_of(&gathered.observed)?, Duration::ZERO).await);
        self.tell(&rows);
        Ok(Health { rows, unreachable: self.all_reached(&gathered.observed).is_err() })
    }

    /// As [`Self::status`], but waits for each cluster as long as its gate would.
    ///
    /// # Errors
    /// When a cluster cannot be worked out.
    pub async fn verify(&self) -> Result<Health, FlowError> {
        let outline = self.outline()?;
        let gathered = self.observer().gather(&outline, None).await;
        let waited = outline.clusters.iter().map(async |cluster| match gathered.observed.live.get(&cluster.service) {
            // Nothing of it runs, and waiting starts nothing.
            None => rows(cluster, None),
            Some(_) => {
                let patience = Duration::from_secs(u64::from(cluster.gate_timeout_seconds));
                self.wait_until_well(cluster, patience).await
            }
        });
        let mut rows = join_all(waited).await.into_iter().flatten().collect::<Vec<_>>();
        let patience = Duration::from_secs(u64::from(self.site.profile.gate_timeout_seconds));
        rows.extend(self.workload_rows(&self.workloads_of(&gathered.observed)?, patience).await);
        self.tell(&rows);
        Ok(Health { rows, unreachable: self.all_reached(&gathered.observed).is_err() })
    }

    async fn wait_until_well(&self, cluster: &Cluster, patience: Duration) -> Vec<Row> {
        let started = Instant::now();
        loop {
            let live = self.observer().ask(cluster).await;
            let rows = rows(cluster, Some(&live));
            if rows.iter().all(|row| row.healthy) || live.refuses() || started.elapsed() >= patience {
                return rows;
            }
            tokio::time::sleep(INTERVAL).await;
        }
    }

    /// The site's workloads and the cluster that they run on; no workloads where there are none to ask about.
    fn workloads_of(&self, observed: &Observed) -> Result<Desired, FlowError> {
        if self.workloads.is_empty() || self.site.workloads.is_empty() {
            return Ok(Desired::default());
        }
        Ok(desired::build(self.sources(), observed)?)
    }

    /// How the workloads are that have something which runs.
    async fn workload_rows(&self, desired: &Desired, patience: Duration) -> Vec<Row> {
        let runs =
            |workload: &&WorkloadDesired| workload.manifests.iter().any(|manifest| is_awaited(&manifest.id.kind));
        let workloads: Vec<_> = desired.workloads.iter().filter(runs).collect();
        if workloads.is_empty() {
            return Vec::new();
        }
        let ask = async |api: &Api<'_>| {
            join_all(workloads.iter().map(async |workload| {
                let ids: Vec<_> = workload.manifests.iter().map(|manifest| &manifest.id).collect();
                match cluster::wait(api, &ids, patience, &|_| ()).await {
                    Ok(()) => workload_row(workload, None),
                    // How long it was looked at says nothing of it.
                    Err(WaitError::Late { what, state, .. }) => {
                        workload_row(workload, Some(format!("{what}: {state}")))
                    }
                    Err(error) => workload_row(workload, Some(error.to_string())),
                }
            }))
            .await
        };
        self.observer().with_api(desired, ask).await.unwrap_or_else(|error| {
            workloads.iter().map(|workload| workload_row(workload, Some(error.to_string()))).collect()
        })
    }

    /// The clusters' health at the end of a run: as observed, if that is known and all is well, or else as of now, with so much
    /// time to settle.
    pub(super) async fn health_at_end(
        &self,
        desired: &Desired,
        observed: Option<&Observed>,
        patience: Duration,
    ) -> Vec<Row> {
        let settled = desired.clusters.iter().map(async |cluster| {
            let known = observed.map(|observed| rows(cluster, observed.live.get(&cluster.service)));
            match known {
                Some(rows) if rows.iter().all(|row| row.healthy) => rows,
                _ => self.wait_until_well(cluster, patience).await,
            }
        });
        let mut rows: Vec<Row> = join_all(settled).await.into_iter().flatten().collect();
        rows.extend(self.workload_rows(desired, patience).await);
        self.tell(&rows);
        rows
    }

    fn tell(&self, rows: &[Row]) {
        for row in rows {
            self.reporter.send(EventKind::Health {
                service: row.service.clone(),
                host: row.host.clone(),
                version: row.version.clone(),
                role: row.role.clone(),
                healthy: row.healthy,
                problem: row.problem.clone(),
            });
        }
    }
}

/// A workload, on the cluster as a whole.
fn workload_row(workload: &WorkloadDesired, problem: Option<String>) -> Row {
    Row {
        service: ServiceName::from(workload.name.as_str()),
        host: HostName::from(kubernetes::NAME),
        version: None,
        role: None,
        healthy: problem.is_none(),
        problem,
    }
}

/// The clusters' health as it was observed.
fn all_rows(desired: &Desired, observed: &Observed) -> Vec<Row> {
    desired.clusters.iter().flat_map(|cluster| rows(cluster, observed.live.get(&cluster.service))).collect()
}

/// A cluster's nodes. A problem that is nobody's in particular is every node's.
fn rows(cluster: &Cluster, live: Option<&LiveState>) -> Vec<Row> {
    let verdict = live.and_then(|live| Some(service_of(cluster)?.judge(cluster, live))).unwrap_or_default();
    let of = |host: &HostName| {
        let own = verdict.problems.iter().filter_map(|problem| problem.strip_prefix(host.as_str())?.strip_prefix(": "));
        Some(own.collect::<Vec<_>>().join("; ")).filter(|problems| !problems.is_empty())
    };
    let is_shared = verdict.unwell.is_empty() && cluster.nodes.iter().all(|node| of(&node.host).is_none());
    let all = Some(verdict.problems.join("; ")).filter(|problems| !problems.is_empty());
    let nodes = cluster.nodes.iter().map(|node| {
        let member = live.and_then(|live| live.members.get(&node.host));
        let problem = match member {
            None => Some("does not run".to_owned()),
            Some(member) if verdict.unwell.contains(&node.host) => {
                member.problem.clone().or_else(|| of(&node.host)).or_else(|| all.clone())
            }
            Some(_) if is_shared => all.clone(),
            Some(_) => of(&node.host),
        };
        Row {
            service: cluster.service.clone(),
            host: node.host.clone(),
            version: member.and_then(|member| member.version.clone()),
            role: member.and_then(|member| member.role.clone()),
            healthy: problem.is_none(),
            problem,
        }
    });
    nodes.collect()
}
