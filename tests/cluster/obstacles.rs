//! What keeps objects from being made, told before anything is changed.

use hyper::Method;
use serde_json::{Value, json};
use wire_deploy::cluster::{Api, RollOutError};
use wire_deploy::workloads::found::Found;

use crate::server::Server;
use crate::site::{Site, expect_same, found_in};

/// Gives a user rights in a namespace.
async fn grant(server: &Server, namespace: &str, user: &str, rules: Value) {
    server.write_kubeconfig(user, None);
    let rbac = format!("/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}");
    server.create(&format!("{rbac}/roles"), json!({"metadata": {"name": user}, "rules": rules})).await;
    let binding = json!({
        "metadata": {"name": user}, "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": user},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}],
    });
    server.create(&format!("{rbac}/rolebindings"), binding).await;
}

pub async fn forbidden(server: &Server, api: &Api<'_>) {
    let site = Site::new(api, "forbidden");
    site.apply(&[site.namespace()]).await;
    let rules = json!([
        {"apiGroups": [""], "resources": ["configmaps", "secrets"], "verbs": ["*"]},
        {"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["get", "list"]},
    ]);
    grant(server, "forbidden", "deployer", rules).await;
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

/// What comes after applying needs rights, too.
pub async fn watching_and_deleting(server: &Server, api: &Api<'_>) {
    let site = Site::new(api, "watched");
    let map = |name: &str| site.config_map(name, json!({"a": "1"}));
    // Who has rights in a namespace alone has none in the namespace itself.
    server.create("/api/v1/namespaces", json!({"metadata": {"name": "watched"}})).await;
    site.apply(&[map("brig"), map("old"), site.deployment(1, "example/brig:1")]).await;
    let all = json!(["get", "list", "create", "patch"]);
    let rules = json!([
        {"apiGroups": [""], "resources": ["configmaps", "secrets"], "verbs": all},
        {"apiGroups": ["apps"], "resources": ["deployments"], "verbs": all},
    ]);
    grant(server, "watched", "watcher", rules).await;
    let watcher = server.api("watcher").await;
    let theirs = Site::new(&watcher, "watched");
    let next = [map("brig"), site.deployment(1, "example/stuck:2")];
    let lacks = async |kind: &str, name: &str| match theirs.find(&next, kind, name).await {
        Found::Forbidden { right } => right.to_string(),
        other => format!("{other:?}"),
    };
    server.until("the role counts", async || lacks("Deployment", "brig").await.contains("may not")).await;
    assert_eq!(lacks("Deployment", "brig").await, "watcher may not list pods in namespace watched");
    assert_eq!(lacks("ConfigMap", "old").await, "watcher may not delete configmaps in namespace watched");
    let obstacles = theirs.examine(&next).await.obstacles();
    assert!(
        obstacles.iter().any(|obstacle| obstacle.hint.contains("resources: [pods], verbs: [list]")),
        "{obstacles:#?}"
    );
    assert!(theirs.try_apply(&next).await.is_err());
    assert_eq!(server.get(&site.path("deployments", "brig")).await.unwrap()["metadata"]["generation"], 1);

    // A right that ends while it waits says nothing of what was applied.
    let more = json!([
        {"apiGroups": [""], "resources": ["configmaps", "secrets"], "verbs": all},
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]},
        {"apiGroups": ["apps"], "resources": ["deployments", "replicasets"], "verbs": all},
    ]);
    let rbac = "/apis/rbac.authorization.k8s.io/v1/namespaces/watched";
    server.ask(Method::PATCH, &format!("{rbac}/roles/watcher"), json!({"rules": more})).await;
    let next = [map("brig"), map("old"), site.deployment(1, "example/stuck:2")];
    let may = async || theirs.examine(&next).await.obstacles().is_empty();
    server.until("the role counts", may).await;
    let end = async {
        let waits = async || theirs.progress.lock().unwrap().iter().any(|text| text.contains(" of 1 ready"));
        server.until("it waits", waits).await;
        server.ask(Method::DELETE, &format!("{rbac}/rolebindings/watcher"), Value::Null).await;
    };
    let (done, ()) = tokio::join!(theirs.try_apply(&next), end);
    let Err(RollOutError::Unwatched(error)) = done else { panic!("{done:#?}") };
    assert!(error.to_string().contains("watcher\" cannot"), "{error}");
    let deployment = server.get(&site.path("deployments", "brig")).await.unwrap();
    assert_eq!(
        deployment["spec"]["template"]["spec"]["containers"][0]["image"], "example/stuck:2",
        "nothing was put back"
    );
    assert!(!site.examine(&next).await.is_same(), "the next apply goes on");
}

/// A namespace that others made is given to the site by its label only.
pub async fn unclaimed_namespace(server: &Server, api: &Api<'_>) {
    server.create("/api/v1/namespaces", json!({"metadata": {"name": "shared"}})).await;
    let mut site = Site::new(api, "shared");
    let wanted = [site.namespace(), site.config_map("brig", json!({"a": "1"}))];
    assert_eq!(site.find(&wanted, "Namespace", "shared").await, Found::Unclaimed { site: "shared".to_owned() });
    site.allowed.take = true;
    let obstacles = site.examine(&wanted).await.obstacles();
    assert!(obstacles[0].hint.contains("`kubectl label namespace shared wire-deploy/site=shared`"), "{obstacles:#?}");
    assert!(site.try_apply(&wanted).await.is_err());
    assert_eq!(server.get(&site.path("configmaps", "brig")).await, None, "nothing was begun");
    let labelled = server.kubectl(&["label", "namespace", "shared", "wire-deploy/site=shared"]);
    assert!(labelled.status.success(), "{}", String::from_utf8_lossy(&labelled.stderr));
    site.apply(&wanted).await;
    // Ours now: a label that is lost is put back.
    server.kubectl(&["label", "namespace", "shared", "wire-deploy/site-"]);
    site.apply(&wanted).await;
    expect_same(&site.examine(&wanted).await);
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
