//! What is not done, and why.

use std::fs;

use rustix::process::Signal;

use crate::common::world::World;

pub fn plans(world: &World) {
    let plan = world.file("change.plan");
    let plan = plan.to_str().unwrap();
    world.set_services(&["redis: {max_memory_megabytes: 144}"]);
    world.run(&["plan", "-o", plan]).expect_code(0);
    let before = world.invocations();

    let text = fs::read_to_string(plan).unwrap();
    let altered = world.file("altered.plan");
    assert!(text.contains("host3"));
    fs::write(&altered, text.replacen("host3", "host2", 1)).unwrap();
    world.run(&["apply", altered.to_str().unwrap(), "--yes"]).expect_code(64).expect_said("altered");
    fs::write(&altered, "not a plan").unwrap();
    world.run(&["apply", altered.to_str().unwrap(), "--yes"]).expect_code(64).expect_said("no plan");

    world.variant("other.yaml", |text| text.replace("site: sandbox", "site: other"));
    world.run(&["-c", "other.yaml", "apply", plan, "--yes"]).expect_code(64).expect_said("other");

    world.on("host2", &["chmod", "0666", "/etc/etcd/etcd.env"]);
    world.run(&["apply", plan, "--yes"]).expect_code(64).expect_said("stale");
    assert_eq!(world.invocations(), before, "a refused plan restarted something");
    world.on("host2", &["chmod", "0640", "/etc/etcd/etcd.env"]);

    world.run(&["apply", plan, "--yes"]).expect_code(0);
    world.run(&["apply", plan, "--yes"]).expect_code(64).expect_said("stale");
    world.expect_settled();
}

/// Hosts have the kernel's clock, which is this machine's; so it is the program that has another one.
pub fn clock(world: &World) {
    for (offset, said) in [("+2m", "behind this machine's"), ("-2m", "ahead of this machine's")] {
        let mut command = world.sandbox().command("faketime");
        let command = command.args(["-f", offset, env!("CARGO_BIN_EXE_wire-deploy"), "apply", "--yes"]);
        let output = command.current_dir(&world.folder).output().unwrap();
        let told = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{told}");
        assert!(told.contains("host2 its clock is") && told.contains(said) && told.contains("NTP"), "{told}");
    }
    world.expect_nothing_to_do();
}

pub fn unlock(world: &World) {
    world.set_services(&["redis: {max_memory_megabytes: 156}"]);
    let first = world.start(&["apply", "--yes"]);
    first.await_steps(1);
    first.signal(Signal::STOP);
    let shown = world.run(&["--output", "json", "unlock"]).expect_code(64).expect_said("--yes");
    let held: Vec<_> = shown.objects().into_iter().filter(|object| object["holder"].is_string()).collect();
    assert_eq!(held.len(), 3, "{held:?}");
    for lease in held {
        assert!(lease["holder"].as_str().unwrap().contains('@'), "{lease}");
        assert!(world.file("runs").join(lease["run"].as_str().unwrap()).is_dir(), "{lease}");
        assert!(lease["since"].as_str() < lease["expires"].as_str(), "{lease}");
    }
    world.run(&["unlock", "--yes"]).expect_code(0);
    world.run(&["unlock"]).expect_code(0).expect_said("no host is held");
    first.signal(Signal::CONT);
    first.wait().expect_code(0);
    world.expect_settled();
}

pub fn lease(world: &World) {
    world.set_services(&["redis: {max_memory_megabytes: 152}"]);
    let first = world.start(&["apply", "--yes"]);
    first.await_steps(1);
    first.signal(Signal::STOP);
    world.run(&["apply", "--yes"]).expect_code(5).expect_said("is working on host1, host2, host3 since 2");
    first.signal(Signal::CONT);
    first.wait().expect_code(0);
    world.expect_settled();
}
