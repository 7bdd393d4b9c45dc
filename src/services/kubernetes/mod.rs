//! Kubernetes, by kubeadm: control planes on the site's own etcd, reached at one address, and workers.
//!
//! All that kubeadm would make up by itself and others would have to be told (authorities, certificates, the key that signs service
//! accounts) derives from the site's secrets and is a file of the plan. So any control plane can be rebuilt from nothing, certificates are
//! renewed like all others, and wire-deploy's own way into the API needs no file of the cluster's.

use std::time::Duration;

use wire_deploy_agent::resource::Resource;

use super::{BuildError, Context, Driver, Finding, Problem, Service, Verdict};
use crate::desired::{Cluster, Node, Object, Operation};
use crate::observed::LiveState;
use crate::site::model::{Host, Site};

mod certificates;
mod check;
mod connection;
mod dns;
mod drain;
mod endpoint;
mod examine;
mod judge;
pub mod kubeconfig;
mod lasting;
mod live;
mod manifest;
mod network;
mod nodes;
mod objects;
mod pod_network;
mod runtime;
#[cfg(test)]
mod scripts;
mod settings;
mod token;
mod version;
mod view;

pub use connection::{api_servers, operators_tls};
pub use network::dns_address;
pub use settings::{Cni, Settings};

/// The service's name.
pub const NAME: &str = "kubernetes";

/// The service.
pub static SERVICE: Kubernetes = Kubernetes;

/// Kubernetes.
pub struct Kubernetes;

/// The group of the hosts that are control planes; all are in the group `kubernetes` too.
pub const CONTROL_PLANE: &str = "kubernetes-control-plane";
/// Port of each control plane's own API server.
pub const API_PORT: u16 = 6443;
/// The trust domain of the API: servers, users, kubelets.
pub const AUTHORITY: &str = "api";
/// The trust domain of API servers that answer for another.
const FRONT_PROXY: &str = "front-proxy";
/// The key that signs what service accounts show.
const SERVICE_ACCOUNTS: &str = "service-accounts";

const RUNTIME_RECIPE: &str = "containerd";
const PAUSE_RECIPE: &str = "pause-image";
const RUNTIME: &str = "containerd.service";
const KUBELET: &str = "kubelet.service";
const POD_NETWORK: &str = "pod-network.service";
/// What goes before the images' names. They are on every node and come from nowhere else.
const IMAGE_REPOSITORY: &str = "wire-deploy.internal/kubernetes";
/// What runs on every node by itself.
const PROGRAMS: [&str; 3] = ["kubeadm", "kubectl", "kubelet"];
/// What runs in containers. Ours is one image, which acts as each; those that a site brings are one each.
const IMAGES: [&str; 5] = ["coredns", "kube-apiserver", "kube-controller-manager", "kube-proxy", "kube-scheduler"];
/// What runs on control planes.
const STATIC_PODS: [&str; 3] = ["kube-apiserver", "kube-controller-manager", "kube-scheduler"];
/// Seconds until a unit's start has failed.
const START_SECONDS: u32 = 60;
/// Longest that the API is asked to do one thing, beside the time that pods have to leave: a drain ends by itself, with a reason.
const PATIENCE: Duration = Duration::from_secs(120);
/// What the tool tells kubeadm, on the hosts.
const FOLDER: &str = "/etc/kubernetes/wire-deploy";
const PKI: &str = "/etc/kubernetes/pki";
/// What connects a node's pods.
const PODS_CONFIGURATION: &str = "/etc/cni/net.d/10-wire-deploy.conflist";
/// By this name the API knows which fields are ours.
const FIELD_MANAGER: &str = "wire-deploy";

/// The live fact that holds the API servers' version, as `v1.36.3`.
const CLUSTER_VERSION: &str = "version";
/// The live fact that holds the nodes, as JSON.
const NODES: &str = "nodes";

/// Lets a host join, as what it was before it lost its disk, too: `host`, `endpoint`.
const CREATE_TOKEN: &str = "create-token";
/// Has the pods leave a host's node: `host`, `seconds`.
const DRAIN: &str = "drain";

const DNS_SERVICE: &str = "Service kube-system/kube-dns";
const DNS_CONFIGURATION: &str = "ConfigMap kube-system/coredns";

/// Whether a node is of the control plane.
fn is_control_plane(node: &Node) -> bool {
    let is_key = |path: &str| path.strip_prefix(PKI) == Some("/ca.key");
    node.resources.iter().any(|resource| matches!(resource, Resource::File(file) if is_key(&file.path)))
}

impl Service for Kubernetes {
    type Settings = Settings;

    const NAME: &'static str = NAME;
    const RECIPES: &'static [&'static str] = &[
        RUNTIME_RECIPE,
        PAUSE_RECIPE,
        "kubernetes-1.36",
        "kubernetes-image-1.36",
        "kubernetes-1.35",
        "kubernetes-image-1.35",
    ];

    const UPSTREAM: &'static [(&'static str, &'static [&'static str])] = &[
        ("kubernetes-1.36", &PROGRAMS),
        ("kubernetes-image-1.36", &IMAGES),
        ("kubernetes-1.35", &PROGRAMS),
        ("kubernetes-image-1.35", &IMAGES),
    ];

    const SUBGROUPS: &'static [(&'static str, usize)] = &[(CONTROL_PLANE, 1)];

    fn recipes(&self, settings: &Settings) -> Vec<&'static str> {
        vec![RUNTIME_RECIPE, PAUSE_RECIPE, settings.version.programs(), settings.version.image()]
    }

    fn check(&self, hosts: &[&Host], settings: &Settings) -> Vec<Problem> {
        settings::check(hosts, settings)
    }

    fn check_site(&self, site: &Site) -> Vec<Problem> {
        check::check(site)
    }

    fn build(&self, context: &Context<'_>) -> Result<Cluster, BuildError> {
        nodes::build(context)
    }

    fn examine(&self, context: &Context<'_>) -> Vec<Finding> {
        examine::examine(context)
    }

    fn judge(&self, cluster: &Cluster, live: &LiveState) -> Verdict {
        judge::judge(cluster, live)
    }

    async fn observe(&self, cluster: &Cluster, driver: &Driver<'_>) -> anyhow::Result<LiveState> {
        live::observe(cluster, driver).await
    }

    async fn operate(&self, cluster: &Cluster, operation: &Operation, driver: &Driver<'_>) -> anyhow::Result<()> {
        live::operate(cluster, operation, driver).await
    }

    async fn settle(&self, cluster: &Cluster, driver: &Driver<'_>) -> anyhow::Result<()> {
        live::settle(cluster, driver).await
    }

    fn patience(&self, _cluster: &Cluster, operation: &Operation) -> Duration {
        let own = operation.arguments["seconds"].as_u64().map(Duration::from_secs);
        own.unwrap_or_default().saturating_add(PATIENCE)
    }

    fn object_patience(&self, object: &Object) -> Duration {
        objects::removal(object).unwrap_or_default().saturating_add(PATIENCE)
    }

    async fn put_object(&self, cluster: &Cluster, object: &Object, driver: &Driver<'_>) -> anyhow::Result<()> {
        live::put(cluster, object, driver).await
    }
}
