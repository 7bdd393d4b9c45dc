//! The pages for people: `webapp`, `account-pages` and `team-settings`, from one template. Each is the bundled reference page, or an image that the
//! operator names, as Wire's own, which takes what it has to know from its environment.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::flows::SERVE_PORT;
use super::settings::{REPLICAS, Resources};
use super::{BuildError, Context, Finding, Manifest, Workload, hosts, settings};
use crate::services::Problem;
use crate::site::model::Site;

/// The recipe of the reference pages.
const IMAGE: &str = "pages";

/// One of the pages.
pub struct Page {
    /// The workload.
    name: &'static str,
    /// Its host within the site's domain, and what the reference pages call it: `account` of `account.example.com`.
    host: &'static str,
    /// The folder of the reference page.
    folder: &'static str,
}

/// The client for browsers.
pub static WEBAPP: Page = Page { name: "webapp", host: "webapp", folder: "webapp" };
/// Registration, activation, passwords.
pub static ACCOUNT_PAGES: Page = Page { name: "account-pages", host: "account", folder: "account" };
/// Teams and their members.
pub static TEAM_SETTINGS: Page = Page { name: "team-settings", host: "teams", folder: "teams" };

/// Settings of a page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Pods, on as many hosts as there are. Default: 3.
    pub replicas: u32,
    /// What each asks of its host.
    pub resources: Resources,
    /// Another image than the bundled reference page, by its reference, as `registry.example.com/wire/webapp:2026-01-01`; it serves at port 8080,
    /// and is told where the backend is by Wire's environment variables. Default: the reference page.
    pub image: Option<String>,
    /// Further environment variables of that image. Default: none.
    pub environment: BTreeMap<String, String>,
}

impl Default for Settings {
    fn default() -> Self {
        let resources =
            Resources { cpu_millicores: 20, memory_megabytes: 32, memory_limit_megabytes: 256, ..Resources::default() };
        Self { replicas: REPLICAS, resources, image: None, environment: BTreeMap::new() }
    }
}

impl Workload for Page {
    type Settings = Settings;

    fn name(&self) -> &'static str {
        self.name
    }

    fn recipes(&self, settings: &Settings) -> Vec<&'static str> {
        if settings.image.is_none() { vec![IMAGE] } else { Vec::new() }
    }

    fn after(&self) -> &'static [&'static str] {
        &["base"]
    }

    fn check(&self, _: &Site, settings: &Settings) -> Vec<Problem> {
        let mut problems = settings::problems(self.name, settings.replicas, &settings.resources);
        if settings.image.is_none() && !settings.environment.is_empty() {
            problems.push(Problem {
                message: format!("{}: the reference page reads no environment", self.name),
                hint: "say `image`, or leave `environment` out".to_owned(),
            });
        }
        if settings.image.as_ref().is_some_and(|image| image.is_empty() || image.contains(char::is_whitespace)) {
            problems.push(Problem {
                message: format!("{}: image is no reference of an image", self.name),
                hint: "write it as `registry.example.com/wire/webapp:2026-01-01`".to_owned(),
            });
        }
        problems
    }

    fn build(&self, context: &Context<'_>, settings: &Settings) -> Result<Vec<Manifest>, BuildError> {
        let domain = &context.site.domain;
        let image = settings.image.clone().map_or_else(|| context.image(IMAGE), Ok)?;
        let bundled = settings.image.is_none();
        context.manifests(
            "pages/page.yaml",
            &json!({
                "pods": { "name": self.name, "kind": "Deployment", "replicas": settings.replicas, "grace_seconds": 20 },
                "image": image, "resources": settings.resources.to_manifest(), "port": SERVE_PORT, "bundled": bundled,
                "environment": if bundled { Value::Null } else { environment(domain, self.host, &settings.environment) },
                "configuration": if bundled { configuration(domain, self.folder) } else { Value::Null },
            }),
        )
    }

    fn examine(&self, context: &Context<'_>, settings: &Settings) -> Vec<Finding> {
        hosts::too_few(context, settings.replicas)
    }
}

/// Where a page finds the backend.
fn backend(domain: &str) -> [String; 2] {
    [format!("https://nginz-https.{domain}"), format!("wss://nginz-ssl.{domain}")]
}

/// The files of a reference page.
fn configuration(domain: &str, folder: &str) -> Value {
    let [rest, websocket] = backend(domain);
    let page = |host: &str| format!("https://{host}.{domain}");
    let known = json!({
        "domain": domain,
        "backend": { "rest": rest, "websocket": websocket },
        "hosts": { "webapp": page("webapp"), "account": page("account"), "teams": page("teams") },
    });
    json!({
        "config.json": format!("{known:#}\n"),
        "page.conf": format!("set $page {folder};\nset $backend \"{rest} {websocket}\";\n"),
    })
}

/// What Wire's own images are told: the backend, the other pages, and whom a browser may speak to on their behalf.
fn environment(domain: &str, host: &str, further: &BTreeMap<String, String>) -> Value {
    let [rest, websocket] = backend(domain);
    let page = |host: &str| format!("https://{host}.{domain}");
    let assets = page("assets");
    let mut variables: BTreeMap<&str, String> = BTreeMap::from([
        ("APP_BASE", page(host)),
        ("BACKEND_REST", rest.clone()),
        ("BACKEND_WS", websocket.clone()),
        ("BACKEND_DOMAIN", domain.to_owned()),
        ("IS_SELF_HOSTED", "true".to_owned()),
        ("NODE_ENV", "production".to_owned()),
        ("PORT", SERVE_PORT.to_string()),
        ("URL_ACCOUNT_BASE", page("account")),
        ("URL_TEAMS_BASE", page("teams")),
        ("URL_WEBAPP_BASE", page("webapp")),
        ("CSP_EXTRA_CONNECT_SRC", format!("{rest}, {websocket}, {assets}")),
        ("CSP_EXTRA_IMG_SRC", assets.clone()),
        ("CSP_EXTRA_DEFAULT_SRC", rest.clone()),
        ("CSP_EXTRA_FRAME_SRC", page("account")),
    ]);
    variables.extend(further.iter().map(|(name, value)| (name.as_str(), value.clone())));
    variables.into_iter().map(|(name, value)| json!({ "name": name, "value": value })).collect()
}
