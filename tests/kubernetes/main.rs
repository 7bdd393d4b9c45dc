//! Kubernetes on three real hosts, beside etcd and load balancers, on a network that leads nowhere: every image comes from our store.
//!
//! `PHASES=upgrade,dies` runs only the phases with such words in their names, besides those that nothing works without.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod checks;
#[path = "../common/mod.rs"]
mod common;
mod control_planes;
mod kubectl;
mod membership;
mod upgrade;

use std::fs;

use wire_deploy::site::init::{INVENTORY_FILE, SITE_FILE};

use common::phases::Phases;
use common::world::{HOSTS, World};

const GROUPS: [&str; 3] = ["etcd", "kubernetes", "load-balancer"];
/// The units they run as.
const UNITS: [&str; 5] =
    ["containerd.service", "etcd.service", "haproxy.service", "kubelet.service", "pod-network.service"];
/// What the cluster is made with, to be upgraded from.
const FORMER: &str = "kubernetes: {version: '1.35', drain_seconds: 15}";
/// What it is upgraded to.
const LATEST: &str = "kubernetes: {drain_seconds: 15}";

#[test]
fn three_hosts_one_cluster_good_and_bad_days() {
    let mut phases = Phases::from_environment();
    let world = phases.essential("boot three hosts, write their site", boot);
    phases.essential("prepare the artifacts", || {
        world.prepare_artifacts();
        world.set_services(&[FORMER]);
        world.prepare_artifacts();
        world.build_image("kubernetes-test-image");
    });
    phases.essential("first apply, killed while hosts join, and one more", || membership::found(&world));
    phases.essential("verify", || drop(world.run(&["verify"]).expect_code(0)));
    phases.run("second apply changes and restarts nothing", || world.expect_nothing_to_do());
    checks::phases(&mut phases, &world);
    membership::phases(&mut phases, &world);
    upgrade::phases(&mut phases, &world);
    control_planes::phases(&mut phases, &world);
    phases.run("destroy leaves plain hosts", || membership::destroyed(&world));
    phases.finish();
}

/// One control plane and two workers.
fn boot() -> World {
    let world = World::boot("kubernetes", &GROUPS, &UNITS);
    set_groups(&world, &HOSTS, &["host1"]);
    // This is about the cluster itself.
    let path = world.folder.join(SITE_FILE);
    let text = fs::read_to_string(&path).unwrap();
    let (rest, _) = text.split_once("workloads:\n").unwrap();
    fs::write(&path, rest).unwrap();
    world
}

/// Writes who is a node, and who of them a control plane.
fn set_groups(world: &World, nodes: &[&str], control_planes: &[&str]) {
    let path = world.folder.join(INVENTORY_FILE);
    let text = fs::read_to_string(&path).unwrap();
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    for (group, hosts) in [("kubernetes", nodes), ("kubernetes-control-plane", control_planes)] {
        let place = lines.iter().position(|line| line.trim() == format!("{group}:")).unwrap();
        lines[place + 1] = format!("    hosts: [{}]", hosts.join(", "));
    }
    fs::write(&path, lines.join("\n") + "\n").unwrap();
}
