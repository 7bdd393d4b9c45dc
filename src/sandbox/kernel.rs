//! What services on the hosts want of the kernel. It is this machine's, so a host cannot change it.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::process::run;

/// Areas of memory that a process may map. Raised for search, never lowered: others may count on it.
const MAPS: (&str, u64) = ("/proc/sys/vm/max_map_count", 262_144);
/// Files that a process of a real host may have open.
const OPEN_FILES: u64 = 65_536;
/// What [`OPEN_FILES`] is pretended with where it cannot be had.
const PRETENCE: &str = include_str!("limits.c");
/// Where hosts have it.
const LIBRARY: &str = "usr/local/lib/sandbox/limits.so";
/// What all units of a host take in.
const DROP_IN: &str = "etc/systemd/system/service.d/sandbox.conf";

/// Raises what this machine has too little of, as far as it may.
pub(super) fn prepare(folder: &Path) -> Result<()> {
    let (path, wanted) = MAPS;
    let text = fs::read_to_string(path).with_context(|| format!("reading {path}"))?;
    if text.trim().parse::<u64>().is_ok_and(|found| found < wanted) {
        fs::write(path, wanted.to_string()).with_context(|| format!("writing {path}"))?;
    }
    if can_open_enough() {
        return Ok(());
    }
    let source = folder.join("limits.c");
    fs::write(&source, PRETENCE).with_context(|| format!("writing {}", source.display()))?;
    run(Command::new("cc").args(["-O2", "-fPIC", "-shared", "-o"]).arg(folder.join("limits.so")).arg(&source))
        .context("compiling what tells services a limit of open files that this machine cannot give them")
}

/// Puts the pretence on a host's disk, if there is one.
pub(super) fn install(folder: &Path, root: &Path) -> Result<()> {
    let made = folder.join("limits.so");
    if !made.exists() {
        return Ok(());
    }
    for path in [LIBRARY, DROP_IN] {
        root.join(path).parent().map_or(Ok(()), fs::create_dir_all)?;
    }
    fs::copy(made, root.join(LIBRARY))?;
    fs::write(root.join(DROP_IN), format!("[Service]\nEnvironment=LD_PRELOAD=/{LIBRARY}\n"))?;
    Ok(())
}

/// Whether a process of this machine may have enough files open, or may allow itself to.
fn can_open_enough() -> bool {
    let limit = getrlimit(Resource::Nofile);
    let enough = |maximum: Option<u64>| maximum.is_none_or(|maximum| maximum >= OPEN_FILES);
    enough(limit.maximum) || setrlimit(Resource::Nofile, Rlimit { maximum: Some(OPEN_FILES), ..limit }).is_ok()
}
