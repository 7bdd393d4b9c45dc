//! Reaching hosts: keys, users, shells, silence.

use std::fs;
use std::io::Write as _;
use std::process::{Command, Stdio};

use wire_deploy::sandbox::{PASSWORD_USER, PASSWORDLESS_USER};
use wire_deploy::site::init::INVENTORY_FILE;

use crate::common::world::World;

pub fn host_key_changed(world: &World) {
    let known = fs::read_to_string(world.sandbox().known_hosts_file()).unwrap();
    let key = |name: &str| {
        let line = known.lines().find(|line| line.starts_with(name) && line.contains("ed25519")).unwrap();
        line.split_once(' ').unwrap().1.to_owned()
    };
    let (old, new) = (key("host1"), key("host2"));
    let changed = known.replacen(&old, &new, 1);
    let changed: String =
        changed.lines().filter(|line| !line.contains("ecdsa")).map(|line| format!("{line}\n")).collect();
    fs::write(world.file("changed_hosts"), changed).unwrap();
    with_known_hosts(world, "changed.yaml", "changed_hosts");
    world.run(&["-c", "changed.yaml", "plan"]).expect_code(4).expect_said("host1").expect_said("key");

    fs::write(world.file("no_hosts"), "").unwrap();
    with_known_hosts(world, "unknown.yaml", "no_hosts");
    world.run(&["-c", "unknown.yaml", "plan"]).expect_code(4).expect_said("--accept-new-host-keys");
    world.run(&["-c", "unknown.yaml", "drift", "--accept-new-host-keys"]).expect_code(0);
    world.run(&["-c", "unknown.yaml", "drift"]).expect_code(0);
}

fn with_known_hosts(world: &World, variant: &str, file: &str) {
    let own = world.sandbox().known_hosts_file().display().to_string();
    world.variant(variant, |text| {
        assert!(text.contains(&own), "{text}");
        text.replace(&own, file)
    });
}

pub fn sudo(world: &World) {
    let with = |variant: &str, user: &str, password: &str| {
        world.variant(variant, |text| {
            text.replace("user: root", &format!("user: {user}"))
                .replace("ssh:\n", &format!("become: {{method: sudo{password}}}\nssh:\n"))
        });
    };
    with("passwordless.yaml", PASSWORDLESS_USER, "");
    world.run(&["-c", "passwordless.yaml", "drift"]).expect_code(0);

    with("asked.yaml", PASSWORD_USER, "");
    world.run(&["-c", "asked.yaml", "drift"]).expect_code(4).expect_said("sudo").expect_said("password");

    with("password.yaml", PASSWORD_USER, ", password: sudo");
    set_secret(world, "sudo", world.sandbox().sudo_password());
    world.run(&["-c", "password.yaml", "drift"]).expect_code(0);

    with("unasked.yaml", PASSWORDLESS_USER, ", password: sudo");
    world.run(&["-c", "unasked.yaml", "drift"]).expect_code(0);

    set_secret(world, "sudo", "not-the-password");
    let refused = world.run(&["-c", "password.yaml", "drift"]).expect_code(4).expect_said("sudo");
    refused.expect_said("password").expect_not_said("not-the-password");
}

fn set_secret(world: &World, name: &str, value: &str) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_wire-deploy"))
        .args(["secrets", "set", name])
        .current_dir(&world.folder)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(value.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success());
}

/// The second host behind the first, the third behind both.
pub fn jump(world: &World) {
    let mut inventory = fs::read_to_string(world.file(INVENTORY_FILE)).unwrap();
    for (host, jump) in [("host2", "host1"), ("host3", "host1, host2")] {
        let straight = format!("{host}: {{");
        assert!(inventory.contains(&straight), "{inventory}");
        inventory = inventory.replacen(&straight, &format!("{straight}ssh: {{jump: [{jump}]}}, "), 1);
    }
    fs::write(world.file("behind.yaml"), inventory).unwrap();
    world.variant("jump.yaml", |text| text.replace(INVENTORY_FILE, "behind.yaml"));
    world.run(&["-c", "jump.yaml", "drift"]).expect_code(0);
    world.run(&["-c", "jump.yaml", "status"]).expect_code(0);
}

pub fn banner(world: &World) {
    let text = "#!/bin/bash\necho 'Welcome! This is a banner.'\necho 'It has two lines.'\nexec /bin/bash \"$@\"\n";
    world.on(
        "host1",
        &["bash", "-c", "printf %s \"$0\" > /usr/local/bin/banner; chmod 755 /usr/local/bin/banner", text],
    );
    world.on("host1", &["usermod", "--shell", "/usr/local/bin/banner", "root"]);
    world.run(&["drift"]).expect_code(0);
    world.on("host1", &["usermod", "--shell", "/bin/bash", "root"]);
}

pub fn unreachable(world: &World) {
    world.sandbox().power_off("host2").unwrap();
    world.variant("hasty.yaml", |text| text.replace("ssh:\n", "ssh:\n  connect_timeout_seconds: 2\n"));
    world.run(&["-c", "hasty.yaml", "plan"]).expect_code(4).expect_said("host2");
    world.run(&["-c", "hasty.yaml", "drift", "--limit", "!host2"]).expect_code(0);
    world.sandbox().power_on("host2").unwrap();
    crate::recovery::await_health(world);
    world.run(&["drift"]).expect_code(0);
}
