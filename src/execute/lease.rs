//! Keeping other operators away while a run is under way.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::watch;
use wire_deploy_agent::protocol::Request;
use wire_deploy_agent::state::Lease;

use crate::observe::{LEASE_SECONDS, claim};
use crate::report::Reporter;
use crate::site::names::HostName;
use crate::transport::Hosts;

/// The leases that a run holds.
pub struct Leases<'a> {
    hosts: &'a Hosts,
    /// Where it holds one.
    held: Mutex<BTreeSet<HostName>>,
    lease: Lease,
    lost: watch::Sender<bool>,
}

impl<'a> Leases<'a> {
    /// The leases that were claimed on `held`.
    #[must_use]
    pub fn new(hosts: &'a Hosts, held: BTreeSet<HostName>, lease: Lease) -> Self {
        Self { hosts, held: Mutex::new(held), lease, lost: watch::Sender::new(false) }
    }

    /// Turns true when another run has taken one of them. Its host refuses this run from then on; on the others, too, what is begun
    /// would be begun beside the other run.
    #[must_use]
    pub fn lost(&self) -> watch::Receiver<bool> {
        self.lost.subscribe()
    }

    /// Neither renews the lease on a host any more nor gives it back: it goes with all that is removed there.
    pub fn forget(&self, host: &HostName) {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).remove(host);
    }

    fn held(&self) -> Vec<HostName> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    /// Renews them for as long as it is polled; meant to run beside the work.
    pub async fn renew(&self, reporter: &Reporter) -> Infallible {
        let interval = Duration::from_secs(u64::from(LEASE_SECONDS) / 3);
        loop {
            tokio::time::sleep(interval).await;
            let held = self.held();
            let lost = join_all(held.iter().map(|host| self.renew_one(host))).await;
            for (host, other) in held.iter().zip(lost) {
                if let Some(other) = other {
                    reporter
                        .warn(format!("{host}: the lease is now held by {} (run {})", other.holder, other.run), None);
                    self.forget(host);
                    self.lost.send_replace(true);
                }
            }
        }
    }

    /// A host that does not answer now is renewed the next time; its step will tell that it is gone.
    async fn renew_one(&self, host: &HostName) -> Option<Lease> {
        let agent = self.hosts.agent(host).await.ok()?;
        claim(&agent, &self.lease, false).await.ok().flatten()
    }

    /// Gives them back. A host that cannot be told frees itself when the lease ends.
    pub async fn release(&self) {
        let request = Request::Release { run: self.lease.run.clone() };
        join_all(self.held().iter().map(async |host| {
            if let Ok(agent) = self.hosts.agent(host).await {
                let _ = agent.request(&request, &mut |_| {}).await;
            }
        }))
        .await;
    }
}
