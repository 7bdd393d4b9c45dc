//! What an operator's hosts go through, with every cluster on them in use: its client reads and writes, and notices nothing.

use std::fs;

use wire_deploy::site::init::SITE_FILE;

use crate::common::phases::Phases;
use crate::common::world::{HOSTS, World, await_that};
use crate::traffic::{Work, during, during_a_roll};
use crate::{SERVICES, UNITS, cassandra, minio, search};

pub fn phases(phases: &mut Phases, world: &World) {
    phases.run("together: rolled, cassandra minio search", || rolled(world));
    phases.run("together: a process of each is killed", || killed(world));
    phases.run("together: a host dies and comes back", || host_dies(world));
    phases.run("together: a host that lost everything is restored by apply", || host_replaced(world));
    phases.run("search: elasticsearch in the place of opensearch", || search::elasticsearch(world));
}

/// A client of each store, which names what it writes after the occasion.
fn clients<'a>(world: &'a World, occasion: &'static str) -> Vec<(&'static str, Work<'a>)> {
    vec![
        ("cassandra", cassandra::client(world, occasion)),
        ("minio", minio::client(world, occasion)),
        ("search", search::client(world, occasion)),
    ]
}

fn all_are_well(world: &World) -> bool {
    world.run(&["status"]).code == Some(0)
}

fn rolled(world: &World) {
    let before = world.invocations();
    world.set_services(&["cassandra: {heap_megabytes: 400}", "search: {heap_megabytes: 400}"]);
    replace_unit_of_minio(world);
    during_a_roll(&clients(world, "rolled"), || drop(world.run(&["apply", "--yes"]).expect_code(0)));
    for unit in [cassandra::UNIT, minio::UNIT, search::UNIT] {
        world.expect_restarted(unit, &before);
    }
    for host in HOSTS {
        assert!(world.on(host, &["cat", search::JVM_OPTIONS]).contains("-Xmx400m"), "another heap on {host}");
        let journal = world.on(host, &["journalctl", "--no-pager", "-u", cassandra::UNIT]);
        assert!(journal.contains("Cassandra shutdown complete"), "the node on {host} was not drained");
    }
    world.expect_settled();
}

/// MinIO has no setting that restarts it, so the site gets a template of its own.
fn replace_unit_of_minio(world: &World) {
    let folder = world.file("templates/hosts/minio");
    fs::create_dir_all(&folder).unwrap();
    let unit = include_str!("../../templates/hosts/minio/minio.service");
    fs::write(folder.join(minio::UNIT), unit.replace("RestartSec=2", "RestartSec=1")).unwrap();
    let site = world.file(SITE_FILE);
    let text = fs::read_to_string(&site).unwrap();
    fs::write(&site, format!("templates: templates\n{text}")).unwrap();
}

fn killed(world: &World) {
    let victims: Vec<_> = UNITS.into_iter().zip(HOSTS.into_iter().cycle()).collect();
    during(&clients(world, "killed"), || {
        for (unit, host) in &victims {
            world.on(host, &["systemctl", "kill", "--signal=KILL", unit]);
        }
        await_that("the loss is noticed", 60, || !all_are_well(world));
        await_that("all is well", 180, || all_are_well(world));
    });
    world.expect_nothing_to_do();
}

fn host_dies(world: &World) {
    during(&clients(world, "without"), || {
        world.sandbox().power_off("host3").unwrap();
        await_that("it is missed everywhere", 90, || {
            let status = world.run(&["--output", "json", "status"]);
            let missed = |service: &str| {
                status
                    .events("health")
                    .iter()
                    .any(|row| row["service"] == service && row["host"] == "host3" && row["healthy"] == false)
            };
            status.code == Some(4) && SERVICES.iter().all(|service| missed(service))
        });
        world.sandbox().power_on("host3").unwrap();
        await_that("all is well", 240, || all_are_well(world));
    });
    world.run(&["maintain", "minio", "heal"]).expect_code(0);
    world.expect_nothing_to_do();
}

fn host_replaced(world: &World) {
    cassandra::keep(world);
    minio::keep(world);
    world.sandbox().power_off("host3").unwrap();
    world.sandbox().replace_disk("host3").unwrap();
    world.sandbox().power_on("host3").unwrap();
    during(&clients(world, "replaced"), || {
        let apply = world.start(&["apply", "--yes"]);
        cassandra::cut_short(world, "host3");
        apply.wait().expect_code(0);
    });
    world.expect_settled();
    world.expect_nothing_to_do();
    cassandra::expect_kept(world, "host3");
    minio::expect_kept(world, "host3");
    search::expect_joined(world, "host3");
}
