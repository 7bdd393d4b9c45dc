#![allow(clippy::unwrap_used)]

use serde_json::json;

use super::*;

/// What is there, with the fields that we set.
fn live(mut object: Value, ours: &Value) -> Value {
    object["metadata"]["managedFields"] = json!([
        {"manager": "kube-controller-manager", "operation": "Update", "apiVersion": "apps/v1", "subresource": "status", "fieldsV1": {"f:status": {}}},
        {"manager": FIELD_MANAGER, "operation": "Apply", "apiVersion": "apps/v1", "fieldsV1": ours},
    ]);
    object
}

fn manifest(spec: &Value) -> Value {
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "brig", "namespace": "wire"}, "spec": spec})
}

fn compared(spec: &Value, there: &Value, ours: &Value) -> Comparison {
    let there = json!({"metadata": {"name": "brig", "namespace": "wire", "uid": "1"}, "spec": there});
    compare(&manifest(spec), Some(&live(there, &json!({ "f:spec": ours }))))
}

#[track_caller]
fn same(spec: &Value, there: &Value, ours: &Value) {
    assert_eq!(compared(spec, there, ours), Comparison::Same);
}

#[track_caller]
fn differs(spec: &Value, there: &Value, ours: &Value) {
    assert_eq!(compared(spec, there, ours), Comparison::Differs);
}

#[test]
fn nothing_there_is_missing() {
    assert_eq!(compare(&manifest(&json!({})), None), Comparison::Missing);
}

#[test]
fn what_others_set_and_the_api_fills_in_does_not_count() {
    let ours = json!({"f:replicas": {}});
    same(
        &json!({"replicas": 3}),
        &json!({"replicas": 3, "paused": false, "strategy": {"type": "RollingUpdate"}}),
        &ours,
    );
}

#[test]
fn a_value_that_differs_and_one_that_is_not_ours_any_more_are_told() {
    let ours = json!({"f:replicas": {}});
    differs(&json!({"replicas": 3}), &json!({"replicas": 4}), &ours);
    // Somebody has set it, even to the same: then they may drop it.
    let both = json!({"replicas": 3, "paused": false});
    differs(&both, &both, &ours);
}

#[test]
fn what_left_the_template_differs() {
    differs(
        &json!({"replicas": 3}),
        &json!({"replicas": 3, "paused": true}),
        &json!({"f:replicas": {}, "f:paused": {}}),
    );
}

#[test]
fn an_object_that_another_version_of_ours_set_differs() {
    let mut there = live(json!({"spec": {"replicas": 3}}), &json!({"f:spec": {"f:replicas": {}}}));
    there["metadata"]["managedFields"][1]["apiVersion"] = "apps/v1beta1".into();
    assert_eq!(compare(&manifest(&json!({"replicas": 3})), Some(&there)), Comparison::Differs);
}

#[test]
fn items_are_told_apart_by_their_keys() {
    let ours = json!({"f:containers": {
        "k:{\"name\":\"brig\"}": {".": {}, "f:name": {}, "f:image": {}, "f:ports": {
            "k:{\"containerPort\":8080,\"protocol\":\"TCP\"}": {".": {}, "f:containerPort": {}},
        }},
    }});
    let brig = json!({"name": "brig", "image": "a", "ports": [{"containerPort": 8080}]});
    let there = json!({"name": "brig", "image": "a", "imagePullPolicy": "Always", "ports": [{"containerPort": 8080, "protocol": "TCP"}]});
    let sidecar = json!({"name": "sidecar", "image": "b"});
    same(&json!({"containers": [brig]}), &json!({"containers": [there]}), &ours);
    same(&json!({"containers": [brig]}), &json!({"containers": [sidecar, there]}), &ours);
    differs(&json!({"containers": [brig, sidecar]}), &json!({"containers": [there, sidecar]}), &ours);
    differs(&json!({"containers": []}), &json!({"containers": [there]}), &ours);
    differs(&json!({"containers": [{"name": "galley", "image": "a"}]}), &json!({"containers": [there]}), &ours);
    let mut other = there.clone();
    other["image"] = "c".into();
    differs(&json!({"containers": [brig]}), &json!({"containers": [other]}), &ours);
}

#[test]
fn the_order_of_items_counts() {
    let ours = json!({"f:env": {"k:{\"name\":\"A\"}": {"f:name": {}}, "k:{\"name\":\"B\"}": {"f:name": {}}}});
    let (a, b) = (json!({"name": "A"}), json!({"name": "B"}));
    same(&json!({"env": [a, b]}), &json!({"env": [a, b]}), &ours);
    differs(&json!({"env": [a, b]}), &json!({"env": [b, a]}), &ours);
    differs(&json!({"env": [a, a]}), &json!({"env": [a, b]}), &ours);
}

#[test]
fn sets_are_compared_by_their_values() {
    let ours = json!({"f:finalizers": {"v:\"a\"": {}, "v:\"b\"": {}}});
    same(&json!({"finalizers": ["b", "a"]}), &json!({"finalizers": ["a", "b", "c"]}), &ours);
    differs(&json!({"finalizers": ["a"]}), &json!({"finalizers": ["a", "b"]}), &ours);
    differs(&json!({"finalizers": ["a", "d"]}), &json!({"finalizers": ["a", "b"]}), &ours);
}

#[test]
fn what_is_owned_as_a_whole_is_compared_as_a_whole() {
    let ours = json!({"f:args": {}, "f:selector": {}, "f:emptyDir": {}});
    let wanted = json!({"args": ["a"], "selector": {"matchLabels": {"app": "brig"}}, "emptyDir": {}});
    same(&wanted, &wanted, &ours);
    same(&wanted, &json!({"args": ["a"], "selector": {"matchLabels": {"app": "brig"}}}), &ours);
    differs(&wanted, &json!({"args": ["a", "b"], "selector": {"matchLabels": {"app": "brig"}}}), &ours);
    differs(&wanted, &json!({"args": ["a"], "selector": {"matchLabels": {"app": "brig", "more": "x"}}}), &ours);
    differs(&wanted, &json!({"args": ["a"]}), &ours);
    let ingress = json!({"ingress": [{"ports": [{"port": 80}]}]});
    same(&ingress, &json!({"ingress": [{"ports": [{"port": 80, "protocol": "TCP"}]}]}), &json!({"f:ingress": {}}));
    differs(&ingress, &json!({"ingress": [{"ports": [{"port": 80, "protocol": "UDP"}]}]}), &json!({"f:ingress": {}}));
}

#[test]
fn a_map_whose_members_somebody_took_differs() {
    differs(&json!({"labels": {"a": "b"}}), &json!({"labels": {"a": "b"}}), &json!({"f:labels": {".": {}}}));
}

#[test]
fn quantities_are_compared_where_they_are_quantities() {
    let ours = json!({"f:limits": {"f:cpu": {}, "f:memory": {}}});
    same(
        &json!({"limits": {"cpu": "1000m", "memory": "1024Mi"}}),
        &json!({"limits": {"cpu": "1", "memory": "1Gi"}}),
        &ours,
    );
    same(&json!({"limits": {"cpu": 1, "memory": "1Gi"}}), &json!({"limits": {"cpu": "1", "memory": "1Gi"}}), &ours);
    differs(&json!({"limits": {"cpu": "1", "memory": "1G"}}), &json!({"limits": {"cpu": "1", "memory": "1Gi"}}), &ours);
    differs(&json!({"data": {"cpu": "1000m"}}), &json!({"data": {"cpu": "1"}}), &json!({"f:data": {"f:cpu": {}}}));
}

#[test]
fn a_port_as_a_text_is_another_than_as_a_number() {
    let ours = json!({"f:targetPort": {}});
    same(&json!({"targetPort": "http"}), &json!({"targetPort": "http"}), &ours);
    differs(&json!({"targetPort": "80"}), &json!({"targetPort": 80}), &ours);
}

proptest::proptest! {
    /// Whatever a hostile API says of fields, comparing ends.
    #[test]
    fn no_set_of_fields_breaks_it(key in "[fkv.]:.{0,20}", value in ".{0,10}") {
        let wanted = json!({"a": [value.clone()], "b": {"c": value}});
        let inner = json!({ key.clone(): {}, "k:{\"name\":1}": {} });
        let _ = compared(&wanted, &wanted, &json!({"f:a": inner.clone(), "f:b": inner, key: {}}));
    }
}
