//! Sites as data: `tests/site/<case>/` has a site file, an inventory and the problems that are expected, or the site's outline.
//!
//! `WIRE_DEPLOY_UPDATE=1 cargo test --lib -- site` writes what is found; read the difference before committing it.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::load::{Sources, load};
use super::model::{BecomeRoot, Connection, Host, Site};
use super::names::HostName;
use super::problem::render_all;
use crate::desired::{Cluster, Operation};
use crate::observed::LiveState;
use crate::services::{self, BuildError, Context, Driver, DynService, Problem, Service, Verdict};

/// A service that only has settings.
struct Sample;

/// Its settings.
#[derive(Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct SampleSettings {
    /// Bytes of memory.
    memory: u64,
    /// When to save.
    snapshots: Vec<Snapshot>,
    /// Where to listen.
    port: u16,
}

#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Snapshot {
    /// Seconds.
    interval: u32,
}

impl Service for Sample {
    type Settings = SampleSettings;
    const NAME: &'static str = "sample";
    const RECIPES: &'static [&'static str] = &[];
    const UPSTREAM: &'static [(&'static str, &'static [&'static str])] = &[("sample-1", &["one", "two"])];

    fn check(&self, hosts: &[&Host], settings: &SampleSettings) -> Vec<Problem> {
        let few = hosts.len() < 2 && settings.memory > 0;
        few.then(|| Problem { message: "needs two hosts".to_owned(), hint: "add one".to_owned() }).into_iter().collect()
    }

    fn build(&self, context: &Context<'_>) -> Result<Cluster, BuildError> {
        let recipe = context.service.to_string();
        Err(BuildError::NotLocked { recipe, what: "anything".to_owned() })
    }

    fn judge(&self, _: &Cluster, _: &LiveState) -> Verdict {
        Verdict::default()
    }

    async fn observe(&self, _: &Cluster, _: &Driver<'_>) -> anyhow::Result<LiveState> {
        Ok(LiveState::default())
    }

    async fn operate(&self, _: &Cluster, _: &Operation, _: &Driver<'_>) -> anyhow::Result<()> {
        Ok(())
    }
}

pub(crate) fn known_services() -> Vec<&'static dyn DynService> {
    vec![&Sample]
}

fn name_of(case: &Path) -> &str {
    case.file_name().and_then(|name| name.to_str()).unwrap()
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/site")
}

fn sources(case: &Path) -> Sources {
    let text = |name: &str| std::fs::read_to_string(case.join(name));
    let inventory = text("hosts.yaml").map_err(|_| "there is no such file".to_owned());
    Sources {
        path: "wire-deploy.yaml".to_owned(),
        text: text("wire-deploy.yaml").unwrap(),
        inventory: Some(("hosts.yaml".to_owned(), inventory)),
    }
}

/// What a site came out as, for a person to check.
fn outline(site: &Site) -> String {
    let mut text = String::new();
    let profile = &site.profile;
    writeln!(
        text,
        "{} {} {} {} {}",
        site.name, site.domain, profile.name, profile.gate_timeout_seconds, site.limits.hosts
    )
    .unwrap();
    for host in &site.hosts {
        let root = match &host.become_root {
            BecomeRoot::No => "root".to_owned(),
            BecomeRoot::Sudo { password } => format!("sudo {}", password.as_deref().unwrap_or("without password")),
        };
        let way = match &host.connection {
            Connection::Local => "local".to_owned(),
            Connection::Ssh(ssh) => {
                let jumps = ssh.jump.iter().map(|jump| format!(" via {jump}")).collect::<String>();
                let fingerprint = if ssh.fingerprint.is_some() { " pinned" } else { "" };
                let key = ssh.key.as_deref().unwrap_or("no key");
                format!(
                    "{}@{}:{} {key} {}s{jumps}{fingerprint}",
                    ssh.user, ssh.address, ssh.port, ssh.connect_timeout_seconds
                )
            }
        };
        let public = host.public_address.map(|address| format!("/{address}")).unwrap_or_default();
        writeln!(text, "host {} {}{public} {} {} {way} {root}", host.name, host.address, host.zone, host.release)
            .unwrap();
    }
    for (group, members) in &site.groups {
        let names: Vec<&str> = members.iter().map(HostName::as_str).collect();
        writeln!(text, "group {group}: {}", names.join(" ")).unwrap();
    }
    for (service, hosts) in &site.settings {
        for (host, settings) in hosts {
            writeln!(text, "settings {service} {host} {settings}").unwrap();
        }
    }
    if site.kubernetes != super::model::Kubernetes::default() {
        writeln!(text, "kubernetes {:?}", site.kubernetes).unwrap();
    }
    for (workload, settings) in &site.workloads {
        writeln!(text, "workload {workload} {settings}").unwrap();
    }
    for (name, generation) in &site.generations {
        writeln!(text, "generation {name} {generation}").unwrap();
    }
    text
}

#[test]
fn every_case_comes_out_as_expected() {
    let update = std::env::var_os("WIRE_DEPLOY_UPDATE").is_some();
    let mut cases: Vec<PathBuf> = std::fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path()).collect();
    cases.sort();
    assert!(cases.len() > 10, "the cases are not where they should be");
    let mut wrong = String::new();
    for case in cases {
        // What the real services have to say is in cases of their names.
        let real = services::ALL.iter().any(|service| name_of(&case).starts_with(service.name().as_str()));
        let services = if real { services::ALL.to_vec() } else { known_services() };
        let found = match load(&sources(&case), &services) {
            Ok(site) => outline(&site),
            Err(problems) => render_all(&problems),
        };
        let expected = case.join("expected.txt");
        if update {
            std::fs::write(&expected, &found).unwrap();
        }
        let expected = std::fs::read_to_string(&expected).unwrap_or_default();
        if expected != found {
            writeln!(wrong, "{}:\n{found}\ninstead of\n{expected}", case.display()).unwrap();
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

fn good() -> Sources {
    sources(&folder().join("everything"))
}

proptest! {
    /// Whatever is cut out of a good file or put into it, there is an answer.
    #[test]
    fn mangled_files_never_panic(
        inventory in any::<bool>(),
        at in 0.0..1.0_f64,
        cut in 0_usize..40,
        put in "[-a-z0-9:{}\\[\\]&*#!|>'\"%@`,? \n\t\u{e9}\u{0}]{0,6}",
    ) {
        let mut sources = good();
        let text = match &mut sources.inventory {
            Some((_, Ok(text))) if inventory => text,
            _ => &mut sources.text,
        };
        let characters: Vec<char> = text.chars().collect();
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
        let at = (at * characters.len() as f64) as usize;
        let rest = &characters[(at + cut).min(characters.len())..];
        *text = characters[..at].iter().chain(put.chars().collect::<Vec<_>>().iter()).chain(rest).collect();
        if let Err(problems) = load(&sources, &known_services()) {
            prop_assert!(!problems.is_empty());
            prop_assert!(!render_all(&problems).is_empty());
        }
    }

    /// Nor does anything that never was a site file.
    #[test]
    fn anything_at_all_never_panics(text in ".{0,200}") {
        let sources = Sources { text: text.clone(), inventory: Some(("hosts.yaml".to_owned(), Ok(text))), ..good() };
        prop_assert!(load(&sources, &known_services()).is_err());
    }
}

/// Checks that a committed file is what is generated, or writes it if `WIRE_DEPLOY_UPDATE` is set.
pub(crate) fn committed(path: &str, generated: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    if std::env::var_os("WIRE_DEPLOY_UPDATE").is_some() {
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, generated).unwrap();
    }
    let committed = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(committed == generated, "{path} is out of date: WIRE_DEPLOY_UPDATE=1 cargo test --lib -- site");
}
