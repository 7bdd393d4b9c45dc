//! What is made, found and changed.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hyper::Method;
use serde_json::{Value, json};
use wire_deploy::cluster::{self, Api, Wanted};
use wire_deploy::workloads::Manifest;
use wire_deploy::workloads::found::Found;

use crate::server::Server;
use crate::site::{Site, expect_same, found_in, pod};

/// One object of each kind that workloads consist of, with what the API fills in or writes otherwise.
fn all_kinds(site: &Site<'_>) -> Vec<Manifest> {
    let name = site.name;
    let labels = json!({"app": "brig"});
    let rbac = "rbac.authorization.k8s.io/v1";
    vec![
        site.deployment(0, "example/brig:1"),
        site.namespace(),
        site.config_map("brig", json!({"brig.yaml": "port: 8080\n", "empty": ""})),
        site.manifest("v1", "Secret", "brig", json!({"stringData": {"password": "hunter22"}})),
        site.manifest("v1", "ServiceAccount", "brig", json!({"automountServiceAccountToken": false})),
        site.manifest(rbac, "Role", "brig", json!({"rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]})),
        site.manifest(rbac, "RoleBinding", "brig", json!({
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "brig"},
            "subjects": [{"kind": "ServiceAccount", "name": "brig", "namespace": name}],
        })),
        site.manifest("v1", "Service", "brig", json!({"spec": {"selector": labels, "ports": [{"port": 8080, "targetPort": "http"}]}})),
        site.manifest("v1", "Service", "cassandra", json!({"spec": {"clusterIP": "None", "ports": [{"name": "cql", "port": 9042}]}})),
        site.manifest("discovery.k8s.io/v1", "EndpointSlice", "cassandra", json!({
            "metadata": {"name": "cassandra", "namespace": name, "labels": {"kubernetes.io/service-name": "cassandra"}},
            "addressType": "IPv4", "ports": [{"name": "cql", "port": 9042}],
            "endpoints": [{"addresses": ["10.0.0.1"], "conditions": {"ready": true}}],
        })),
        site.manifest("networking.k8s.io/v1", "NetworkPolicy", "brig", json!({"spec": {
            "podSelector": {"matchLabels": labels}, "policyTypes": ["Ingress", "Egress"],
            "ingress": [{"from": [{"podSelector": {}}], "ports": [{"port": 8080}]}], "egress": [],
        }})),
        site.manifest("policy/v1", "PodDisruptionBudget", "brig", json!({"spec": {"maxUnavailable": 1, "selector": {"matchLabels": labels}}})),
        site.manifest("apps/v1", "StatefulSet", "cannon", json!({"spec": {
            "replicas": 0, "serviceName": "cannon", "selector": {"matchLabels": {"app": "cannon"}},
            "template": {"metadata": {"labels": {"app": "cannon"}}, "spec": {
                "topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "topology.kubernetes.io/zone", "whenUnsatisfiable": "ScheduleAnyway",
                    "nodeTaintsPolicy": "Honor", "labelSelector": {"matchLabels": {"app": "cannon"}}}],
                "affinity": {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 1, "podAffinityTerm": {
                    "topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"app": "cannon"}}}}]}},
                "containers": pod("example/cannon:1")["containers"], "volumes": [{"name": "tmp", "emptyDir": {"sizeLimit": "1024Mi"}}],
            }},
        }})),
    ]
}

/// Makes every kind of object in a namespace that is not there, and then finds nothing to do by lists alone.
pub async fn first_and_second(server: &Server, api: &Api<'_>) {
    let site = Site::new(api, "first");
    let manifests = all_kinds(&site);
    let found = site.examine(&manifests).await;
    assert_eq!(found_in(&found, "Namespace", "first"), Found::Missing);
    assert_eq!(found_in(&found, "Deployment", "brig"), Found::Deferred { namespace: "first".to_owned() });
    assert!(found.obstacles().is_empty() && !found.is_same());
    let done = site.apply(&manifests).await;
    assert_eq!(done.applied.len(), manifests.len());
    assert_eq!(done.applied[0].kind, "Namespace");
    // Deployment and StatefulSet run what the others are for.
    assert!(done.applied[manifests.len() - 2..].iter().all(|id| id.api_version == "apps/v1"), "{:?}", done.applied);

    let since = server.audited();
    expect_same(&site.examine(&manifests).await);
    let asked = server.asked("admin", since);
    let own: Vec<_> =
        asked.iter().filter(|(_, path)| path.contains("wire-deploy") || path.contains("/namespaces/first")).collect();
    assert!(own.iter().all(|(verb, _)| verb == "get" || verb == "list"), "{own:#?}");
    // One look at the namespace, and a list for each kind.
    let kinds: std::collections::BTreeSet<_> = manifests.iter().map(|manifest| &manifest.id.kind).collect();
    assert_eq!(own.len(), kinds.len() + 1, "{own:#?}");
    assert_eq!(site.apply(&manifests).await, cluster::RolledOut::default());
}

pub async fn edit_by_hand(server: &Server, api: &Api<'_>) {
    let site = Site::new(api, "edited");
    let manifests =
        [site.namespace(), site.config_map("brig", json!({"a": "1", "b": "2"})), site.deployment(0, "example/brig:1")];
    site.apply(&manifests).await;
    let edits = [
        vec!["-n", "edited", "scale", "deployment/brig", "--replicas=1"],
        vec!["-n", "edited", "patch", "configmap/brig", "--type=merge", "--patch", r#"{"data":{"a":"9","b":null}}"#],
    ];
    for edit in edits {
        let output = server.kubectl(&edit);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    let found = site.examine(&manifests).await;
    assert!(found.obstacles().is_empty(), "{:#?}", found.obstacles());
    let Found::Differs { difference, taken } = found_in(&found, "Deployment", "brig") else { panic!("{found:#?}") };
    assert_eq!(taken[0].to_string(), ".spec.replicas by kubectl");
    let reason = &difference.reasons[0];
    assert_eq!((reason.field.as_str(), reason.from.as_str(), reason.to.as_str()), ("spec.replicas", "1", "0"));
    let Found::Differs { difference, .. } = found_in(&found, "ConfigMap", "brig") else { panic!("{found:#?}") };
    let fields: Vec<&str> = difference.reasons.iter().map(|reason| reason.field.as_str()).collect();
    assert_eq!(fields, ["data.a", "data.b"]);
    site.apply(&manifests).await;
    let map = server.get(&site.path("configmaps", "brig")).await.unwrap();
    assert_eq!(map["data"], json!({"a": "1", "b": "2"}));
    expect_same(&site.examine(&manifests).await);
}

pub async fn left_the_templates(server: &Server, api: &Api<'_>) {
    let site = Site::new(api, "left");
    let before = [
        site.namespace(),
        site.config_map("brig", json!({"a": "1", "b": "2"})),
        site.config_map("old", json!({"a": "1"})),
    ];
    site.apply(&before).await;
    let after = [site.namespace(), site.config_map("brig", json!({"a": "1"}))];
    let found = site.examine(&after).await;
    let Found::Differs { difference, .. } = found_in(&found, "ConfigMap", "brig") else { panic!("{found:#?}") };
    assert_eq!((difference.reasons[0].field.as_str(), difference.reasons[0].to.as_str()), ("data.b", ""));
    assert_eq!(found_in(&found, "ConfigMap", "old"), Found::Unwanted);
    let done = site.apply(&after).await;
    assert_eq!(done.deleted.len(), 1);
    assert_eq!(server.get(&site.path("configmaps", "old")).await, None);
    assert_eq!(server.get(&site.path("configmaps", "brig")).await.unwrap()["data"], json!({"a": "1"}));
    expect_same(&site.examine(&after).await);
}

pub async fn masked(_: &Server, api: &Api<'_>) {
    let site = Site::new(api, "masked");
    let secret = |password: &str| {
        site.manifest("v1", "Secret", "brig", json!({"stringData": {"password": password, "user": "brig"}}))
    };
    site.apply(&[site.namespace(), secret("first-password")]).await;
    let found = site.examine(&[site.namespace(), secret("second-password")]).await;
    let Found::Differs { difference, .. } = found_in(&found, "Secret", "brig") else { panic!("{found:#?}") };
    assert_eq!(difference.reasons.len(), 1);
    assert_eq!(difference.reasons[0].field, "data.password");
    let told = serde_json::to_string(&found).unwrap();
    for secret in ["first-password", "second-password", "Zmlyc3QtcGFzc3dvcmQ", "c2Vjb25kLXBhc3N3b3Jk"] {
        assert!(!told.contains(secret), "{told}");
    }
}

pub async fn immutable(server: &Server, api: &Api<'_>) {
    let mut site = Site::new(api, "immutable");
    let before = [site.namespace(), site.deployment(0, "example/brig:1")];
    site.apply(&before).await;
    let mut after = before.clone();
    let labels = json!({"app": "brig", "tier": "api"});
    after[1].value["spec"]["selector"]["matchLabels"] = labels.clone();
    after[1].value["spec"]["template"]["metadata"]["labels"] = labels.clone();
    let found = site.examine(&after).await;
    let Found::Immutable { fields } = found_in(&found, "Deployment", "brig") else { panic!("{found:#?}") };
    assert_eq!(fields[0].to_string(), "spec.selector (field is immutable)");
    let obstacle = &found.obstacles()[0];
    assert!(
        obstacle.message.starts_with("Deployment immutable/brig (templates/kube/brig/deployment.yaml): "),
        "{obstacle:?}"
    );
    assert!(site.try_apply(&after).await.is_err());
    let former = server.get(&site.path("deployments", "brig")).await.unwrap();
    site.allowed.replace = true;
    assert!(matches!(site.find(&after, "Deployment", "brig").await, Found::Replaced { .. }));
    site.apply(&after).await;
    let deployment = server.get(&site.path("deployments", "brig")).await.unwrap();
    assert_eq!(deployment["spec"]["selector"]["matchLabels"], labels);
    assert_ne!(deployment["metadata"]["uid"], former["metadata"]["uid"]);
    expect_same(&site.examine(&after).await);
}

/// Nothing more is done from one moment on, as by `kill -9`. What was made is known all the same.
pub async fn killed(server: &Server, api: &Api<'_>) {
    let site = Site::new(api, "killed");
    let maps = |names: std::ops::Range<u32>| -> Vec<Manifest> {
        let maps = names.map(|number| site.config_map(&format!("map{number}"), json!({"a": number.to_string()})));
        std::iter::once(site.namespace()).chain(maps).collect()
    };
    let first = maps(0..20);
    let found = site.examine(&first).await;
    let stop = AtomicBool::new(false);
    let progress = |text: &str| {
        if text.ends_with("map3") {
            stop.store(true, Ordering::SeqCst);
        }
    };
    let (purpose, wanted) = (site.purpose(), Wanted { workload: "brig", manifests: &first });
    let run = cluster::roll_out(api, &purpose, &wanted, &found, Duration::from_secs(60), &progress);
    tokio::select! {
        biased;
        () = async { while !stop.load(Ordering::SeqCst) { tokio::task::yield_now().await; } } => {}
        done = run => panic!("it was not killed: {done:?}"),
    }
    let count = async || -> usize {
        let maps = server
            .get(&format!("/api/v1/namespaces/{}/configmaps?labelSelector=wire-deploy/site=killed", site.name))
            .await
            .unwrap();
        maps["items"].as_array().unwrap().len()
    };
    let made = count().await;
    assert!((1..20).contains(&made), "{made}");
    // The next run wants others: it goes on, and deletes what only the killed one made.
    let second = maps(2..20);
    let done = site.apply(&second).await;
    assert!(done.deleted.iter().any(|id| id.name == "map0"), "{done:?}");
    assert_eq!(count().await, 18);
    expect_same(&site.examine(&second).await);
    let _: Value = server.ask(Method::GET, &site.path("configmaps", "map19"), Value::Null).await;
}
