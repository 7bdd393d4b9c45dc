//! In which order a workload's objects are made: what others need comes first. Pure.

use crate::workloads::ManifestId;

/// Kinds in the order in which they are made; those of one line together.
const ORDER: [&[&str]; 8] = [
    &["CustomResourceDefinition"],
    &["Namespace", "PriorityClass", "StorageClass"],
    &["ServiceAccount", "Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding"],
    &["ConfigMap", "Secret", "PersistentVolumeClaim", "ResourceQuota", "LimitRange"],
    &["Service", "EndpointSlice", "Endpoints"],
    &["NetworkPolicy", "PodDisruptionBudget"],
    &["Job"],
    &["Deployment", "StatefulSet", "DaemonSet", "CronJob", "HorizontalPodAutoscaler", "Ingress"],
];
/// Where kinds go that are not named: beside Services, before what runs.
const OTHERS: usize = 4;

/// Kinds that hold what is lost with them.
const HOLDING_DATA: [&str; 3] = ["Namespace", "PersistentVolumeClaim", "CustomResourceDefinition"];

/// The place of a kind: lower ones are made earlier, and deleted later.
pub(super) fn rank(id: &ManifestId) -> usize {
    ORDER.iter().position(|kinds| kinds.contains(&id.kind.as_str())).unwrap_or(OTHERS)
}

/// Whether deleting it loses what it holds.
pub(super) fn holds_data(id: &ManifestId) -> bool {
    HOLDING_DATA.contains(&id.kind.as_str())
}

/// Whether it is waited for before anything after it is made.
pub(super) fn is_awaited_at_once(id: &ManifestId) -> bool {
    id.kind == "Job"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(kind: &str) -> ManifestId {
        ManifestId { api_version: "v1".to_owned(), kind: kind.to_owned(), namespace: None, name: "a".to_owned() }
    }

    #[test]
    fn what_others_need_comes_first() {
        let order = ["Namespace", "ServiceAccount", "Secret", "Service", "NetworkPolicy", "Job", "Deployment"];
        for pair in order.windows(2) {
            assert!(rank(&id(pair[0])) < rank(&id(pair[1])), "{pair:?}");
        }
        assert!(rank(&id("Certificate")) < rank(&id("Deployment")));
    }
}
