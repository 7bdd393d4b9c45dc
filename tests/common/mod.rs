//! What tests on real hosts share. Each uses a part of it.
#![allow(dead_code)]

pub mod leaks;
pub mod phases;
pub mod power;
pub mod world;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

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

/// The API server's program, built of this workspace beside this one's, once for all that start it.
pub fn wire_api() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let target = Path::new(env!("CARGO_BIN_EXE_wire-deploy")).parent().unwrap();
        let mut cargo = Command::new(env!("CARGO"));
        // Packages that look at what cargo tells a test of its own package would be compiled anew.
        for (name, _) in std::env::vars_os() {
            let told = ["CARGO_PKG_", "CARGO_MANIFEST_", "OUT_DIR"];
            if name.to_str().is_some_and(|name| told.iter().any(|told| name.starts_with(told))) {
                cargo.env_remove(name);
            }
        }
        // With the features that a test of the whole workspace has, so that nothing is compiled twice.
        cargo.args(["test", "--quiet", "--locked", "--workspace", "--no-run", "--test", "api", "--target-dir"]);
        assert!(
            cargo.arg(target.parent().unwrap()).current_dir(env!("CARGO_MANIFEST_DIR")).status().unwrap().success()
        );
        target.join("wire-api")
    })
}

/// The folder of a test's sandbox.
pub fn folder(test: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("sandboxes").join(test)
}
