//! A sandbox's network: a namespace with one bridge, on which every host has a port. It leads nowhere else.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};

use super::process::{run, run_with_input};

/// Name of the bridge inside the namespace.
pub(super) const BRIDGE: &str = "hosts";
/// The last host's index: 240 hosts, .11 to .250.
const LAST_INDEX: u8 = 239;

/// The bridge's own address, from which this machine's programs reach the hosts.
pub(super) fn bridge_address(number: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 213, number, 1)
}

/// A host's address.
pub(super) fn host_address(number: u8, index: u8) -> Result<Ipv4Addr> {
    if index > LAST_INDEX {
        bail!("a sandbox has room for {} hosts", u16::from(LAST_INDEX) + 1);
    }
    Ok(Ipv4Addr::new(10, 213, number, 11 + index))
}

/// An address that is no host's.
pub(super) fn free_address(number: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 213, number, 12 + LAST_INDEX)
}

fn name(number: u8) -> String {
    format!("wire-deploy-sandbox-{number}")
}

/// The namespace's file.
pub(super) fn path(number: u8) -> PathBuf {
    Path::new("/run/netns").join(name(number))
}

/// Makes the namespace and its bridge.
pub(super) fn create(number: u8) -> Result<()> {
    run(Command::new("ip").args(["netns", "add", &name(number)]))?;
    let address = bridge_address(number);
    let steps = format!(
        "link set lo up\nlink add {BRIDGE} type bridge\naddress add {address}/24 dev {BRIDGE}\nlink set {BRIDGE} up\n"
    );
    run_with_input(Command::new("ip").args(["-netns", &name(number), "-batch", "-"]), &steps)
}

/// Removes the namespace, with all that is in it, if it exists.
pub(super) fn delete(number: u8) -> Result<()> {
    if path(number).exists() {
        run(Command::new("ip").args(["netns", "delete", &name(number)]))?;
    }
    Ok(())
}

/// Takes a machine's port off the bridge.
pub(super) fn unplug(number: u8, machine: &str) -> Result<()> {
    run(Command::new("ip").args(["-netns", &name(number), "link", "set", &port(machine), "nomaster"]))
}

/// Puts a machine's port on the bridge.
pub(super) fn plug(number: u8, machine: &str) -> Result<()> {
    run(Command::new("ip").args(["-netns", &name(number), "link", "set", &port(machine), "master", BRIDGE]))
}

/// Removes a machine's port. Left to itself the kernel does it some time after the machine's end, and until then the machine
/// cannot start again.
pub(super) fn remove_port(number: u8, machine: &str) {
    // It may be gone already.
    let _ = run(Command::new("ip").args(["-netns", &name(number), "link", "delete", &port(machine)]));
}

/// systemd-nspawn's name for the bridge's end of a machine's link.
fn port(machine: &str) -> String {
    format!("vb-{machine}")
}
