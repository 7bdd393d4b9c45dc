//! Redis 7 with Sentinel: one primary, replicas, and a Sentinel on every host that chooses another primary when it dies.
//!
//! Who is primary is the cluster's own affair: Redis and Sentinel write it into their own files under `/var/lib/redis`, which
//! are made once and never compared. Settings are in files of ours under `/etc/redis/wire-deploy`, included last.

use super::{BuildError, Context, Driver, Problem, Service, Verdict, password_name};
use crate::desired::{Cluster, Object, Operation};
use crate::observed::LiveState;
use crate::site::model::Host;

mod connection;
mod hand_over;
mod judge;
mod live;
mod logins;
mod nodes;
mod primary;
mod settings;

pub use settings::Settings;

/// The service.
pub static SERVICE: Redis = Redis;

/// Redis with Sentinel.
pub struct Redis;

/// The cluster's name among the Sentinels; clients ask for the primary by it.
pub const CLUSTER: &str = "wire";
/// Port of Redis, TLS only.
pub const PORT: u16 = 6379;
/// Port of Sentinel, TLS only.
pub const SENTINEL_PORT: u16 = 26379;
/// The trust domain of the nodes' certificates; clients trust its authority.
pub const TRUST_DOMAIN: &str = "nodes";
/// The user whom the backend logs in as, at Redis and at Sentinel; its password is of the purpose `user/wire`.
pub const SERVICE_USER: &str = "wire";

/// The user whom wire-deploy logs in as: it sees how the cluster is, hands the primary's role over, and reads no data.
const ADMIN_USER: &str = super::OPERATOR;
/// The user who logs in to a primary to follow it.
const REPLICATION_USER: &str = "replication";
/// The user as whom Sentinels log in to Redis and to each other.
const SENTINEL_USER: &str = "sentinel";
/// Our files; Redis can read them and change none.
const FOLDER: &str = "/etc/redis/wire-deploy";
/// The file that Redis itself writes.
const SERVER_STATE: &str = "/var/lib/redis/redis.conf";
/// The file that Sentinel itself writes.
const SENTINEL_STATE: &str = "/var/lib/redis/sentinel.conf";

/// The operation that makes another node primary: `from` names the host that is to give the role up.
const HAND_OVER: &str = "hand-over";
/// The operation that has running nodes take new passwords beside the former ones.
const ADMIT_PASSWORDS: &str = "admit-passwords";
/// The task that makes the Sentinels forget nodes and Sentinels that are gone for good.
const FORGET_MEMBERS: &str = "forget-members";

/// How many Sentinels must agree that the primary is down.
fn quorum(hosts: usize) -> usize {
    hosts / 2 + 1
}

impl Service for Redis {
    type Settings = Settings;

    const NAME: &'static str = "redis";
    const RECIPES: &'static [&'static str] = &["redis"];
    const PASSWORDS: &'static [(&'static str, bool)] =
        &[("user/replication", false), ("user/sentinel", false), ("user/wire", false), ("user/wire-deploy", false)];
    const TASKS: &'static [(&'static str, &'static str)] = &[(
        FORGET_MEMBERS,
        "make the Sentinels forget nodes and Sentinels that are gone for good, one after the other",
    )];

    fn check(&self, hosts: &[&Host], settings: &Settings) -> Vec<Problem> {
        settings::check(hosts, settings)
    }

    fn memory(&self, settings: &Settings, host: u64) -> u64 {
        settings.max_memory(Some(host))
    }

    fn build(&self, context: &Context<'_>) -> Result<Cluster, BuildError> {
        nodes::build(context)
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

    async fn put_object(&self, cluster: &Cluster, object: &Object, driver: &Driver<'_>) -> anyhow::Result<()> {
        live::put_object(cluster, object, driver).await
    }
}
