//! What runs, what does not and why, and the way back.

use std::time::{Duration, Instant};

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
    let labels = json!({"app": "cannon"});
    site.manifest(
        "apps/v1",
        "StatefulSet",
        "cannon",
        json!({"spec": {
            "replicas": replicas, "serviceName": "cannon", "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": pod("example/cannon:1")},
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
}
