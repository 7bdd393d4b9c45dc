#![allow(clippy::unwrap_used)]

use super::*;
use crate::workloads::ManifestId;

const MAKER: Maker<'_> = Maker { site: "test", workload: "brig" };

fn manifest(kind: &str, value: Value) -> Manifest {
    let id = ManifestId {
        api_version: "v1".to_owned(),
        kind: kind.to_owned(),
        namespace: Some("wire".to_owned()),
        name: "brig".to_owned(),
    };
    Manifest { id, value, template: "templates/kube/brig.yaml".to_owned() }
}

fn key() -> FingerprintKey {
    FingerprintKey(vec![7; 32])
}

#[test]
fn an_object_is_applied_with_its_owners_labels_and_without_what_is_not_ours_to_say() {
    let value = json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "brig", "namespace": "wire", "creationTimestamp": null, "uid": "1", "labels": {"app": "brig"}},
        "data": {"a": "b", "c": null}, "status": {"x": 1},
    });
    let labels = json!({"app": "brig", SITE_LABEL: "test", WORKLOAD_LABEL: "brig"});
    let wanted = json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "brig", "namespace": "wire", "labels": labels}, "data": {"a": "b"},
    });
    assert_eq!(applied(&manifest("ConfigMap", value), MAKER), wanted);
}

#[test]
fn a_secrets_texts_become_what_the_api_keeps() {
    let value = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "brig"}, "data": {"a": "aGk=\n"}, "stringData": {"b": "hello"}});
    let applied = applied(&manifest("Secret", value), MAKER);
    assert_eq!(applied["data"], json!({"a": "aGk=", "b": "aGVsbG8="}));
    assert_eq!(applied.get("stringData"), None);
}

#[test]
fn no_secret_is_shown() {
    let secret = |password: &str| {
        json!({
            "kind": "Secret", "metadata": {"name": "a", "annotations": {LAST_APPLIED: format!("{{\"data\":\"{password}\"}}")}},
            "data": {"password": BASE64.encode(password), "same": BASE64.encode("unchanged-secret")},
        })
    };
    let difference = difference(&secret("hunter22"), &secret("hunter33"), &key()).unwrap();
    assert_eq!(difference.reasons.len(), 1);
    assert_eq!(difference.reasons[0].field, "data.password");
    assert!(difference.reasons[0].from.starts_with("secret "));
    assert_ne!(difference.reasons[0].from, difference.reasons[0].to);
    let told = serde_json::to_string(&difference).unwrap();
    for text in ["hunter22", "hunter33", "unchanged-secret"] {
        assert!(!told.contains(text) && !told.contains(&BASE64.encode(text)), "{told}");
    }
}

#[test]
fn a_difference_names_fields_as_a_person_would() {
    let deployment = |image: &str, replicas: u32| {
        json!({
            "kind": "Deployment",
            "metadata": {"name": "brig", "resourceVersion": image, "annotations": {"example.com/a.b": image}},
            "spec": {"replicas": replicas, "template": {"containers": [{"name": "brig", "image": image, "args": ["-a", image]}]}},
            "status": {"replicas": replicas},
        })
    };
    let difference = difference(&deployment("one", 1), &deployment("two", 3), &key()).unwrap();
    let reasons: Vec<String> =
        difference.reasons.iter().map(|reason| format!("{}: {} → {}", reason.field, reason.from, reason.to)).collect();
    assert_eq!(
        reasons,
        [
            "metadata.annotations[example.com/a.b]: one → two",
            "spec.replicas: 1 → 3",
            "spec.template.containers[brig].args[1]: one → two",
            "spec.template.containers[brig].image: one → two",
        ]
    );
    assert!(
        difference.text.from.contains("image: one") && difference.text.to.contains("image: two"),
        "{:?}",
        difference.text
    );
}

#[test]
fn what_only_the_server_counts_is_no_difference() {
    let object = |version: &str| json!({"metadata": {"resourceVersion": version, "generation": version, "managedFields": [version]}, "status": version});
    assert_eq!(difference(&object("1"), &object("2"), &key()), None);
}

#[test]
fn an_order_that_differs_is_one() {
    let object = |names: [&str; 2]| json!({"env": names.map(|name| json!({"name": name}))});
    let difference = difference(&object(["A", "B"]), &object(["B", "A"]), &key()).unwrap();
    assert_eq!(
        difference.reasons[0],
        Reason { field: "env".to_owned(), from: "A, B".to_owned(), to: "B, A".to_owned() }
    );
}
