//! The site as the rest of the program sees it: parsed, merged, validated, with nothing left to look up.

use std::collections::BTreeMap;

use core::net::IpAddr;

use wire_deploy_agent::digest::Digest;

use super::names::{GroupName, HostName, ServiceName, WorkloadName};

/// A whole site.
#[derive(Debug, Clone)]
pub struct Site {
    /// Its name, which `destroy` asks for.
    pub name: String,
    /// The backend's domain; it has a dot and an alphabetic last label.
    pub domain: String,
    /// Sizes and time-outs.
    pub profile: Profile,
    /// All hosts, in the inventory's order.
    pub hosts: Vec<Host>,
    /// All groups with their hosts, in the inventory's order.
    pub groups: BTreeMap<GroupName, Vec<HostName>>,
    /// Settings of each service that the site installs, merged for each of its hosts: profile, site, groups, host.
    pub settings: BTreeMap<ServiceName, BTreeMap<HostName, serde_json::Value>>,
    /// Where workloads run.
    pub kubernetes: Kubernetes,
    /// Settings of each workload that the site installs, merged: profile, site.
    pub workloads: BTreeMap<WorkloadName, serde_json::Value>,
    /// How much happens at once.
    pub limits: Limits,
    /// Where the site's secrets are.
    pub secrets: SecretsLocation,
    /// A folder whose templates replace the built-in ones of the same path, as the operator wrote it.
    pub templates: Option<String>,
    /// Generations of derived secrets that differ from 1, by `service/name`, for [`super::secrets::Secrets::new`].
    pub generations: BTreeMap<String, u32>,
    /// What is fetched as it is in place of being made here, by recipe.
    pub artifacts: BTreeMap<String, Brought>,
}

/// Files that the operator names in place of those that a recipe makes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Brought {
    /// Version of what they are.
    pub version: String,
    /// By name.
    pub files: BTreeMap<String, Source>,
}

/// Where a file is fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Its address, `https` or `http`.
    pub url: String,
    /// What it has to be.
    pub sha256: Digest,
}

/// Where workloads run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kubernetes {
    /// The namespace of all of them.
    pub namespace: String,
    /// The operator's own cluster; `None` where the site installs one.
    pub existing: Option<ExistingKubernetes>,
}

/// A cluster that the operator has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExistingKubernetes {
    /// The kubeconfig file; as written, until the workspace makes it usable from the current folder.
    pub kubeconfig: String,
    /// The context in it.
    pub context: String,
    /// What goes before an image's name where its nodes fetch images, as `registry.example.com/wire`.
    pub image_repository: String,
}

impl Default for Kubernetes {
    fn default() -> Self {
        Self { namespace: "wire".to_owned(), existing: None }
    }
}

/// What a profile decides beyond the services' settings.
#[derive(Debug, Clone)]
pub struct Profile {
    /// `sandbox`, `ci` or `production`.
    pub name: String,
    /// Hosts share one kernel, so that kernel parameters may not be settable; only the sandbox says so.
    pub shared_kernel: bool,
    /// Drives of a service may share a disk with each other and with the system; only the sandbox says so.
    pub shared_disks: bool,
    /// Seconds to wait for a cluster's gate.
    pub gate_timeout_seconds: u32,
    /// Seconds a host's clock may be off.
    pub clock_skew_seconds: u32,
}

/// One host.
#[derive(Debug, Clone)]
pub struct Host {
    /// Its name in the inventory.
    pub name: HostName,
    /// Where the other hosts reach it.
    pub address: IpAddr,
    /// Where the internet reaches it, if that differs.
    pub public_address: Option<IpAddr>,
    /// Its failure zone.
    pub zone: String,
    /// Codename of the release it runs, as `bookworm`: what its packages are resolved for. `check` compares it with the host.
    pub release: String,
    /// How it is reached.
    pub connection: Connection,
    /// How root is had there.
    pub become_root: BecomeRoot,
}

/// How a host is reached.
#[derive(Debug, Clone)]
pub enum Connection {
    /// It is this machine.
    Local,
    /// Over SSH.
    Ssh(Ssh),
}

/// SSH settings of a host, merged from the site, its groups and itself.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ssh {
    /// Name or address to connect to; the host's private address unless said.
    pub address: String,
    /// TCP port.
    pub port: u16,
    /// User to log in as.
    pub user: String,
    /// Private key file; as written, until the workspace makes it usable from the current folder.
    pub key: Option<String>,
    /// Whether keys of the SSH agent are tried.
    pub agent: bool,
    /// The hosts to jump through, first one first.
    pub jump: Vec<HostName>,
    /// The host key's pinned fingerprint, `SHA256:…`.
    pub fingerprint: Option<String>,
    /// Known hosts file; likewise.
    pub known_hosts: String,
    /// Seconds until a connection attempt counts as failed.
    pub connect_timeout_seconds: u32,
}

/// How root is had on a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BecomeRoot {
    /// The login user is root.
    No,
    /// sudo, with the named secret as its password, or with none.
    Sudo {
        /// Name of the provided secret that holds the password.
        password: Option<String>,
    },
}

/// How much happens at once.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Hosts worked on at once.
    pub hosts: usize,
    /// Large uploads at once.
    pub uploads: usize,
}

/// Where the site's secrets are, as written, relative to the site file.
#[derive(Debug, Clone)]
pub struct SecretsLocation {
    /// The age file.
    pub file: String,
    /// The identity that opens it: an age identity file or an SSH private key.
    pub identity: String,
}

impl Site {
    /// The host of that name.
    #[must_use]
    pub fn host(&self, name: &HostName) -> Option<&Host> {
        self.hosts.iter().find(|host| &host.name == name)
    }

    /// The hosts of a service, in the inventory's order; empty if it is not installed.
    #[must_use]
    pub fn hosts_of(&self, service: &ServiceName) -> Vec<&Host> {
        let members = self.groups.get(service.as_str());
        members.into_iter().flatten().filter_map(|name| self.host(name)).collect()
    }
}
