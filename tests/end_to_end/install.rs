//! From bare hosts to clusters, and back to bare hosts.

use std::collections::BTreeSet;

use rustix::process::Signal;

use crate::UNITS;
use crate::common::world::{HOSTS, World};

pub fn foreign_port(world: &World) {
    // Another sshd is a foreign process that every host can run.
    world.on("host2", &["/usr/sbin/sshd", "-p", "2379", "-o", "PidFile=/run/foreign.pid"]);
    let file = world.file("unfit.plan");
    let planned = world.run(&["plan", "-o", file.to_str().unwrap()]);
    let (checked, applied) = (world.run(&["check"]), world.run(&["apply", "--yes"]));
    world.on("host2", &["pkill", "--pidfile", "/run/foreign.pid"]);
    checked.expect_code(1).expect_said("host2").expect_said("2379").expect_said("sshd");
    planned.expect_code(1).expect_said("etcd.service").expect_said("2379").expect_said("would keep `apply`");
    assert!(!file.exists(), "a plan that cannot be applied was saved");
    applied.expect_code(1).expect_said("2379");
    for host in HOSTS {
        assert!(!world.succeeds(host, &["test", "-e", "/etc/etcd"]), "{host} was changed");
    }
}

pub fn first_apply(world: &World) {
    world.run(&["check"]).expect_code(0);
    world.run(&["plan", "--detailed-exitcode"]).expect_code(2);
    // dpkg's lock, as another package manager holds it, for some seconds.
    let hold = "use Fcntl; open my $f, '>', '/var/lib/dpkg/lock-frontend'; \
                my $l = pack('s s x4 q q i x4', F_WRLCK, 0, 0, 0, 0); fcntl($f, F_SETLK, $l) or die $!; sleep 8";
    let mut holder = world.sandbox().host_command("host3", "perl").unwrap();
    let mut holder = holder.args(["-e", hold]).spawn().unwrap();
    let applied = world.run(&["--output", "json", "apply", "--yes"]).expect_code(0);
    holder.kill().unwrap();
    holder.wait().unwrap();
    let finished = &applied.events("run_finished")[0];
    assert!(finished["changed"].as_u64().unwrap() > 30, "{finished}");
    for host in HOSTS {
        assert!(!world.succeeds(host, &["test", "-e", "/usr/sbin/policy-rc.d"]), "{host} keeps policy-rc.d");
    }
}

pub fn status(world: &World) {
    world.run(&["verify"]).expect_code(0);
    world.run(&["status"]).expect_code(0).expect_said("host1").expect_said("redis").expect_said("etcd");
    let status = world.run(&["--output", "json", "status"]).expect_code(0);
    let objects: Vec<_> = status.objects().into_iter().filter(|object| object["service"].is_string()).collect();
    let found: BTreeSet<_> =
        objects.iter().map(|object| (object["service"].as_str().unwrap(), object["host"].as_str().unwrap())).collect();
    let expected = ["etcd", "redis"].into_iter().flat_map(|service| HOSTS.map(|host| (service, host)));
    assert_eq!(found, expected.collect());
    for object in &objects {
        assert_eq!(object["healthy"], true, "{object}");
        let version = object["version"].as_str().unwrap();
        let wanted = if object["service"] == "redis" { "7." } else { "3.6." };
        assert!(version.contains(wanted), "{object}");
    }
}

pub fn destroy(world: &World) {
    world.run(&["destroy", "--yes-destroy", "not-its-name"]).expect_code(64);
    assert!(world.succeeds("host1", &["systemctl", "is-active", "etcd.service"]), "destroyed without the right name");
    // Interrupted, it clears no further host; the next one clears the rest.
    world.variant("one-by-one.yaml", |text| format!("{text}limits: {{hosts: 1}}\n"));
    let first = world.start(&["-c", "one-by-one.yaml", "destroy", "--yes-destroy", "sandbox"]);
    first.await_steps(1);
    first.signal(Signal::INT);
    first.wait().expect_code(130).expect_said("2 hosts left as before").expect_not_said("panicked");
    let left = HOSTS.iter().filter(|host| world.succeeds(host, &["systemctl", "is-active", "etcd.service"]));
    assert_eq!(left.count(), 2);
    world.run(&["destroy", "--yes-destroy", "sandbox"]).expect_code(0);
    for host in HOSTS {
        for unit in UNITS {
            assert!(!world.succeeds(host, &["systemctl", "is-active", unit]), "{unit} still runs on {host}");
        }
        for path in ["/var/lib/wire-deploy", "/var/lib/etcd", "/etc/etcd", "/etc/redis/wire-deploy", "/opt/etcd"] {
            assert!(!world.succeeds(host, &["test", "-e", path]), "{path} is left on {host}");
        }
    }
}
