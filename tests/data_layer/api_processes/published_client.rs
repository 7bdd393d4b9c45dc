//! The published Wire client against the API server on the site's own clusters.

use std::path::Path;

use super::Process;
use crate::common::world::World;
use crate::installed;

/// The newest version that is served.
const VERSION: &str = "15";

pub fn lives_its_life(world: &World, configuration: &Path) {
    let client = installed::client(&Path::new(env!("CARGO_MANIFEST_DIR")).join("api-server/tests/client"));
    let server = Process::start(world, configuration);
    let url = format!("http://{}", server.address);
    let mut node = world.sandbox().command("node");
    installed::run(node.args(["--no-warnings", "main.js", &url, VERSION]).current_dir(client));
}
