//! Runs that end half-way. The next apply finishes the work.

use std::fs;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use wire_deploy::site::init::SITE_FILE;

use crate::clients::redis;
use crate::common::power::lose_power_once_installed;
use crate::common::world::{HOSTS, World};
use crate::recovery::await_health;

/// A setting of both clusters that differs each time, so that there is something to roll.
fn change(world: &World, megabytes: u32) {
    world.set_services(&[
        &format!("redis: {{max_memory_megabytes: {megabytes}}}"),
        &format!("etcd: {{quota_megabytes: {megabytes}}}"),
    ]);
}

/// Applies what was begun, and both clusters run with it.
fn finish(world: &World, megabytes: u32) {
    world.run(&["apply", "--yes"]).expect_code(0);
    world.expect_settled();
    for host in HOSTS {
        let expected = format!("maxmemory:{}", u64::from(megabytes) << 20);
        assert!(redis(world, host, 6379, &["info", "memory"]).contains(&expected), "{host} runs with something else");
    }
}

/// The first apply of Redis; what the packages brought must not run when the host is back.
pub fn power_lost_amid_installing(world: &World) {
    lose_power_once_installed(world, "host3", "redis", "redis-server");
    for unit in ["redis-sentinel", "redis-server"] {
        assert_eq!(
            world.unit_property("host3", unit, "ActiveState"),
            "inactive",
            "{unit} runs as Debian configures it"
        );
    }
}

pub fn killed(world: &World) {
    for (steps, megabytes) in [(1, 200), (3, 208)] {
        change(world, megabytes);
        let run = world.start(&["apply", "--yes"]);
        run.await_steps(steps);
        assert_eq!(run.kill().code, None, "the run ended by itself");
        finish(world, megabytes);
    }
    // Between the file and the restart that it wants: as if killed in that very moment.
    change(world, 216);
    let text = world.on("host2", &["cat", "/etc/redis/wire-deploy/server.conf"]);
    let text = text.replace("maxmemory 208mb", "maxmemory 216mb");
    world.on("host2", &["bash", "-c", "printf %s \"$0\" > /etc/redis/wire-deploy/server.conf", &text]);
    finish(world, 216);
}

pub fn once(world: &World) {
    change(world, 220);
    let run = world.start(&["apply", "--yes"]);
    run.await_steps(1);
    run.signal(Signal::INT);
    let ended = run.wait().expect_code(130).expect_said("finishing the step in hand").expect_not_said("panicked");
    // What was begun was finished, and nothing else was begun.
    let outcomes: Vec<_> = ended.events("step_finished").iter().map(|event| event["outcome"].clone()).collect();
    assert_eq!(outcomes.len(), ended.events("planned")[0]["plan"]["steps"].as_array().unwrap().len());
    assert!(
        outcomes.iter().all(|outcome| outcome["outcome"] == "done"
            || outcome["reason"] == "interrupted"
            || outcome["outcome"] == "skipped"),
        "{outcomes:?}"
    );
    world.run(&["unlock"]).expect_code(0).expect_said("no host is held");
    finish(world, 220);
}

/// As if this run had slept until its leases ended, and somebody else had begun one.
pub fn taken_over(world: &World) {
    change(world, 222);
    let run = world.start(&["apply", "--yes"]);
    run.await_steps(1);
    let other = r#"s/"run":"[^"]*"/"run":"other"/; s/"holder":"[^"]*"/"holder":"someone@else"/; s/"machine":"[^"]*"/"machine":"elsewhere"/; s/"expires":[0-9]*/"expires":9999999999999/"#;
    for host in HOSTS {
        world.on(host, &["sed", "-i", other, "/run/wire-deploy/lease.json"]);
    }
    let ended = run.wait().expect_code(5).expect_said("taken over").expect_said("someone@else");
    let steps = ended.events("planned")[0]["plan"]["steps"].as_array().unwrap().len();
    let done = ended.events("step_finished").iter().filter(|event| event["outcome"]["outcome"] == "done").count();
    assert!(done < steps, "all {steps} steps were done beside the other run");
    world.run(&["apply", "--yes"]).expect_code(5).expect_said("someone@else");
    world.run(&["unlock", "--yes"]).expect_code(0);
    await_health(world);
    finish(world, 222);
}

pub fn network_cut(world: &World) {
    change(world, 224);
    let run = world.start(&["apply", "--yes"]);
    run.await_steps(1);
    world.sandbox().cut_network("host2").unwrap();
    let cut = Instant::now();
    let ended = run.wait();
    // A gate's minute, and what it takes to see that the host is gone: nothing waits for a silent host twice.
    assert!(cut.elapsed() < Duration::from_secs(100), "the run went on for {:?}", cut.elapsed());
    assert!(matches!(ended.code, Some(1 | 4 | 6 | 7)), "ended with {:?}: {}", ended.code, ended.stderr);
    let ended = ended.expect_said("host2").expect_not_said("panicked");
    for step in ended.events("step_finished").iter().filter(|step| step["outcome"]["outcome"] == "put_back") {
        assert!(!step["outcome"]["log"].as_array().unwrap().is_empty(), "no lines of the unit are shown: {step}");
    }
    world.sandbox().mend_network("host2").unwrap();
    await_health(world);
    finish(world, 224);
}

pub fn power_cut(world: &World) {
    change(world, 232);
    let run = world.start(&["apply", "--yes"]);
    run.await_steps(2);
    world.sandbox().power_off("host3").unwrap();
    // The cluster's gate would be waited for; the operator does not.
    assert!(run.saw(|event| event["message"].as_str().is_some_and(|message| message.contains("host3"))));
    run.signal(Signal::INT);
    std::thread::sleep(Duration::from_millis(500));
    run.signal(Signal::INT);
    run.wait().expect_code(130).expect_not_said("panicked");
    world.sandbox().power_on("host3").unwrap();
    await_health(world);
    finish(world, 232);
    assert!(fs::read_to_string(world.file(SITE_FILE)).unwrap().contains("232"));
}
