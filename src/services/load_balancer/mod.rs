//! Load balancers: haproxy passes TCP connections on to servers that are well, and keepalived has one of the hosts hold an address
//! (VRRP version 3, RFC 5798) that another one takes over when it dies.
//!
//! Each haproxy answers at a port of its own with its host's name and how many servers are well. So whoever asks at the address
//! that moves learns who holds it, and the nodes can be asked whether they agree.

use super::{BuildError, Context, Driver, Problem, Service, Verdict};
use crate::desired::{Cluster, Operation};
use crate::observed::LiveState;
use crate::site::model::{Host, Site};

mod configuration;
mod judge;
mod live;
mod nodes;
mod relays;
mod settings;

pub use settings::Settings;

/// The service.
pub static SERVICE: LoadBalancer = LoadBalancer;

/// haproxy and keepalived.
pub struct LoadBalancer;

impl Service for LoadBalancer {
    type Settings = Settings;

    const NAME: &'static str = "load-balancer";
    const RECIPES: &'static [&'static str] = &[nodes::HAPROXY_RECIPE, nodes::KEEPALIVED_RECIPE];

    fn recipes(&self, settings: &Settings) -> Vec<&'static str> {
        let keepalived = settings.vip.map(|_| nodes::KEEPALIVED_RECIPE);
        [nodes::HAPROXY_RECIPE].into_iter().chain(keepalived).collect()
    }

    fn check(&self, hosts: &[&Host], settings: &Settings) -> Vec<Problem> {
        settings::check(hosts, settings)
    }

    fn check_site(&self, site: &Site) -> Vec<Problem> {
        relays::check(site)
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

    async fn operate(&self, _cluster: &Cluster, operation: &Operation, _driver: &Driver<'_>) -> anyhow::Result<()> {
        anyhow::bail!("load-balancer has no operation {}", operation.name)
    }
}
