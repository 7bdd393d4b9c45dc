//! MinIO: objects in buckets, erasure coded over the drives of all hosts.
//!
//! Users, policies and buckets are the cluster's own affair and are made through its admin and S3 interfaces, as root. Everything
//! that speaks S3 stays neutral; what is MinIO's alone is in [`admin`] and [`envelope`].

use std::time::Duration;

use super::{BuildError, Context, Driver, Finding, Problem, Service, Verdict};
use crate::desired::{Cluster, Object, Operation};
use crate::observed::LiveState;
use crate::site::model::Host;

mod admin;
mod bucket;
mod connection;
mod envelope;
mod erasure;
mod examine;
mod heal;
mod judge;
mod live;
mod nodes;
mod policy;
mod settings;
mod signature;

pub use settings::{Bucket, Settings};

/// The service.
pub static SERVICE: Minio = Minio;

/// MinIO.
pub struct Minio;

/// Port of S3 and of administration, TLS only.
pub const PORT: u16 = 9000;
/// The trust domain of the nodes' certificates; clients trust its authority.
pub const TRUST_DOMAIN: &str = "nodes";
/// The user as whom the backend keeps assets; its secret key is of the purpose `user/cargohold`.
pub const SERVICE_USER: &str = "cargohold";

/// The purpose of root's secret key, by which the nodes trust each other, too.
const ROOT_PASSWORD: &str = "root";
/// The purpose of the service user's secret key.
const USER_PASSWORD: &str = "user/cargohold";
/// The operation before a restart, and the task: objects that lack parts on some drive get them back.
const HEAL: &str = "heal";
/// How long healing may take: each object is looked at, and there may be many millions.
const HEALING: Duration = Duration::from_secs(24 * 60 * 60);

impl Service for Minio {
    type Settings = Settings;

    const NAME: &'static str = "minio";
    const RECIPES: &'static [&'static str] = &["minio"];
    const PASSWORDS: &'static [(&'static str, bool)] = &[(ROOT_PASSWORD, false), (USER_PASSWORD, false)];
    const TASKS: &'static [(&'static str, &'static str)] =
        &[(HEAL, "look at every object and put back what drives lack of it; it goes on while objects are used")];

    fn check(&self, hosts: &[&Host], settings: &Settings) -> Vec<Problem> {
        settings::check(hosts, settings)
    }

    fn build(&self, context: &Context<'_>) -> Result<Cluster, BuildError> {
        nodes::build(context)
    }

    fn examine(&self, context: &Context<'_>) -> Vec<Finding> {
        examine::examine(context)
    }

    fn judge(&self, cluster: &Cluster, live: &LiveState) -> Verdict {
        judge::judge(cluster, live)
    }

    async fn observe(&self, cluster: &Cluster, driver: &Driver<'_>) -> anyhow::Result<LiveState> {
        live::observe(cluster, driver).await
    }

    async fn operate(&self, cluster: &Cluster, operation: &Operation, driver: &Driver<'_>) -> anyhow::Result<()> {
        live::operate(cluster, operation, driver).await
    }

    fn patience(&self, _cluster: &Cluster, _operation: &Operation) -> Duration {
        HEALING
    }

    async fn put_object(&self, cluster: &Cluster, object: &Object, driver: &Driver<'_>) -> anyhow::Result<()> {
        live::put_object(cluster, object, driver).await
    }
}
