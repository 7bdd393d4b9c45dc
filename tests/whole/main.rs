//! The whole backend on three real hosts: stores, Kubernetes, and on it all workloads from images of our own. Requests come through load balancer
//! and ingress, on a network that leads nowhere.
//!
//! `PHASES=broken,removed` runs only the phases with such words in their names, besides those that nothing works without.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod clients;
#[path = "../common/mod.rs"]
mod common;
mod edge;
mod existing;
#[path = "../../api-server/tests/client/installed.rs"]
mod installed;

use std::fs;
use std::time::{Duration, Instant};

use wire_deploy::site::init::SITE_FILE;

use common::leaks;
use common::phases::Phases;
use common::world::{World, await_that};

const GROUPS: [&str; 8] = ["cassandra", "etcd", "kubernetes", "load-balancer", "minio", "redis", "search", "turn"];
/// The units they run as.
const UNITS: [&str; 9] = [
    "cassandra.service",
    "containerd.service",
    "coturn.service",
    "etcd.service",
    "haproxy.service",
    "kubelet.service",
    "minio.service",
    "opensearch.service",
    "redis-server.service",
];
/// What is reported within seconds, where the profile would wait for minutes.
const SOON: Duration = Duration::from_secs(60);

/// Names are asked for every five seconds, and answers kept for 30.
const FOUND_SECONDS: u64 = 90;

#[test]
fn three_hosts_a_backend_whose_messages_arrive() {
    let mut phases = Phases::from_environment();
    let world = phases.essential("boot three hosts, write their site", || World::boot("whole", &GROUPS, &UNITS));
    phases.essential("prepare the artifacts", || world.prepare_artifacts());
    phases.essential("first apply", || drop(world.run(&["apply", "--yes"]).expect_code(0)));
    phases.essential("verify", || drop(world.run(&["verify"]).expect_code(0)));
    phases.run("smoke through the public names", || edge::smoke(&world));
    phases.run("second apply changes and restarts nothing", || world.expect_nothing_to_do());
    phases.run("every name leads to its workload", || edge::names(&world));
    phases.run("the published client lives its life", || clients::published(&world));
    phases.run("an edit by hand is found and put right", || edited(&world));
    phases.run("a broken image is told and taken back", || broken(&world));
    phases.run("a workload that left the site is removed", || removed(&world));
    phases.run("another site on a cluster that exists", || existing::used(&world));
    phases.run("another certificate is served, and no websocket ends", || clients::certificate_replaced(&world));
    phases.run("smoke once more", || edge::smoke(&world));
    phases.run("no secret leaked", || leaks::none(&world));
    phases.finish();
}

/// kubectl on a control plane.
fn kubectl(world: &World, arguments: &[&str]) -> String {
    let kubectl = ["kubectl", "--kubeconfig", "/etc/kubernetes/admin.conf", "-n", "wire"];
    world.on("host1", &[&kubectl[..], arguments].concat())
}

/// Writes other settings of a workload into the site; without any it is not named any more.
fn set_workload(world: &World, name: &str, settings: Option<&str>) {
    let path = world.folder.join(SITE_FILE);
    let text = fs::read_to_string(&path).unwrap();
    let begins = format!("  {name}:");
    let others: String =
        text.lines().filter(|line| !line.starts_with(&begins)).map(|line| format!("{line}\n")).collect();
    let line = settings.map(|settings| format!("  {name}: {settings}\n")).unwrap_or_default();
    fs::write(&path, others.replace("workloads:\n", &format!("workloads:\n{line}"))).unwrap();
}

fn edited(world: &World) {
    kubectl(world, &["scale", "deployment/galley", "--replicas=1"]);
    world.run(&["drift"]).expect_code(2).expect_said("Deployment wire/galley").expect_said("replicas");
    world.run(&["apply", "--yes"]).expect_code(0);
    assert_eq!(kubectl(world, &["get", "deployment/galley", "-o", "jsonpath={.status.readyReplicas}"]), "2");
    world.run(&["drift"]).expect_code(0);

    // With another address, which the ingress finds by itself.
    kubectl(world, &["delete", "service/nginz"]);
    world.run(&["apply", "--yes"]).expect_code(0);
    let answers = || (0..6).all(|_| edge::get(world, "nginz-https", "/api-version").0 == "200");
    await_that("every ingress leads to the gateway again", FOUND_SECONDS, answers);
}

fn broken(world: &World) {
    let image = "wire-deploy.local/nothing:none";
    let pods =
        || kubectl(world, &["get", "deployment/webapp", "-o", "jsonpath={.spec.template.spec.containers[0].image}"]);
    let before = pods();
    set_workload(world, "webapp", Some(&format!("{{image: {image:?}}}")));
    let begun = Instant::now();
    world.run(&["apply", "--yes"]).expect_code(6).expect_said("webapp").expect_said("wire-deploy.local/nothing");
    assert!(begun.elapsed() < SOON, "it took {:?} to tell", begun.elapsed());
    assert_eq!(pods(), before, "the former objects are not back");
    set_workload(world, "webapp", Some("{}"));
    world.run(&["apply", "--yes"]).expect_code(0);
    world.run(&["verify"]).expect_code(0);
}

fn removed(world: &World) {
    set_workload(world, "team-settings", None);
    world.run(&["plan"]).expect_code(0).expect_said("Deployment wire/team-settings");
    world.run(&["apply", "--yes"]).expect_code(0);
    let left = kubectl(world, &["get", "deployments,services,configmaps", "-o", "name"]);
    assert!(!left.contains("team-settings"), "{left}");
    assert!(left.contains("deployment.apps/webapp"), "{left}");
    world.run(&["drift"]).expect_code(0);
}
