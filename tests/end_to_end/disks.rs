//! Disks that will not do, before anything is installed.

use crate::common::world::{HOSTS, World};

pub fn noexec(world: &World) {
    world.on("host1", &["mount", "--bind", "/var/lib", "/var/lib"]);
    world.on("host1", &["mount", "-o", "remount,bind,noexec", "/var/lib"]);
    let applied = world.run(&["apply", "--yes"]);
    world.on("host1", &["umount", "/var/lib"]);
    applied.expect_code(4).expect_said("host1").expect_said("noexec");
    untouched(world);
}

pub fn full(world: &World) {
    // Too small for the agent; then room for that, but not for what is installed.
    let folder = "/var/lib/wire-deploy";
    world.on("host1", &["mkdir", "-p", folder]);
    for (size, code, said) in [("64k", 4, "No space left"), ("3m", 1, "bytes free, a blob needs")] {
        world.on("host1", &["mount", "-t", "tmpfs", "-o", &format!("size={size},mode=0700"), "tmpfs", folder]);
        let applied = world.run(&["apply", "--yes", "--limit", "host1"]);
        world.on("host1", &["umount", folder]);
        applied.expect_code(code).expect_said("host1").expect_said(said).expect_not_said("panicked");
        untouched(world);
    }
}

fn untouched(world: &World) {
    for host in HOSTS {
        for path in ["/etc/etcd", "/etc/redis"] {
            assert!(!world.succeeds(host, &["test", "-e", path]), "{host} has {path}");
        }
    }
}
