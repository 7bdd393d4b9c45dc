//! The API server as a program, with everything that it keeps in the site's own clusters.

pub mod configuration;
mod killed;
mod one_backend;
mod published_client;

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use crate::common::phases::Phases;
use crate::common::wire_api;
use crate::common::world::{World, await_that};

pub fn phases(phases: &mut Phases, world: &World) {
    phases.run("api server: two processes are one backend, and the directory is made anew", || {
        one_backend::whichever_is_asked(world, &configuration(world));
    });
    phases.run("api server: the published client", || published_client::lives_its_life(world, &configuration(world)));
    phases.run("api server: two processes of each service, one killed every now and then", || {
        killed::loses_nothing(world, &configuration(world));
    });
}

/// The configuration, with the tables made.
fn configuration(world: &World) -> PathBuf {
    let configuration = configuration::write(world);
    task(world, "migrate", &configuration);
    configuration
}

/// Has the program do something else than serving.
fn task(world: &World, name: &str, configuration: &Path) {
    let mut command = world.sandbox().command(wire_api());
    let output = command.args([name, "--config"]).arg(configuration).output().unwrap();
    assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stdout));
}

/// A process with all services inside the sandbox's network, until dropped.
struct Process {
    child: Child,
    address: String,
}

impl Process {
    fn start(world: &World, configuration: &Path) -> Self {
        let mut command = world.sandbox().command(wire_api());
        command.args(["--store", "cassandra", "--listen", "127.0.0.1:0", "--internal-listen", "127.0.0.1:0"]);
        command.arg("--config").arg(configuration);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut listening = || {
            let found = lines.find_map(|line| {
                let line: serde_json::Value = serde_json::from_str(&line.unwrap()).unwrap();
                (line["message"] == "listening").then(|| line["address"].as_str().unwrap().to_owned())
            });
            found.unwrap()
        };
        let (address, probes) = (listening(), listening());
        // What it says further must not fill the pipe.
        std::thread::spawn(move || lines.for_each(drop));
        // It listens at once, and is of use when it has reached its stores.
        await_that("wire-api is ready", 60, || {
            let mut status = world.sandbox().command("curl");
            status.args(["--silent", "--fail", &format!("http://{probes}/i/status")]);
            status.output().unwrap().status.success()
        });
        Self { child, address }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
