//! Search: OpenSearch with its security plugin, or an old Elasticsearch without any security.
//!
//! It holds the directory of users, made anew from the backend's own data whenever it is lost; brig alone uses it.

use super::{BuildError, Context, Driver, Finding, Problem, Service, Verdict};
use crate::desired::{Cluster, Object, Operation};
use crate::observed::LiveState;
use crate::site::model::Host;

mod connection;
mod directory;
mod flavor;
mod judge;
mod live;
mod managers;
mod nodes;
mod reindex;
mod security;
mod settings;

pub use settings::{Flavor, Settings};

/// The service.
pub static SERVICE: Search = Search;

/// Search.
pub struct Search;

/// Port of the REST interface.
pub const PORT: u16 = 9200;
/// The trust domain of the REST interface; clients trust its authority.
pub const CLIENTS: &str = "clients";
/// The alias of the directory's index; clients know no other name.
pub const DIRECTORY: &str = "directory";
/// The user as whom the backend searches; its password is of the purpose `user/brig`.
pub const SERVICE_USER: &str = "brig";

/// The trust domain of the nodes among each other. It has certificates of nodes only, so whoever shows one is a node.
const PEERS: &str = "peers";
/// Port among the nodes.
const PEER_PORT: u16 = 9300;
/// The purpose of the service user's password.
const USER_PASSWORD: &str = "user/brig";
/// The operation before a restart: copies of shards are not made anew elsewhere while a node is away for a moment.
const HOLD_ALLOCATION: &str = "hold-allocation";
/// The task that moves the directory into a new index.
const REINDEX: &str = "reindex";

impl Service for Search {
    type Settings = Settings;

    const NAME: &'static str = "search";
    const RECIPES: &'static [&'static str] = &["java", "opensearch", "elasticsearch"];
    const PASSWORDS: &'static [(&'static str, bool)] = &[(USER_PASSWORD, false)];
    const TASKS: &'static [(&'static str, &'static str)] = &[(
        REINDEX,
        "copy the directory into a new index with today's mapping, and let the alias point to it; searches go on meanwhile",
    )];

    fn recipes(&self, settings: &Settings) -> Vec<&'static str> {
        vec![nodes::JAVA, settings.flavor.name()]
    }

    fn check(&self, hosts: &[&Host], settings: &Settings) -> Vec<Problem> {
        settings::check(hosts, settings)
    }

    fn memory(&self, settings: &Settings, host: u64) -> u64 {
        settings.heap(Some(host))
    }

    fn build(&self, context: &Context<'_>) -> Result<Cluster, BuildError> {
        nodes::build(context)
    }

    fn examine(&self, context: &Context<'_>) -> Vec<Finding> {
        nodes::examine(context)
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

    async fn settle(&self, cluster: &Cluster, driver: &Driver<'_>) -> anyhow::Result<()> {
        live::settle(cluster, driver).await
    }

    async fn put_object(&self, cluster: &Cluster, object: &Object, driver: &Driver<'_>) -> anyhow::Result<()> {
        live::put_object(cluster, object, driver).await
    }
}
