//! From hosts and settings to nodes.

use core::net::SocketAddr;
use std::collections::BTreeMap;

use ipnet::Ipv4Net;
use serde_json::json;
use wire_deploy_agent::digest::FingerprintKey;
use wire_deploy_agent::resource::{Exec, Probe, Resource, Symlink};
use wire_deploy_agent::state::State;

use super::certificates::ControlPlane;
use super::settings::{Cni, Taint};
use super::view::MANAGED;
use super::{
    API_PORT, AUTHORITY, FOLDER, IMAGE_REPOSITORY, KUBELET, PKI, POD_NETWORK, PROGRAMS, START_SECONDS, STATIC_PODS,
    Settings, endpoint, network, objects, pod_network, runtime, token,
};
use crate::desired::{Bootstrap, Cluster, Node};
use crate::services::resources::{directory, file, program, root, running_unit, secret, stopped_unit, unit_file};
use crate::services::restart::restart_digest;
use crate::services::{BuildError, Context, etcd};
use crate::site::model::Host;
use crate::site::names::HostName;

/// Where Kubernetes' programs are.
const PLACE: &str = "/usr/local/bin";
/// Ours, which holds them all.
const BINARY: &str = "kube";
const SCRIPT: &str = "/usr/local/sbin/kubernetes-node";
/// What kubeadm is told of a control plane and of the cluster.
pub(super) const CONFIGURATION_FILE: &str = "/etc/kubernetes/wire-deploy/kubeadm.yaml";
const PATCHES: &str = "/etc/kubernetes/wire-deploy/patches";
const KUBELET_SETTINGS: &str = "/etc/kubernetes/kubelet.conf.d";
/// The API server as kubelet is told of it, and how the line of it begins that says what it was started with.
pub(super) const API_SERVER: &str = "/etc/kubernetes/manifests/kube-apiserver.yaml";
const CONFIGURATION: &str = "    wire-deploy.internal/configuration:";
/// What was done to a node, where kubeadm's own reset deletes it: that it joined, and its version.
const STAMPS: &str = "/var/lib/kubelet/wire-deploy";
const JOINED: &str = "/var/lib/kubelet/wire-deploy/joined";
const VERSION: &str = "/var/lib/kubelet/wire-deploy/version";
/// How a node reaches the API, and how the line of it begins that says where.
pub(super) const KUBECONFIG: &str = "/etc/kubernetes/kubelet.conf";
pub(super) const SERVER: &str = "    server: ";
/// Where this is, kubeadm has begun to make a node.
pub(super) const BEGUN: &str = "/var/lib/kubelet/config.yaml";
/// Ports that kubelet, kube-proxy and a control plane listen at.
const NODE_PORTS: [u16; 2] = [10250, 10256];
const CONTROL_PLANE_PORTS: [u16; 3] = [API_PORT, 10257, 10259];
/// kubeadm gives up by itself after some minutes; a join may be tried twice.
const KUBEADM_SECONDS: u32 = 600;
/// Seconds that pods have to end when a host goes down, and of those the ones for pods that a node cannot do without.
const SHUTDOWN_SECONDS: (u32, u32) = (30, 10);

/// Command that makes a host a node.
pub(super) const JOIN: &str = "join the cluster";
/// Command that makes a host a plain one again.
const LEAVE: &str = "leave the cluster";
/// Command that brings a node to another version.
pub(super) const UPGRADE: &str = "upgrade the node";
/// Command that has a control plane take in what it is told.
const CONFIGURE: &str = "configure the control plane";

/// What the cluster should be.
pub(super) fn build(context: &Context<'_>) -> Result<Cluster, BuildError> {
    let site = context.site;
    let mut hosts = context.hosts();
    // Control planes first: workers join what is there.
    hosts.sort_by_key(|host| !endpoint::is_control_plane(site, &host.name));
    let exists = exists(context, &hosts);
    let mut shares = BTreeMap::new();
    for host in &hosts {
        let settings: Settings = context.settings(&host.name)?;
        shares.extend(network::share(host, &settings).map(|share| (host.name.clone(), share)));
    }
    let mut nodes = Vec::new();
    for (index, host) in hosts.iter().enumerate() {
        let settings: Settings = context.settings(&host.name)?;
        let reached = endpoint::of_site(site, &settings).unwrap_or_else(|| SocketAddr::new(host.address, API_PORT));
        let control_plane = endpoint::is_control_plane(site, &host.name);
        let founds = !exists && index == 0 && control_plane;
        let builder = NodeBuilder {
            context,
            host,
            settings,
            endpoint: reached,
            control_plane,
            founds,
            hosts: &hosts,
            shares: &shares,
        };
        nodes.push(builder.build()?);
    }
    let control_planes = endpoint::control_planes(site).len();
    let settings: Settings =
        hosts.first().map_or_else(|| Ok(Settings::default()), |host| context.settings(&host.name))?;
    Ok(Cluster {
        service: context.service.clone(),
        version: context.version(settings.version.programs()),
        bootstrap: Bootstrap::FirstThenRest,
        after: ["etcd", "load-balancer"].map(Into::into).to_vec(),
        // Users notice nothing of an only control plane's death either, as long as no other node dies.
        tolerance: u32::try_from(control_planes.saturating_sub(1) / 2).unwrap_or(u32::MAX).max(1),
        gate_timeout_seconds: context.site.profile.gate_timeout_seconds.max(120),
        objects: objects::wanted(context, &hosts, &settings)?,
        nodes,
        leaving: leaving(context),
        away: Vec::new(),
    })
}

/// Whether there is a control plane to be joined. Workers alone are none, and neither is an API that answers on a host whose founding was cut
/// short: the first control plane founds anew what etcd already knows, and workers find it as it was. One that nobody could look at may still be
/// there.
fn exists(context: &Context<'_>, hosts: &[&Host]) -> bool {
    let answers = context.live().is_some_and(|live| live.facts.contains_key(super::CLUSTER_VERSION));
    let joined = hosts.iter().any(|host| is_node(context, host) == Some(true));
    let mut planes = hosts.iter().filter(|host| endpoint::is_control_plane(context.site, &host.name));
    let lost = planes.all(|host| is_node(context, host) == Some(false));
    !lost && (answers || joined)
}

/// What is taken back on hosts that have joined and are not in the group any more. Their programs and files stay, unused.
fn leaving(context: &Context<'_>) -> Vec<Node> {
    let group = context.hosts();
    let others = context.site.hosts.iter().filter(|host| !group.iter().any(|member| member.name == host.name));
    let node = |host: &Host| {
        let mut resources = vec![Resource::Probe(Probe::Path { path: JOINED.to_owned() })];
        if context.is_there(&host.name, JOINED) == Some(true) {
            resources.push(Resource::Exec(Exec {
                name: LEAVE.to_owned(),
                check: ["test", "!", "-e", JOINED].map(str::to_owned).to_vec(),
                command: [SCRIPT, "reset"].map(str::to_owned).to_vec(),
                environment: BTreeMap::new(),
                once: false,
                undo: Vec::new(),
                timeout_seconds: KUBEADM_SECONDS,
            }));
            resources.extend([KUBELET, POD_NETWORK].map(stopped_unit));
        }
        Node { host: host.name.clone(), address: host.address, resources, before: Vec::new() }
    };
    others.map(node).collect()
}

/// Whether a host has joined; nothing if nobody looked.
pub(super) fn is_node(context: &Context<'_>, host: &Host) -> Option<bool> {
    match context.state(&host.name, &format!("exec {JOIN}"))? {
        State::Exec { code } => Some(*code == 0),
        _ => None,
    }
}

struct NodeBuilder<'a> {
    context: &'a Context<'a>,
    host: &'a Host,
    settings: Settings,
    /// Where the API is reached.
    endpoint: SocketAddr,
    control_plane: bool,
    /// It is the first node of a new cluster.
    founds: bool,
    hosts: &'a [&'a Host],
    shares: &'a BTreeMap<HostName, Ipv4Net>,
}

impl NodeBuilder<'_> {
    /// Kubernetes' programs: our one binary, which acts as each that it is called by the name of, or those that the site brings.
    fn programs(&self) -> Result<Vec<Resource>, BuildError> {
        let recipe = self.settings.version.programs();
        let place = |name: &str| format!("{PLACE}/{name}");
        let link = |name, to: &str| Resource::Symlink(Symlink { path: place(name), target: to.to_owned() });
        let file = |name| Ok(Resource::File(program(&place(name), self.context.artifact(recipe, name)?)));
        if self.context.site.artifacts.contains_key(recipe) {
            // Our own, if it was there before, does not stay behind.
            let [kubeadm, ..] = PROGRAMS;
            return PROGRAMS.into_iter().map(file).chain([Ok(link(BINARY, kubeadm))]).collect();
        }
        std::iter::once(file(BINARY)).chain(PROGRAMS.map(|name| Ok(link(name, BINARY)))).collect()
    }

    fn build(&self) -> Result<Node, BuildError> {
        let key = self.context.secrets.fingerprint_key(&self.host.name);
        let joined = is_node(self.context, self.host);
        let version = self.version();
        let mut resources = runtime::resources(self.context, self.host, &self.settings, self.control_plane, &version)?;
        resources.push(Resource::Probe(Probe::Lines { path: KUBECONFIG.to_owned(), prefix: SERVER.to_owned() }));
        let (unit, kubelet_settings) = (self.unit()?, self.kubelet_settings()?);
        let programs = self.programs()?;
        let mut depends_on = programs.clone();
        depends_on.extend([unit.clone(), kubelet_settings.clone()]);
        resources.extend(programs);
        resources.push(directory("/etc/kubernetes", root(), 0o755));
        resources.push(directory(FOLDER, root(), 0o700));
        resources.push(directory(PATCHES, root(), 0o700));
        resources.push(directory(KUBELET_SETTINGS, root(), 0o755));
        resources.push(kubelet_settings);
        resources.push(unit);
        resources.push(Resource::File(file(SCRIPT, root(), 0o755, self.script()?)));
        resources.push(Resource::File(file(
            &format!("{FOLDER}/upgrade.yaml"),
            root(),
            0o600,
            self.render("upgrade.yaml", &version)?,
        )));
        let mut configuration = None;
        if self.control_plane {
            let certificates = self.control_plane_files().resources()?;
            let digest = self.configuration(&certificates, &key)?;
            resources.extend(certificates);
            resources.push(Resource::File(file(
                CONFIGURATION_FILE,
                root(),
                0o600,
                self.render("kubeadm.yaml", &version)?,
            )));
            for pod in STATIC_PODS {
                let text = self.context.render("static-pod-patch.yaml", &json!({ "digest": digest }))?;
                resources.push(Resource::File(file(&format!("{PATCHES}/{pod}+merge.yaml"), root(), 0o600, text)));
            }
            configuration = Some(digest);
        } else {
            // Where it once was one, it cannot simply be a worker.
            resources.push(Resource::Probe(Probe::Path { path: API_SERVER.to_owned() }));
        }
        if self.settings.cni == Cni::Bridge {
            resources.extend(pod_network::resources(self.context, self.host, &self.settings, self.hosts, self.shares)?);
        }
        resources.push(Resource::Probe(Probe::Path { path: BEGUN.to_owned() }));
        if self.context.is_there(&self.host.name, BEGUN) != Some(true) {
            // What is not a node yet, not even half, must find its ports free.
            let ports = NODE_PORTS.iter().chain(CONTROL_PLANE_PORTS.iter().filter(|_| self.control_plane));
            resources.extend(ports.map(|port| Resource::Probe(Probe::Port { port: *port })));
        }
        if joined != Some(true) && !self.founds {
            let text = self.render("join.yaml", &version)?;
            resources.push(Resource::File(secret(file(&format!("{FOLDER}/join.yaml"), root(), 0o600, text))));
        }
        let verb = if self.founds { "init" } else { "join" };
        resources.push(self.command(JOIN, (JOINED, None), &[verb, &version]));
        // Who joins is of this version and configuration from the start.
        let joins = joined == Some(false);
        resources.extend((!joins).then(|| self.command(UPGRADE, (VERSION, Some(&version)), &["upgrade", &version])));
        if let Some(digest) = configuration {
            // What the pods were started with depends on certificates that are there, which no check on the host knows.
            let probe = Probe::Lines { path: API_SERVER.to_owned(), prefix: CONFIGURATION.to_owned() };
            let taken_in = self.context.state(&self.host.name, &format!("lines {API_SERVER} {CONFIGURATION}"));
            let taken_in =
                matches!(taken_in, Some(State::Lines { lines }) if lines.iter().any(|line| line.contains(&digest)));
            resources.push(Resource::Probe(probe));
            let command = self.command(CONFIGURE, (API_SERVER, Some(&digest)), &["configure"]);
            resources.extend((!joins && !taken_in).then_some(command));
            // kubelet starts a control plane's pods, so a change of theirs is a roll of the node.
            depends_on.push(Resource::File(file("configuration", root(), 0o600, digest)));
        }
        resources.push(running_unit(KUBELET, restart_digest(&depends_on, &key), START_SECONDS));
        let before = objects::before(self.context, self.host, &self.settings, joined, self.founds, self.endpoint);
        Ok(Node { host: self.host.name.clone(), address: self.host.address, resources, before })
    }

    /// `v1.36.3`.
    fn version(&self) -> String {
        format!("v{}", self.context.version(self.settings.version.programs()))
    }

    fn control_plane_files(&self) -> ControlPlane<'_> {
        ControlPlane {
            context: self.context,
            host: self.host,
            settings: &self.settings,
            endpoint: self.endpoint,
            own: SocketAddr::new(self.host.address, API_PORT),
        }
    }

    /// What a control plane's pods must start anew for. Another version is no such thing: an upgrade starts them.
    fn configuration(&self, certificates: &[Resource], key: &FingerprintKey) -> Result<String, BuildError> {
        let told = Resource::File(file("kubeadm.yaml", root(), 0o600, self.render("kubeadm.yaml", "")?));
        Ok(restart_digest(certificates.iter().chain([&told]), key).to_string())
    }

    fn kubelet_settings(&self) -> Result<Resource, BuildError> {
        let (seconds, critical) = SHUTDOWN_SECONDS;
        let values = json!({
            "cgroup_driver": self.settings.cgroup_driver, "allow_cgroup_v1": self.settings.allow_cgroup_v1,
            "max_pods": self.settings.max_pods, "shutdown_seconds": seconds, "shutdown_critical_seconds": critical,
        });
        let text = self.context.render("kubelet.yaml", &values)?;
        Ok(Resource::File(file(&format!("{KUBELET_SETTINGS}/wire-deploy.conf"), root(), 0o644, text)))
    }

    fn unit(&self) -> Result<Resource, BuildError> {
        let values = json!({ "program": "/usr/local/bin/kubelet", "settings": KUBELET_SETTINGS });
        Ok(Resource::File(unit_file(KUBELET, self.context.render("kubelet.service", &values)?)))
    }

    fn script(&self) -> Result<String, BuildError> {
        let values = json!({ "folder": FOLDER, "stamps": STAMPS, "address": self.host.address, "api_port": API_PORT });
        self.context.render("kubernetes-node", &values)
    }

    /// A command of the node's script that is done once a file is there, or has a text in it.
    fn command(&self, name: &str, done: (&str, Option<&str>), arguments: &[&str]) -> Resource {
        let check = match done {
            (path, Some(text)) => vec!["grep", "-qF", text, path],
            (path, None) => vec!["test", "-e", path],
        };
        let undo = if name == JOIN { vec![SCRIPT.to_owned(), "reset".to_owned()] } else { Vec::new() };
        Resource::Exec(Exec {
            name: name.to_owned(),
            check: check.into_iter().map(str::to_owned).collect(),
            command: [SCRIPT].iter().chain(arguments).map(|word| (*word).to_owned()).collect(),
            environment: BTreeMap::new(),
            once: name == JOIN,
            undo,
            timeout_seconds: KUBEADM_SECONDS,
        })
    }

    /// A file for kubeadm, for a version as `v1.36.3`.
    fn render(&self, template: &str, version: &str) -> Result<String, BuildError> {
        let settings = &self.settings;
        let quoted = |words: Vec<String>| words.iter().map(|word| format!("{word:?}")).collect::<Vec<_>>().join(", ");
        // What all control planes have: each one's own names are added by kubeadm.
        let names = vec![self.endpoint.ip().to_string(), "127.0.0.1".to_owned(), "localhost".to_owned()];
        let etcd = self.context.site.hosts_of(&"etcd".into());
        let values = json!({
            "site": self.context.site.name, "host": self.host.name, "address": self.host.address, "api_port": API_PORT,
            "version": version, "endpoint": self.endpoint.to_string(), "image_repository": IMAGE_REPOSITORY,
            "taints": taints(settings, self.control_plane), "label": format!("{}={}", MANAGED.0, MANAGED.1),
            "ignore_preflight": quoted(settings.ignore_preflight.clone()), "patches": PATCHES, "pki": PKI,
            "service_network": settings.service_network, "dns_domain": settings.dns_domain,
            "dns_address": network::dns_address(settings), "pod_network": settings.pod_network,
            "bridge": settings.cni == Cni::Bridge, "names": quoted(names),
            "etcd": quoted(etcd.iter().map(|host| etcd::client_url(host.address)).collect()), "control_plane": self.control_plane,
            "token": if self.context.outline { String::new() } else { token::of(self.context.secrets, &self.context.service, &self.host.name).whole() },
            "authority_digest": self.context.authority(AUTHORITY).own_public_key_digest()?,
        });
        self.context.render(template, &values)
    }
}

/// The taints of a host's node.
pub(super) fn taints(settings: &Settings, control_plane: bool) -> Vec<Taint> {
    let usual = ["node-role.kubernetes.io/control-plane:NoSchedule".to_owned()];
    let usual = if control_plane { &usual[..] } else { &[] };
    settings.taints.as_deref().unwrap_or(usual).iter().filter_map(|taint| Taint::parse(taint)).collect()
}
