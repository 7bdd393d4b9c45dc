//! What is: the hosts' states and the running clusters' own view of themselves.
//!
//! A host costs one connection and one round trip: the lease, when one is wanted, and the observation travel together.

pub mod kubernetes;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use futures_util::stream::{self, StreamExt as _};
use wire_deploy_agent::digest::FingerprintKey;
use wire_deploy_agent::protocol::{Request, Response};
use wire_deploy_agent::resource::Resource;
use wire_deploy_agent::state::Lease;

use crate::desired::{Cluster, Desired, service_of, without_content};
use crate::observed::{HostObserved, LiveState, Member, Observed};
use crate::plan::node_is_up;
use crate::report::{EventKind, Reporter};
use crate::services::Driver;
use crate::site::model::Site;
use crate::site::names::HostName;
use crate::site::secrets::Secrets;
use crate::transport::{AgentError, ConnectError, Hosts};

/// Longest that a running cluster is waited for before its silence is what was observed.
const LIVE_TIMEOUT: Duration = Duration::from_secs(15);

/// How long a lease lasts unless renewed, in seconds.
pub const LEASE_SECONDS: u32 = 60;

/// What observing needs.
#[derive(Clone, Copy)]
pub struct Observer<'a> {
    /// The site.
    pub site: &'a Site,
    /// Where the fingerprint keys and the drivers' credentials come from.
    pub secrets: &'a Secrets,
    /// The connections.
    pub hosts: &'a Hosts,
    /// Who is told.
    pub reporter: &'a Reporter,
}

/// What was found, and whose hosts are someone else's at the moment.
#[derive(Debug, Default)]
pub struct Gathered {
    /// What was found.
    pub observed: Observed,
    /// The leases that others hold on hosts for which one was wanted.
    pub held: BTreeMap<HostName, Lease>,
}

enum Answer {
    Found(Box<HostObserved>, Option<Lease>),
    Unreachable { reason: String, hint: Option<String> },
}

/// Milliseconds since the epoch.
#[must_use]
pub fn now() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}

impl Observer<'_> {
    /// Looks at the hosts of the clusters, and takes `lease` on each if one is given; then asks the clusters that run.
    pub async fn gather(&self, desired: &Desired, lease: Option<&Lease>) -> Gathered {
        let by_host = desired.by_host();
        let looks = by_host.iter().map(|(host, resources)| self.look(host, resources, lease));
        let answers: Vec<_> = stream::iter(looks).buffer_unordered(self.site.limits.hosts.max(1)).collect().await;
        let mut gathered = Gathered::default();
        gathered.observed.time = now();
        let mut silent: BTreeMap<(String, Option<String>), Vec<HostName>> = BTreeMap::new();
        for (host, answer) in answers {
            match answer {
                Answer::Found(found, held) => {
                    gathered.observed.hosts.insert(host.clone(), *found);
                    gathered.held.extend(held.map(|lease| (host, lease)));
                }
                Answer::Unreachable { reason, hint } => {
                    gathered.observed.unreachable.insert(host.clone(), reason.clone());
                    silent.entry((reason, hint)).or_default().push(host);
                }
            }
        }
        for ((reason, hint), mut hosts) in silent {
            hosts.sort_by_key(|host| self.site.hosts.iter().position(|known| known.name == *host));
            self.reporter.send(EventKind::Unreachable { hosts, reason, hint });
        }
        let running: Vec<_> = desired
            .clusters
            .iter()
            .filter(|cluster| cluster.nodes.iter().any(|node| node_is_up(node, &gathered.observed)))
            .collect();
        let views = join_all(running.iter().map(|cluster| self.ask(cluster))).await;
        gathered.observed.live = running.iter().map(|cluster| cluster.service.clone()).zip(views).collect();
        gathered
    }

    async fn look(&self, host: &HostName, resources: &[&Resource], lease: Option<&Lease>) -> (HostName, Answer) {
        let started = Instant::now();
        let key = self.secrets.fingerprint_key(host);
        let answer = match self.hosts.agent(host).await {
            Ok(agent) => match observe(&agent, key, resources, lease).await {
                Ok((found, held)) => Answer::Found(Box::new(found), held),
                Err(error) => Answer::Unreachable { reason: error.to_string(), hint: hint_of(&error) },
            },
            Err(ConnectError { reason, hint, .. }) => Answer::Unreachable { reason, hint: Some(hint) },
        };
        if matches!(answer, Answer::Found(..)) {
            let milliseconds = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
            self.reporter.send(EventKind::Observed { host: host.clone(), milliseconds });
        }
        (host.clone(), answer)
    }

    /// Asks a running cluster through its driver. That it does not answer is an answer too.
    pub async fn ask(&self, cluster: &Cluster) -> LiveState {
        let driver = Driver { network: self.hosts, secrets: self.secrets, time: now() };
        let Some(service) = service_of(cluster) else { return LiveState::default() };
        let problem = match tokio::time::timeout(LIVE_TIMEOUT, service.observe(cluster, &driver)).await {
            Ok(Ok(live)) => return live,
            Ok(Err(error)) => format!("{error:#}"),
            Err(_) => format!("does not answer within {} s", LIVE_TIMEOUT.as_secs()),
        };
        let silent = Member { problem: Some(problem), ..Member::default() };
        let members = cluster.nodes.iter().map(|node| (node.host.clone(), silent.clone())).collect();
        LiveState { members, ..LiveState::default() }
    }
}

fn hint_of(error: &AgentError) -> Option<String> {
    match error {
        AgentError::Failed(failure) => failure.hint.clone(),
        AgentError::TakenOver(_) | AgentError::Broken { .. } | AgentError::Protocol { .. } => None,
    }
}

/// One round trip: both requests are under way before the first answer is there.
async fn observe(
    agent: &crate::transport::Agent,
    key: FingerprintKey,
    resources: &[&Resource],
    lease: Option<&Lease>,
) -> Result<(HostObserved, Option<Lease>), AgentError> {
    let resources: Vec<Resource> = resources.iter().map(|resource| without_content(resource, &key)).collect();
    let ids: Vec<_> = resources.iter().map(Resource::id).collect();
    let request = Request::Observe { resources, key };
    let sent = now();
    let quiet = &mut |_| {};
    let claim = async {
        match lease {
            Some(lease) => claim(agent, lease, false).await,
            None => Ok(None),
        }
    };
    let (held, answer) = tokio::join!(claim, agent.request(&request, quiet));
    let received = now();
    match answer? {
        Response::Observed { facts, states, lease } if states.len() == ids.len() => {
            let clock_skew = clock_skew(sent, (facts.clock, facts.answered), received);
            let states = ids.into_iter().zip(states).collect();
            Ok((HostObserved { facts: *facts, clock_skew, states, lease }, held?))
        }
        other => Err(agent.unexpected(&other)),
    }
}

/// How far a host's clock is certainly ahead of (negative: behind) this machine's, in milliseconds: what lies beyond the time that the
/// request and the answer may have been on their way. The host's times are of the request's arrival and of the answer.
fn clock_skew(sent: i64, (arrived, answered): (i64, i64), received: i64) -> i64 {
    let (least, most) = (answered - received, arrived - sent);
    if least > 0 { least } else { most.min(0) }
}

/// Takes or renews a lease; the other's if someone else holds it.
///
/// # Errors
/// When the host does not answer.
pub async fn claim(agent: &crate::transport::Agent, lease: &Lease, force: bool) -> Result<Option<Lease>, AgentError> {
    let request = Request::Lease { lease: lease.clone(), seconds: LEASE_SECONDS, force };
    match agent.request(&request, &mut |_| {}).await? {
        Response::Ok => Ok(None),
        Response::LeaseHeld { lease } => Ok(Some(lease)),
        other => Err(agent.unexpected(&other)),
    }
}

#[cfg(test)]
mod tests {
    use super::clock_skew;

    #[test]
    fn a_clock_is_off_by_what_the_way_does_not_explain() {
        // A second each way and nine of observing, by clocks that agree.
        assert_eq!(clock_skew(100_000, (101_000, 110_000), 111_000), 0);
        assert_eq!(clock_skew(100_000, (100_000, 109_000), 111_000), 0, "the answer alone took two");
        // The same with a host that is a minute ahead, and one that is a minute behind.
        assert_eq!(clock_skew(100_000, (161_000, 170_000), 111_000), 59_000);
        assert_eq!(clock_skew(100_000, (41_000, 50_000), 111_000), -59_000);
    }
}
