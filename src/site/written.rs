//! The files' types: every key that may be written, and what it means. The JSON Schemas and docs/site-reference.md are made from these.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::num::{NonZeroU16, NonZeroU32};

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Deserialize;
use serde_json::Value;

/// The site file, `wire-deploy.yaml` unless `-c` says otherwise.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SiteFile {
    /// Version of this file's form: `1`.
    #[schemars(required)]
    pub format: Option<u32>,
    /// The site's name: lower-case letters, digits and hyphens. `destroy` asks for it.
    #[schemars(required)]
    pub site: Option<String>,
    /// The backend's domain, as `example.com`: at least one dot, and a last label of letters.
    #[schemars(required)]
    pub domain: Option<String>,
    /// Sizes and time-outs: `sandbox`, `ci` or `production`.
    #[schemars(required)]
    pub profile: Option<String>,
    /// The inventory file, relative to this file.
    #[schemars(required)]
    pub inventory: Option<String>,
    /// Where the site's secrets are.
    pub secrets: Option<SecretsWritten>,
    /// How hosts are reached; groups and hosts say what differs for them.
    pub ssh: Option<SshWritten>,
    /// How root is had on the hosts; groups and hosts say what differs for them.
    pub r#become: Option<BecomeWritten>,
    /// Codename of the release that hosts run: `bookworm` (Debian 12, the default), `jammy` (Ubuntu 22.04) or `noble` (Ubuntu 24.04).
    pub release: Option<String>,
    /// A folder whose templates replace the built-in ones of the same path, relative to this file.
    pub templates: Option<String>,
    /// How much happens at once.
    pub limits: Option<LimitsWritten>,
    /// Generations of derived secrets, by `service/name` as `secrets list` shows them; 1 unless said. A higher number is a new secret.
    pub generations: Option<BTreeMap<String, NonZeroU32>>,
    /// Files that are fetched as they are in place of being made, by recipe: those of Kubernetes (`kubernetes-1.36`, `kubernetes-image-1.36` and
    /// the like) can be.
    pub artifacts: Option<BTreeMap<String, BroughtWritten>>,
    /// Settings of services, by service. A service is installed on the hosts of the inventory's group of its name.
    pub services: Option<ServicesWritten>,
    /// Where workloads run.
    pub kubernetes: Option<KubernetesWritten>,
    /// What is installed on Kubernetes, and its settings, by workload: those that are named here, if only by `NAME: {}`.
    pub workloads: Option<WorkloadsWritten>,
}

/// Files in place of those that a recipe makes.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BroughtWritten {
    /// Version of what they are, as `1.36.3`.
    #[schemars(required)]
    pub version: Option<String>,
    /// By name, all of the recipe's: the programs `kubeadm`, `kubectl` and `kubelet`; the images `coredns`, `kube-apiserver`,
    /// `kube-controller-manager`, `kube-proxy` and `kube-scheduler`, each an archive in OCI form.
    #[schemars(required)]
    pub files: Option<BTreeMap<String, SourceWritten>>,
}

/// Where a file is fetched, and what it has to be.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SourceWritten {
    /// Its address, `https://…` or `http://…`.
    #[schemars(required)]
    pub url: Option<String>,
    /// Its SHA-256, 64 hexadecimal digits.
    #[schemars(required)]
    pub sha256: Option<String>,
}

/// Where workloads run: on the hosts of the inventory's group `kubernetes`, unless an existing cluster is named.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KubernetesWritten {
    /// The namespace of all workloads; `wire` unless said.
    pub namespace: Option<String>,
    /// A cluster that is there already, where the site installs none.
    pub existing: Option<ExistingKubernetesWritten>,
}

/// A cluster that is there already.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExistingKubernetesWritten {
    /// The kubeconfig file, relative to the site file, `~` is the home folder.
    #[schemars(required)]
    pub kubeconfig: Option<String>,
    /// The context in it.
    #[schemars(required)]
    pub context: Option<String>,
    /// Where the cluster's nodes fetch images, as `registry.example.com/wire`: `wire-deploy image push` puts them there.
    #[schemars(required)]
    pub image_repository: Option<String>,
}

/// Where the site's secrets are; paths are relative to the site file, `~` is the home folder.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SecretsWritten {
    /// The encrypted file; `secrets.age` unless said.
    pub file: Option<String>,
    /// What opens it: an age identity file, or an SSH private key (ed25519 or RSA) without passphrase; `secrets.identity` unless said.
    pub identity: Option<String>,
}

/// How a host is reached over SSH.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SshWritten {
    /// User to log in as; `root` unless said.
    pub user: Option<String>,
    /// TCP port; 22 unless said.
    pub port: Option<NonZeroU16>,
    /// Private key file, relative to the site file, `~` is the home folder.
    pub key: Option<String>,
    /// Whether the SSH agent's keys are tried; `true` unless said.
    pub agent: Option<bool>,
    /// Hosts of the inventory to jump through, the first one first. An empty list: directly.
    pub jump: Option<Vec<String>>,
    /// Known hosts file; `~/.ssh/known_hosts` unless said.
    pub known_hosts: Option<String>,
    /// Seconds until an attempt to connect counts as failed; 10 unless said.
    pub connect_timeout_seconds: Option<NonZeroU32>,
}

/// How a single host is reached over SSH.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HostSshWritten {
    /// Name or address to connect to; the host's `address` unless said.
    pub address: Option<String>,
    /// The host key's fingerprint, `SHA256:` and 43 characters, as `ssh-keygen -l` shows it; then no known hosts file is asked.
    pub fingerprint: Option<String>,
    /// User to log in as; `root` unless said.
    pub user: Option<String>,
    /// TCP port; 22 unless said.
    pub port: Option<NonZeroU16>,
    /// Private key file, relative to the site file, `~` is the home folder.
    pub key: Option<String>,
    /// Whether the SSH agent's keys are tried; `true` unless said.
    pub agent: Option<bool>,
    /// Hosts of the inventory to jump through, the first one first. An empty list: directly.
    pub jump: Option<Vec<String>>,
    /// Known hosts file; `~/.ssh/known_hosts` unless said.
    pub known_hosts: Option<String>,
    /// Seconds until an attempt to connect counts as failed; 10 unless said.
    pub connect_timeout_seconds: Option<NonZeroU32>,
}

/// How root is had on a host.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BecomeWritten {
    /// `sudo`, or `none` where the user that logs in is root; unless said `none` for the user `root` and on this machine, else `sudo`.
    pub method: Option<BecomeMethod>,
    /// Name of the provided secret that is sudo's password (`secrets set NAME`); without it sudo must not ask for one.
    pub password: Option<String>,
}

/// A way to become root.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum BecomeMethod {
    /// Through sudo.
    Sudo,
    /// Not at all: the user that logs in is root.
    None,
}

/// How much happens at once.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LimitsWritten {
    /// Hosts worked on at once; 32 unless said.
    pub hosts: Option<NonZeroU32>,
    /// Large uploads at once; 4 unless said.
    pub uploads: Option<NonZeroU32>,
}

/// The inventory file.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct InventoryFile {
    /// The hosts, by name. `db[1:3]` stands for `db1`, `db2` and `db3`; ranges in that host's values count along.
    #[schemars(required)]
    pub hosts: Option<BTreeMap<String, HostWritten>>,
    /// Groups of hosts, by name. The group named like a service is where that service is installed.
    #[schemars(required)]
    pub groups: Option<BTreeMap<String, GroupWritten>>,
}

/// A host, or several with a range in their name.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HostWritten {
    /// The address where the other hosts reach it; `10.0.0.1[1:3]` stands for `10.0.0.11` to `10.0.0.13`.
    #[schemars(required)]
    pub address: Option<String>,
    /// The address where the internet reaches it, if that differs.
    pub public_address: Option<String>,
    /// Its failure zone. Either all hosts have one or none has; `zone-[a:c]` counts along.
    pub zone: Option<String>,
    /// Groups it is in, beside those that name it.
    pub groups: Option<Vec<String>>,
    /// `local` for this machine, `ssh` (the default) for any other.
    pub connection: Option<ConnectionWritten>,
    /// How it is reached, where that differs from its groups and the site.
    pub ssh: Option<HostSshWritten>,
    /// How root is had, where that differs from its groups and the site.
    pub r#become: Option<BecomeWritten>,
    /// Codename of the release it runs, where that differs from its groups and the site.
    pub release: Option<String>,
    /// Settings of services on this host, by service.
    pub services: Option<ServicesWritten>,
}

/// A way to reach a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ConnectionWritten {
    /// Over SSH.
    Ssh,
    /// It is this machine.
    Local,
}

/// A group of hosts and what holds for them. An inner group's word wins over an outer one's; of two others the later one's in the file.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GroupWritten {
    /// Names of hosts, ranges as in `hosts`.
    pub hosts: Option<Vec<String>>,
    /// Groups whose hosts are in this one too.
    pub groups: Option<Vec<String>>,
    /// How its hosts are reached, where that differs from the site.
    pub ssh: Option<SshWritten>,
    /// How root is had on its hosts, where that differs from the site.
    pub r#become: Option<BecomeWritten>,
    /// Codename of the release its hosts run, where that differs from the site.
    pub release: Option<String>,
    /// Settings of services on its hosts, by service.
    pub services: Option<ServicesWritten>,
}

/// A profile, built in.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProfileFile {
    /// Seconds to wait for a cluster's gate.
    pub gate_timeout_seconds: NonZeroU32,
    /// Seconds a host's clock may be off.
    pub clock_skew_seconds: u32,
    /// Hosts share one kernel.
    #[serde(default)]
    pub shared_kernel: bool,
    /// Drives may share a disk.
    #[serde(default)]
    pub shared_disks: bool,
    /// Settings of services, by service.
    #[serde(default)]
    pub services: ServicesWritten,
    /// Settings of workloads, by workload.
    #[serde(default)]
    pub workloads: WorkloadsWritten,
}

/// Settings of services, by service; each service says what its section may hold.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(transparent)]
pub struct ServicesWritten(pub BTreeMap<String, Value>);

/// Name of the definition that says what [`ServicesWritten`] may hold; [`super::schema`] fills it in.
pub const SERVICES_DEFINITION: &str = "Services";

impl JsonSchema for ServicesWritten {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        SERVICES_DEFINITION.into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        schemars::json_schema!({ "$ref": format!("#/$defs/{SERVICES_DEFINITION}") })
    }
}

/// Settings of workloads, by workload; each workload says what its section may hold.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(transparent)]
pub struct WorkloadsWritten(pub BTreeMap<String, Value>);

/// Name of the definition that says what [`WorkloadsWritten`] may hold; [`super::schema`] fills it in.
pub const WORKLOADS_DEFINITION: &str = "Workloads";

impl JsonSchema for WorkloadsWritten {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        WORKLOADS_DEFINITION.into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        schemars::json_schema!({ "$ref": format!("#/$defs/{WORKLOADS_DEFINITION}") })
    }
}

impl SshWritten {
    /// These settings with `later` ones before them.
    #[must_use]
    pub fn merged(&self, later: &Self) -> Self {
        Self {
            user: later.user.clone().or_else(|| self.user.clone()),
            port: later.port.or(self.port),
            key: later.key.clone().or_else(|| self.key.clone()),
            agent: later.agent.or(self.agent),
            jump: later.jump.clone().or_else(|| self.jump.clone()),
            known_hosts: later.known_hosts.clone().or_else(|| self.known_hosts.clone()),
            connect_timeout_seconds: later.connect_timeout_seconds.or(self.connect_timeout_seconds),
        }
    }
}

impl HostSshWritten {
    /// What hosts have in common with groups and the site.
    #[must_use]
    pub fn common(&self) -> SshWritten {
        SshWritten {
            user: self.user.clone(),
            port: self.port,
            key: self.key.clone(),
            agent: self.agent,
            jump: self.jump.clone(),
            known_hosts: self.known_hosts.clone(),
            connect_timeout_seconds: self.connect_timeout_seconds,
        }
    }
}

impl BecomeWritten {
    /// These settings with `later` ones before them.
    #[must_use]
    pub fn merged(&self, later: &Self) -> Self {
        Self {
            method: later.method.or(self.method),
            password: later.password.clone().or_else(|| self.password.clone()),
        }
    }
}
