//! Kubernetes' API as workloads meet it: a real etcd, API server and controllers on this machine, with a node that pretends.
//!
//! `PHASES=prune,quota` runs only the phases with such words in their names, besides those that nothing works without.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::needless_pass_by_value, missing_docs)]

mod changes;
mod members;
mod nodes;
mod obstacles;
mod owners;
#[path = "../common/phases.rs"]
mod phases;
mod roll_outs;
mod server;
mod site;
mod ways;

use std::sync::Arc;

use phases::Phases;
use server::Server;
use tokio::runtime::Runtime;

#[test]
fn workloads_on_a_bare_api_server() {
    let mut phases = Phases::from_environment();
    let runtime = Runtime::new().unwrap();
    let server =
        Arc::new(phases.essential("start etcd, the API server and controllers", || runtime.block_on(Server::start())));
    let nodes = runtime.spawn(nodes::run(Arc::clone(&server)));
    let api = runtime.block_on(server.api("admin"));
    let away = runtime.spawn(ways::nobody_listens(Arc::clone(&server)));
    macro_rules! phase {
        ($name:literal, $case:path) => {
            phases.run($name, || runtime.block_on($case(&server, &api)));
        };
    }
    phase!("a first apply, and a second one that only lists", changes::first_and_second);
    phase!("an edit by hand is found and put right", changes::edit_by_hand);
    phase!("a field and an object that left the templates", changes::left_the_templates);
    phase!("secrets are masked", changes::masked);
    phase!("what cannot be changed is explained, and replaced when allowed", changes::immutable);
    phase!("a run killed in the middle", changes::killed);
    phase!("another manager's field", owners::conflict);
    phase!("another site's objects", owners::foreign);
    phase!("what holds data or is another's is not pruned", owners::kept);
    phase!("a removed workload", owners::removed_workload);
    phase!("a missing right", obstacles::forbidden);
    phase!("rights to wait and to delete", obstacles::watching_and_deleting);
    phase!("a namespace that others made", obstacles::unclaimed_namespace);
    phase!("a quota and a policy", obstacles::refused);
    phase!("a kind that is not there", obstacles::unknown_kind);
    phase!("a namespace that is being deleted", obstacles::terminating);
    phase!("a crash loop", roll_outs::crash_loop);
    phase!("an image that is missing, and the way back", roll_outs::way_back);
    phase!("a way back with stones in it", roll_outs::hard_way_back);
    phase!("pods that do not get on", roll_outs::stuck);
    phase!("a quota for pods", roll_outs::pods_quota);
    phase!("jobs come first, fail with their last lines, and are started again", roll_outs::jobs);
    phase!("every kind that runs", roll_outs::every_kind);
    phase!("labels of nodes, and whose nodes they are", members::labels);
    phase!("nodes that are changed over connections that break", members::broken_off);
    phase!("nodes that are emptied, by us and by the operator, and removed", members::emptied);
    phase!("kubeconfigs that cannot be used", ways::bad_kubeconfigs);
    phase!("over streams that hosts open", ways::over_hosts);
    phase!("an API server that is slow", ways::slow);
    phases.run("an API server that is away", || runtime.block_on(away).unwrap());
    nodes.abort();
    // The server ends with the last one who holds it, and what it runs with it.
    assert!(runtime.block_on(nodes).unwrap_err().is_cancelled(), "the node that pretends has failed");
    phases.finish();
}
