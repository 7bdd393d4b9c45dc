//! What keeps objects from being made, told before anything is changed.

use hyper::Method;
use serde_json::{Value, json};
use wire_deploy::cluster::Api;
use wire_deploy::workloads::found::Found;

use crate::server::Server;
use crate::site::{Site, found_in};

pub async fn forbidden(server: &Server, api: &Api<'_>) {
    let site = Site::new(api, "forbidden");
    site.apply(&[site.namespace()]).await;
    server.write_kubeconfig("deployer", None);
    let rbac = "/apis/rbac.authorization.k8s.io/v1/namespaces/forbidden";
    let rules = json!([
        {"apiGroups": [""], "resources": ["configmaps", "secrets"], "verbs": ["*"]},
        {"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["get", "list"]},
    ]);
    server.create(&format!("{rbac}/roles"), json!({"metadata": {"name": "deployer"}, "rules": rules})).await;
    let binding = json!({
        "metadata": {"name": "deployer"}, "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "deployer"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "deployer"}],
    });
    server.create(&format!("{rbac}/rolebindings"), binding).await;
    let deployer = server.api("deployer").await;
    let site = Site::new(&deployer, "forbidden");
    let service = site.manifest("v1", "Service", "brig", json!({"spec": {"ports": [{"port": 80}]}}));
    let wanted = [site.config_map("brig", json!({"a": "1"})), site.deployment(0, "example/brig:1"), service];
    // A binding takes a moment to count.
    server.until("the role counts", async || site.find(&wanted, "ConfigMap", "brig").await == Found::Missing).await;
    let found = site.examine(&wanted).await;
    let Found::Forbidden { right } = found_in(&found, "Deployment", "brig") else { panic!("{found:#?}") };
    assert_eq!(right.to_string(), "deployer may not patch deployments.apps in namespace forbidden");
    let Found::Forbidden { right } = found_in(&found, "Service", "brig") else { panic!("{found:#?}") };
    assert_eq!(right.to_string(), "deployer may not list services in namespace forbidden");
    assert!(
        found.obstacles().iter().any(|obstacle| obstacle.hint.contains("verbs: [patch]")),
        "{:#?}",
        found.obstacles()
    );
    assert!(site.try_apply(&wanted).await.is_err());
    assert_eq!(server.get(&site.path("configmaps", "brig")).await, None, "nothing was begun");
}

pub async fn refused(server: &Server, api: &Api<'_>) {
    let site = Site::new(api, "refused");
    site.apply(&[site.namespace()]).await;
    let quota = json!({"metadata": {"name": "small"}, "spec": {"hard": {"count/services": "0"}}});
    server.create("/api/v1/namespaces/refused/resourcequotas", quota).await;
    server
        .until("the quota counts", async || {
            let quota = server.get(&site.path("resourcequotas", "small")).await.unwrap();
            !quota["status"]["hard"].is_null()
        })
        .await;
    // A policy refuses as a webhook would, in its own words.
    let policies = "/apis/admissionregistration.k8s.io/v1";
    let policy = json!({"metadata": {"name": "no-latest"}, "spec": {
        "failurePolicy": "Fail",
        "matchConstraints": {"resourceRules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"], "resources": ["configmaps"]}]},
        "validations": [{"expression": "!has(object.data) || !('latest' in object.data)", "message": "nothing may be the latest"}],
    }});
    server.create(&format!("{policies}/validatingadmissionpolicies"), policy).await;
    let binding = json!({"metadata": {"name": "no-latest"}, "spec": {
        "policyName": "no-latest", "validationActions": ["Deny"],
        "matchResources": {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "refused"}}},
    }});
    server.create(&format!("{policies}/validatingadmissionpolicybindings"), binding).await;
    let service = site.manifest("v1", "Service", "brig", json!({"spec": {"ports": [{"port": 80}]}}));
    let wanted = [site.config_map("brig", json!({"latest": "1"})), service];
    let refused = async |kind: &str, words: &str| match site.find(&wanted, kind, "brig").await {
        Found::Refused { message } => message.contains(words),
        _ => false,
    };
    server.until("the policy refuses", async || refused("ConfigMap", "nothing may be the latest").await).await;
    assert!(refused("Service", "exceeded quota: small").await, "{:?}", site.find(&wanted, "Service", "brig").await);
    let obstacles = site.examine(&wanted).await.obstacles();
    assert!(
        obstacles[0].message.contains("(templates/kube/brig/configmap.yaml): the cluster refuses it: "),
        "{obstacles:#?}"
    );
}

pub async fn unknown_kind(_: &Server, api: &Api<'_>) {
    let site = Site::new(api, "unknown");
    let certificate = site.manifest("cert-manager.io/v1", "Certificate", "edge", json!({"spec": {}}));
    let misspelt = site.manifest("v1", "ConfigMop", "brig", json!({}));
    let wanted = [site.namespace(), certificate, misspelt];
    let obstacles = site.examine(&wanted).await.obstacles();
    let messages: Vec<&str> = obstacles.iter().map(|obstacle| obstacle.message.as_str()).collect();
    assert_eq!(
        messages,
        [
            "Certificate unknown/edge (templates/kube/brig/certificate.yaml): the cluster knows no Certificate of cert-manager.io/v1",
            "ConfigMop unknown/brig (templates/kube/brig/configmop.yaml): the cluster knows no ConfigMop of v1",
        ]
    );
}

pub async fn terminating(server: &Server, api: &Api<'_>) {
    let site = Site::new(api, "terminating");
    let wanted = [site.namespace(), site.config_map("brig", json!({"a": "1"}))];
    site.apply(&wanted).await;
    let hold = |finalizers: Value| json!({"metadata": {"finalizers": finalizers}});
    server.ask(Method::PATCH, &site.path("configmaps", "brig"), hold(json!(["example.com/hold"]))).await;
    server.ask(Method::DELETE, "/api/v1/namespaces/terminating", Value::Null).await;
    let told = async || match site.find(&wanted, "ConfigMap", "brig").await {
        Found::Terminating { waits_for, .. } => waits_for.join("; "),
        other => panic!("{other:?}"),
    };
    server.until("the finalizer is named", async || told().await.contains("example.com/hold")).await;
    assert!(site.try_apply(&wanted).await.is_err());
    server.ask(Method::PATCH, &site.path("configmaps", "brig"), hold(Value::Null)).await;
    server.until("the namespace is gone", async || server.get("/api/v1/namespaces/terminating").await.is_none()).await;
    site.apply(&wanted).await;
}
