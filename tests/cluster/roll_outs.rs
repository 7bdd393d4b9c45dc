//! What runs, what does not and why, and the way back.

use std::time::{Duration, Instant};

use hyper::Method;
use serde_json::{Value, json};
use wire_deploy::cluster::{Api, RollOutError, WaitError, WayBack};
use wire_deploy::workloads::Manifest;

use crate::nodes::LAST_LINES;
use crate::server::Server;
use crate::site::{Site, expect_same, pod};

/// Within this, something that will not run is to be noticed, starting its pods on a busy machine included.
const NOTICED: Duration = Duration::from_secs(20);

async fn fails(site: &Site<'_>, manifests: &[Manifest]) -> (String, Vec<String>, WayBack) {
    let since = Instant::now();
    match site.try_apply(manifests).await {
        Err(RollOutError::DoesNotRun { why: WaitError::Failed { what, reason, log }, back }) => {
            assert!(since.elapsed() < NOTICED, "{:?}", since.elapsed());
            (format!("{what}: {reason}"), log, back)
        }
        other => panic!("{other:#?}"),
    }
}

pub async fn crash_loop(_: &Server, api: &Api<'_>) {
    let site = Site::new(api, "crashes");
    let (reason, log, back) = fails(&site, &[site.namespace(), site.deployment(2, "example/crashes:1")]).await;
    assert!(reason.starts_with("Deployment crashes/brig: container brig of pod brig-"), "{reason}");
    assert!(
        reason
            .ends_with("ends again and again: CrashLoopBackOff, last with exit code 3 (Error), started again 2 times"),
        "{reason}"
    );
    assert_eq!(log, LAST_LINES.lines().collect::<Vec<_>>());
    assert_eq!(back, WayBack::Nowhere);
}

pub async fn way_back(server: &Server, api: &Api<'_>) {
    let site = Site::new(api, "back");
    let good = [site.namespace(), site.config_map("brig", json!({"a": "1"})), site.deployment(2, "example/brig:1")];
    site.apply(&good).await;
    assert!(site.progress.lock().unwrap().iter().any(|text| text.contains("brig: ") && text.contains(" of 2 ready")));
    expect_same(&site.examine(&good).await);
    let bad = [
        site.namespace(),
        site.config_map("brig", json!({"a": "2"})),
        site.config_map("more", json!({"a": "2"})),
        site.deployment(2, "example/missing:2"),
    ];
    let (reason, log, back) = fails(&site, &bad).await;
    assert!(
        reason
            .contains("has an image that cannot be had (example/missing:2): ImagePullBackOff, Back-off pulling image"),
        "{reason}"
    );
    assert!(log.is_empty(), "what never ran has no last lines");
    assert_eq!(back, WayBack::Back);
    let deployment = server.get(&site.path("deployments", "brig")).await.unwrap();
    assert_eq!(deployment["spec"]["template"]["spec"]["containers"][0]["image"], "example/brig:1");
    assert_eq!(deployment["status"]["availableReplicas"], 2);
    assert_eq!(server.get(&site.path("configmaps", "brig")).await.unwrap()["data"]["a"], "1");
    assert_eq!(server.get(&site.path("configmaps", "more")).await, None, "only the failed one had it");
    expect_same(&site.examine(&good).await);
    // Old pods of the failed version are no trouble of the next one.
    let next = [site.namespace(), site.config_map("brig", json!({"a": "3"})), site.deployment(2, "example/brig:3")];
    site.apply(&next).await;
}

/// A Deployment whose pods end at once, so that nobody waits for that.
fn hasty_deployment(site: &Site<'_>, image: &str) -> Manifest {
    let mut manifest = site.deployment(1, image);
    manifest.value["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] = 1.into();
    manifest
}

/// What was replaced is replaced again, and what cannot be put back keeps nothing else from it.
pub async fn hard_way_back(server: &Server, api: &Api<'_>) {
    let mut site = Site::new(api, "hard");
    let good =
        [site.namespace(), site.config_map("brig", json!({"a": "1"})), hasty_deployment(&site, "example/brig:1")];
    site.apply(&good).await;
    let mut other = site.deployment(1, "example/missing:2");
    let labels = json!({"app": "brig", "tier": "api"});
    other.value["spec"]["selector"]["matchLabels"] = labels.clone();
    other.value["spec"]["template"]["metadata"]["labels"] = labels;
    site.allowed.replace = true;
    let (_, _, back) = fails(&site, &[site.namespace(), good[1].clone(), other]).await;
    assert_eq!(back, WayBack::Back);
    let deployment = server.get(&site.path("deployments", "brig")).await.unwrap();
    assert_eq!(deployment["spec"]["selector"]["matchLabels"], json!({"app": "brig"}));
    expect_same(&site.examine(&good).await);

    site.patience = Duration::from_secs(5);
    let bad =
        [site.namespace(), site.config_map("brig", json!({"a": "2"})), hasty_deployment(&site, "example/stuck:2")];
    let path = site.path("configmaps", "brig");
    let meddle = async {
        let is_new = async || server.get(&path).await.unwrap()["data"]["a"] == "2";
        server.until("the new map is there", is_new).await;
        let change = format!("{path}?fieldManager=meddler");
        server.ask(Method::PATCH, &change, json!({"data": {"a": "3"}})).await;
    };
    let (done, ()) = tokio::join!(site.try_apply(&bad), meddle);
    let Err(RollOutError::DoesNotRun { why: WaitError::Late { .. }, back: WayBack::Failed(why) }) = done else {
        panic!("{done:#?}")
    };
    assert!(why.contains("ConfigMap hard/brig") && why.contains("meddler"), "{why}");
    let deployment = server.get(&site.path("deployments", "brig")).await.unwrap();
    assert_eq!(deployment["spec"]["template"]["spec"]["containers"][0]["image"], "example/brig:1");
}

/// What the cluster says of pods that never become ready is told when the time is up.
pub async fn stuck(server: &Server, api: &Api<'_>) {
    let mut site = Site::new(api, "stuck");
    site.patience = Duration::from_secs(5);
    let wanted = [site.namespace(), hasty_deployment(&site, "example/stuck:2")];
    let warn = async {
        let pod = async || {
            let pods = server.get("/api/v1/namespaces/stuck/pods").await.unwrap_or_default();
            pods["items"][0].clone()
        };
        server.until("a pod is there", async || !pod().await.is_null()).await;
        let metadata = pod().await["metadata"].clone();
        let event = json!({
            "metadata": {"name": "mount"}, "type": "Warning", "reason": "FailedMount", "message": "no Secret brig",
            "lastTimestamp": metadata["creationTimestamp"],
            "involvedObject": {"kind": "Pod", "namespace": "stuck", "name": metadata["name"], "uid": metadata["uid"]},
        });
        server.create("/api/v1/namespaces/stuck/events", event).await;
    };
    let (done, ()) = tokio::join!(site.try_apply(&wanted), warn);
    let Err(RollOutError::DoesNotRun { why: WaitError::Late { state, seconds, .. }, .. }) = done else {
        panic!("{done:#?}")
    };
    assert!(
        state.starts_with("0 of 1 ready; pod brig-") && state.ends_with(": FailedMount, no Secret brig"),
        "{state}"
    );
    assert!(seconds >= 5, "{seconds}");
}

pub async fn pods_quota(server: &Server, api: &Api<'_>) {
    let site = Site::new(api, "crowded");
    site.apply(&[site.namespace()]).await;
    let quota = json!({"metadata": {"name": "small"}, "spec": {"hard": {"pods": "0"}}});
    server.create("/api/v1/namespaces/crowded/resourcequotas", quota).await;
    let path = site.path("resourcequotas", "small");
    server.until("the quota counts", async || !server.get(&path).await.unwrap()["status"]["hard"].is_null()).await;
    let (reason, _, _) = fails(&site, &[site.namespace(), site.deployment(1, "example/brig:1")]).await;
    assert!(reason.contains("its pods cannot be made") && reason.contains("exceeded quota: small"), "{reason}");
    let set = stateful(&site, 1);
    let (reason, _, _) = fails(&site, &[site.namespace(), set]).await;
    assert!(reason.contains("its pods cannot be made") && reason.contains("exceeded quota: small"), "{reason}");
}

pub async fn jobs(server: &Server, api: &Api<'_>) {
    let site = Site::new(api, "jobs");
    let job = |image: &str| {
        let mut spec = pod(image);
        spec["restartPolicy"] = "Never".into();
        site.manifest("batch/v1", "Job", "migrate", json!({"spec": {"backoffLimit": 0, "template": {"spec": spec}}}))
    };
    let wanted = |image: &str| [site.namespace(), job(image), site.deployment(1, "example/brig:1")];
    let (reason, log, _) = fails(&site, &wanted("example/fails:1")).await;
    assert!(reason.starts_with("Job jobs/migrate: it failed: "), "{reason}");
    assert_eq!(log, LAST_LINES.lines().collect::<Vec<_>>());
    assert_eq!(server.get(&site.path("deployments", "brig")).await, None, "it comes after the job");
    let failed = server.get(&site.path("jobs", "migrate")).await.unwrap();
    fails(&site, &wanted("example/fails:1")).await;
    let again = server.get(&site.path("jobs", "migrate")).await.unwrap();
    assert_ne!(failed["metadata"]["uid"], again["metadata"]["uid"], "it was started again");
    let mut allowed = Site::new(api, "jobs");
    allowed.allowed.replace = true;
    let good = wanted("example/completes:1");
    allowed.apply(&good).await;
    expect_same(&allowed.examine(&good).await);
    assert_eq!(server.get(&site.path("jobs", "migrate")).await.unwrap()["status"]["succeeded"], 1);
}

fn stateful(site: &Site<'_>, replicas: u32) -> Manifest {
    stateful_of(site, replicas, "example/cannon:1")
}

fn stateful_of(site: &Site<'_>, replicas: u32, image: &str) -> Manifest {
    let labels = json!({"app": "cannon"});
    site.manifest(
        "apps/v1",
        "StatefulSet",
        "cannon",
        json!({"spec": {
            "replicas": replicas, "serviceName": "cannon", "selector": {"matchLabels": labels},
            "podManagementPolicy": "Parallel",
            "template": {"metadata": {"labels": labels}, "spec": pod(image)},
        }}),
    )
}

pub async fn every_kind(server: &Server, api: &Api<'_>) {
    let site = Site::new(api, "every");
    let labels = json!({"app": "ingress"});
    let daemon = |image: &str| -> Manifest {
        let template: Value = json!({"metadata": {"labels": labels}, "spec": pod(image)});
        site.manifest(
            "apps/v1",
            "DaemonSet",
            "ingress",
            json!({"spec": {"selector": {"matchLabels": labels}, "template": template}}),
        )
    };
    let first =
        [site.namespace(), stateful(&site, 2), daemon("example/ingress:1"), site.deployment(2, "example/brig:1")];
    site.apply(&first).await;
    let ready = async |plural: &str, name: &str, field: &str| {
        server.get(&site.path(plural, name)).await.unwrap()["status"][field].clone()
    };
    assert_eq!(ready("statefulsets", "cannon", "readyReplicas").await, 2);
    assert_eq!(ready("daemonsets", "ingress", "numberAvailable").await, 1);
    expect_same(&site.examine(&first).await);
    let bad = [site.namespace(), stateful(&site, 2), daemon("example/crashes:2"), site.deployment(2, "example/brig:1")];
    let (reason, _, back) = fails(&site, &bad).await;
    assert!(reason.starts_with("DaemonSet every/ingress: container brig of pod ingress-"), "{reason}");
    assert_eq!(back, WayBack::Back);
    let cannon = stateful_of(&site, 2, "example/crashes:2");
    let bad = [site.namespace(), cannon, daemon("example/ingress:1"), site.deployment(2, "example/brig:1")];
    let (reason, _, back) = fails(&site, &bad).await;
    assert!(reason.starts_with("StatefulSet every/cannon: container brig of pod cannon-1"), "{reason}");
    assert_eq!(back, WayBack::Back);
    assert_eq!(ready("statefulsets", "cannon", "readyReplicas").await, 2);
    expect_same(&site.examine(&first).await);
}
