//! nginx's configuration, rendered from the tables and from what is a site's own. Pure.

use serde_json::{Value, json};

use super::answers::ANSWERS;
use super::limits::LIMITS;
use super::routes::{Admission, Body, ROUTES, Route};
use crate::templates::{TemplateError, Templates};

/// The template.
const TEMPLATE: &str = "kube/nginz/nginx.conf";

/// What is a site's own, or a pod's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gateway {
    /// Where web clients are served: `https://webapp.wire.example`. Only pages from there may read answers.
    pub origins: Vec<String>,
    /// Who says by `X-Forwarded-For` where a request is from: networks, as `10.244.0.0/16`.
    pub front_ends: Vec<String>,
    /// The cluster's DNS: an address, with a port if it is not 53.
    pub resolver: String,
    /// What makes the names of services whole: `wire.svc.cluster.local`.
    pub service_domain: String,
    /// Where services listen.
    pub service_port: u16,
    /// Where nginx listens.
    pub listen: Listen,
    /// The socket of the process that checks tokens.
    pub auth_socket: String,
    /// The folder that nginx may write to.
    pub folder: String,
    /// How many processes serve.
    pub workers: u32,
    /// Seconds that a service is silent before it is given up.
    pub patience_seconds: u32,
}

/// Where nginx listens: a port, or an address and a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listen {
    /// Clients' requests.
    pub rest: String,
    /// Clients' websockets.
    pub websocket: String,
    /// Counters.
    pub metrics: String,
    /// The second hop: an address that nobody but the pod reaches.
    pub inner: String,
}

impl Gateway {
    /// The configuration's text.
    ///
    /// # Errors
    /// A template that uses what is not there.
    pub fn configuration(&self, templates: &Templates) -> Result<String, TemplateError> {
        let Self { origins, front_ends, resolver, service_domain, service_port, listen, .. } = self;
        let Self { auth_socket, folder, workers, patience_seconds, .. } = self;
        let values = json!({
            "origins": origins,
            "front_ends": front_ends,
            "resolver": resolver,
            "service_domain": service_domain,
            "service_port": service_port,
            "auth_socket": auth_socket,
            "folder": folder,
            "workers": workers,
            "patience_seconds": patience_seconds,
            "listen": {
                "rest": listen.rest, "websocket": listen.websocket, "metrics": listen.metrics, "inner": listen.inner,
            },
            "limits": LIMITS,
            "answers": ANSWERS,
            "routes": ROUTES.iter().map(row).collect::<Vec<_>>(),
        });
        templates.render(TEMPLATE, &values)
    }
}

/// A row of the table, as the template reads it.
fn row(route: &Route) -> Value {
    json!({
        "pattern": route.pattern,
        "expression": route.expression(),
        "backend": route.backend,
        "checks_token": matches!(route.admission, Admission::Token | Admission::Websocket),
        "passes_secrets": route.admission == Admission::ByService,
        "is_websocket": route.admission == Admission::Websocket,
        "limit": route.zone.limit(),
        "body_limit": route.body.limit(),
        "is_streamed": route.body == Body::File,
    })
}
