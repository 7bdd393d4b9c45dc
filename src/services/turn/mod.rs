//! TURN through coturn: every host relays by its own public address; clients bring credentials that the backend makes from a
//! secret it shares with the servers, and that end after a while.
//!
//! The nodes know nothing of each other. One that is to restart is *drained* first: coturn's own command line has it send new
//! clients to the other nodes (RFC 8656, 300 Try Alternate) until those it serves have gone, or patience is over.

use std::time::Duration;

use super::{BuildError, Context, Driver, Problem, Service, Verdict};
use crate::desired::{Cluster, Object, Operation};
use crate::observed::LiveState;
use crate::site::model::Host;

mod client;
mod command_line;
mod judge;
mod live;
mod nodes;
mod settings;

pub use settings::Settings;

/// The service.
pub static SERVICE: Turn = Turn;

/// coturn.
pub struct Turn;

/// The purpose of the secret that the backend makes clients' credentials from (see [`client::Credentials`]).
pub const SHARED_SECRET: &str = "shared-secret";
/// The trust domain of the nodes' certificates, where the operator brings none.
pub const TRUST_DOMAIN: &str = "nodes";

/// The purpose of a node's password for coturn's command line.
const COMMAND_LINE_PASSWORD: &str = "command-line";
/// Port of coturn's command line, on loopback only.
const COMMAND_LINE_PORT: u16 = 5766;

/// The operation that empties a node before it restarts.
const DRAIN: &str = "drain";
/// The argument of [`DRAIN`] that says how long it may take, in seconds.
const DRAIN_SECONDS: &str = "seconds";

impl Service for Turn {
    type Settings = Settings;

    const NAME: &'static str = "turn";
    const RECIPES: &'static [&'static str] = &["turn"];
    const PASSWORDS: &'static [(&'static str, bool)] = &[(SHARED_SECRET, false), (COMMAND_LINE_PASSWORD, true)];

    fn check(&self, hosts: &[&Host], settings: &Settings) -> Vec<Problem> {
        settings::check(hosts, settings)
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

    fn patience(&self, _cluster: &Cluster, operation: &Operation) -> Duration {
        // Asking and redirecting take their time too.
        Duration::from_secs(live::drain_seconds(operation) + 60)
    }
}
