//! How many hosts pods can be on.

use serde_json::Value;

use super::{Context, Finding, WorkloadDesired};
use crate::services::Severity;
use crate::services::kubernetes::{self, CONTROL_PLANE};
use crate::site::names::WorkloadName;

/// The hosts of a cluster of ours that take pods; nothing of a cluster that the operator has, or when its settings cannot be read.
fn taking_pods(context: &Context<'_>) -> Option<usize> {
    if context.site.kubernetes.existing.is_some() {
        return None;
    }
    let planes = context.site.groups.get(CONTROL_PLANE);
    let hosts = context.site.settings.get("kubernetes")?;
    let taking = hosts.iter().filter(|(host, settings)| {
        let settings: Option<kubernetes::Settings> = serde_json::from_value((*settings).clone()).ok();
        let is_plane = planes.is_some_and(|planes| planes.contains(host));
        match settings.and_then(|settings| settings.taints) {
            // Control planes take none unless they are told to.
            None => !is_plane,
            Some(taints) => !taints.iter().any(|taint| taint.ends_with(":NoSchedule") || taint.ends_with(":NoExecute")),
        }
    });
    Some(taking.count())
}

/// That pods cannot be on as many hosts as there are of them.
pub(super) fn too_few(context: &Context<'_>, replicas: u32) -> Vec<Finding> {
    let Some(hosts) = taking_pods(context) else { return Vec::new() };
    let hint =
        "add hosts to the group `kubernetes`, let control planes take pods (`taints: []`), or set fewer `replicas`";
    finding(&context.name(), u64::from(replicas), hosts, hint).into_iter().collect()
}

/// Likewise of a cluster that the operator has, so many of whose nodes take pods.
#[must_use]
pub fn too_few_nodes(workloads: &[WorkloadDesired], nodes: usize) -> Vec<Finding> {
    let hint = "add nodes to the cluster, uncordon those that it has, or set fewer `replicas`";
    let replicas = |workload: &WorkloadDesired| {
        let values = workload.manifests.iter().map(|manifest| &manifest.value);
        values.filter_map(|value| value.pointer("/spec/replicas").and_then(Value::as_u64)).max()
    };
    workloads.iter().filter_map(|workload| finding(&workload.name, replicas(workload)?, nodes, hint)).collect()
}

fn finding(workload: &WorkloadName, wanted: u64, hosts: usize, hint: &str) -> Option<Finding> {
    let (severity, message) = match hosts {
        0 => (Severity::Fatal, format!("no host takes the pods of {workload}")),
        _ => (Severity::Warning, format!("{wanted} pods of {workload} on {hosts} hosts: some would go together")),
    };
    let finding = Finding { workload: workload.clone(), severity, message, hint: hint.to_owned() };
    u64::try_from(hosts).is_ok_and(|hosts| hosts < wanted).then_some(finding)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::{Manifest, ManifestId};
    use super::*;

    #[test]
    fn a_cluster_of_the_operators_may_have_too_few_nodes() {
        let id = ManifestId {
            api_version: "apps/v1".to_owned(),
            kind: "Deployment".to_owned(),
            namespace: Some("wire".to_owned()),
            name: "brig".to_owned(),
        };
        let brig = WorkloadDesired {
            name: WorkloadName::from("brig"),
            manifests: vec![Manifest { id, value: json!({"spec": {"replicas": 3}}), template: String::new() }],
            after: Vec::new(),
            gate_timeout_seconds: 60,
        };
        let told = |nodes: usize| {
            too_few_nodes(std::slice::from_ref(&brig), nodes)
                .into_iter()
                .next()
                .map(|found| (found.severity, found.message))
        };
        assert_eq!(told(3), None);
        assert_eq!(told(2), Some((Severity::Warning, "3 pods of brig on 2 hosts: some would go together".to_owned())));
        assert_eq!(told(0), Some((Severity::Fatal, "no host takes the pods of brig".to_owned())));
    }
}
