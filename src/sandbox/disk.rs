//! A host's disk: an overlay of its own on the shared root filesystem, with its name, address, users' keys and host keys.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, chown};
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use super::process::{run, run_with_input};
use super::{Host, Sandbox, containers, kernel, keys, mounts, network};

/// A user whose sudo asks for [`Sandbox::sudo_password`].
pub const PASSWORD_USER: &str = "administrator";
/// A user whose sudo asks for nothing.
pub const PASSWORDLESS_USER: &str = "deployer";

/// Where a host's disk is mounted on this machine.
pub(super) fn root(sandbox: &Sandbox, host: &Host) -> PathBuf {
    sandbox.host_folder(host).join("root")
}

/// The folder of this machine that a plain folder of a host is.
pub(super) fn plain_folder(sandbox: &Sandbox, host: &Host, path: &str) -> PathBuf {
    sandbox.host_folder(host).join("folders").join(path.trim_matches('/').replace('/', "-"))
}

/// Makes a host's disk and mounts it.
pub(super) fn create(sandbox: &Sandbox, host: &Host) -> Result<()> {
    make(sandbox, host).with_context(|| format!("making the disk of {}", host.name()))
}

/// Unmounts a host's disk and removes all that was on it.
pub(super) fn discard(sandbox: &Sandbox, host: &Host) -> Result<()> {
    let folder = sandbox.host_folder(host);
    mounts::unmount_below(&folder)?;
    fs::remove_dir_all(&folder).with_context(|| format!("removing the disk of {}", host.name()))
}

fn make(sandbox: &Sandbox, host: &Host) -> Result<()> {
    let folder = sandbox.host_folder(host);
    let root = root(sandbox, host);
    for name in ["upper", "work", "root"] {
        fs::create_dir_all(folder.join(name))?;
    }
    for path in containers::FOLDERS {
        fs::create_dir_all(plain_folder(sandbox, host, path))?;
    }
    let layers = format!(
        "lowerdir={},upperdir={},workdir={}",
        sandbox.state.root.display(),
        folder.join("upper").display(),
        folder.join("work").display()
    );
    run(Command::new("mount").args(["-t", "overlay", "overlay", "-o", &layers]).arg(&root))?;
    fs::write(root.join("etc/hostname"), format!("{}\n", host.name()))?;
    fs::write(root.join("etc/hosts"), hosts_file(sandbox.hosts())?)?;
    let gateway = network::bridge_address(sandbox.state.number);
    fs::write(
        root.join("etc/systemd/network/10-host0.network"),
        format!("[Match]\nName=host0\n\n[Network]\nAddress={}/24\nGateway={gateway}\n", host.address),
    )?;
    kernel::install(&sandbox.folder, &root)?;
    containers::install(&root)?;
    keys::create_host_keys(&root)?;
    let public_key = keys::public_key(&sandbox.folder)?;
    for home in ["root".to_owned(), format!("home/{PASSWORD_USER}"), format!("home/{PASSWORDLESS_USER}")] {
        let home = root.join(home);
        let owner = fs::metadata(&home).with_context(|| format!("looking at {}", home.display()))?;
        let folder = home.join(".ssh");
        let file = folder.join("authorized_keys");
        fs::DirBuilder::new().mode(0o700).recursive(true).create(&folder)?;
        fs::write(&file, &public_key)?;
        for path in [&folder, &file] {
            chown(path, Some(owner.uid()), Some(owner.gid()))?;
        }
    }
    let password = format!("{PASSWORD_USER}:{}\n", sandbox.sudo_password());
    run_with_input(Command::new("chroot").arg(&root).arg("chpasswd"), &password)
}

fn hosts_file(hosts: &[Host]) -> Result<String> {
    let mut text = "127.0.0.1 localhost\n::1 localhost\n".to_owned();
    for host in hosts {
        writeln!(text, "{} {}", host.address, host.name())?;
    }
    Ok(text)
}
