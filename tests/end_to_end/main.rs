//! Everything an operator does, and what goes wrong on bad days, on three real hosts with two real clusters.
//!
//! Booting and installing are what costs, so there is one sandbox and one test, in phases that follow each other. A phase
//! that fails is told at the end; the next ones go on, unless nothing can work without it. `PHASES=drift,lease` runs only
//! the phases with such words in their names, besides those.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod access;
mod change;
mod clients;
#[path = "../common/mod.rs"]
mod common;
mod connection;
mod disks;
mod install;
mod interrupted;
mod records;
mod recovery;
mod refused;

use common::leaks;
use common::phases::Phases;
use common::world::World;

/// Services and the units they run as.
const UNITS: [&str; 3] = ["etcd.service", "redis-sentinel.service", "redis-server.service"];

#[test]
fn three_hosts_two_clusters_good_and_bad_days() {
    let mut phases = Phases::from_environment();
    let world = phases
        .essential("boot three hosts, write their site", || World::boot("end_to_end", &["etcd", "redis"], &UNITS));
    phases.essential("prepare the artifacts", || world.prepare_artifacts());

    phases.run("a port held by a foreign process", || install::foreign_port(&world));
    phases.run("a disk that runs nothing", || disks::noexec(&world));
    phases.run("a full disk", || disks::full(&world));
    phases.run("power lost when the packages were installed", || interrupted::power_lost_amid_installing(&world));
    phases.essential("first apply, dpkg busy on one host", || install::first_apply(&world));
    phases.run("status and verify tell what runs where", || install::status(&world));
    phases.run("second apply changes and restarts nothing", || world.expect_nothing_to_do());
    phases.run("only with TLS and credentials", || access::only_with_credentials(&world));

    phases.run("a changed setting rolls node by node", || change::rolls(&world));
    phases.run("drift is found and put right", || change::drift(&world));
    phases.run("a unit that does not start shows its log", || change::unit_does_not_start(&world));

    phases.run("refused: altered, foreign and stale plans", || refused::plans(&world));
    phases.run("refused: lease held by a living run", || refused::lease(&world));
    phases.run("refused: a clock that is off", || refused::clock(&world));
    phases.run("unlock shows who holds and takes away", || refused::unlock(&world));
    phases.run("refused: host key changed", || connection::host_key_changed(&world));
    phases.run("sudo: with password, wrong password, without", || connection::sudo(&world));
    phases.run("through jump hosts", || connection::jump(&world));
    phases.run("a login shell that prints a banner", || connection::banner(&world));
    phases.run("unreachable host", || connection::unreachable(&world));

    phases.run("killed half-way, at several points", || interrupted::killed(&world));
    phases.run("interrupted half-way", || interrupted::once(&world));
    phases.run("leases taken by another run half-way", || interrupted::taken_over(&world));
    phases.run("network cut half-way", || interrupted::network_cut(&world));
    phases.run("power cut half-way", || interrupted::power_cut(&world));

    phases.run("Redis fails over", || recovery::redis_fails_over(&world));
    phases.run("an etcd member is lost and replaced", || recovery::etcd_member_replaced(&world));

    phases.run("no secret leaked", || leaks::none(&world));
    phases.run("destroy leaves nothing", || install::destroy(&world));
    phases.run("events keep to their schema", || records::events_keep_to_their_schema(&world));
    phases.finish();
}
