//! The published Wire client against the API server on the site's own clusters.

use std::fs::File;
use std::path::Path;
use std::process::Stdio;

use crate::common::wire_api;
use crate::common::world::{World, await_that};
use crate::installed;

const ADDRESS: &str = "127.0.0.1:8090";
/// The newest version that is served.
const VERSION: &str = "15";

pub fn lives_its_life(world: &World, configuration: &Path) {
    let client = installed::client(&Path::new(env!("CARGO_MANIFEST_DIR")).join("api-server/tests/client"));
    let log = File::create(world.file("wire-api.log")).unwrap();
    let mut command = world.sandbox().command(wire_api());
    command.args(["--store", "cassandra", "--listen", ADDRESS, "--config"]).arg(configuration);
    let mut server = command.stdin(Stdio::null()).stdout(log).spawn().unwrap();
    let url = format!("http://{ADDRESS}");
    let answers = || {
        let asked =
            world.sandbox().command("curl").args(["--silent", "--fail", &format!("{url}/api-version")]).output();
        asked.unwrap().status.success()
    };
    await_that("the API server listens", 30, answers);
    let mut node = world.sandbox().command("node");
    let lived = node.args(["--no-warnings", "main.js", &url, VERSION]).current_dir(client).status();
    server.kill().unwrap();
    server.wait().unwrap();
    assert!(lived.unwrap().success(), "the client fails; the server's log is {}", world.file("wire-api.log").display());
}
