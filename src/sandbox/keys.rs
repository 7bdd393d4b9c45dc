//! SSH keys: one pair that opens every host of a sandbox, the hosts' own, and the file that knows those.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use super::process::run;
use super::{Sandbox, disk};

pub(super) const PRIVATE_KEY: &str = "ssh_key";
pub(super) const KNOWN_HOSTS: &str = "known_hosts";
const HOST_KEY_TYPES: [&str; 2] = ["ecdsa", "ed25519"];

/// Makes the pair that opens every host.
pub(super) fn create_key_pair(folder: &Path) -> Result<()> {
    generate("ed25519", "wire-deploy sandbox", &folder.join(PRIVATE_KEY))
}

/// The text for the hosts' `authorized_keys`.
pub(super) fn public_key(folder: &Path) -> Result<String> {
    let path = folder.join(PRIVATE_KEY).with_extension("pub");
    fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))
}

/// Makes the host keys of a host whose root is given.
pub(super) fn create_host_keys(root: &Path) -> Result<()> {
    for kind in HOST_KEY_TYPES {
        generate(kind, "", &root.join(format!("etc/ssh/ssh_host_{kind}_key")))?;
    }
    Ok(())
}

fn generate(kind: &str, comment: &str, path: &Path) -> Result<()> {
    run(Command::new("ssh-keygen").args(["-q", "-t", kind, "-N", "", "-C", comment, "-f"]).arg(path))
}

/// Writes the file of known hosts from the keys on the hosts' disks, by name and by address.
pub(super) fn write_known_hosts(sandbox: &Sandbox) -> Result<()> {
    let mut text = String::new();
    for host in sandbox.hosts() {
        for kind in HOST_KEY_TYPES {
            let path = disk::root(sandbox, host).join(format!("etc/ssh/ssh_host_{kind}_key.pub"));
            let key = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
            writeln!(text, "{},{} {}", host.name(), host.address, key.trim_end())?;
        }
    }
    let path = sandbox.known_hosts_file();
    fs::write(&path, text).with_context(|| format!("writing {}", path.display()))
}

/// A password for sudo: 128 random bits.
pub(super) fn password() -> Result<String> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).context("reading random bytes")?;
    Ok(hex::encode(bytes))
}
