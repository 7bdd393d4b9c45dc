//! Objects and fields that others have a say in.

use hyper::Method;
use serde_json::json;
use wire_deploy::cluster::{self, Api, Wanted};
use wire_deploy::workloads::found::{Found, Kept};

use crate::server::Server;
use crate::site::{Site, expect_same, found_in};

pub async fn conflict(server: &Server, api: &Api<'_>) {
    let mut site = Site::new(api, "conflict");
    let manifests = [site.namespace(), site.deployment(0, "example/brig:1")];
    site.apply(&manifests).await;
    let path = format!("{}?fieldManager=autoscaler", site.path("deployments", "brig"));
    server.ask(Method::PATCH, &path, json!({"spec": {"replicas": 1}})).await;
    let found = site.examine(&manifests).await;
    let Found::Conflict { fields } = found_in(&found, "Deployment", "brig") else { panic!("{found:#?}") };
    assert_eq!(fields[0].to_string(), ".spec.replicas by autoscaler");
    let obstacle = &found.obstacles()[0];
    assert!(obstacle.message.contains("autoscaler") && obstacle.hint.contains("--take"), "{obstacle:?}");
    assert!(site.try_apply(&manifests).await.is_err());
    let deployment = server.get(&site.path("deployments", "brig")).await.unwrap();
    assert_eq!(deployment["spec"]["replicas"], 1, "nothing was taken");
    site.allowed.take = true;
    let Found::Differs { taken, .. } = site.find(&manifests, "Deployment", "brig").await else { panic!() };
    assert_eq!(taken, fields);
    site.apply(&manifests).await;
    expect_same(&site.examine(&manifests).await);
    let deployment = server.get(&site.path("deployments", "brig")).await.unwrap();
    assert_eq!(deployment["spec"]["replicas"], 0);
}

pub async fn foreign(server: &Server, api: &Api<'_>) {
    let theirs = Site::new(api, "theirs");
    theirs.apply(&[theirs.namespace(), theirs.config_map("brig", json!({"a": "1"}))]).await;
    let mut ours = Site::new(api, "theirs");
    ours.name = "ours";
    let wanted = [theirs.config_map("brig", json!({"a": "2"}))];
    let found = ours.examine(&wanted).await;
    assert_eq!(found_in(&found, "ConfigMap", "brig"), Found::Foreign { site: "theirs".to_owned() });
    assert!(found.obstacles()[0].message.contains("it belongs to the site theirs"));
    assert!(ours.try_apply(&wanted).await.is_err());
    assert_eq!(server.get(&theirs.path("configmaps", "brig")).await.unwrap()["data"]["a"], "1");
}

pub async fn kept(server: &Server, api: &Api<'_>) {
    let mut site = Site::new(api, "kept");
    let claim = site.manifest(
        "v1",
        "PersistentVolumeClaim",
        "data",
        json!({"spec": {
            "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1024Mi"}},
        }}),
    );
    let map = |name: &str| site.config_map(name, json!({"a": "1"}));
    let (given, moved, stays) = (map("given"), map("moved"), map("stays"));
    let all = [site.namespace(), claim.clone(), given, moved, stays.clone()];
    site.apply(&all).await;
    expect_same(&site.examine(&all).await);
    let label = |name: &str, label: &str, value: &str| {
        let change = json!({"metadata": {"labels": {label: value}}});
        server.ask(Method::PATCH, site.path("configmaps", name).leak(), change)
    };
    label("given", "wire-deploy/site", "somebody").await;
    label("moved", "wire-deploy/workload", "galley").await;
    let found = site.examine(std::slice::from_ref(&stays)).await;
    let fate = |kind: &str, name: &str| found_in(&found, kind, name);
    let kept = |because: Kept| Found::Kept { because };
    assert_eq!(fate("PersistentVolumeClaim", "data"), kept(Kept::HoldsData));
    assert_eq!(fate("Namespace", "kept"), kept(Kept::HoldsData));
    assert_eq!(fate("ConfigMap", "given"), kept(Kept::Foreign("the site somebody".to_owned())));
    assert_eq!(fate("ConfigMap", "moved"), kept(Kept::Foreign("the workload galley".to_owned())));
    let done = site.apply(std::slice::from_ref(&stays)).await;
    assert!(done.deleted.is_empty(), "{done:?}");
    for (plural, name) in [("persistentvolumeclaims", "data"), ("configmaps", "given"), ("configmaps", "moved")] {
        assert!(server.get(&site.path(plural, name)).await.is_some(), "{name}");
    }
    // It is still known, and goes when that is allowed.
    site.allowed.prune_data = true;
    let wanted = [site.namespace(), stays];
    assert_eq!(site.find(&wanted, "PersistentVolumeClaim", "data").await, Found::Unwanted);
    let done = site.apply(&wanted).await;
    assert_eq!(done.deleted, [claim.id]);
}

pub async fn removed_workload(server: &Server, api: &Api<'_>) {
    let mut site = Site::new(api, "removed");
    site.apply(&[site.config_map("brig", json!({"a": "1"})), site.namespace()]).await;
    site.allowed.prune_workloads = true;
    let namespace = [site.namespace()];
    let galley = [Wanted { workload: "galley", manifests: &namespace }];
    let found = cluster::examine(api, &site.purpose(), &galley).await.unwrap();
    let brig = found.iter().find(|found| found.workload == "brig").unwrap();
    assert_eq!(found_in(brig, "ConfigMap", "brig"), Found::Unwanted);
    assert!(!brig.objects.iter().any(|object| object.id.kind == "Namespace"), "another workload wants it");
    let nothing = Wanted { workload: "brig", manifests: &[] };
    let patience = std::time::Duration::from_secs(60);
    cluster::roll_out(api, &site.purpose(), &nothing, brig, patience, &|_| {}).await.unwrap();
    assert_eq!(server.get(&site.path("configmaps", "brig")).await, None);
    assert_eq!(server.get(&site.path("secrets", "wire-deploy-brig")).await, None);
    let found = cluster::examine(api, &site.purpose(), &galley).await.unwrap();
    assert!(!found.iter().any(|found| found.workload == "brig"), "it is forgotten");
}
