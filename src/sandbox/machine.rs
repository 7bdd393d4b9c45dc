//! A host's life: systemd-nspawn boots it, its control groups end it.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::fs::{FlockOperation, flock};

use super::{Host, Sandbox, cgroup, containers, disk, network};

/// A host may take this long to boot; a few seconds are usual.
const BOOT_LIMIT: Duration = Duration::from_secs(90);
const LOG: &str = "log";
const LOCK: &str = "lock";

/// A host that boots.
pub(super) struct Starting {
    host: Host,
    child: Child,
    since: Instant,
}

/// Switches a host on. Wait for it with [`Starting::wait`].
pub(super) fn power_on(sandbox: &Sandbox, host: &Host) -> Result<Starting> {
    if leader(sandbox, host).is_some() {
        bail!("{} is on already", host.name());
    }
    let groups = groups(sandbox, host);
    cgroup::create(&groups)?;
    let folder = sandbox.host_folder(host);
    let lock_path = folder.join(LOCK);
    let lock = File::create(&lock_path).with_context(|| format!("opening {}", lock_path.display()))?;
    flock(&lock, FlockOperation::LockExclusive)?;
    let log = File::create(folder.join(LOG)).with_context(|| format!("writing the log of {}", host.name()))?;
    // flock(1) waits for the lock, so that the process is in its control groups before it becomes systemd-nspawn.
    let child = Command::new("flock")
        .arg("--no-fork")
        .arg(&lock_path)
        .arg("setsid")
        .arg("nsenter")
        .arg(format!("--net={}", network::path(sandbox.state.number).display()))
        .arg("systemd-nspawn")
        .args(["--quiet", "--boot", "--register=no", "--keep-unit", "--console=pipe"])
        .args(["--resolv-conf=off", "--timezone=off", "--link-journal=no"])
        .arg(format!("--directory={}", disk::root(sandbox, host).display()))
        .arg(format!("--machine={}", sandbox.machine_name(host)))
        .arg(format!("--hostname={}", host.name()))
        .arg(format!("--network-bridge={}", network::BRIDGE))
        .arg(format!("--capability={}", containers::CAPABILITY))
        .args(host.options.capabilities.iter().map(|capability| format!("--capability={capability}")))
        .args(
            containers::FOLDERS
                .iter()
                .map(|path| format!("--bind={}:{path}", disk::plain_folder(sandbox, host, path).display())),
        )
        // Containers on the hosts need system calls that the filter refuses; of the kernel's settings hosts may change only
        // those of their own network.
        .env("SYSTEMD_SECCOMP", "0")
        .env("SYSTEMD_NSPAWN_API_VFS_WRITABLE", "network")
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
        .context("starting systemd-nspawn")?;
    cgroup::enter(&groups, child.id())?;
    drop(lock);
    Ok(Starting { host: host.clone(), child, since: Instant::now() })
}

impl Starting {
    /// Waits until users may log in.
    pub(super) fn wait(mut self, sandbox: &Sandbox) -> Result<()> {
        loop {
            if leader(sandbox, &self.host).is_some_and(|process| takes_logins(process, self.host.address)) {
                return Ok(());
            }
            let ended = self.child.try_wait().context("waiting for systemd-nspawn")?;
            if ended.is_some() || self.since.elapsed() > BOOT_LIMIT {
                let what = ended.map_or_else(
                    || format!("takes no logins after {} s", BOOT_LIMIT.as_secs()),
                    |status| format!("did not boot: systemd-nspawn ended ({status})"),
                );
                let log = fs::read_to_string(sandbox.host_folder(&self.host).join(LOG)).unwrap_or_default();
                let lines: Vec<&str> = log.lines().collect();
                bail!(
                    "{} {what}; its last words:\n{}",
                    self.host.name(),
                    lines[lines.len().saturating_sub(20)..].join("\n")
                );
            }
            thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Ends a host.
pub(super) fn power_off(sandbox: &Sandbox, host: &Host) -> Result<()> {
    cgroup::end(&groups(sandbox, host)).with_context(|| format!("switching {} off", host.name()))?;
    network::remove_port(sandbox.state.number, &sandbox.machine_name(host));
    Ok(())
}

/// A command that runs on a host, in its namespaces.
pub(super) fn command(sandbox: &Sandbox, host: &Host, program: &OsStr) -> Result<Command> {
    let Some(leader) = leader(sandbox, host) else { bail!("{} is off", host.name()) };
    let mut command = Command::new("nsenter");
    command
        .arg(format!("--target={leader}"))
        .args(["--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup", "--wdns=/", "--"])
        .arg(program)
        .env_clear()
        .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
        .env("HOME", "/root")
        .env("LANG", "C.UTF-8");
    Ok(command)
}

/// A host's first process, by this machine's number of it.
pub(super) fn leader(sandbox: &Sandbox, host: &Host) -> Option<i32> {
    cgroup::processes(&groups(sandbox, host)).into_iter().find(|process| {
        let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
        is_leader(&status)
    })
}

/// `NSpid:` lists a process's numbers from this machine's namespace inwards. The host's first process is number 1 one level
/// down; that of a container on the host is two levels down.
fn is_leader(status: &str) -> bool {
    let numbers = status.lines().find_map(|line| line.strip_prefix("NSpid:")).unwrap_or_default();
    matches!(numbers.split_whitespace().collect::<Vec<_>>()[..], [_, "1"])
}

fn groups(sandbox: &Sandbox, host: &Host) -> Vec<PathBuf> {
    cgroup::of_host(&sandbox.registration.cgroups, host.name())
}

/// Whether sshd listens, the address is set and the boot has come so far that users other than root are let in.
/// `/run/nologin` is there from before sshd starts until then.
fn takes_logins(leader: i32, address: Ipv4Addr) -> bool {
    let folder = PathBuf::from(format!("/proc/{leader}"));
    let read = |path: &str| fs::read_to_string(folder.join(path)).unwrap_or_default();
    listens(&read("net/tcp"), 22)
        && read("net/fib_trie").contains(&format!("-- {address}\n"))
        && !Path::exists(&folder.join("root/run/nologin"))
}

/// Whether a line of `/proc/net/tcp` is a socket in the state LISTEN (`0A`) on a port, which is written in hexadecimal.
fn listens(table: &str, port: u16) -> bool {
    let port = format!(":{port:04X}");
    table.lines().any(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        matches!(fields[..], [_, local, _, "0A", ..] if local.ends_with(&port))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_leader_is_number_one_one_level_down() {
        assert!(is_leader("Name:\tsystemd\nNSpid:\t4711\t1\n"));
        assert!(!is_leader("Name:\tsystemd\nNSpid:\t4711\n"));
        assert!(!is_leader("Name:\tpause\nNSpid:\t4711\t90\t1\n"));
        assert!(!is_leader(""));
    }

    #[test]
    fn a_listening_port_is_found() {
        let table = "  sl  local_address rem_address   st\n   0: 00000000:0016 00000000:0000 0A 00000000:00000000\n   \
                     1: 0BD50A0A:1F90 01D50A0A:0016 01 00000000:00000000\n";
        assert!(listens(table, 22));
        assert!(!listens(table, 8080));
        assert!(!listens(table, 80));
    }
}
