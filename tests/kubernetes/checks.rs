//! What a cluster is for: pods on different nodes, their addresses, Services, names, ports of nodes, disks, logs, commands.

use std::collections::BTreeSet;

use crate::common::phases::Phases;
use crate::common::world::{HOSTS, World, await_that};

const NAMESPACE: &str = "checks";
const MANIFESTS: &str = include_str!("checks.yaml");
/// The port of every node that leads to the web servers.
pub const NODE_PORT: u16 = 30080;

pub fn phases(phases: &mut Phases, world: &World) {
    phases.run("checks: what a cluster is for", || all(world));
}

/// What a web server in the cluster answers.
pub fn ask(world: &World, address: &str) -> Option<String> {
    let mut curl = world.sandbox().command("curl");
    let output = curl.args(["-sf", "--max-time", "3", &format!("http://{address}/")]).output().unwrap();
    output.status.success().then(|| String::from_utf8(output.stdout).unwrap())
}

/// The values of a field of all pods with a label.
pub fn pods(world: &World, label: &str, pointer: &str) -> Vec<String> {
    let pods = world.kubectl_json(&["get", "pods", "-n", NAMESPACE, "-l", label]);
    let value = |pod: &serde_json::Value| pod.pointer(pointer).and_then(|value| value.as_str()).map(str::to_owned);
    pods["items"].as_array().unwrap().iter().filter_map(value).collect()
}

/// Installs what is checked, and waits for it.
pub fn install(world: &World) {
    world.manifest("checks.yaml", MANIFESTS);
    for what in ["deployment/web", "statefulset/db"] {
        world.await_rollout(NAMESPACE, what);
    }
}

fn all(world: &World) {
    install(world);
    let mut nodes = pods(world, "app=web", "/spec/nodeName");
    nodes.sort();
    nodes.dedup();
    assert!(nodes.len() > 1, "all are on {nodes:?}");
    for host in HOSTS {
        let address = format!("{}:{NODE_PORT}", world.address(host));
        // A node hears of the pods one after the other.
        let mut answers = BTreeSet::new();
        await_that("the node's port leads to both pods", 20, || {
            let answer = ask(world, &address);
            answers.extend(answer.and_then(|answer| answer.split_whitespace().next().map(str::to_owned)));
            answers.len() > 1
        });
    }
    for pod in ["db-0", "db-1"] {
        let get = |url: &str| world.try_kubectl(&["exec", "-n", NAMESPACE, pod, "--", "/web", "get", url]);
        for address in pods(world, "app=web", "/status/podIP") {
            let answer = get(&format!("http://{address}:8080/"));
            assert!(answer.status.success(), "the pod at {address} does not answer {pod}: {answer:?}");
        }
        let service = "http://web.checks.svc.cluster.local/";
        await_that("a Service answers by its name", 20, || get(service).status.success());
        for _ in 0..8 {
            let answer = get(service);
            assert!(String::from_utf8_lossy(&answer.stdout).contains("pod="), "{answer:?}");
        }
        let other = get("http://db-1.db.checks.svc.cluster.local:8080/");
        assert!(String::from_utf8_lossy(&other.stdout).contains("pod=db-1"), "{other:?}");
    }
    assert!(world.kubectl(&["logs", "-n", NAMESPACE, "db-0"]).contains("listening"));
    world.kubectl(&["delete", "statefulset", "db", "-n", NAMESPACE, "--wait=false"]);
}
