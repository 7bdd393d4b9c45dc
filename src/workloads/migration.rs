//! The Job that brings Cassandra's tables to what the API's services expect.

use serde_json::json;

use super::api::{Configuration, IMAGE, needs_stores};
use super::settings::{Nothing, Resources};
use super::{BuildError, Context, Manifest, Workload, flows};
use crate::site::model::Site;

/// The workload.
pub struct Migration;

impl Workload for Migration {
    type Settings = Nothing;

    fn name(&self) -> &'static str {
        "migration"
    }

    fn is_named(&self) -> bool {
        false
    }

    fn is_installed(&self, site: &Site) -> bool {
        flows::API.iter().any(|service| needs_stores(service) && site.workloads.contains_key(*service))
    }

    fn recipes(&self, _: &Nothing) -> Vec<&'static str> {
        vec![IMAGE]
    }

    fn after(&self) -> &'static [&'static str] {
        &["base"]
    }

    /// Tables change one after the other, and each change waits for all of Cassandra's nodes. What fails is started again a few times, and then known.
    fn least_patience_seconds(&self) -> u32 {
        1_800
    }

    fn build(&self, context: &Context<'_>, _: &Nothing) -> Result<Vec<Manifest>, BuildError> {
        let configuration = Configuration::of_migration(context)?;
        context.manifests(
            "migration/migration.yaml",
            &json!({
                "pods": { "name": "migration", "kind": "Job", "grace_seconds": 30 },
                "image": context.image(IMAGE)?, "resources": Resources::default().to_manifest(),
                "configuration": configuration.public, "secrets": configuration.secret,
            }),
        )
    }
}
