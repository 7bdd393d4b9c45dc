//! What a control plane proves itself with. All of it derives from the site's secrets, so every control plane has the same authorities
//! from the start, a host that was rebuilt gets what it had, and certificates are renewed by the plan like all others.

use core::net::{IpAddr, SocketAddr};

use base64::Engine as _;
use serde_json::json;
use wire_deploy_agent::resource::Resource;

use super::{AUTHORITY, FRONT_PROXY, PKI, SERVICE_ACCOUNTS, Settings, network};
use crate::services::context::CERTIFICATE_DAYS;
use crate::services::resources::{directory, file, root, secret};
use crate::services::{BuildError, Context, etcd};
use crate::site::certificates::{Authority, Request};
use crate::site::model::Host;

/// What the files of one control plane are made for.
pub(super) struct ControlPlane<'a> {
    pub context: &'a Context<'a>,
    pub host: &'a Host,
    pub settings: &'a Settings,
    /// Where all control planes are reached.
    pub endpoint: SocketAddr,
    /// Where its own API is.
    pub own: SocketAddr,
}

/// A user of the API.
struct User {
    file: &'static str,
    name: &'static str,
    group: Option<&'static str>,
    /// Reaches the API of its own host alone.
    local: bool,
}

const USERS: [User; 3] = [
    // The group that kubeadm gives all rights, which it can lose again, unlike system:masters. From this one's file kubeadm takes what it
    // tells joining hosts of where the API is.
    User { file: "admin", name: "kubernetes-admin", group: Some("kubeadm:cluster-admins"), local: false },
    User { file: "controller-manager", name: "system:kube-controller-manager", group: None, local: true },
    User { file: "scheduler", name: "system:kube-scheduler", group: None, local: true },
];

impl ControlPlane<'_> {
    /// The files, in the places where kubeadm looks for them.
    pub(super) fn resources(&self) -> Result<Vec<Resource>, BuildError> {
        let authority = self.context.authority(AUTHORITY);
        let front_proxy = self.context.authority(FRONT_PROXY);
        let service_accounts = self.context.authority(SERVICE_ACCOUNTS);
        let etcd = Authority::new(self.context.secrets, &"etcd".into(), etcd::CLIENTS);
        let mut resources = vec![directory(PKI, root(), 0o700)];
        let public = |name: &str, text: String| Resource::File(file(&format!("{PKI}/{name}"), root(), 0o644, text));
        let private = |name: &str, text: &str| {
            Resource::File(secret(file(&format!("{PKI}/{name}"), root(), 0o600, text.to_owned())))
        };
        for (name, authority) in [("ca", &authority), ("front-proxy-ca", &front_proxy)] {
            resources.push(public(&format!("{name}.crt"), authority.certificate()?));
            resources.push(private(&format!("{name}.key"), authority.own_key()?.expose()));
        }
        resources.push(public("sa.pub", service_accounts.own_public_key()?));
        resources.push(private("sa.key", service_accounts.own_key()?.expose()));
        resources.push(public("etcd-ca.crt", etcd.certificate()?));
        let requests = [
            ("apiserver", &authority, self.server_request()),
            (
                "apiserver-kubelet-client",
                &authority,
                client("kube-apiserver-kubelet-client", Some("kubeadm:cluster-admins")),
            ),
            ("front-proxy-client", &front_proxy, client("front-proxy-client", None)),
            ("apiserver-etcd-client", &etcd, client("kubernetes", None)),
        ];
        let file_of = |name: &str| format!("{PKI}/{name}.crt");
        for (name, authority, request) in &requests {
            resources.push(public(
                &format!("{name}.crt"),
                self.context.certificate(&self.host.name, authority, request, &file_of(name))?,
            ));
            resources.push(private(
                &format!("{name}.key"),
                authority.key(Some(&self.host.name), &request.common_name)?.expose(),
            ));
        }
        for User { file: name, name: user, group, local } in USERS {
            let server = if local { self.own } else { self.endpoint };
            let request = client(user, group);
            let certificate = self.context.certificate(&self.host.name, &authority, &request, &file_of(name))?;
            let values = json!({
                "site": self.context.site.name, "server": server, "user": user, "authority": encoded(&authority.certificate()?),
                "certificate": encoded(&certificate), "key": encoded(authority.key(Some(&self.host.name), user)?.expose()),
            });
            // By this one it is seen when the certificate ends.
            resources.push(public(&format!("{name}.crt"), certificate));
            // The scheduler's pod sees no other file of these.
            let text = self.context.render("kubeconfig", &values)?;
            resources.push(Resource::File(secret(file(&format!("/etc/kubernetes/{name}.conf"), root(), 0o600, text))));
        }
        Ok(resources)
    }

    /// The names by which the API is called, from outside and from within the cluster.
    fn server_request(&self) -> Request {
        let domain = &self.settings.dns_domain;
        let within = ["kubernetes", "kubernetes.default", "kubernetes.default.svc"].map(str::to_owned);
        let names = [self.host.name.to_string(), "localhost".to_owned(), format!("kubernetes.default.svc.{domain}")];
        let mut addresses = vec![
            self.host.address,
            IpAddr::from([127, 0, 0, 1]),
            network::api_address(self.settings).into(),
            self.endpoint.ip(),
        ];
        addresses.sort();
        addresses.dedup();
        Request {
            common_name: "kube-apiserver".to_owned(),
            organization: None,
            names: within.into_iter().chain(names).collect(),
            addresses,
            server: true,
            client: false,
            days: CERTIFICATE_DAYS,
        }
    }
}

fn encoded(text: &str) -> String {
    base64::engine::general_purpose::STANDARD.encode(text)
}

fn client(name: &str, group: Option<&str>) -> Request {
    Request {
        common_name: name.to_owned(),
        organization: group.map(str::to_owned),
        names: Vec::new(),
        addresses: Vec::new(),
        server: false,
        client: true,
        days: CERTIFICATE_DAYS,
    }
}
