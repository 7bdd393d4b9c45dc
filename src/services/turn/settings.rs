//! TURN's section of the site file.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::services::Problem;
use crate::site::model::Host;

/// Settings of coturn.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Port for clients over UDP and TCP. Default: 3478.
    pub port: u16,
    /// Port for clients over TLS and DTLS; 443 passes most firewalls. Default: 5349.
    pub tls_port: u16,
    /// First UDP port that is relayed from. Default: 49152.
    pub relay_port_first: u16,
    /// Last UDP port that is relayed from; each client's allocation takes one. Default: 65535.
    pub relay_port_last: u16,
    /// Realm that clients are told. Default: the site's domain.
    pub realm: Option<String>,
    /// Relay to private addresses too. Anyone with credentials then reaches what the host reaches; only for tests. Default: false.
    pub allow_private_peers: bool,
    /// Seconds that a node which has to restart waits for its clients to go. Default: 600.
    pub drain_seconds: u32,
    /// Certificate of the TLS port, where clients do not trust the site's own authority. Default: one of the site's authority.
    pub certificate: Option<Certificate>,
}

/// A certificate that the operator brings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Certificate {
    /// Name of the provided secret that holds the certificate and those that lead to its authority, PEM.
    pub chain: String,
    /// Name of the provided secret that holds its private key, PEM.
    pub key: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            port: 3478,
            tls_port: 5349,
            relay_port_first: 49_152,
            relay_port_last: 65_535,
            realm: None,
            allow_private_peers: false,
            drain_seconds: 600,
            certificate: None,
        }
    }
}

/// The fewest relay ports: a call takes up to four, and a node that ran out would refuse calls although it is well.
const FEWEST_PORTS: u16 = 100;

/// What is wrong with these hosts and settings.
pub(super) fn check(hosts: &[&Host], settings: &Settings) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut problem = |message: String, hint: &str| problems.push(Problem { message, hint: hint.to_owned() });
    if hosts.len() < 2 {
        problem(
            format!("turn needs 2 or more hosts, and the group turn has {}", hosts.len()),
            "clients of a host that dies or restarts go on with another one: put 2 or more hosts into the group turn",
        );
    }
    if settings.port == 0 || settings.tls_port == 0 || settings.port == settings.tls_port {
        problem(
            "port and tls_port are not two ports".to_owned(),
            "3478 and 5349 are TURN's own; 443 passes most firewalls",
        );
    }
    let relay = settings.relay_port_first..=settings.relay_port_last;
    if settings.relay_port_first < 1024 || relay.len() < usize::from(FEWEST_PORTS) {
        problem(
            format!("relay_port_first to relay_port_last is {} to {}", relay.start(), relay.end()),
            "give at least 100 ports of 1024 and above; 49152 to 65535 is a good range",
        );
    }
    if relay.contains(&settings.port) || relay.contains(&settings.tls_port) {
        problem("a port for clients lies within the relay ports".to_owned(), "leave it out of the range");
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(settings: &Settings) -> Vec<String> {
        let problems = check(&[], settings).into_iter().skip(1);
        problems.map(|problem| problem.message).collect()
    }

    #[test]
    fn ports_must_be_usable() {
        assert!(problems(&Settings::default()).is_empty());
        let same = Settings { tls_port: 3478, ..Settings::default() };
        assert_eq!(problems(&same), ["port and tls_port are not two ports"]);
        let backwards = Settings { relay_port_first: 60_000, relay_port_last: 50_000, ..Settings::default() };
        assert_eq!(problems(&backwards), ["relay_port_first to relay_port_last is 60000 to 50000"]);
        let within = Settings { tls_port: 50_000, ..Settings::default() };
        assert_eq!(problems(&within), ["a port for clients lies within the relay ports"]);
    }
}
