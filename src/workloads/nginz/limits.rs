//! How often requests may come: zones that count by user or by address, each gateway pod for itself.

use serde::Serialize;

/// A zone. Rates, bursts and connections are those of Wire's own gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Zone {
    /// Nothing is counted.
    Unlimited,
    /// By user.
    User,
    /// By address and row of the table, where there is no user yet.
    Address,
    /// By address: a log-in through an identity provider takes several requests.
    SignOn,
    /// By address: tells whether there is an account.
    SignOnLookup,
}

/// What a zone lets pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Limit {
    /// For which zone.
    pub zone: Zone,
    /// What is counted by: variables of nginx's second hop.
    pub key: &'static str,
    /// As nginx writes it.
    pub rate: &'static str,
    /// Requests at once beyond the rate.
    pub burst: u32,
    /// Requests and websockets under way at the same time.
    pub connections: u32,
}

/// The zones that count, each once.
pub const LIMITS: [Limit; 4] = [
    Limit { zone: Zone::User, key: "$http_z_user", rate: "30r/s", burst: 20, connections: 75 },
    Limit { zone: Zone::Address, key: "$http_x_forwarded_for$route", rate: "15r/m", burst: 10, connections: 20 },
    Limit { zone: Zone::SignOn, key: "$http_x_forwarded_for", rate: "50r/s", burst: 10, connections: 20 },
    Limit { zone: Zone::SignOnLookup, key: "$http_x_forwarded_for", rate: "5r/m", burst: 15, connections: 20 },
];

impl Zone {
    /// What it lets pass; `None` for everything.
    #[must_use]
    pub fn limit(self) -> Option<&'static Limit> {
        LIMITS.iter().find(|limit| limit.zone == self)
    }
}
