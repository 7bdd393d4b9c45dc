//! Changes of the site and of the hosts.

use std::collections::BTreeMap;

use crate::UNITS;
use crate::clients::redis;
use crate::common::world::{HOSTS, World};

/// When each host's unit was down for its restart, in microseconds since the boot that all hosts share.
fn restarts(world: &World, unit: &str) -> Vec<(u64, u64)> {
    let time = |host, property| world.unit_property(host, unit, property).parse::<u64>().unwrap();
    let mut spans: Vec<_> = HOSTS
        .iter()
        .map(|host| (time(host, "ActiveExitTimestampMonotonic"), time(host, "ActiveEnterTimestampMonotonic")))
        .collect();
    spans.sort_unstable();
    spans
}

pub fn rolls(world: &World) {
    let before = world.invocations();
    world.set_services(&["redis: {max_memory_megabytes: 128}", "etcd: {quota_megabytes: 512}"]);
    world.run(&["plan", "--detailed-exitcode"]).expect_code(2).expect_said("restart");
    world.run(&["apply", "--yes"]).expect_code(0);
    let after = world.invocations();
    for host in HOSTS {
        assert_ne!(before[&(host, "redis-server.service")], after[&(host, "redis-server.service")]);
        assert_ne!(before[&(host, "etcd.service")], after[&(host, "etcd.service")]);
        assert_eq!(before[&(host, "redis-sentinel.service")], after[&(host, "redis-sentinel.service")]);
        assert!(world.on(host, &["cat", "/etc/redis/wire-deploy/server.conf"]).contains("maxmemory 128mb"));
        assert!(redis(world, host, 6379, &["info", "memory"]).contains(&format!("maxmemory:{}", 128 * 1024 * 1024)));
    }
    for unit in ["redis-server.service", "etcd.service"] {
        let spans = restarts(world, unit);
        assert!(spans.windows(2).all(|pair| pair[0].1 < pair[1].0), "{unit} was down on two hosts at once: {spans:?}");
    }
    world.expect_settled();
}

pub fn drift(world: &World) {
    let path = "/etc/redis/wire-deploy/server.conf";
    let good = world.on("host2", &["cat", path]);
    world.on("host2", &["sed", "-i", "s/^timeout .*/timeout 17/", path]);
    world.on("host3", &["chmod", "0666", "/etc/etcd/etcd.env"]);
    let drift = world.run(&["drift"]).expect_code(2);
    let drift = drift.expect_said("host2").expect_said(path).expect_said("timeout 17");
    drift.expect_said("host3").expect_said("/etc/etcd/etcd.env");
    let limited = world.run(&["drift", "--limit", "host1"]).expect_code(0);
    limited.expect_not_said(path);
    let before = world.invocations();
    world.run(&["apply", "--yes"]).expect_code(0);
    assert_eq!(world.on("host2", &["cat", path]), good);
    let restarted: BTreeMap<_, _> = world.invocations().into_iter().filter(|(unit, id)| before[unit] != *id).collect();
    // Redis never ran with what was written by hand; nothing had to restart.
    assert!(restarted.is_empty(), "{restarted:?}");
    world.expect_settled();

    world.on("host1", &["systemctl", "stop", "redis-sentinel.service"]);
    world.run(&["drift"]).expect_code(2).expect_said("redis-sentinel");
    // Not verify, which waits as long as a gate would.
    world.run(&["status"]).expect_code(7).expect_said("Sentinel");
    world.run(&["apply", "--yes"]).expect_code(0);
    world.expect_settled();
}

pub fn unit_does_not_start(world: &World) {
    let folder = "/etc/systemd/system/etcd.service.d";
    world.on("host1", &["mkdir", "-p", folder]);
    let text = "printf '[Service]\\nExecStartPre=/bin/sh -c \"echo the disk is on fire; exit 1\"\\n' > \
                /etc/systemd/system/etcd.service.d/broken.conf";
    world.on("host1", &["sh", "-c", text]);
    world.on("host1", &["systemctl", "daemon-reload"]);
    world.set_services(&["redis: {max_memory_megabytes: 128}", "etcd: {quota_megabytes: 600}"]);
    let failed = world.run(&["apply", "--yes"]);
    assert!(
        matches!(failed.code, Some(6 | 7)),
        "expected exit code 6 or 7, found {:?}: {}",
        failed.code,
        failed.stderr
    );
    failed.expect_said("the disk is on fire").expect_said("etcd").expect_said("host1");
    // It stopped there: the other members are as they were.
    let quota = |host| world.on(host, &["cat", "/etc/etcd/etcd.env"]).contains(&(600u64 << 20).to_string());
    assert!(HOSTS.iter().filter(|host| quota(host)).count() <= 1, "the roll went on after a failure");
    world.on("host1", &["rm", "-r", folder]);
    world.on("host1", &["systemctl", "daemon-reload"]);
    world.run(&["apply", "--yes"]).expect_code(0);
    world.expect_settled();
    assert!(UNITS.iter().all(|unit| world.succeeds("host1", &["systemctl", "is-active", unit])));
}
