//! The services of the client API: one program, one image, a table of what differs, and one template.

use core::marker::PhantomData;

use serde_json::{Value, json};

use super::flows::{PROBE_PORT, SERVE_PORT};
use super::{BuildError, Context, Finding, Manifest, Workload, hosts, settings};
use crate::services::Problem;
use crate::site::model::Site;

mod configuration;
mod sections;
mod tokens;

pub use configuration::Configuration;
pub use sections::{ApiSettings, Brig, Cannon, Mail, MailSecurity};
pub use tokens::{public_keys, secrets_of};

/// The recipe whose image every service runs.
pub const IMAGE: &str = "wire-api";
/// Seconds that a pod serves on after it is told to end: until nobody sends it anything new.
const LEAVE_SECONDS: u32 = 5;
/// Seconds beyond draining in which a process has ended.
const MARGIN_SECONDS: u32 = 10;

/// A row of the table.
pub struct Row {
    /// The service, as `wire-api --services` knows it.
    pub name: &'static str,
    /// Keeps users' connections, which are to end slowly: pods of a `StatefulSet`, replaced one by one.
    pub holds_connections: bool,
    /// Has something to keep. What has nothing is given no store, and no password of one.
    pub stores: bool,
    /// Makes tokens, so it has the private keys.
    pub signs_tokens: bool,
    /// Tells clients of TURN, so it has the secret that is shared with it.
    pub offers_calls: bool,
}

/// A row of a service that keeps something and is nothing else.
const PLAIN: Row = Row { name: "", holds_connections: false, stores: true, signs_tokens: false, offers_calls: false };

/// The table.
pub const ROWS: [Row; 6] = [
    Row { name: "brig", signs_tokens: true, offers_calls: true, ..PLAIN },
    Row { name: "galley", ..PLAIN },
    Row { name: "gundeck", ..PLAIN },
    Row { name: "cannon", holds_connections: true, ..PLAIN },
    Row { name: "cargohold", ..PLAIN },
    Row { name: "spar", stores: false, ..PLAIN },
];

/// The workload of a row, with the settings that its service has.
pub struct ApiService<S> {
    row: &'static Row,
    settings: PhantomData<fn() -> S>,
}

/// brig: users, log-in, sessions, devices.
pub static BRIG: ApiService<Brig> = ApiService::of(&ROWS[0]);
/// galley: conversations and teams.
pub static GALLEY: ApiService<settings::Replicated> = ApiService::of(&ROWS[1]);
/// gundeck: notifications.
pub static GUNDECK: ApiService<settings::Replicated> = ApiService::of(&ROWS[2]);
/// cannon: websockets.
pub static CANNON: ApiService<Cannon> = ApiService::of(&ROWS[3]);
/// cargohold: files.
pub static CARGOHOLD: ApiService<settings::Replicated> = ApiService::of(&ROWS[4]);
/// spar: single sign-on.
pub static SPAR: ApiService<settings::Replicated> = ApiService::of(&ROWS[5]);

impl<S> ApiService<S> {
    const fn of(row: &'static Row) -> Self {
        Self { row, settings: PhantomData }
    }
}

/// Whether a service keeps something in the stores.
#[must_use]
pub fn needs_stores(service: &str) -> bool {
    ROWS.iter().any(|row| row.name == service && row.stores)
}

impl<S: ApiSettings> Workload for ApiService<S> {
    type Settings = S;

    fn name(&self) -> &'static str {
        self.row.name
    }

    fn recipes(&self, _: &S) -> Vec<&'static str> {
        vec![IMAGE]
    }

    fn after(&self) -> &'static [&'static str] {
        if self.row.stores { &["base", "migration"] } else { &["base"] }
    }

    fn check(&self, site: &Site, settings: &S) -> Vec<Problem> {
        let (replicas, resources) = settings.pods();
        let mut problems = settings::problems(self.row.name, replicas, resources);
        let missing = super::flows::STORES.iter().map(|(name, _)| *name);
        let missing: Vec<&str> =
            missing.filter(|name| self.row.stores && site.hosts_of(&(*name).into()).is_empty()).collect();
        if !missing.is_empty() {
            problems.push(Problem {
                message: format!(
                    "{} keeps what it has in clusters that are not there: {}",
                    self.row.name,
                    missing.join(", ")
                ),
                hint: "give the inventory a group with hosts for each of them".to_owned(),
            });
        }
        problems.extend(settings.problems(self.row.name));
        problems
    }

    fn build(&self, context: &Context<'_>, settings: &S) -> Result<Vec<Manifest>, BuildError> {
        let (replicas, resources) = settings.pods();
        let configuration = Configuration::of_service(context, self.row, settings)?;
        let drain = settings.drain_seconds();
        context.manifests("api/service.yaml", &self.values(context, replicas, resources, drain, &configuration)?)
    }

    fn examine(&self, context: &Context<'_>, settings: &S) -> Vec<Finding> {
        let mut findings = hosts::too_few(context, settings.pods().0);
        findings.extend(settings.findings(context));
        findings
    }
}

impl<S> ApiService<S> {
    fn values(
        &self,
        context: &Context<'_>,
        replicas: u32,
        resources: &settings::Resources,
        drain: u32,
        configuration: &Configuration,
    ) -> Result<Value, BuildError> {
        let kind = if self.row.holds_connections { "StatefulSet" } else { "Deployment" };
        let arguments = [
            "--services",
            self.row.name,
            "--store",
            if self.row.stores { "cassandra" } else { "memory" },
            "--listen",
            &format!("0.0.0.0:{SERVE_PORT}"),
            "--internal-listen",
            &format!("0.0.0.0:{PROBE_PORT}"),
            "--config",
            "/etc/wire-api/wire-api.yaml",
        ];
        Ok(json!({
            "pods": {
                "name": self.row.name, "kind": kind, "replicas": replicas,
                "grace_seconds": LEAVE_SECONDS + drain + MARGIN_SECONDS,
            },
            "image": context.image(IMAGE)?, "resources": resources.to_manifest(), "arguments": arguments,
            "leave_seconds": LEAVE_SECONDS, "port": SERVE_PORT, "probe_port": PROBE_PORT,
            "configuration": configuration.public, "secrets": configuration.secret,
        }))
    }
}
