//! One minor version of Kubernetes up, node by node, while the pods go on; to programs and images that the site brings.
//!
//! `PHASES=back` runs only the phases with such words in their names, besides those that nothing works without.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

#[allow(dead_code, reason = "another test uses the rest of it")]
#[path = "../kubernetes/checks.rs"]
mod checks;
#[path = "../common/mod.rs"]
mod common;
#[path = "../kubernetes/kubectl.rs"]
mod kubectl;
#[path = "../kubernetes/place.rs"]
mod place;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;

use wire_deploy::artifacts::{Store, lock_file};
use wire_deploy::site::init::SITE_FILE;
use wire_deploy_agent::digest::Digest;

use common::phases::Phases;
use common::world::{HOSTS, World, await_that};
use place::SETTINGS;

/// What the cluster is made with, to be upgraded from.
const FORMER: &str = "kubernetes: {version: '1.35', drain_seconds: 15}";

/// Both web servers have to stay, so neither may leave its node.
const BUDGET: &str = "apiVersion: policy/v1\nkind: PodDisruptionBudget\nmetadata: {name: web, namespace: checks}\n\
                      spec: {minAvailable: 2, selector: {matchLabels: {app: web}}}\n";

#[test]
fn three_hosts_one_cluster_two_versions() {
    let mut phases = Phases::from_environment();
    let world = phases.essential("boot three hosts, write their site", || place::boot("upgrade"));
    phases.essential("prepare the artifacts", || {
        for settings in [SETTINGS, FORMER] {
            world.set_services(&[settings]);
            world.prepare_artifacts();
        }
        world.build_image("kubernetes-test-image");
    });
    phases.essential("first apply, of the former version", || {
        world.run(&["apply", "--yes"]).expect_code(0);
        assert!(world.nodes().iter().all(|(_, ready)| *ready), "{:?}", world.nodes());
        world.import_images();
    });
    phases.essential("programs and images by address and digest", || brought(&world));
    phases.run("a disruption budget holds it up, in words", || blocked(&world));
    phases.run("the next minor version", || upgraded(&world));
    phases.run("there is no way back", || back(&world));
    phases.run("destroy leaves plain hosts", || destroyed(&world));
    phases.finish();
}

fn versions(world: &World) -> Vec<String> {
    let nodes = world.kubectl_json(&["get", "nodes"]);
    let version = |node: &serde_json::Value| node["status"]["nodeInfo"]["kubeletVersion"].as_str().unwrap().to_owned();
    nodes["items"].as_array().unwrap().iter().map(version).collect()
}

/// What a site may bring for the next version, and the recipes in whose place.
const PROGRAMS: (&str, &[&str]) = ("kubernetes-1.36", &["kubeadm", "kubectl", "kubelet"]);
const IMAGES: (&str, &[&str]) = (
    "kubernetes-image-1.36",
    &["coredns", "kube-apiserver", "kube-controller-manager", "kube-proxy", "kube-scheduler"],
);

/// A web server with these files, by their names, for as long as the test runs.
fn serve(files: BTreeMap<&'static str, PathBuf>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
            let asked = lines.next().unwrap_or_default();
            lines.take_while(|line| !line.is_empty()).for_each(drop);
            let name = asked.split([' ', '/']).nth(2).unwrap_or_default().to_owned();
            let mut file = File::open(&files[name.as_str()]).unwrap();
            let size = file.metadata().unwrap().len();
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {size}\r\nConnection: close\r\n\r\n");
            // Whoever asked may have left.
            let _ = stream.write_all(head.as_bytes()).and_then(|()| std::io::copy(&mut file, &mut stream).map(drop));
        }
    });
    address
}

/// From here on the next version is not of our building, but what the site names: as it happens what we have built, under other names.
fn brought(world: &World) {
    let lock = lock_file::read(&world.folder.join("artifacts.lock")).unwrap();
    let store = Store::of_user().unwrap();
    let program = store.path(&lock.file(PROGRAMS.0, "kube").unwrap().blob);
    let image = store.path(&lock.image(IMAGES.0).unwrap().1.blob);
    let mut files = BTreeMap::new();
    files.extend(PROGRAMS.1.iter().map(|name| (*name, program.clone())));
    files.extend(IMAGES.1.iter().map(|name| (*name, image.clone())));
    let address = serve(files.clone());
    let mut section = "artifacts:\n".to_owned();
    for (recipe, names) in [PROGRAMS, IMAGES] {
        writeln!(section, "  {recipe}:\n    version: {}\n    files:", lock.recipes[PROGRAMS.0].version).unwrap();
        for name in names {
            let sha256 = Digest::of(&fs::read(&files[name]).unwrap());
            writeln!(section, "      {name}: {{url: \"http://{address}/{name}\", sha256: {sha256}}}").unwrap();
        }
    }
    world.set_services(&[SETTINGS]);
    let path = world.folder.join(SITE_FILE);
    let text = fs::read_to_string(&path).unwrap();
    let with = |section: &str| text.replace("services:\n", &format!("{section}services:\n"));
    let other = Digest::of(b"other").to_string();
    let right = Digest::of(&fs::read(&program).unwrap()).to_string();
    fs::write(&path, with(&section.replace(&right, &other))).unwrap();
    world
        .run_outside(&["artifacts", "fetch"])
        .expect_code(1)
        .expect_said("is not what the site says")
        .expect_said(&right);
    fs::write(&path, with(&section)).unwrap();
    world.prepare_artifacts();
    let listed = world.run_outside(&["artifacts", "list"]).expect_code(0);
    assert!(!listed.stdout.contains("recipe has changed"), "{}", listed.stdout);
}

fn blocked(world: &World) {
    checks::install(world);
    world.manifest("budget.yaml", BUDGET);
    world.set_services(&[SETTINGS]);
    let stopped = world.run(&["apply", "--yes"]).expect_code(1).expect_said("disruption budget web");
    stopped.expect_said("takes pods again");
    let nodes = world.kubectl_json(&["get", "nodes"]);
    assert!(nodes["items"].as_array().unwrap().iter().all(|node| node["spec"]["unschedulable"].is_null()), "{nodes}");
    world.kubectl(&["delete", "poddisruptionbudget", "web", "-n", "checks"]);
}

fn upgraded(world: &World) {
    checks::install(world);
    world.set_services(&[SETTINGS]);
    // What the operator has closed stays so.
    world.kubectl(&["cordon", "host3"]);
    world.run(&["apply", "--yes"]).expect_code(0);
    let closed = world.kubectl_json(&["get", "node", "host3"])["spec"]["unschedulable"].clone();
    assert_eq!(closed, true, "host3 was opened");
    world.kubectl(&["uncordon", "host3"]);
    assert!(versions(world).iter().all(|version| version.starts_with("v1.36.")), "{:?}", versions(world));
    for host in HOSTS {
        assert!(world.succeeds(host, &["sh", "-c", "! test -L /usr/local/bin/kubelet"]), "kubelet on {host} is ours");
    }
    checks::install(world);
    for host in HOSTS {
        let address = format!("{}:{}", world.address(host), checks::NODE_PORT);
        await_that("the node's port leads to a pod", 20, || checks::ask(world, &address).is_some());
    }
    world.expect_settled();
    world.expect_nothing_to_do();
}

fn back(world: &World) {
    world.set_services(&[FORMER]);
    let refused = world.run(&["apply", "--yes"]);
    world.set_services(&[SETTINGS]);
    refused.expect_code(1).expect_said("which is newer than 1.35");
}

fn destroyed(world: &World) {
    world.run(&["destroy", "--yes-destroy", "sandbox"]).expect_code(0);
    for program in ["kube", "kubeadm", "kubectl", "kubelet"] {
        let path = format!("/usr/local/bin/{program}");
        // A link that leads nowhere is there, too.
        let is_there = format!("test -e {path} || test -L {path}");
        assert!(HOSTS.iter().all(|host| !world.succeeds(host, &["sh", "-c", &is_there])), "{path} is left");
    }
}
