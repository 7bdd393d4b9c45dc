//! What tests on real hosts share. Each uses a part of it.
#![allow(dead_code)]

pub mod phases;
pub mod world;

use std::path::PathBuf;

use wire_deploy::sandbox::{HostOptions, Lifetime, Options, Sandbox};

/// Hosts of a test's own, gone when it ends: by this guard when it returns or panics, by the next one if it is killed.
pub struct Hosts {
    folder: PathBuf,
    pub sandbox: Sandbox,
}

impl Hosts {
    /// Boots plain hosts of these names. The test's name tells its folder from other tests'.
    pub fn boot(test: &str, names: &[&str]) -> Self {
        let folder = folder(test);
        let hosts = names.iter().map(|name| HostOptions::named(name)).collect();
        let sandbox = Sandbox::up(&Options {
            folder: folder.clone(),
            hosts,
            packages: Vec::new(),
            lifetime: Lifetime::ThisProcess,
        })
        .unwrap();
        Self { folder, sandbox }
    }
}

impl Drop for Hosts {
    fn drop(&mut self) {
        if let Err(error) = Sandbox::down(&self.folder) {
            // A second panic would hide the first.
            eprintln!("taking the sandbox down: {error:#}");
        }
    }
}

/// The folder of a test's sandbox.
pub fn folder(test: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("sandboxes").join(test)
}
