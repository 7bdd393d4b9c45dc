//! The clusters that run on hosts beside Redis and etcd: installed together on three real hosts, used while they are changed
//! and while their nodes die.
//!
//! `PHASES=cassandra,minio` runs only the phases with such words in their names, besides those that nothing works without.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod api_files;
mod api_processes;
mod api_server;
mod api_stores;
mod cassandra;
#[path = "../common/mod.rs"]
mod common;
#[path = "../../api-server/tests/client/installed.rs"]
mod installed;
mod load_balancer;
mod minio;
mod search;
mod strangers;
#[path = "../../api-server/tests/store/suite.rs"]
mod suite;
mod together;
mod traffic;
mod turn;

use common::leaks;
use common::phases::Phases;
use common::world::World;

/// The services under test, which are the groups of the hosts, too.
const SERVICES: [&str; 7] = ["cassandra", "etcd", "load-balancer", "minio", "redis", "search", "turn"];
/// The units they run as.
const UNITS: [&str; 7] = [
    "cassandra.service",
    "etcd.service",
    "haproxy.service",
    "minio.service",
    "opensearch.service",
    "coturn.service",
    "redis-server.service",
];

#[test]
fn three_hosts_all_clusters_good_and_bad_days() {
    let mut phases = Phases::from_environment();
    let world = phases.essential("boot three hosts, write their site", || World::boot("data_layer", &SERVICES, &UNITS));
    phases.essential("prepare the artifacts", || world.prepare_artifacts());
    phases.essential("first apply", || drop(world.run(&["apply", "--yes"]).expect_code(0)));
    phases.essential("verify", || drop(world.run(&["verify"]).expect_code(0)));
    phases.run("second apply changes and restarts nothing", || world.expect_nothing_to_do());
    cassandra::phases(&mut phases, &world);
    minio::phases(&mut phases, &world);
    api_server::phases(&mut phases, &world);
    api_stores::phases(&mut phases, &world);
    api_files::phases(&mut phases, &world);
    api_processes::phases(&mut phases, &world);
    load_balancer::phases(&mut phases, &world);
    turn::phases(&mut phases, &world);
    search::phases(&mut phases, &world);
    together::phases(&mut phases, &world);
    phases.run("no secret leaked", || leaks::none(&world));
    phases.finish();
}
