//! Workloads as data: `tests/workloads/<case>/` has a site, and in `expected.txt` all that is rendered for it.
//!
//! `WIRE_DEPLOY_UPDATE=1 cargo test --lib -- workloads` writes what is found; read the difference before committing it.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;
use wire_deploy_agent::digest::Digest;

use super::{BuildError, Sources, WorkloadDesired};
use crate::lock::{Lock, Locked, LockedFile};
use crate::site::load;
use crate::site::model::Site;
use crate::site::names::WorkloadName;
use crate::site::problem::render_all;
use crate::site::secrets::{SecretText, Secrets};
use crate::templates::{Override, Templates};

mod ingress;
mod rendering;
mod rules;
mod shown;
mod supervisor;
mod wire_api;

/// When the sites' secrets were made, and a time years after it: milliseconds since the epoch.
const CREATED: i64 = 1_700_000_000_000;
const NOW: i64 = 1_800_000_000_000;
const DAY: i64 = 86_400_000;

/// What a site's workloads are worked out from.
struct World {
    site: Site,
    secrets: Secrets,
    lock: Lock,
    templates: Templates,
    time: i64,
}

impl World {
    fn of(site: &str, inventory: &str) -> Self {
        let sources = load::Sources {
            path: "wire-deploy.yaml".to_owned(),
            text: site.to_owned(),
            inventory: Some(("hosts.yaml".to_owned(), Ok(inventory.to_owned()))),
        };
        let site =
            load::load(&sources, crate::services::ALL).unwrap_or_else(|problems| panic!("{}", render_all(&problems)));
        let provided = BTreeMap::from([("smtp-password".to_owned(), SecretText::new("hush".to_owned()))]);
        Self {
            secrets: Secrets::new([7; 32], CREATED, provided, site.generations.clone()),
            site,
            lock: lock(),
            templates: Templates::new(&BTreeMap::new()).unwrap(),
            time: NOW,
        }
    }

    fn of_case(case: &Path) -> Self {
        let text = |name: &str| std::fs::read_to_string(case.join(name)).unwrap();
        Self::of(&text("wire-deploy.yaml"), &text("hosts.yaml"))
    }

    /// The same with a template in the place of a built-in one.
    fn with_template(self, name: &str, text: &str) -> Self {
        let replacing = Override { file: format!("mine/{name}"), text: text.to_owned() };
        Self { templates: Templates::new(&BTreeMap::from([(name.to_owned(), replacing)])).unwrap(), ..self }
    }

    fn sources(&self) -> Sources<'_> {
        let Self { site, secrets, lock, templates, time } = self;
        Sources { site, secrets, lock, templates, time: *time }
    }

    fn build(&self) -> Result<Vec<WorkloadDesired>, BuildError> {
        super::build(self.sources())
    }

    fn workloads(&self) -> Vec<WorkloadDesired> {
        self.build().unwrap_or_else(|error| panic!("{error}"))
    }

    /// An object of a workload.
    fn object(&self, workload: &str, kind: &str, name: &str) -> Value {
        let workloads = self.workloads();
        let workload = workloads.iter().find(|found| found.name == WorkloadName::from(workload)).unwrap();
        let found =
            workload.manifests.iter().find(|manifest| manifest.id.kind == kind && manifest.id.name.starts_with(name));
        found.unwrap_or_else(|| panic!("no {kind} {name}")).value.clone()
    }
}

/// A lock that has an image of every recipe.
fn lock() -> Lock {
    let recipes = ["wire-api", "nginx", "pages"].map(|name| {
        let digest = Digest::of(name.as_bytes());
        let files = [("image".to_owned(), LockedFile { blob: digest.clone(), size: 1 })];
        let locked = Locked {
            recipe: digest.clone(),
            version: "1".to_owned(),
            releases: BTreeMap::new(),
            files: files.into(),
            image: Some(digest),
            images: BTreeMap::new(),
        };
        (name.to_owned(), locked)
    });
    Lock { recipes: recipes.into(), ..Lock::default() }
}

/// The folders of all cases.
fn cases() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/workloads");
    let mut cases: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    cases.sort();
    assert!(cases.len() >= 3, "the cases are not where they should be");
    cases
}

#[test]
fn every_case_is_rendered_as_expected() {
    for case in cases() {
        let found = shown::all(&World::of_case(&case));
        let path = case.join("expected.txt");
        crate::site::tests::committed(
            path.to_str().unwrap().strip_prefix(env!("CARGO_MANIFEST_DIR")).unwrap().trim_start_matches('/'),
            &found,
        );
    }
}
