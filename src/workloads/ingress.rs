//! The ingress: nginx on each host that takes pods, between the load balancers and the workloads. The hosts are few and known, so its
//! configuration is rendered from the site, and nothing watches the cluster.

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::flows::{self, NGINZ_PORT, NGINZ_WEBSOCKET_PORT, SERVE_PORT};
use super::settings::Resources;
use super::{BuildError, Context, Manifest, Workload, installed};
use crate::services::{Problem, minio};
use crate::site::certificates::{Authority, CertificateError, Request};
use crate::site::model::Site;
use crate::site::secrets::Secrets;
use crate::workloads::context::CERTIFICATE_DAYS;

/// The recipe of the image.
const IMAGE: &str = "nginx";
/// The workload's name, and the trust domain of what clients are shown unless the operator brings a certificate.
pub const NAME: &str = "ingress";
/// See [`NAME`].
pub const TRUST_DOMAIN: &str = "edge";
/// Ports below this one are the superuser's, and pods have none.
const FIRST_FREE_PORT: u16 = 1024;
/// Added to a port below that, where a pod listens on behalf of its host.
const SHIFT: u16 = 10_000;
/// Seconds that connections have to end, once load balancers send no new ones.
const DRAIN_SECONDS: u32 = 30;

/// The workload.
pub struct Ingress;

/// Settings of the ingress.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// How its ports are its hosts': `host_port`, through the pod network, or `host_network`, on the hosts' own network, where the
    /// pod network cannot. Default: `host_port`.
    pub exposure: Exposure,
    /// Port of each host for load balancers, which tell clients' addresses by the PROXY protocol. Default: 8444.
    pub proxy_port: u16,
    /// Port of each host where load balancers ask whether it is well: `/healthz`, without TLS. Default: 8445.
    pub health_port: u16,
    /// Port of each host for clients that come without a load balancer. Default: none.
    pub direct_port: Option<u16>,
    /// Networks of load balancers that are believed, beside the hosts of the group `load-balancer`. Default: none.
    #[schemars(with = "Vec<String>")]
    pub load_balancers: Vec<IpNet>,
    /// Seconds that a pod which is replaced still serves, while it tells load balancers that it goes: more than three of their checks.
    /// Default: 10.
    pub leave_seconds: u32,
    /// Seconds that a websocket may be silent, and that streams go on after the certificate was replaced. Default: 3600.
    pub stream_seconds: u32,
    /// Largest body of a request in MiB. Default: 128.
    pub body_megabytes: u32,
    /// The certificate that clients are shown, for they do not trust the site's own authority. Default: one of the site's authority.
    pub certificate: Option<Certificate>,
    /// What each pod asks of its host.
    pub resources: Resources,
}

/// How ports of pods are their hosts'.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Exposure {
    /// The pod network hands connections on.
    HostPort,
    /// Pods are on their hosts' own network.
    HostNetwork,
}

/// A certificate that the operator brings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "IngressCertificate")]
pub struct Certificate {
    /// Name of the provided secret that holds the certificate and those that lead to its authority, PEM.
    pub chain: String,
    /// Name of the provided secret that holds its private key, PEM.
    pub key: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            exposure: Exposure::HostPort,
            proxy_port: 8444,
            health_port: 8445,
            direct_port: None,
            load_balancers: Vec::new(),
            leave_seconds: 10,
            stream_seconds: 3600,
            body_megabytes: 128,
            certificate: None,
            resources: Resources { memory_limit_megabytes: 1024, ..Resources::default() },
        }
    }
}

/// A host name, and where its requests go: the workload that has to be there, its port, and what kind of site it is.
struct Lead {
    host: &'static str,
    workload: &'static str,
    port: u16,
    kind: &'static str,
}

const LEADS: [Lead; 5] = [
    Lead { host: "nginz-https", workload: "nginz", port: NGINZ_PORT, kind: "api" },
    Lead { host: "nginz-ssl", workload: "nginz", port: NGINZ_WEBSOCKET_PORT, kind: "websocket" },
    Lead { host: "webapp", workload: "webapp", port: SERVE_PORT, kind: "page" },
    Lead { host: "account", workload: "account-pages", port: SERVE_PORT, kind: "page" },
    Lead { host: "teams", workload: "team-settings", port: SERVE_PORT, kind: "page" },
];
/// The host where clients fetch files.
const ASSETS: &str = "assets";

/// The leads to what the site installs.
fn leads(site: &Site) -> impl Iterator<Item = &'static Lead> {
    LEADS.iter().filter(|lead| installed(site).any(|workload| workload.name() == lead.workload))
}

/// The names that the ingress answers to, whole.
#[must_use]
pub fn host_names(site: &Site) -> Vec<String> {
    let assets = (!site.hosts_of(&"minio".into()).is_empty()).then_some(ASSETS);
    leads(site).map(|lead| lead.host).chain(assets).map(|host| format!("{host}.{}", site.domain)).collect()
}

impl Workload for Ingress {
    type Settings = Settings;

    fn name(&self) -> &'static str {
        NAME
    }

    fn recipes(&self, _: &Settings) -> Vec<&'static str> {
        vec![IMAGE]
    }

    fn after(&self) -> &'static [&'static str] {
        // It looks their Services' names up when it starts.
        &["base", "nginz", "webapp", "account-pages", "team-settings"]
    }

    fn check(&self, site: &Site, settings: &Settings) -> Vec<Problem> {
        let mut problems = settings.resources.problems(NAME);
        let mut problem = |message: &str, hint: &str| {
            problems.push(Problem { message: format!("{NAME}: {message}"), hint: hint.to_owned() });
        };
        let ports: Vec<u16> =
            [settings.proxy_port, settings.health_port].into_iter().chain(settings.direct_port).collect();
        let distinct: std::collections::BTreeSet<u16> = ports.iter().copied().collect();
        if distinct.len() < ports.len() || distinct.contains(&0) {
            problem("two of its ports are the same, or one is 0", "give each a port of its own, as 8444 and 8445");
        }
        if settings.exposure == Exposure::HostNetwork && ports.iter().any(|port| *port < FIRST_FREE_PORT) {
            problem(
                "a port below 1024 with `exposure: host_network`",
                "only the superuser may listen there: take higher ones",
            );
        }
        if settings.leave_seconds < 4 {
            problem(
                "leave_seconds is under 4",
                "load balancers ask each second and believe two answers; 10 is a good value",
            );
        }
        if settings.stream_seconds < 60 || settings.body_megabytes == 0 {
            problem(
                "stream_seconds is under 60, or body_megabytes is 0",
                "websockets are silent for a minute at times; files have up to 100 MiB",
            );
        }
        if leads(site).next().is_none() {
            problem("it leads nowhere", "install `nginz` or one of the pages, too");
        }
        problems
    }

    fn build(&self, context: &Context<'_>, settings: &Settings) -> Result<Vec<Manifest>, BuildError> {
        let ports = Ports::of(settings);
        let (chain, key) = certificate(context, settings)?;
        let mut values = json!({
            "pods": {
                "name": NAME, "kind": "DaemonSet", "grace_seconds": settings.leave_seconds + DRAIN_SECONDS,
            },
            "flows": flows(context, &ports), "image": context.image(IMAGE)?, "resources": settings.resources.to_manifest(),
            "host_network": settings.exposure == Exposure::HostNetwork, "ports": ports.to_values(settings),
            "leave_seconds": settings.leave_seconds,
            "certificate": {"tls.crt": chain, "tls.key": key},
        });
        let supervisor = context.text("ingress/supervise.sh", &json!({}))?;
        values["configuration"] =
            json!({ "nginx.conf": configuration(context, settings)?, "supervise.sh": supervisor });
        if !context.site.hosts_of(&"minio".into()).is_empty() {
            values["configuration"]["minio-authority.pem"] =
                json!(context.authority("minio", minio::TRUST_DOMAIN).certificate()?);
        }
        context.manifests("ingress/ingress.yaml", &values)
    }
}

/// Where a pod listens.
struct Ports {
    proxy: u16,
    health: u16,
    direct: Option<u16>,
}

impl Ports {
    fn of(settings: &Settings) -> Self {
        let free = |port: u16| if port < FIRST_FREE_PORT { port + SHIFT } else { port };
        Self {
            proxy: free(settings.proxy_port),
            health: free(settings.health_port),
            direct: settings.direct_port.map(free),
        }
    }

    fn to_values(&self, settings: &Settings) -> Value {
        let all = [
            Some(("proxy", self.proxy, settings.proxy_port)),
            Some(("health", self.health, settings.health_port)),
            self.direct.zip(settings.direct_port).map(|(port, host)| ("direct", port, host)),
        ];
        all.into_iter()
            .flatten()
            .map(|(name, port, host)| json!({ "name": name, "port": port, "host": host }))
            .collect()
    }
}

/// Anybody may reach its ports.
fn flows(context: &Context<'_>, ports: &Ports) -> Value {
    let mut flows = flows::of(context.site, NAME);
    flows["open"] = [Some(ports.proxy), Some(ports.health), ports.direct].into_iter().flatten().collect();
    flows
}

/// nginx's configuration.
///
/// # Errors
/// When the template fails.
fn configuration(context: &Context<'_>, settings: &Settings) -> Result<String, BuildError> {
    let (site, ports) = (context.site, Ports::of(settings));
    let (domain, namespace) = (&site.domain, &site.kubernetes.namespace);
    let hosts: Vec<Value> = leads(site)
        .map(|lead| {
            json!({
                "name": format!("{}.{domain}", lead.host), "kind": lead.kind, "upstream": lead.host,
                "server": format!("{}.{namespace}.svc:{}", lead.workload, lead.port),
            })
        })
        .collect();
    let balancers = site.hosts_of(&"load-balancer".into());
    let balancers: Vec<String> = balancers
        .iter()
        .map(|host| IpNet::from(host.address).to_string())
        .chain(settings.load_balancers.iter().map(IpNet::to_string))
        .collect();
    let stores = site.hosts_of(&"minio".into());
    let stores: Vec<String> =
        stores.iter().map(|host| core::net::SocketAddr::new(host.address, minio::PORT).to_string()).collect();
    context.text(
        "ingress/nginx.conf",
        &json!({
            "hosts": hosts, "assets": format!("{ASSETS}.{domain}"), "stores": stores, "balancers": balancers,
            "proxy_port": ports.proxy, "health_port": ports.health, "direct_port": ports.direct,
            "stream_seconds": settings.stream_seconds, "body_megabytes": settings.body_megabytes,
        }),
    )
}

/// The certificate (PEM) of the site's own authority, where what clients are shown is one of it.
///
/// # Errors
/// When it cannot be made.
pub fn authority(site: &Site, secrets: &Secrets) -> Result<Option<String>, CertificateError> {
    let brings_none = |settings: &Value| settings.get("certificate").is_none_or(Value::is_null);
    let shown = site.workloads.get(NAME).is_some_and(brings_none);
    shown.then(|| Authority::new(secrets, &NAME.into(), TRUST_DOMAIN).certificate()).transpose()
}

/// What clients are shown, with its private key, PEM.
fn certificate(context: &Context<'_>, settings: &Settings) -> Result<(String, String), BuildError> {
    let names = host_names(context.site);
    if let Some(brought) = &settings.certificate {
        let (chain, key) = context.provided_certificate(&brought.chain, &brought.key, &names)?;
        return Ok((chain.to_owned(), key.to_owned()));
    }
    let authority = context.authority(NAME, TRUST_DOMAIN);
    let request = Request {
        // The holder, by which its key is derived; clients read the names.
        common_name: context.site.domain.clone(),
        organization: None,
        names,
        addresses: Vec::new(),
        server: true,
        client: false,
        days: CERTIFICATE_DAYS,
    };
    let issued = context.certificate(&authority, &request)?;
    // The authority goes along: whoever was given only its digest can be shown it.
    Ok((format!("{}{}", issued.certificate, authority.certificate()?), issued.key.expose().to_owned()))
}
