//! Hosts become nodes and cease to be.

use crate::common::phases::Phases;
use crate::common::world::{HOSTS, World, await_that};
use crate::place::set_groups;

pub fn phases(phases: &mut Phases, world: &World) {
    phases.run("membership: a host leaves and comes back", || leaves_and_returns(world));
    phases.run("membership: another's node is not touched", || foreign(world));
    phases.run("membership: a zone that was changed by hand is put back", || changed_zone(world));
    phases.run("membership: routes that a host lost are noticed and put back", || lost_routes(world));
    phases.run("membership: the only control plane lost everything and is restored by apply", || replaced(world));
}

/// The first apply is killed while a worker joins; the next one goes on.
pub fn found(world: &World) {
    let run = world.start(&["apply", "--yes"]);
    let joins =
        |event: &serde_json::Value| event["event"] == "step_started" && event["step"] == "kubernetes/host2/configure";
    assert!(run.saw(joins), "host2 never began to join");
    std::thread::sleep(std::time::Duration::from_millis(1500));
    run.kill();
    world.run(&["apply", "--yes"]).expect_code(0);
    assert!(world.nodes().iter().all(|(_, ready)| *ready), "{:?}", world.nodes());
    assert_eq!(world.nodes().len(), HOSTS.len());
    world.import_images();
}

fn leaves_and_returns(world: &World) {
    set_groups(world, &["host1", "host2"], &["host1"]);
    world.run(&["plan"]).expect_code(0).expect_said("Node host3");
    world.run(&["apply", "--yes"]).expect_code(0);
    let names: Vec<String> = world.nodes().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["host1", "host2"]);
    assert!(!world.succeeds("host3", &["test", "-e", "/etc/kubernetes/kubelet.conf"]), "host3 was not reset");
    assert!(!world.succeeds("host3", &["systemctl", "is-active", "kubelet.service"]));
    // etcd is beside it, and has nothing to do with that.
    world.run(&["verify"]).expect_code(0);
    world.run(&["drift"]).expect_code(0);

    let others = ["host1", "host2"].map(|host| world.unit_property(host, "kubelet.service", "InvocationID"));
    set_groups(world, &HOSTS, &["host1"]);
    world.run(&["apply", "--yes"]).expect_code(0);
    assert_eq!(others, ["host1", "host2"].map(|host| world.unit_property(host, "kubelet.service", "InvocationID")));
    assert!(world.nodes().contains(&("host3".to_owned(), true)), "{:?}", world.nodes());
    world.expect_nothing_to_do();
}

/// A host that is a node and has nothing of ours is someone else's.
fn foreign(world: &World) {
    let folder = "/etc/kubernetes/wire-deploy";
    world.on("host3", &["mv", folder, "/root/kept"]);
    world.on("host3", &["mv", "/var/lib/kubelet/wire-deploy", "/root/stamps"]);
    world.run(&["apply", "--yes"]).expect_code(1).expect_said("a node of a cluster that wire-deploy did not make");
    world.on("host3", &["mv", "/root/kept", folder]);
    world.on("host3", &["mv", "/root/stamps", "/var/lib/kubelet/wire-deploy"]);
    world.expect_nothing_to_do();
}

/// kube-proxy looks through all its entries when its node's zone changes, as it does every hour. Services, of which DNS is one, go on.
fn changed_zone(world: &World) {
    world.kubectl(&["label", "node", "host2", "topology.kubernetes.io/zone=elsewhere", "--overwrite"]);
    world.run(&["drift"]).expect_code(2).expect_said("Node host2");
    world.run(&["apply", "--yes"]).expect_code(0);
    world.expect_nothing_to_do();
}

/// Routes to other hosts' pods, and that pods of this one reach each other through Services.
fn lost_routes(world: &World) {
    let routes = || world.on("host2", &["ip", "route", "show", "proto", "217"]);
    let before = routes();
    let bridged = "/proc/sys/net/bridge/bridge-nf-call-iptables";
    world.on("host2", &["ip", "route", "flush", "proto", "217"]);
    world.on("host2", &["sh", "-c", &format!("echo 0 >{bridged}")]);
    world.run(&["drift"]).expect_code(2).expect_said("connect the pods");
    world.run(&["apply", "--yes"]).expect_code(0);
    assert_eq!(routes(), before);
    assert_eq!(world.on("host2", &["cat", bridged]).trim(), "1");
    world.expect_nothing_to_do();
}

/// Workers alone are left, and all that the cluster knows is in etcd.
fn replaced(world: &World) {
    world.kubectl(&["create", "namespace", "kept"]);
    let others = ["host2", "host3"].map(|host| world.unit_property(host, "kubelet.service", "InvocationID"));
    world.sandbox().power_off("host1").unwrap();
    world.sandbox().replace_disk("host1").unwrap();
    world.sandbox().power_on("host1").unwrap();
    world.run(&["apply", "--yes"]).expect_code(0);
    assert_eq!(others, ["host2", "host3"].map(|host| world.unit_property(host, "kubelet.service", "InvocationID")));
    world.kubectl(&["delete", "namespace", "kept"]);
    assert!(world.nodes().iter().all(|(_, ready)| *ready), "{:?}", world.nodes());
    assert_eq!(world.nodes().len(), HOSTS.len());
    world.import_images();
    world.expect_settled();
    world.expect_nothing_to_do();
}

pub fn destroyed(world: &World) {
    world.run(&["destroy", "--yes-destroy", "sandbox"]).expect_code(0);
    for host in HOSTS {
        for path in
            ["/etc/kubernetes/pki", "/etc/cni/net.d/10-wire-deploy.conflist", "/usr/local/bin/kube", "/var/lib/etcd"]
        {
            assert!(!world.succeeds(host, &["test", "-e", path]), "{path} is still on {host}");
        }
        await_that("no container is left", 10, || {
            !world.succeeds(host, &["pgrep", "-f", "kube-apiserver|kube-proxy|coredns"])
        });
        assert!(!world.on(host, &["ip", "route"]).contains("10.244."), "a route to pods is left on {host}");
    }
}
