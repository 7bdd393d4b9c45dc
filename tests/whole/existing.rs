//! A cluster that is there already, as another site sees it: by a kubeconfig, in a namespace of its own, without any host.

use std::fs;

use wire_deploy::site::init::SITE_FILE;

use crate::common::world::World;

const SITE: &str = "other.yaml";
const KUBECONFIG: &str = "other.kubeconfig";

/// A site whose pages run on the first site's cluster; on its nodes are the images already.
fn write(world: &World) {
    let text = fs::read_to_string(world.folder.join(SITE_FILE)).unwrap();
    let (head, _) = text.split_once("workloads:\n").unwrap();
    let head = head.replace("site: sandbox", "site: other").replace("hosts.yaml", "other-hosts.yaml");
    let kubeconfig = fs::read_to_string(world.folder.join(KUBECONFIG)).unwrap();
    let kubeconfig: serde_json::Value = serde_json::from_str(&kubeconfig).unwrap();
    let context = kubeconfig["current-context"].as_str().unwrap();
    let site = format!(
        "{head}kubernetes:\n  namespace: other\n  existing:\n    kubeconfig: {KUBECONFIG}\n    context: {context}\n    \
         image_repository: wire-deploy.local\nworkloads:\n  webapp: {{}}\n"
    );
    fs::write(world.folder.join(SITE), site).unwrap();
    fs::write(world.folder.join("other-hosts.yaml"), "hosts: {}\n").unwrap();
}

pub fn used(world: &World) {
    world.run(&["kubeconfig", "-o", KUBECONFIG]).expect_code(0);
    write(world);
    let run = |arguments: &[&str]| world.run(&[&["-c", SITE], arguments].concat());
    run(&["plan", "--detailed-exitcode"]).expect_code(2).expect_said("Deployment other/webapp");
    run(&["apply", "--yes"]).expect_code(0);
    run(&["drift"]).expect_code(0);
    run(&["status"]).expect_code(0).expect_said("webapp");
    // What the first site does not know, it leaves alone; and its own is none of the other's.
    world.run(&["drift"]).expect_code(0);
    run(&["destroy", "--yes-destroy", "other"]).expect_code(0);
    let namespaces = super::kubectl(
        world,
        &["get", "namespaces", "-o", "jsonpath={range .items[*]}{.metadata.name}={.status.phase} {end}"],
    );
    assert!(!namespaces.contains("other=Active"), "{namespaces}");
    world.run(&["drift"]).expect_code(0);

    let text = fs::read_to_string(world.folder.join(SITE)).unwrap();
    fs::write(world.folder.join(SITE), text.replace("context: ", "context: not-")).unwrap();
    run(&["plan"]).expect_code(4).expect_said("context");
}
