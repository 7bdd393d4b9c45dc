//! Clusters that lose a node.

use crate::clients::{etcd, primary, redis};
use crate::common::world::{HOSTS, World, await_that};

/// Waits until both clusters are well again by themselves.
#[track_caller]
pub fn await_health(world: &World) {
    await_that("the clusters are well", 60, || world.run(&["status"]).code == Some(0));
}

pub fn redis_fails_over(world: &World) {
    let old = primary(world, "host1").unwrap();
    let witness = HOSTS.into_iter().find(|host| *host != old).unwrap();
    assert_eq!(redis(world, &old, 6379, &["set", "kept", "yes"]), "OK");
    assert_eq!(redis(world, &old, 6379, &["wait", "2", "5000"]), "2");
    world.sandbox().power_off(&old).unwrap();
    await_that("another primary", 60, || primary(world, witness).is_some_and(|new| new != old));
    let new = primary(world, witness).unwrap();
    assert_eq!(redis(world, &new, 6379, &["get", "kept"]), "yes");
    await_that("the new primary takes writes", 30, || redis(world, &new, 6379, &["set", "after", "yes"]) == "OK");

    world.sandbox().power_on(&old).unwrap();
    await_health(world);
    let before = world.invocations();
    world.run(&["apply", "--yes"]).expect_code(0);
    assert_eq!(world.invocations(), before, "apply restarted something after a failover");
    assert_eq!(primary(world, witness).unwrap(), new, "the old primary was reinstated");
    assert_eq!(redis(world, &new, 6379, &["get", "after"]), "yes");
    world.expect_settled();
}

pub fn etcd_member_replaced(world: &World) {
    assert!(etcd(world, "host1", &["put", "/kept", "yes"]).status.success());
    world.on("host3", &["systemctl", "stop", "etcd.service"]);
    world.on("host3", &["bash", "-c", "rm -rf /var/lib/etcd/*"]);
    world.run(&["drift"]).expect_code(2).expect_said("host3");
    world.run(&["apply", "--yes"]).expect_code(0);
    let members = etcd(world, "host1", &["member", "list"]);
    let members = String::from_utf8(members.stdout).unwrap();
    assert_eq!(members.lines().count(), 3, "{members}");
    assert!(members.lines().all(|line| line.contains("started")), "{members}");
    let kept = etcd(world, "host3", &["get", "--print-value-only", "/kept"]);
    assert_eq!(String::from_utf8(kept.stdout).unwrap(), "yes\n");
    world.expect_settled();
}
