//! Kubernetes on three real hosts, beside etcd and load balancers, on a network that leads nowhere: every image comes from our store.
//!
//! `PHASES=membership,dies` runs only the phases with such words in their names, besides those that nothing works without.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod checks;
#[path = "../common/mod.rs"]
mod common;
mod control_planes;
mod kubectl;
mod membership;
mod place;

use common::leaks;
use common::phases::Phases;

#[test]
fn three_hosts_one_cluster_good_and_bad_days() {
    let mut phases = Phases::from_environment();
    let world = phases.essential("boot three hosts, write their site", || place::boot("kubernetes"));
    phases.essential("prepare the artifacts", || {
        world.set_services(&[place::SETTINGS]);
        world.prepare_artifacts();
        world.build_image("kubernetes-test-image");
    });
    phases.essential("first apply, killed while hosts join, and one more", || membership::found(&world));
    phases.essential("verify", || drop(world.run(&["verify"]).expect_code(0)));
    phases.run("second apply changes and restarts nothing", || world.expect_nothing_to_do());
    checks::phases(&mut phases, &world);
    membership::phases(&mut phases, &world);
    control_planes::phases(&mut phases, &world);
    phases.run("no secret leaked", || leaks::none(&world));
    phases.run("destroy leaves plain hosts", || membership::destroyed(&world));
    phases.finish();
}
