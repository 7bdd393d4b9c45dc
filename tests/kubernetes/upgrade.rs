//! One minor version up, node by node, while the pods go on.

use crate::common::phases::Phases;
use crate::common::world::{HOSTS, World, await_that};
use crate::{LATEST, checks};

/// Both web servers have to stay, so neither may leave its node.
const BUDGET: &str = "apiVersion: policy/v1\nkind: PodDisruptionBudget\nmetadata: {name: web, namespace: checks}\n\
                      spec: {minAvailable: 2, selector: {matchLabels: {app: web}}}\n";

pub fn phases(phases: &mut Phases, world: &World) {
    phases.run("upgrade: a disruption budget holds it up, in words", || blocked(world));
    phases.run("upgrade: the next minor version", || upgraded(world));
    phases.run("upgrade: there is no way back", || back(world));
}

fn versions(world: &World) -> Vec<String> {
    let nodes = world.kubectl_json(&["get", "nodes"]);
    let version = |node: &serde_json::Value| node["status"]["nodeInfo"]["kubeletVersion"].as_str().unwrap().to_owned();
    nodes["items"].as_array().unwrap().iter().map(version).collect()
}

fn blocked(world: &World) {
    checks::install(world);
    world.manifest("budget.yaml", BUDGET);
    world.set_services(&[LATEST]);
    let stopped = world.run(&["apply", "--yes"]).expect_code(1).expect_said("disruption budget web");
    stopped.expect_said("takes pods again");
    let nodes = world.kubectl_json(&["get", "nodes"]);
    assert!(nodes["items"].as_array().unwrap().iter().all(|node| node["spec"]["unschedulable"].is_null()), "{nodes}");
    world.kubectl(&["delete", "poddisruptionbudget", "web", "-n", "checks"]);
}

fn upgraded(world: &World) {
    checks::install(world);
    world.set_services(&[LATEST]);
    world.run(&["apply", "--yes"]).expect_code(0);
    assert!(versions(world).iter().all(|version| version.starts_with("v1.36.")), "{:?}", versions(world));
    checks::install(world);
    for host in HOSTS {
        let address = format!("{}:{}", world.address(host), checks::NODE_PORT);
        await_that("the node's port leads to a pod", 20, || checks::ask(world, &address).is_some());
    }
    world.expect_settled();
    world.expect_nothing_to_do();
}

fn back(world: &World) {
    world.set_services(&[crate::FORMER]);
    let refused = world.run(&["apply", "--yes"]);
    world.set_services(&[LATEST]);
    refused.expect_code(1).expect_said("which is newer than 1.35");
}
