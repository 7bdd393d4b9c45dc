//! The workloads as one list: the object-safe face of [`Workload`].

use super::{BuildError, Context, Finding, Manifest, Workload};
use crate::services::{Problem, SettingError};
use crate::site::model::Site;
use crate::site::names::WorkloadName;
use crate::site::strict::Strict;

/// [`Workload`] as a trait object; every workload is one.
pub trait DynWorkload: Send + Sync {
    /// [`Workload::name`].
    fn name(&self) -> &'static str;
    /// [`Workload::is_named`].
    fn is_named(&self) -> bool;
    /// [`Workload::is_installed`].
    fn is_installed(&self, site: &Site) -> bool;
    /// [`Workload::recipes`], with settings that fit; with others those of the default ones.
    fn recipes(&self, site: &Site) -> Vec<&'static str>;
    /// [`Workload::after`].
    fn after(&self) -> &'static [&'static str];
    /// [`Workload::least_patience_seconds`].
    fn least_patience_seconds(&self) -> u32;
    /// JSON Schema of [`Workload::Settings`].
    fn schema(&self, generator: &mut schemars::SchemaGenerator) -> schemars::Schema;
    /// Whether these settings (all that layers wrote, or one layer's) fit the type.
    ///
    /// # Errors
    /// The first that does not.
    fn check_settings(&self, settings: &serde_json::Value) -> Result<(), SettingError>;
    /// [`Workload::check`] with settings that fit.
    fn check(&self, site: &Site) -> Vec<Problem>;
    /// [`Workload::build`].
    ///
    /// # Errors
    /// As there.
    fn build(&self, context: &Context<'_>) -> Result<Vec<Manifest>, BuildError>;
    /// [`Workload::examine`].
    ///
    /// # Errors
    /// When the settings do not fit.
    fn examine(&self, context: &Context<'_>) -> Result<Vec<Finding>, BuildError>;
}

/// The merged settings of a workload, if they fit; the default ones of one that the site file cannot name.
fn settings_of<W: Workload>(workload: &W, site: &Site) -> Result<W::Settings, serde_json::Error> {
    site.workloads
        .get(workload.name())
        .map_or_else(|| Ok(W::Settings::default()), |value| serde::Deserialize::deserialize(Strict(value)))
}

impl<W: Workload> DynWorkload for W {
    fn name(&self) -> &'static str {
        Workload::name(self)
    }

    fn is_named(&self) -> bool {
        Workload::is_named(self)
    }

    fn is_installed(&self, site: &Site) -> bool {
        Workload::is_installed(self, site)
    }

    fn recipes(&self, site: &Site) -> Vec<&'static str> {
        Workload::recipes(self, &settings_of(self, site).unwrap_or_default())
    }

    fn after(&self) -> &'static [&'static str] {
        Workload::after(self)
    }

    fn least_patience_seconds(&self) -> u32 {
        Workload::least_patience_seconds(self)
    }

    fn schema(&self, generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        generator.subschema_for::<W::Settings>()
    }

    fn check_settings(&self, settings: &serde_json::Value) -> Result<(), SettingError> {
        serde_path_to_error::deserialize::<_, W::Settings>(Strict(settings))
            .map(|_| ())
            .map_err(|error| SettingError { path: error.path().to_string(), message: error.inner().to_string() })
    }

    fn check(&self, site: &Site) -> Vec<Problem> {
        // Settings that do not fit were reported with their position already; only fitting ones are judged further.
        settings_of(self, site).map_or_else(|_| Vec::new(), |settings| Workload::check(self, site, &settings))
    }

    fn build(&self, context: &Context<'_>) -> Result<Vec<Manifest>, BuildError> {
        Workload::build(self, context, &fitting(self, context)?)
    }

    fn examine(&self, context: &Context<'_>) -> Result<Vec<Finding>, BuildError> {
        Ok(Workload::examine(self, context, &fitting(self, context)?))
    }
}

fn fitting<W: Workload>(workload: &W, context: &Context<'_>) -> Result<W::Settings, BuildError> {
    settings_of(workload, context.site).map_err(|error| BuildError::Settings {
        workload: WorkloadName::from(workload.name()),
        reason: error.to_string(),
    })
}
