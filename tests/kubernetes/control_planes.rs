//! Three control planes: workers become some, one dies, one loses its disk.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use wire_deploy::site::init::SITE_FILE;

use crate::checks;
use crate::common::phases::Phases;
use crate::common::world::{HOSTS, World, await_that};
use crate::place::{SETTINGS, set_groups};

pub fn phases(phases: &mut Phases, world: &World) {
    phases.run("control planes: three of them", || three(world));
    phases.run("control planes: a changed setting rolls", || rolled(world));
    phases.run("control planes: the one that all reach dies", || dies(world));
    phases.run("control planes: one that lost everything is restored by apply", || replaced(world));
}

fn api_servers(world: &World) -> usize {
    let pods = world.kubectl_json(&["get", "pods", "-n", "kube-system", "-l", "component=kube-apiserver"]);
    let ready = |pod: &serde_json::Value| pod["status"]["containerStatuses"][0]["ready"] == true;
    pods["items"].as_array().unwrap().iter().filter(|pod| ready(pod)).count()
}

/// While `work` goes on, the API is asked through the address that moves; how long it did not answer at the longest.
fn longest_gap(world: &World, work: impl FnOnce()) -> Duration {
    let endpoint = world.kubectl(&["config", "view", "-o", "jsonpath={.clusters[0].cluster.server}"]);
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let watch = scope.spawn(|| {
            let (mut longest, mut last) = (Duration::ZERO, Instant::now());
            while !over.load(Ordering::Relaxed) {
                let mut curl = world.sandbox().command("curl");
                let answer = curl.args(["-sk", "--max-time", "1", &format!("{endpoint}/readyz")]).output().unwrap();
                if answer.stdout == b"ok" {
                    longest = longest.max(last.elapsed());
                    last = Instant::now();
                }
                std::thread::sleep(Duration::from_millis(50));
            }
            longest.max(last.elapsed())
        });
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
        over.store(true, Ordering::Relaxed);
        let longest = watch.join().unwrap();
        done.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        longest
    })
}

fn three(world: &World) {
    set_groups(world, &HOSTS, &HOSTS);
    world.run(&["apply", "--yes"]).expect_code(0);
    await_that("every API server is ready", 60, || api_servers(world) == 3);
    world.expect_settled();
    world.expect_nothing_to_do();
}

fn rolled(world: &World) {
    world.set_services(&[&SETTINGS.replace('}', ", max_pods: 60}")]);
    // What control planes are told has no setting that is easily seen, so the site gets a template of its own.
    let folder = world.file("templates/hosts/kubernetes");
    fs::create_dir_all(&folder).unwrap();
    let told = include_str!("../../templates/hosts/kubernetes/kubeadm.yaml");
    let other =
        told.replace("unreachable-toleration-seconds, value: \"20\"", "unreachable-toleration-seconds, value: \"21\"");
    assert_ne!(told, other);
    fs::write(folder.join("kubeadm.yaml"), other).unwrap();
    let site = world.file(SITE_FILE);
    let text = fs::read_to_string(&site).unwrap();
    fs::write(&site, format!("templates: templates\n{text}")).unwrap();
    let gap = longest_gap(world, || drop(world.run(&["apply", "--yes"]).expect_code(0)));
    for host in HOSTS {
        let arguments = world.on(host, &["pgrep", "-a", "-x", "kube-apiserver"]);
        assert!(arguments.contains("unreachable-toleration-seconds=21"), "{host}: {arguments}");
    }
    assert!(gap < Duration::from_secs(15), "the API was away for {gap:?}");
    world.expect_nothing_to_do();
}

fn dies(world: &World) {
    checks::install(world);
    let holder = HOSTS.into_iter().find(|host| world.on(host, &["ip", "-4", "address"]).contains(".251/")).unwrap();
    let survivor = HOSTS.into_iter().find(|host| *host != holder).unwrap();
    let gap = longest_gap(world, || {
        world.sandbox().power_off(holder).unwrap();
        let elsewhere = || {
            let nodes = checks::pods(world, "app=web", "/spec/nodeName");
            let address = format!("{}:{}", world.address(survivor), checks::NODE_PORT);
            nodes.iter().filter(|node| *node != holder).count() >= 2 && checks::ask(world, &address).is_some()
        };
        await_that("the pods are elsewhere", 150, elsewhere);
    });
    eprintln!("    the API was away for {} ms", gap.as_millis());
    // Three seconds where nothing else keeps the machine busy.
    assert!(gap < Duration::from_secs(15), "the API was away for {gap:?}");
    world.run(&["status"]).expect_code(4);
    // A dead node is no time to restart another one.
    world.set_services(&[&SETTINGS.replace('}', ", max_pods: 61}")]);
    world.run(&["apply", "--yes"]).expect_code(4);
    world.set_services(&[&SETTINGS.replace('}', ", max_pods: 60}")]);
    world.sandbox().power_on(holder).unwrap();
    await_that("all is well", 120, || world.run(&["status"]).code == Some(0));
    world.expect_nothing_to_do();
}

fn replaced(world: &World) {
    world.sandbox().power_off("host2").unwrap();
    world.sandbox().replace_disk("host2").unwrap();
    world.sandbox().power_on("host2").unwrap();
    world.run(&["apply", "--yes"]).expect_code(0);
    await_that("every API server is ready", 60, || api_servers(world) == 3);
    world.expect_settled();
    world.expect_nothing_to_do();
}
