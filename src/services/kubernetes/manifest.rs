//! Objects of the API as JSON: where one is found, and whether one that is there is as wanted.

use anyhow::{Context as _, bail};
use serde_json::{Map, Value};

/// The path of an object, from its manifest.
///
/// # Errors
/// When it has no kind that is known here, or no name.
pub(super) fn path(manifest: &Value) -> anyhow::Result<String> {
    let text = |pointer: &str| manifest.pointer(pointer).and_then(Value::as_str);
    let kind = text("/kind").context("a manifest has no kind")?;
    let name = text("/metadata/name").with_context(|| format!("a manifest of a {kind} has no name"))?;
    let version = text("/apiVersion").with_context(|| format!("the manifest of {kind} {name} has no apiVersion"))?;
    let Some((_, plural, namespaced)) = KINDS.iter().find(|(known, _, _)| *known == kind) else {
        bail!("{kind} {name} is of a kind that is not made here");
    };
    let root = if version.contains('/') { format!("/apis/{version}") } else { format!("/api/{version}") };
    if !namespaced {
        return Ok(format!("{root}/{plural}/{name}"));
    }
    let namespace =
        text("/metadata/namespace").with_context(|| format!("the manifest of {kind} {name} has no namespace"))?;
    Ok(format!("{root}/namespaces/{namespace}/{plural}/{name}"))
}

/// A kind, what its objects are called together, and whether they live in a namespace.
const KINDS: [(&str, &str, bool); 7] = [
    ("ServiceAccount", "serviceaccounts", true),
    ("ClusterRole", "clusterroles", false),
    ("ClusterRoleBinding", "clusterrolebindings", false),
    ("ConfigMap", "configmaps", true),
    ("DaemonSet", "daemonsets", true),
    ("Service", "services", true),
    ("Secret", "secrets", true),
];

/// What an object is called in plans: `DaemonSet kube-system/coredns`.
pub(super) fn id(manifest: &Value) -> String {
    let text = |pointer: &str| manifest.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let namespace = text("/metadata/namespace");
    let slash = if namespace.is_empty() { "" } else { "/" };
    format!("{} {namespace}{slash}{}", text("/kind"), text("/metadata/name"))
}

/// So much of an object that is there as `wanted` speaks of: equal to it exactly when all of that is as wanted. What the API server
/// has filled in does not count; of a list whose length differs all counts.
pub(super) fn like(wanted: &Value, there: &Value) -> Value {
    match (wanted, there) {
        (Value::Object(wanted), Value::Object(there)) => {
            let parts = wanted.iter().filter_map(|(key, wanted)| Some((key.clone(), like(wanted, there.get(key)?))));
            Value::Object(parts.collect::<Map<_, _>>())
        }
        (Value::Array(wanted), Value::Array(there)) if wanted.len() == there.len() => {
            Value::Array(wanted.iter().zip(there).map(|(wanted, there)| like(wanted, there)).collect())
        }
        _ => there.clone(),
    }
}

/// How far a `DaemonSet` is whose pods are still replaced by new ones; nothing for one that is done, and for other objects.
pub(super) fn rolls(there: &Value) -> Option<String> {
    if there["kind"] != "DaemonSet" {
        return None;
    }
    let number = |pointer: &str| there.pointer(pointer).and_then(Value::as_u64).unwrap_or_default();
    let (wanted, new) = (number("/status/desiredNumberScheduled"), number("/status/updatedNumberScheduled"));
    let seen = number("/status/observedGeneration") >= number("/metadata/generation");
    (!seen || new < wanted).then(|| format!("{new} of {wanted} pods are new"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_json::json;

    use super::*;

    #[test]
    fn what_the_server_filled_in_does_not_count() {
        let wanted = json!({"spec": {"ports": [{"port": 53}], "a": {}}});
        let there = json!({"spec": {"ports": [{"port": 53, "nodePort": 0}], "a": {}, "more": 1}, "status": {}});
        assert_eq!(like(&wanted, &there), wanted);
        for other in [
            json!({"spec": {"ports": [{"port": 54}], "a": {}}}),
            json!({"spec": {"ports": [], "a": {}}}),
            json!({}),
            json!(null),
        ] {
            assert_ne!(like(&wanted, &other), wanted, "{other}");
        }
    }

    #[test]
    fn a_daemon_set_rolls_until_all_its_pods_are_new() {
        let set = |seen: u64, new: u64| json!({"kind": "DaemonSet", "metadata": {"generation": 2}, "status": {"observedGeneration": seen, "desiredNumberScheduled": 3, "updatedNumberScheduled": new}});
        assert_eq!(rolls(&set(2, 3)), None);
        assert_eq!(rolls(&set(2, 1)).as_deref(), Some("1 of 3 pods are new"));
        assert!(rolls(&set(1, 3)).is_some(), "what it says is of the former one");
        assert_eq!(rolls(&json!({"kind": "Service", "metadata": {"generation": 2}})), None);
    }

    #[test]
    fn a_path_follows_from_the_manifest() {
        let manifest = |version: &str, kind: &str| json!({"apiVersion": version, "kind": kind, "metadata": {"name": "a", "namespace": "b"}});
        assert_eq!(path(&manifest("apps/v1", "DaemonSet")).unwrap(), "/apis/apps/v1/namespaces/b/daemonsets/a");
        assert_eq!(path(&manifest("v1", "Secret")).unwrap(), "/api/v1/namespaces/b/secrets/a");
        assert_eq!(
            path(&manifest("rbac.authorization.k8s.io/v1", "ClusterRole")).unwrap(),
            "/apis/rbac.authorization.k8s.io/v1/clusterroles/a"
        );
        assert!(path(&manifest("v1", "Pod")).unwrap_err().to_string().contains("Pod a"));
        assert_eq!(id(&manifest("v1", "Secret")), "Secret b/a");
    }
}
