//! What a host holds: the answer to a resource, and the facts about the host itself.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::resource::{Mode, Owner};

/// What was found where a resource should be. The variant matches the resource's kind, but for the first two.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum State {
    /// Nothing is there.
    Absent,
    /// It could not be looked at; the reason, without secrets.
    Failed {
        /// Why.
        reason: String,
    },
    /// Something is at the path: of a Directory, a File or a Symlink.
    Path(PathState),
    /// A user.
    User(UserState),
    /// A group exists.
    Group,
    /// Installed versions, by package name, of all packages in the closure that are installed and configured.
    Packages {
        /// Name to version.
        installed: BTreeMap<String, String>,
        /// Names of packages of the closure that dpkg knows as half-installed or unconfigured.
        broken: Vec<String>,
    },
    /// An archive's folder: the digest it was unpacked from, if its stamp says so.
    Archive {
        /// Digest of the tar.gz.
        blob: Option<Digest>,
    },
    /// A kernel parameter.
    Sysctl {
        /// The running kernel's value.
        value: String,
        /// What /etc/sysctl.d has for the next boot, in our own file.
        persistent: Option<String>,
        /// Whether the running kernel's value can be written on this host.
        writable: bool,
    },
    /// A unit.
    Unit(UnitState),
    /// An Exec's check ended with this code.
    Exec {
        /// 0: nothing to do.
        code: i32,
    },
    /// An image.
    ContainerImage {
        /// Digest of its manifest or index.
        digest: Option<Digest>,
    },
    /// A probe's findings.
    Lines {
        /// The matching lines, in order.
        lines: Vec<String>,
    },
    /// A probed path that exists.
    Exists {
        /// A folder without entries.
        empty: bool,
        /// Number of the file system that it is on: the same number on the same host is the same disk.
        #[serde(default)]
        device: u64,
    },
    /// A probed address.
    Address {
        /// The interface on whose network it lies; none where it is reached through a gateway or not at all.
        interface: Option<String>,
        /// Who answers there.
        answers: Answers,
    },
    /// A listening process.
    Listening {
        /// Its program's name.
        program: String,
        /// The systemd unit it belongs to, if any.
        unit: Option<String>,
    },
}

/// Who answers at an address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "who", rename_all = "snake_case")]
pub enum Answers {
    /// Nobody.
    Nobody,
    /// It is this host's own.
    This,
    /// Another host.
    Other {
        /// Its hardware address, if it is on the same network.
        hardware: Option<String>,
    },
}

/// What is at a path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PathState {
    /// What kind of thing.
    pub entry: Entry,
    /// Who it belongs to; a number where the user or group has no name.
    pub owner: Owner,
    /// Permission bits.
    pub mode: Mode,
}

/// The kinds of things at a path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "entry", rename_all = "snake_case")]
pub enum Entry {
    /// A folder.
    Directory,
    /// A file.
    File {
        /// Its digest; of a sensitive file its fingerprint under the host's key.
        digest: Digest,
        /// Its text, when it is not sensitive, is UTF-8, is at most [`MAX_REPORTED_TEXT`] bytes long and differs from
        /// the wanted content.
        text: Option<String>,
    },
    /// A symbolic link.
    Symlink {
        /// Where it points.
        target: String,
    },
    /// A device, socket or pipe.
    Other,
}

/// The longest text that an observation reports, in bytes.
pub const MAX_REPORTED_TEXT: u64 = 64 * 1024;

/// A user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserState {
    /// Primary group.
    pub group: String,
    /// All groups it is a member of but the primary one.
    pub groups: Vec<String>,
    /// Home folder.
    pub home: String,
}

/// A unit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnitState {
    /// systemd's LoadState: `loaded`, `not-found`, `masked`, `bad-setting`, `error`.
    pub load: String,
    /// systemd's ActiveState: `active`, `inactive`, `failed`, `activating`, `deactivating`, `reloading`.
    pub active: String,
    /// systemd's UnitFileState is `enabled`. Of a unit that can neither be enabled nor disabled (`static`, `generated`,
    /// `alias` and their like): as wanted.
    pub enabled: bool,
    /// What the running unit was started with, from its stamp under /run.
    pub started_with: Option<Digest>,
    /// What the next start will be stamped with.
    pub next_start_with: Option<Digest>,
    /// What the running unit was started with or reloaded last with, likewise.
    #[serde(default)]
    pub reloaded_with: Option<Digest>,
    /// What the next reload or start will be stamped with.
    #[serde(default)]
    pub next_reload_with: Option<Digest>,
}

/// Facts about a host, gathered with every observation.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// Kernel's host name.
    pub hostname: String,
    /// `ID` of /etc/os-release, as `debian`.
    pub os: String,
    /// `VERSION_CODENAME` of /etc/os-release, as `bookworm`.
    pub release: String,
    /// `VERSION_ID` of /etc/os-release, as `12`.
    pub release_version: String,
    /// Machine hardware name, as `x86_64`.
    pub architecture: String,
    /// Kernel release.
    pub kernel: String,
    /// Processors usable.
    pub processors: u32,
    /// Memory in bytes.
    pub memory: u64,
    /// Swap space in bytes.
    #[serde(default)]
    pub swap: u64,
    /// Version of the control groups that programs get: 1, 2, or 0 if there are none.
    #[serde(default)]
    pub control_groups: u32,
    /// What containers need of the kernel and it has neither built in nor as a module.
    #[serde(default)]
    pub kernel_lacks: Vec<String>,
    /// systemd runs the host (/run/systemd/system exists).
    pub systemd: bool,
    /// Wall clock when the request arrived, milliseconds since the epoch.
    pub clock: i64,
    /// Wall clock when the answer was ready, likewise.
    pub answered: i64,
    /// Random id of this boot.
    pub boot: String,
    /// The file systems of interest: /, /var, /var/lib, /usr, /etc, /run, /tmp, and those that data and archives of the observed
    /// resources go to.
    pub file_systems: Vec<FileSystem>,
    /// The host's own addresses, without loopback.
    pub addresses: Vec<String>,
    /// Those of its network cards, as `aa:bb:cc:dd:ee:ff`.
    pub hardware_addresses: Vec<String>,
    /// Where it looks names up: the name servers of /etc/resolv.conf.
    #[serde(default)]
    pub name_servers: Vec<String>,
}

/// The file system that holds a path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileSystem {
    /// The path asked for; where it is not there yet, the file system is the one that it would be on.
    pub path: String,
    /// Number of its device: paths that share it share the room.
    pub device: u64,
    /// Size in bytes.
    pub size: u64,
    /// Bytes free for users that are not root; what is reserved for root is none of them.
    pub free: u64,
    /// Files that it can hold; 0 where there is no such limit.
    pub files: u64,
    /// Files that users other than root can still make.
    pub free_files: u64,
    /// Mounted read-only.
    pub read_only: bool,
    /// Mounted noexec.
    pub no_exec: bool,
}

/// A claim on a host by one run, so that two operators do not meet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// Who: `user@machine`.
    pub holder: String,
    /// Which run, as its folder is named.
    pub run: String,
    /// Where the holder's process ids count, so that a process there can tell whether the run still lives.
    pub machine: String,
    /// Process id there.
    pub process: u32,
    /// When it was taken: the host's wall clock, milliseconds since the epoch.
    pub since: i64,
    /// When it ends unless renewed, likewise.
    pub expires: i64,
}
