//! The root filesystem that every host's disk is layered over: made once, kept in the cache, never changed afterwards.

use std::env;
use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use rustix::fs::{FlockOperation, flock};
use sha2::{Digest as _, Sha256};

use super::disk::{PASSWORD_USER, PASSWORDLESS_USER};
use super::process::run;

/// What a provider's bare Debian has, no more: sshd, sudo and no Python.
const PACKAGES: &[&str] =
    &["ca-certificates", "dbus", "iproute2", "openssh-server", "procps", "sudo", "systemd", "systemd-sysv"];
const RELEASE: &str = "bookworm";
/// Changes when what is done to the packages' files below changes.
const EDITION: u32 = 1;
/// Units that only cost time on a host without hardware and internet.
const MASKED: [&str; 4] = ["apt-daily-upgrade.timer", "apt-daily.timer", "console-getty.service", "e2scrub_all.timer"];

/// The root filesystem's folder; announces and makes it if it is not in the cache.
/// It has `further` packages beside a bare Debian's.
pub(super) fn ensure(further: &[String], announce: impl FnOnce()) -> Result<PathBuf> {
    let cache = cache()?;
    let packages: Vec<&str> = PACKAGES.iter().copied().chain(further.iter().map(String::as_str)).collect();
    let key = hex::encode(Sha256::digest(format!("{EDITION} {RELEASE} {}", packages.join(" "))));
    let root = cache.join(&key[..16]);
    if root.is_dir() {
        return Ok(root);
    }
    fs::create_dir_all(&cache).with_context(|| format!("making {}", cache.display()))?;
    let lock = File::create(cache.join("lock")).context("opening the cache's lock")?;
    flock(&lock, FlockOperation::LockExclusive).context("locking the cache")?;
    if root.is_dir() {
        return Ok(root);
    }
    announce();
    clear_leftovers(&cache)?;
    let unfinished = tempfile::Builder::new().prefix(UNFINISHED).tempdir_in(&cache).context("making a folder")?;
    make(unfinished.path(), &packages).context("making the hosts' root filesystem")?;
    fs::rename(unfinished.path(), &root).with_context(|| format!("making {}", root.display()))?;
    Ok(root)
}

const UNFINISHED: &str = "unfinished-";

/// `$XDG_CACHE_HOME/wire-deploy/roots`.
fn cache() -> Result<PathBuf> {
    let base = match env::var_os("XDG_CACHE_HOME").filter(|path| !path.is_empty()) {
        Some(path) => PathBuf::from(path),
        None => PathBuf::from(env::var_os("HOME").context("neither XDG_CACHE_HOME nor HOME is set")?).join(".cache"),
    };
    Ok(base.join("wire-deploy/roots"))
}

/// Removes what killed runs left; only the holder of the lock makes such folders.
fn clear_leftovers(cache: &Path) -> Result<()> {
    for entry in fs::read_dir(cache).with_context(|| format!("reading {}", cache.display()))? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(UNFINISHED) {
            fs::remove_dir_all(entry.path()).with_context(|| format!("removing {}", entry.path().display()))?;
        }
    }
    Ok(())
}

fn make(root: &Path, packages: &[&str]) -> Result<()> {
    fs::set_permissions(root, fs::Permissions::from_mode(0o755))?;
    run(Command::new("mmdebstrap")
        .args(["--quiet", "--mode=root", "--variant=minbase"])
        .arg(format!("--include={}", packages.join(",")))
        .arg(RELEASE)
        .arg(root))?;
    for entry in fs::read_dir(root.join("etc/ssh"))? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with("ssh_host_") {
            fs::remove_file(entry.path())?;
        }
    }
    // Empty: each host makes its own at its first boot.
    fs::write(root.join("etc/machine-id"), "")?;
    fs::write(root.join("etc/resolv.conf"), "# Hosts of a sandbox have no name server.\n")?;
    let units = root.join("etc/systemd/system");
    for unit in MASKED {
        symlink("/dev/null", units.join(unit))?;
    }
    symlink(
        "/lib/systemd/system/systemd-networkd.service",
        units.join("multi-user.target.wants/systemd-networkd.service"),
    )?;
    for user in [PASSWORD_USER, PASSWORDLESS_USER] {
        chroot(root, &["useradd", "--create-home", "--shell", "/bin/bash", user])?;
    }
    chroot(root, &["usermod", "--append", "--groups", "sudo", PASSWORD_USER])?;
    let rule = root.join("etc/sudoers.d").join(PASSWORDLESS_USER);
    fs::write(&rule, format!("{PASSWORDLESS_USER} ALL=(ALL:ALL) NOPASSWD: ALL\n"))?;
    fs::set_permissions(&rule, fs::Permissions::from_mode(0o440))?;
    Ok(())
}

fn chroot(root: &Path, arguments: &[&str]) -> Result<()> {
    run(Command::new("chroot").arg(root).args(arguments))
}
