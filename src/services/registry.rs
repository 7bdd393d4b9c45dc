//! The services as one list: the object-safe face of [`Service`].

use std::time::Duration;

use futures_util::future::BoxFuture;

use super::{BuildError, Context, Driver, Finding, Problem, Service, Verdict};
use crate::desired::{Cluster, Object, Operation};
use crate::observed::LiveState;
use crate::site::model::{Host, Site};
use crate::site::names::ServiceName;
use crate::site::strict::Strict;

/// A setting that does not fit: where within the service's section, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingError {
    /// Path within the section, as `snapshots.interval`.
    pub path: String,
    /// What was expected and what was found.
    pub message: String,
}

/// [`Service`] as a trait object; every service is one.
pub trait DynService: Send + Sync {
    /// [`Service::NAME`].
    fn name(&self) -> ServiceName;
    /// [`Service::RECIPES`].
    fn recipes(&self) -> &'static [&'static str];
    /// [`Service::recipes`], with settings that fit; with others all that it could need.
    fn recipes_for(&self, settings: &serde_json::Value) -> Vec<&'static str>;
    /// [`Service::PASSWORDS`].
    fn passwords(&self) -> &'static [(&'static str, bool)];
    /// [`Service::UPSTREAM`].
    fn upstream(&self) -> &'static [(&'static str, &'static [&'static str])];
    /// [`Service::SUBGROUPS`].
    fn subgroups(&self) -> &'static [(&'static str, usize)];
    /// [`Service::TASKS`].
    fn tasks(&self) -> &'static [(&'static str, &'static str)];
    /// JSON Schema of [`Service::Settings`].
    fn schema(&self, generator: &mut schemars::SchemaGenerator) -> schemars::Schema;
    /// Whether these settings (all that layers wrote, or one layer's) fit the type.
    ///
    /// # Errors
    /// The first that does not.
    fn check_settings(&self, settings: &serde_json::Value) -> Result<(), SettingError>;
    /// [`Service::check`] with settings that fit.
    fn check(&self, hosts: &[&Host], settings: &serde_json::Value) -> Vec<Problem>;
    /// [`Service::check_site`].
    fn check_site(&self, site: &Site) -> Vec<Problem>;
    /// [`Service::memory`] with settings that fit; with others 0.
    fn memory(&self, settings: &serde_json::Value, host: u64) -> u64;
    /// [`Service::build`].
    ///
    /// # Errors
    /// As there.
    fn build(&self, context: &Context<'_>) -> Result<Cluster, BuildError>;
    /// [`Service::examine`].
    fn examine(&self, context: &Context<'_>) -> Vec<Finding>;
    /// [`Service::judge`].
    fn judge(&self, cluster: &Cluster, live: &LiveState) -> Verdict;
    /// [`Service::observe`].
    fn observe<'a>(&'a self, cluster: &'a Cluster, driver: &'a Driver<'a>) -> BoxFuture<'a, anyhow::Result<LiveState>>;
    /// [`Service::operate`].
    fn operate<'a>(
        &'a self,
        cluster: &'a Cluster,
        operation: &'a Operation,
        driver: &'a Driver<'a>,
    ) -> BoxFuture<'a, anyhow::Result<()>>;
    /// [`Service::patience`].
    fn patience(&self, cluster: &Cluster, operation: &Operation) -> Duration;
    /// [`Service::settle`].
    fn settle<'a>(&'a self, cluster: &'a Cluster, driver: &'a Driver<'a>) -> BoxFuture<'a, anyhow::Result<()>>;
    /// [`Service::object_patience`].
    fn object_patience(&self, object: &Object) -> Duration;
    /// [`Service::put_object`].
    fn put_object<'a>(
        &'a self,
        cluster: &'a Cluster,
        object: &'a Object,
        driver: &'a Driver<'a>,
    ) -> BoxFuture<'a, anyhow::Result<()>>;
}

impl<S: Service> DynService for S {
    fn name(&self) -> ServiceName {
        super::name_of::<S>()
    }

    fn recipes(&self) -> &'static [&'static str] {
        S::RECIPES
    }

    fn recipes_for(&self, settings: &serde_json::Value) -> Vec<&'static str> {
        serde_json::from_value(settings.clone())
            .map_or_else(|_| S::RECIPES.to_vec(), |settings| Service::recipes(self, &settings))
    }

    fn passwords(&self) -> &'static [(&'static str, bool)] {
        S::PASSWORDS
    }

    fn upstream(&self) -> &'static [(&'static str, &'static [&'static str])] {
        S::UPSTREAM
    }

    fn subgroups(&self) -> &'static [(&'static str, usize)] {
        S::SUBGROUPS
    }

    fn tasks(&self) -> &'static [(&'static str, &'static str)] {
        S::TASKS
    }

    fn schema(&self, generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        generator.subschema_for::<S::Settings>()
    }

    fn check_settings(&self, settings: &serde_json::Value) -> Result<(), SettingError> {
        serde_path_to_error::deserialize::<_, S::Settings>(Strict(settings))
            .map(|_| ())
            .map_err(|error| SettingError { path: error.path().to_string(), message: error.inner().to_string() })
    }

    fn check(&self, hosts: &[&Host], settings: &serde_json::Value) -> Vec<Problem> {
        // Settings that do not fit were reported with their position already; only fitting ones are judged further.
        serde_json::from_value(settings.clone())
            .map_or_else(|_| Vec::new(), |settings| Service::check(self, hosts, &settings))
    }

    fn check_site(&self, site: &Site) -> Vec<Problem> {
        Service::check_site(self, site)
    }

    fn memory(&self, settings: &serde_json::Value, host: u64) -> u64 {
        serde_json::from_value(settings.clone()).map_or(0, |settings| Service::memory(self, &settings, host))
    }

    fn build(&self, context: &Context<'_>) -> Result<Cluster, BuildError> {
        Service::build(self, context)
    }

    fn examine(&self, context: &Context<'_>) -> Vec<Finding> {
        Service::examine(self, context)
    }

    fn judge(&self, cluster: &Cluster, live: &LiveState) -> Verdict {
        Service::judge(self, cluster, live)
    }

    fn observe<'a>(&'a self, cluster: &'a Cluster, driver: &'a Driver<'a>) -> BoxFuture<'a, anyhow::Result<LiveState>> {
        Box::pin(Service::observe(self, cluster, driver))
    }

    fn operate<'a>(
        &'a self,
        cluster: &'a Cluster,
        operation: &'a Operation,
        driver: &'a Driver<'a>,
    ) -> BoxFuture<'a, anyhow::Result<()>> {
        Box::pin(Service::operate(self, cluster, operation, driver))
    }

    fn patience(&self, cluster: &Cluster, operation: &Operation) -> Duration {
        Service::patience(self, cluster, operation)
    }

    fn object_patience(&self, object: &Object) -> Duration {
        Service::object_patience(self, object)
    }

    fn settle<'a>(&'a self, cluster: &'a Cluster, driver: &'a Driver<'a>) -> BoxFuture<'a, anyhow::Result<()>> {
        Box::pin(Service::settle(self, cluster, driver))
    }

    fn put_object<'a>(
        &'a self,
        cluster: &'a Cluster,
        object: &'a Object,
        driver: &'a Driver<'a>,
    ) -> BoxFuture<'a, anyhow::Result<()>> {
        Box::pin(Service::put_object(self, cluster, object, driver))
    }
}
