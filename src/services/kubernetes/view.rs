//! A node as the API lists it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::FIELD_MANAGER;
use super::settings::Taint;

/// The annotation of a node that was emptied by us and is to be opened again.
pub(super) const DRAINED: &str = "wire-deploy.internal/drained";
/// The label by which we know our nodes: kubelet brings it, so it is there from the first moment on. All others are given through the API, where
/// they can be changed and taken back.
pub(super) const MANAGED: (&str, &str) = ("wire-deploy.internal/managed", "true");

/// What of a node matters here.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct View {
    pub name: String,
    /// Its address among the hosts.
    pub address: String,
    /// kubelet's version, as `v1.36.3`.
    pub version: String,
    pub ready: bool,
    /// Why it is not ready.
    pub reason: String,
    /// No new pods are put on it, whoever said so.
    pub cordoned: bool,
    /// It was emptied by us, and was not closed before.
    pub drained: bool,
    /// All its labels.
    pub labels: BTreeMap<String, String>,
    /// The labels that we gave it after it had joined.
    pub ours: BTreeSet<String>,
    /// Its taints but for those that Kubernetes sets and takes back by itself.
    pub taints: Vec<Taint>,
    /// Those.
    pub passing: Vec<Value>,
}

impl View {
    /// From a Node.
    pub(super) fn of(node: &Value) -> Self {
        let text = |pointer: &str| node.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
        let list = |pointer: &str| node.pointer(pointer).and_then(Value::as_array).cloned().unwrap_or_default();
        let address = list("/status/addresses").into_iter().find(|address| address["type"] == "InternalIP");
        let ready =
            list("/status/conditions").into_iter().find(|condition| condition["type"] == "Ready").unwrap_or_default();
        let (passing, taints): (Vec<Value>, Vec<Value>) = list("/spec/taints")
            .into_iter()
            .partition(|taint| taint["key"].as_str().is_some_and(|key| key.starts_with("node.kubernetes.io/")));
        let labels = node.pointer("/metadata/labels").and_then(Value::as_object);
        let managed = list("/metadata/managedFields")
            .into_iter()
            .filter(|entry| entry["manager"] == FIELD_MANAGER && entry["operation"] == "Apply");
        let ours = managed
            .filter_map(|entry| entry.pointer("/fieldsV1/f:metadata/f:labels").and_then(Value::as_object).cloned());
        let mut taints: Vec<Taint> =
            taints.into_iter().filter_map(|taint| serde_json::from_value(taint).ok()).collect();
        taints.sort();
        Self {
            name: text("/metadata/name"),
            address: address.and_then(|address| address["address"].as_str().map(str::to_owned)).unwrap_or_default(),
            version: text("/status/nodeInfo/kubeletVersion"),
            ready: ready["status"] == "True",
            reason: ready["message"].as_str().unwrap_or("it has never said how it is").to_owned(),
            cordoned: node.pointer("/spec/unschedulable") == Some(&Value::Bool(true)),
            drained: node.pointer("/metadata/annotations").is_some_and(|all| all.get(DRAINED).is_some()),
            labels: labels
                .into_iter()
                .flatten()
                .filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())))
                .collect(),
            ours: ours
                .flat_map(|labels| {
                    labels.into_iter().filter_map(|(name, _)| name.strip_prefix("f:").map(str::to_owned))
                })
                .collect(),
            taints,
            passing,
        }
    }

    /// A node that came by us, in whichever way it has been labelled since.
    pub(super) fn is_ours(&self) -> bool {
        self.labels.contains_key(MANAGED.0)
    }

    /// kubeadm has made it a control plane.
    pub(super) fn is_control_plane(&self) -> bool {
        self.labels.contains_key("node-role.kubernetes.io/control-plane")
    }

    /// So much of it as the object [`super::objects`] wants speaks of: null if it is new and we have yet to give it something that it did
    /// not come with.
    pub(super) fn object(&self, wanted: &Value) -> Value {
        let asked = wanted["labels"].as_object().into_iter().flatten().map(|(name, _)| name);
        let names: BTreeSet<&String> = self.ours.iter().chain(asked).collect();
        let labels: BTreeMap<_, _> =
            names.into_iter().filter_map(|name| Some((name, self.labels.get(name)?))).collect();
        let found = json!({ "labels": labels, "taints": self.taints, "drained": self.drained });
        if self.ours.is_empty() && found != *wanted { Value::Null } else { found }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ZONE: &str = "topology.kubernetes.io/zone";

    fn node() -> Value {
        json!({
            "metadata": {
                "name": "host1",
                "labels": {MANAGED.0: MANAGED.1, ZONE: "a", "x": "1", "kubernetes.io/hostname": "host1"},
                "managedFields": [
                    {"manager": "kubelet", "operation": "Update", "fieldsV1": {"f:metadata": {"f:labels": {"f:kubernetes.io/hostname": {}}}}},
                    {"manager": FIELD_MANAGER, "operation": "Apply", "fieldsV1": {"f:metadata": {"f:labels": {"f:topology.kubernetes.io/zone": {}, "f:x": {}}}}},
                ],
            },
            "spec": {"taints": [{"key": "node.kubernetes.io/unreachable", "effect": "NoExecute"}, {"key": "a", "value": "b", "effect": "NoSchedule"}]},
            "status": {
                "addresses": [{"type": "Hostname", "address": "host1"}, {"type": "InternalIP", "address": "10.0.0.1"}],
                "conditions": [{"type": "Ready", "status": "Unknown", "message": "Kubelet stopped posting node status."}],
                "nodeInfo": {"kubeletVersion": "v1.36.3"},
            },
        })
    }

    #[test]
    fn what_matters_is_read() {
        let view = View::of(&node());
        assert_eq!((view.name.as_str(), view.address.as_str(), view.ready), ("host1", "10.0.0.1", false));
        assert_eq!((view.taints.len(), view.passing.len()), (1, 1));
        assert!(view.is_ours() && !view.cordoned && !view.drained);
    }

    #[test]
    fn a_node_that_someone_else_joined_is_not_ours_whatever_its_zone() {
        let mut node = node();
        node["metadata"]["labels"] = json!({ZONE: "a"});
        assert!(!View::of(&node).is_ours());
    }

    #[test]
    fn a_label_of_ours_that_is_not_wanted_any_more_shows() {
        let wanted = json!({"labels": {ZONE: "a"}, "taints": [{"key": "a", "value": "b", "effect": "NoSchedule"}]});
        let found = View::of(&node()).object(&wanted);
        assert_eq!(found["labels"], json!({ZONE: "a", "x": "1"}));
        assert_eq!(found["taints"], wanted["taints"]);
        assert_eq!(View::default().object(&wanted), Value::Null);
    }

    #[test]
    fn a_new_node_has_yet_to_be_given_its_labels() {
        let mut view = View::of(&node());
        view.ours.clear();
        view.labels = [(MANAGED.0.to_owned(), MANAGED.1.to_owned())].into();
        let wanted = json!({"labels": {MANAGED.0: MANAGED.1, ZONE: "a"}, "taints": view.taints, "drained": false});
        assert_eq!(view.object(&wanted), Value::Null);
    }
}
