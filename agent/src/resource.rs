//! What a host should hold: one type per kind of thing, all of them plain data.
//!
//! A resource is idempotent by construction: applying it twice is applying it once. Order among the resources of a
//! host is the order of the list they come in.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::digest::Digest;

/// One thing that a host should hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Resource {
    /// A folder.
    Directory(Directory),
    /// A file, its content and who may read it.
    File(File),
    /// A symbolic link.
    Symlink(Symlink),
    /// A system user.
    User(User),
    /// A system group.
    Group(Group),
    /// Debian packages, installed from blobs without any network.
    Packages(Packages),
    /// A tar.gz unpacked into a folder of its own.
    Archive(Archive),
    /// A kernel parameter, now and after a reboot.
    Sysctl(Sysctl),
    /// A systemd unit's life: enabled, running, started with the wanted configuration.
    Unit(Unit),
    /// A command guarded by a check; the last resort.
    Exec(Exec),
    /// An image in the host's containerd.
    ContainerImage(ContainerImage),
    /// Something only looked at, never changed.
    Probe(Probe),
}

/// What names a resource on its host: its kind and its key, as `file /etc/redis/redis.conf`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ResourceId(pub String);

impl std::fmt::Display for ResourceId {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Permission bits, written as an octal string (`"0640"`) so that YAML and JSON cannot change their value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Mode(pub u32);

impl std::fmt::Display for Mode {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{:04o}", self.0)
    }
}

impl From<Mode> for String {
    fn from(mode: Mode) -> Self {
        mode.to_string()
    }
}

impl TryFrom<String> for Mode {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        match u32::from_str_radix(&text, 8) {
            Ok(bits) if bits <= 0o7777 => Ok(Self(bits)),
            _ => Err(format!("expected octal permission bits such as \"0640\", found {text:?}")),
        }
    }
}

/// Who a path belongs to, by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// User name.
    pub user: String,
    /// Group name.
    pub group: String,
}

/// A folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Directory {
    /// Absolute path; missing parents are made as root, 0755.
    pub path: String,
    /// Who it belongs to.
    pub owner: Owner,
    /// Its permission bits.
    pub mode: Mode,
    /// Holds data that only `destroy` may delete.
    #[serde(default)]
    pub data: bool,
}

/// A file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct File {
    /// Absolute path.
    pub path: String,
    /// Who it belongs to.
    pub owner: Owner,
    /// Its permission bits.
    pub mode: Mode,
    /// What it should hold.
    pub content: Content,
    /// Holds a secret: compared by fingerprint, its content never leaves either end but on the way to the host.
    #[serde(default)]
    pub sensitive: bool,
    /// Who decides over its content once it exists.
    #[serde(default)]
    pub ownership: Ownership,
}

/// What a file should hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Content {
    /// Text, sent along.
    Text(String),
    /// A blob that is sent on its own and named by its digest. Never a secret: a digest is no fingerprint.
    Blob(Digest),
    /// Only compared: the digest (of a sensitive file: the fingerprint) of the wanted content. This is the form in
    /// which resources are sent to be observed and written into plans; it cannot be applied.
    Digest(Digest),
}

/// Who decides over a file's content once it exists.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ownership {
    /// wire-deploy: any other content is drift.
    #[default]
    Ours,
    /// The service, which rewrites it: written when the file is missing, never compared afterwards.
    Seed,
}

/// A symbolic link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Symlink {
    /// Absolute path of the link.
    pub path: String,
    /// What it points to.
    pub target: String,
}

/// A system user: no password, no login.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// User name.
    pub name: String,
    /// Primary group, which must exist.
    pub group: String,
    /// Further groups it is a member of; others are left as they are.
    #[serde(default)]
    pub groups: Vec<String>,
    /// Home folder, not created.
    pub home: String,
}

/// A system group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// Group name.
    pub name: String,
}

/// Debian packages. apt on the host resolves among `closure` and what the host has; nothing is ever downgraded, and the services that
/// packages bring neither start nor are enabled: that is what a [`Unit`] is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Packages {
    /// Names this set in plans: the recipe it comes from.
    pub name: String,
    /// The packages wanted, by name.
    pub wanted: Vec<String>,
    /// Every package that installing them may need on a bare host of this release.
    pub closure: Vec<Package>,
}

/// One package file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Package {
    /// Package name.
    pub name: String,
    /// Version in dpkg's form.
    pub version: String,
    /// `amd64` or `all`.
    pub architecture: String,
    /// The `.deb`.
    pub blob: Digest,
    /// Its size in bytes.
    pub size: u64,
}

/// An archive unpacked into a folder of its own, which is replaced as a whole when the digest changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Archive {
    /// The folder.
    pub path: String,
    /// The tar.gz.
    pub blob: Digest,
    /// Leading path components to drop from each entry.
    pub strip: u32,
}

/// A kernel parameter, set now and written to /etc/sysctl.d for the next boot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sysctl {
    /// Dotted name, as `vm.overcommit_memory`.
    pub name: String,
    /// The wanted value.
    pub value: String,
    /// The value is a number, and a greater one is as good: a host is never given less than it has.
    #[serde(default)]
    pub at_least: bool,
    /// A value of the running kernel that cannot be set here is tolerated (hosts that share a kernel).
    #[serde(default)]
    pub tolerate: bool,
}

/// A systemd unit's life. Its file, if ours, is a [`File`] earlier in the list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unit {
    /// Full unit name, as `redis-server.service`.
    pub name: String,
    /// Starts at boot.
    pub enabled: bool,
    /// Runs now.
    pub running: bool,
    /// Digest of everything the unit must be restarted for. The agent keeps it in a file which a drop-in copies under
    /// /run at every start, so what a running unit was started with is known whoever started it. A restart is wanted
    /// when that differs, never because a file changed in this run. Empty: never restarted.
    #[serde(default)]
    pub started_with: Option<Digest>,
    /// Digest of everything that the unit takes in by a reload, while it goes on; kept likewise and stamped anew at every
    /// start and after every reload. The unit must have an `ExecReload=`. Empty: never reloaded.
    #[serde(default)]
    pub reloaded_with: Option<Digest>,
    /// Seconds until a start counts as failed.
    pub timeout_seconds: u32,
    /// How often a start is tried before it is given up. Whoever joins others may come while they are busy.
    #[serde(default = "one")]
    pub attempts: u32,
}

fn one() -> u32 {
    1
}

/// A command guarded by a check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exec {
    /// Names it in plans, in a few words.
    pub name: String,
    /// Program and arguments that exit 0 when nothing is left to do. No shell.
    pub check: Vec<String>,
    /// Program and arguments that do it. No shell, no secrets.
    pub command: Vec<String>,
    /// Environment of both, no secrets.
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
    /// Done once in a node's life, as joining its cluster: until then the node does not work.
    #[serde(default)]
    pub once: bool,
    /// Program and arguments that take it back when all is removed. No shell, no secrets. Empty: nothing is to be taken back.
    #[serde(default)]
    pub undo: Vec<String>,
    /// Seconds after which the command is ended.
    pub timeout_seconds: u32,
}

/// An image in the host's containerd, in the namespace that kubelet reads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerImage {
    /// Name and tag.
    pub reference: String,
    /// Digest of the image's manifest or index.
    pub digest: Digest,
    /// The OCI archive (tar) that holds it.
    pub blob: Digest,
}

/// Something only looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "probe", rename_all = "snake_case")]
pub enum Probe {
    /// The lines of a text file that begin with a prefix; what a service wrote into its own file.
    Lines {
        /// The file.
        path: String,
        /// What a line begins with.
        prefix: String,
    },
    /// Whether a path exists, and whether a folder is empty.
    Path {
        /// The path.
        path: String,
    },
    /// The process that listens on a TCP port.
    Port {
        /// The port.
        port: u16,
    },
    /// Who answers at an IPv4 address, and on which of the host's networks it lies.
    Address {
        /// The address.
        address: std::net::Ipv4Addr,
    },
}

impl Sysctl {
    /// Whether a value is as good as the wanted one. The kernel separates the numbers of a parameter by tabs.
    #[must_use]
    pub fn is_met_by(&self, value: &str) -> bool {
        let number = |text: &str| text.trim().parse::<i64>().ok();
        match (self.at_least, number(value), number(&self.value)) {
            (true, Some(there), Some(wanted)) => there >= wanted,
            _ => value.split_whitespace().eq(self.value.split_whitespace()),
        }
    }
}

impl Resource {
    /// What names this resource on its host.
    #[must_use]
    pub fn id(&self) -> ResourceId {
        ResourceId(match self {
            Self::Directory(directory) => format!("directory {}", directory.path),
            Self::File(file) => format!("file {}", file.path),
            Self::Symlink(symlink) => format!("symlink {}", symlink.path),
            Self::User(user) => format!("user {}", user.name),
            Self::Group(group) => format!("group {}", group.name),
            Self::Packages(packages) => format!("packages {}", packages.name),
            Self::Archive(archive) => format!("archive {}", archive.path),
            Self::Sysctl(sysctl) => format!("sysctl {}", sysctl.name),
            Self::Unit(unit) => format!("unit {}", unit.name),
            Self::Exec(exec) => format!("exec {}", exec.name),
            Self::ContainerImage(image) => format!("container image {}", image.reference),
            Self::Probe(Probe::Lines { path, prefix }) => format!("lines {path} {prefix}"),
            Self::Probe(Probe::Path { path }) => format!("path {path}"),
            Self::Probe(Probe::Port { port }) => format!("port {port}"),
            Self::Probe(Probe::Address { address }) => format!("address {address}"),
        })
    }
}
