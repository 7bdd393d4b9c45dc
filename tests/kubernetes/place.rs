//! Three hosts that become a cluster: one control plane and two workers, beside etcd and load balancers.

use std::fs;

use wire_deploy::site::init::{INVENTORY_FILE, SITE_FILE};

use crate::common::world::{HOSTS, World};

const GROUPS: [&str; 3] = ["etcd", "kubernetes", "load-balancer"];
/// The units they run as.
const UNITS: [&str; 5] =
    ["containerd.service", "etcd.service", "haproxy.service", "kubelet.service", "pod-network.service"];
/// The settings of the service.
pub const SETTINGS: &str = "kubernetes: {drain_seconds: 15}";

/// One control plane and two workers.
pub fn boot(test: &str) -> World {
    let world = World::boot(test, &GROUPS, &UNITS);
    set_groups(&world, &HOSTS, &["host1"]);
    // This is about the cluster itself.
    let path = world.folder.join(SITE_FILE);
    let text = fs::read_to_string(&path).unwrap();
    let (rest, _) = text.split_once("workloads:\n").unwrap();
    fs::write(&path, rest).unwrap();
    world
}

/// Writes who is a node, and who of them a control plane.
pub fn set_groups(world: &World, nodes: &[&str], control_planes: &[&str]) {
    let path = world.folder.join(INVENTORY_FILE);
    let text = fs::read_to_string(&path).unwrap();
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    for (group, hosts) in [("kubernetes", nodes), ("kubernetes-control-plane", control_planes)] {
        let place = lines.iter().position(|line| line.trim() == format!("{group}:")).unwrap();
        lines[place + 1] = format!("    hosts: [{}]", hosts.join(", "));
    }
    fs::write(&path, lines.join("\n") + "\n").unwrap();
}
