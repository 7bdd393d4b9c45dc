//! Whether every node relays, from what the nodes said and how clients fared.

use crate::desired::Cluster;
use crate::observed::{LiveState, Member};
use crate::services::Verdict;

/// Names of what a member's details tell.
pub(super) mod detail {
    /// What became of a client over TCP: [`SERVED`](super::SERVED), [`NOT_PERMITTED`](super::NOT_PERMITTED) or what went wrong.
    pub const TCP: &str = "tcp";
    /// Likewise of one over UDP.
    pub const UDP: &str = "udp";
    /// Likewise of one over TLS.
    pub const TLS: &str = "tls";
    /// Servers to which the node sends its clients.
    pub const REDIRECTS: &str = "redirects";
    /// Clients that the node relays for.
    pub const ALLOCATIONS: &str = "allocations";
}

/// Two clients had an allocation each, and a packet went through both.
pub(super) const SERVED: &str = "served";
/// Two clients had an allocation each at a private address, and the node relays to none, as it should.
pub(super) const NOT_PERMITTED: &str = "not permitted";

/// Every node relays, over UDP, TCP and TLS, and sends nobody elsewhere.
pub(super) fn judge(cluster: &Cluster, live: &LiveState) -> Verdict {
    Verdict::of_nodes(cluster, live, |_, member| member.map_or_else(|problem| vec![problem], problems_of))
}

fn problems_of(member: &Member) -> Vec<String> {
    let mut problems = Vec::new();
    for (name, over) in [(detail::UDP, "UDP"), (detail::TCP, "TCP"), (detail::TLS, "TLS")] {
        match member.details.get(name).map(String::as_str) {
            Some(SERVED | NOT_PERMITTED) => {}
            Some(problem) => problems.push(format!("does not serve a client over {over}: {problem}")),
            None => problems.push(format!("was not tried over {over}")),
        }
    }
    if let Some(servers) = member.details.get(detail::REDIRECTS) {
        problems.push(format!("sends its clients to {servers}"));
    }
    problems
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn member(details: &[(&str, &str)]) -> Member {
        let details = details.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Member { answers: true, details: details.collect::<BTreeMap<_, _>>(), ..Member::default() }
    }

    #[test]
    fn a_node_is_well_if_it_relays_and_sends_nobody_away() {
        assert!(problems_of(&member(&[("udp", SERVED), ("tcp", SERVED), ("tls", SERVED)])).is_empty());
        assert!(
            problems_of(&member(&[("udp", NOT_PERMITTED), ("tcp", NOT_PERMITTED), ("tls", NOT_PERMITTED)])).is_empty()
        );
        let refused = member(&[("udp", SERVED), ("tcp", SERVED), ("tls", "no answer in time")]);
        assert_eq!(problems_of(&refused), ["does not serve a client over TLS: no answer in time"]);
        let deaf = member(&[("udp", "no answer in time"), ("tcp", SERVED), ("tls", SERVED)]);
        assert_eq!(problems_of(&deaf), ["does not serve a client over UDP: no answer in time"]);
        let drained = member(&[("udp", SERVED), ("tcp", SERVED), ("tls", SERVED), ("redirects", "192.0.2.2:3478")]);
        assert_eq!(problems_of(&drained), ["sends its clients to 192.0.2.2:3478"]);
        assert_eq!(
            problems_of(&Member::default()),
            ["was not tried over UDP", "was not tried over TCP", "was not tried over TLS"]
        );
    }
}
