//! Throw-away real hosts on this machine: Debian with systemd and sshd, in a network namespace of their own.
//!
//! A sandbox has a number of its own, from which the names of everything it makes derive, so several live side by side:
//! the namespace `wire-deploy-sandbox-N`, control groups of the same name, addresses 10.213.N.11 and up. Hosts reach each
//! other and nothing else; what works with them is run inside the namespace with [`Sandbox::command`].
//!
//! What the kernel holds (processes, mounts, namespace, control groups) is registered under `/run`, which like it does not
//! outlive a reboot; what belongs to the sandbox's files is in its folder, which [`Sandbox::down`] removes with the rest.

mod cgroup;
mod containers;
mod disk;
mod kernel;
mod keys;
mod machine;
mod mounts;
mod network;
pub mod prerequisites;
mod process;
mod registry;
mod root;
pub mod site;

use std::ffi::OsStr;
use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use registry::Registration;

pub use disk::{PASSWORD_USER, PASSWORDLESS_USER};

/// What to boot.
#[derive(Debug, Clone)]
pub struct Options {
    /// The folder that is the sandbox's alone: made by `up`, removed by `down`.
    pub folder: PathBuf,
    /// The hosts.
    pub hosts: Vec<HostOptions>,
    /// Packages that they have beyond those of a bare Debian.
    pub packages: Vec<String>,
    /// How long they live.
    pub lifetime: Lifetime,
}

/// How long a sandbox lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lifetime {
    /// Until [`Sandbox::down`].
    UntilDown,
    /// At most as long as this process: if it dies, the next `up` of anybody clears what it left.
    ThisProcess,
}

/// One host to boot.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct HostOptions {
    /// Its host name.
    pub name: String,
    /// Capabilities beyond those that systemd-nspawn leaves, as `CAP_IPC_LOCK`.
    pub capabilities: Vec<String>,
}

impl HostOptions {
    /// A plain host.
    #[must_use]
    pub fn named(name: &str) -> Self {
        Self { name: name.to_owned(), capabilities: Vec::new() }
    }
}

/// One host.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Host {
    /// What it was made from.
    #[serde(flatten)]
    pub options: HostOptions,
    /// Its address inside the namespace.
    pub address: Ipv4Addr,
}

impl Host {
    /// Its host name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.options.name
    }
}

/// What a later process needs to know, kept in the sandbox's folder.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct State {
    number: u8,
    hosts: Vec<Host>,
    sudo_password: String,
    /// The root file system below all disks.
    root: PathBuf,
}

/// Hosts that run.
#[derive(Debug)]
pub struct Sandbox {
    folder: PathBuf,
    state: State,
    registration: Registration,
}

const STATE: &str = "state.json";

impl Sandbox {
    /// Makes what all sandboxes share, unless an earlier one has; that takes a minute or two, so it is announced.
    ///
    /// # Errors
    /// When a program that this needs is missing, or packages cannot be had.
    pub fn prepare(announce: impl FnOnce()) -> Result<()> {
        prerequisites::check()?;
        root::ensure(&[], announce)?;
        Ok(())
    }

    /// Boots hosts and returns once each lets its users log in. First takes down what dead processes left behind.
    ///
    /// # Errors
    /// When a program that this needs is missing, a sandbox already lives in the folder, or a host does not come up; then
    /// nothing is left behind.
    pub fn up(options: &Options) -> Result<Self> {
        prerequisites::check()?;
        let root = root::ensure(&options.packages, || ())?;
        let registration = Registration::create(&options.folder)?;
        match Self::boot(options, &root, registration.clone()) {
            Ok(sandbox) => Ok(sandbox),
            Err(error) => {
                take_down(&registration).context("taking down the half-made sandbox")?;
                Err(error)
            }
        }
    }

    fn boot(options: &Options, root: &Path, mut registration: Registration) -> Result<Self> {
        let folder = registration.folder.clone();
        let number = registration.number;
        let mut hosts = Vec::new();
        for (index, host) in (0u8..).zip(&options.hosts) {
            hosts.push(Host { options: host.clone(), address: network::host_address(number, index)? });
        }
        fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
        let state = State { number, hosts, sudo_password: keys::password()?, root: root.to_owned() };
        kernel::prepare(&folder)?;
        keys::create_key_pair(&folder)?;
        fs::write(folder.join(STATE), serde_json::to_vec_pretty(&state)?)?;
        network::create(number)?;
        cgroup::create(&registration.cgroups)?;
        let sandbox = Self { folder, state, registration: registration.clone() };
        for host in &sandbox.state.hosts {
            disk::create(&sandbox, host)?;
        }
        keys::write_known_hosts(&sandbox)?;
        sandbox.start(&sandbox.state.hosts.iter().collect::<Vec<_>>())?;
        if options.lifetime == Lifetime::UntilDown {
            registration.keep()?;
        }
        Ok(Self { registration, ..sandbox })
    }

    /// The sandbox that lives in a folder.
    ///
    /// # Errors
    /// When none does.
    pub fn open(folder: &Path) -> Result<Self> {
        let Some(registration) = Registration::of(folder)? else {
            bail!("no sandbox is up in {}; boot one with `wire-deploy sandbox up`", folder.display());
        };
        let path = registration.folder.join(STATE);
        let text = fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
        let state = serde_json::from_slice(&text).with_context(|| format!("reading {}", path.display()))?;
        Ok(Self { folder: registration.folder.clone(), state, registration })
    }

    /// Ends the sandbox in a folder, whole or half-made: processes, mounts, namespace, control groups and the folder itself.
    /// Does nothing if there is none.
    ///
    /// # Errors
    /// When something cannot be removed; trying again goes on from there.
    pub fn down(folder: &Path) -> Result<()> {
        match Registration::of(folder)? {
            Some(registration) => take_down(&registration),
            // After a reboot only the files are left.
            None if folder.join(STATE).exists() => remove_folder(folder),
            None => Ok(()),
        }
    }

    /// Ends the sandboxes of processes that died without ending them.
    ///
    /// # Errors
    /// As [`Self::down`].
    pub fn clear_leftovers() -> Result<()> {
        registry::clear_leftovers()
    }

    /// Its hosts.
    #[must_use]
    pub fn hosts(&self) -> &[Host] {
        &self.state.hosts
    }

    /// The host of that name.
    ///
    /// # Errors
    /// When there is none.
    pub fn host(&self, name: &str) -> Result<&Host> {
        self.state.hosts.iter().find(|host| host.name() == name).with_context(|| {
            let names: Vec<&str> = self.state.hosts.iter().map(Host::name).collect();
            format!("the sandbox has no host {name:?}; its hosts are {}", names.join(", "))
        })
    }

    /// An address of their network that no host has.
    #[must_use]
    pub fn free_address(&self) -> Ipv4Addr {
        network::free_address(self.state.number)
    }

    /// The private key that opens every host for root and both other users.
    #[must_use]
    pub fn key_file(&self) -> PathBuf {
        self.folder.join(keys::PRIVATE_KEY)
    }

    /// The hosts' real host keys.
    #[must_use]
    pub fn known_hosts_file(&self) -> PathBuf {
        self.folder.join(keys::KNOWN_HOSTS)
    }

    /// What sudo asks [`PASSWORD_USER`] for.
    #[must_use]
    pub fn sudo_password(&self) -> &str {
        &self.state.sudo_password
    }

    /// A program of this machine, to be run inside the sandbox's network.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net={}", network::path(self.state.number).display())).arg("--").arg(program);
        command
    }

    /// An SSH client's command that logs into a host as root; a remote command may be appended.
    ///
    /// # Errors
    /// When there is no such host.
    pub fn ssh(&self, host: &str) -> Result<Command> {
        let host = self.host(host)?;
        let mut command = self.command("ssh");
        command
            .arg("-i")
            .arg(self.key_file())
            .arg("-o")
            .arg(format!("UserKnownHostsFile={}", self.known_hosts_file().display()));
        command.args(["-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes", "-o", "LogLevel=ERROR", "-F", "none"]);
        command.arg(format!("root@{}", host.address));
        Ok(command)
    }

    /// A program of a host, to be run there as root by other means than its network and sshd.
    ///
    /// # Errors
    /// When the host is off or unknown.
    pub fn host_command(&self, host: &str, program: impl AsRef<OsStr>) -> Result<Command> {
        machine::command(self, self.host(host)?, program.as_ref())
    }

    /// Runs a program on a host and returns what it said, whatever its exit code.
    ///
    /// # Errors
    /// When the host is off or unknown, or the program cannot be started.
    pub fn exec(&self, host: &str, arguments: &[&str]) -> Result<Output> {
        let [program, arguments @ ..] = arguments else { bail!("expected a program to run on {host}") };
        let mut command = self.host_command(host, program)?;
        command.args(arguments).output().with_context(|| format!("running {program} on {host}"))
    }

    /// Cuts a host's power: every process there ends at once. Its disk stays.
    ///
    /// # Errors
    /// When a process does not end.
    pub fn power_off(&self, host: &str) -> Result<()> {
        machine::power_off(self, self.host(host)?)
    }

    /// Boots a host that is off and waits for it. A cut network is mended by that.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn power_on(&self, host: &str) -> Result<()> {
        self.start(&[self.host(host)?])
    }

    /// Boots the hosts that are off.
    ///
    /// # Errors
    /// When one does not come up.
    pub fn power_on_all(&self) -> Result<()> {
        let off: Vec<&Host> = self.hosts().iter().filter(|host| machine::leader(self, host).is_none()).collect();
        self.start(&off)
    }

    /// Puts an empty disk into a host that is off, as a new machine at its place would have: with the same name and address,
    /// and host keys of its own, which the file of known hosts follows.
    ///
    /// # Errors
    /// When the host is on or unknown, or the disk cannot be made.
    pub fn replace_disk(&self, host: &str) -> Result<()> {
        if self.is_on(host)? {
            bail!("{host} is on; its disk cannot be taken out");
        }
        let host = self.host(host)?;
        disk::discard(self, host)?;
        disk::create(self, host)?;
        keys::write_known_hosts(self)
    }

    /// Whether a host's power is on.
    ///
    /// # Errors
    /// When there is no such host.
    pub fn is_on(&self, host: &str) -> Result<bool> {
        Ok(machine::leader(self, self.host(host)?).is_some())
    }

    /// Takes a host off the network, without it noticing more than silence.
    ///
    /// # Errors
    /// When the host is off or unknown.
    pub fn cut_network(&self, host: &str) -> Result<()> {
        network::unplug(self.state.number, &self.machine_name(self.host(host)?))
    }

    /// Puts a host back on the network.
    ///
    /// # Errors
    /// When the host is off or unknown.
    pub fn mend_network(&self, host: &str) -> Result<()> {
        network::plug(self.state.number, &self.machine_name(self.host(host)?))
    }

    fn start(&self, hosts: &[&Host]) -> Result<()> {
        let mut starting = Vec::new();
        for host in hosts {
            starting.push(machine::power_on(self, host)?);
        }
        starting.into_iter().try_for_each(|machine| machine.wait(self))
    }

    /// The memory that all hosts' processes hold, in bytes; what several share is counted once.
    ///
    /// # Errors
    /// When the kernel does not tell.
    pub fn memory(&self) -> Result<u64> {
        cgroup::processes(&self.registration.cgroups).into_iter().map(process::memory).sum()
    }

    /// The processor time that all hosts' processes have taken since they were switched on.
    ///
    /// # Errors
    /// When the kernel does not count it by control group.
    pub fn processor_time(&self) -> Result<Duration> {
        cgroup::processor_time(&self.registration.cgroups)
    }

    /// Name of a host's machine, unique on this computer and short enough for an interface's name.
    fn machine_name(&self, host: &Host) -> String {
        format!("s{}h{}", self.state.number, host.address.octets()[3])
    }

    /// Folder of a host's disk.
    fn host_folder(&self, host: &Host) -> PathBuf {
        self.folder.join("hosts").join(host.name())
    }
}

fn take_down(registration: &Registration) -> Result<()> {
    cgroup::end(&registration.cgroups)?;
    mounts::unmount_below(&registration.folder)?;
    network::delete(registration.number)?;
    remove_folder(&registration.folder)?;
    registration.remove()
}

fn remove_folder(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("removing {}", folder.display()))
        }
        _ => Ok(()),
    }
}
