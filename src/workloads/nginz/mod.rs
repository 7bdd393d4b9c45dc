//! nginz, the gateway of the API: nginx with a table of routes. It has tokens checked by a process beside it, limits how often
//! requests come, and passes them to the services.

use core::net::IpAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::flows::{API, NGINZ_PORT, NGINZ_WEBSOCKET_PORT, SERVE_PORT};
use super::settings::{self, REPLICAS, Resources};
use super::{BuildError, Context, Finding, Manifest, Workload, api, hosts};
use crate::services::{Problem, kubernetes};
use crate::site::model::Site;

pub mod answers;
pub mod gateway;
pub mod limits;
pub mod routes;

pub use gateway::{Gateway, Listen};

/// The workload.
pub struct Nginz;

/// The recipe of nginx's image, and that of the process that checks tokens.
const IMAGES: [&str; 2] = ["nginx", "wire-api"];
/// Port of the counters.
const METRICS_PORT: u16 = 8082;
/// Port of the second hop, on the pod's own loopback address.
const INNER_PORT: u16 = 8083;
/// Port at which the process that checks tokens answers probes.
const CHECK_PORT: u16 = 8084;
/// The folder that both processes share, and the socket in it.
const SHARED: &str = "/run/nginz";
const SOCKET: &str = "/run/nginz/auth.sock";
/// Processes of nginx in a pod.
const WORKERS: u32 = 2;
/// Seconds that a service is silent before it is given up.
const PATIENCE_SECONDS: u32 = 60;
/// Seconds that a pod serves on after it is told to end: until nobody sends it anything new.
const LEAVE_SECONDS: u32 = 5;
/// Seconds in which requests under way, and websockets, come to their end.
const GRACE_SECONDS: u32 = 90;
/// Hosts of the site whose pages use the API.
const PAGES: [&str; 3] = ["webapp", "account", "teams"];
/// Domain of names in a cluster that says none of its own.
const DNS_DOMAIN: &str = "cluster.local";

/// Settings of nginz.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Pods, on as many hosts as there are. Default: 3.
    pub replicas: u32,
    /// What nginx asks of its host.
    pub resources: Resources,
    /// Address of the cluster's DNS. Default: that of a cluster which the site installs; with another one it must be said.
    pub dns_address: Option<IpAddr>,
    /// Domain of names within the cluster. Default: that of a cluster which the site installs, else cluster.local.
    pub dns_domain: Option<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self { replicas: REPLICAS, resources: Resources::default(), dns_address: None, dns_domain: None }
    }
}

impl Workload for Nginz {
    type Settings = Settings;

    fn name(&self) -> &'static str {
        "nginz"
    }

    fn recipes(&self, _: &Settings) -> Vec<&'static str> {
        IMAGES.to_vec()
    }

    fn after(&self) -> &'static [&'static str] {
        &["base", "brig", "galley", "gundeck", "cannon", "cargohold", "spar"]
    }

    fn check(&self, site: &Site, settings: &Settings) -> Vec<Problem> {
        let mut problems = settings::problems("nginz", settings.replicas, &settings.resources);
        if site.kubernetes.existing.is_some() && settings.dns_address.is_none() {
            problems.push(Problem {
                message: "nginz: dns_address is not said, and the cluster is not this site's".to_owned(),
                hint: "write the address that `kubectl -n kube-system get service kube-dns` shows".to_owned(),
            });
        }
        problems
    }

    fn build(&self, context: &Context<'_>, settings: &Settings) -> Result<Vec<Manifest>, BuildError> {
        let gateway = gateway_of(context, settings)?;
        let backends: Vec<&str> = API.into_iter().filter(|name| context.site.workloads.contains_key(*name)).collect();
        let checks = json!({
            "domain": context.site.domain,
            "tokens": {"public_keys": api::public_keys(context.secrets)},
        });
        let values = json!({
            "pods": {
                "kind": "Deployment", "name": context.workload, "replicas": settings.replicas, "grace_seconds": GRACE_SECONDS,
            },
            "images": {"nginx": context.image(IMAGES[0])?, "check": context.image(IMAGES[1])?},
            "resources": settings.resources.to_manifest(),
            "ports": {
                "rest": NGINZ_PORT, "websocket": NGINZ_WEBSOCKET_PORT, "metrics": METRICS_PORT, "check": CHECK_PORT,
            },
            "shared": SHARED,
            "socket": SOCKET,
            "leave_seconds": LEAVE_SECONDS,
            "backends": backends,
            "backend_port": SERVE_PORT,
            "files": {
                "nginx.conf": gateway.configuration(context.templates)?,
                // JSON is YAML; indented it is read more easily where it changed.
                "check.yaml": format!("{checks:#}\n"),
            },
        });
        context.manifests("nginz/nginz.yaml", &values)
    }

    fn examine(&self, context: &Context<'_>, settings: &Settings) -> Vec<Finding> {
        hosts::too_few(context, settings.replicas)
    }
}

/// The gateway in a site's pods.
fn gateway_of(context: &Context<'_>, settings: &Settings) -> Result<Gateway, BuildError> {
    let site = context.site;
    let own = context.service_settings::<kubernetes::Settings>("kubernetes")?;
    let is_own = site.kubernetes.existing.is_none();
    let own_domain = is_own.then(|| own.dns_domain.clone());
    let dns_domain = settings.dns_domain.clone().or(own_domain).unwrap_or_else(|| DNS_DOMAIN.to_owned());
    let dns_address = settings.dns_address.unwrap_or_else(|| kubernetes::dns_address(&own).into());
    // The ingress is a pod, or on its node's own network. In another cluster nobody knows; NetworkPolicies let no one else come.
    let front_ends = if is_own {
        let nodes = site.hosts_of(&"kubernetes".into());
        let nodes = nodes.iter().map(|host| host.address.to_string());
        core::iter::once(own.pod_network.to_string()).chain(nodes).collect()
    } else {
        vec!["0.0.0.0/0".to_owned()]
    };
    Ok(Gateway {
        origins: PAGES.map(|host| format!("https://{host}.{}", site.domain)).to_vec(),
        front_ends,
        resolver: match dns_address {
            IpAddr::V4(address) => address.to_string(),
            IpAddr::V6(address) => format!("[{address}]"),
        },
        service_domain: format!("{}.svc.{dns_domain}", site.kubernetes.namespace),
        service_port: SERVE_PORT,
        listen: Listen {
            rest: NGINZ_PORT.to_string(),
            websocket: NGINZ_WEBSOCKET_PORT.to_string(),
            metrics: METRICS_PORT.to_string(),
            inner: format!("127.0.0.1:{INNER_PORT}"),
        },
        auth_socket: SOCKET.to_owned(),
        folder: "/tmp".to_owned(),
        workers: WORKERS,
        patience_seconds: PATIENCE_SECONDS,
    })
}

#[cfg(test)]
mod tests;
