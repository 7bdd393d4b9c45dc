//! The API server as a program, with everything that it keeps in the site's own clusters.

mod configuration;
mod killed;
mod published_client;

use std::path::Path;

use crate::common::phases::Phases;
use crate::common::wire_api;
use crate::common::world::World;

pub fn phases(phases: &mut Phases, world: &World) {
    phases.run("api server: the published client, with everything in clusters", || {
        published_client::lives_its_life(world, &configuration(world));
    });
    phases.run("api server: two processes of each service, one killed every now and then", || {
        killed::loses_nothing(world, &configuration(world));
    });
}

/// The configuration, with the tables made.
fn configuration(world: &World) -> std::path::PathBuf {
    let configuration = configuration::write(world);
    migrate(world, &configuration);
    configuration
}

fn migrate(world: &World, configuration: &Path) {
    let mut command = world.sandbox().command(wire_api());
    let output = command.args(["migrate", "--config"]).arg(configuration).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}
