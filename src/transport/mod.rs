//! Reaching hosts: SSH or this machine, the agent's client end on top, tunnels through it. The only room with sockets to hosts.
//!
//! - [`Hosts`] connects when first asked, shares one connection a host, reconnects once when it breaks.
//! - [`ssh`] and [`local`] run a command on a host and hand out its streams; [`bootstrap`] makes an agent of it;
//!   [`mux`] speaks with that agent.
//! - [`web`] is HTTP and TLS from this machine itself, to what is no host.

mod bootstrap;
mod hosts;
mod link;
mod local;
mod mux;
mod ssh;
pub mod web;

use std::path::Path;

pub use bootstrap::AgentBinary;
pub use hosts::{Agent, Hosts, Notice, Options};
use wire_deploy_agent::protocol::Failure;
use wire_deploy_agent::state::Lease;

use crate::site::names::HostName;

/// Why a host cannot be worked with. Each kind has its own hint; none holds a secret.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{host}: {reason}")]
pub struct ConnectError {
    /// Which host.
    pub host: HostName,
    /// What went wrong.
    pub reason: String,
    /// What to do about it.
    pub hint: String,
}

/// What went wrong while connecting, and what to do about it; a [`ConnectError`] that does not know its host yet.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Problem {
    reason: String,
    hint: String,
}

impl Problem {
    fn new(reason: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { reason: reason.into(), hint: hint.into() }
    }

    fn of(self, host: &HostName) -> ConnectError {
        ConnectError { host: host.clone(), reason: self.reason, hint: self.hint }
    }
}

/// Why a private key file cannot be used, and what to do about it; nothing when it can.
#[must_use]
pub fn unusable_key(path: &Path) -> Option<(String, String)> {
    ssh::read_key(path).err().map(|problem| (problem.reason, problem.hint))
}

/// A request to an agent failed.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// The agent says so.
    #[error(transparent)]
    Failed(#[from] Failure),
    /// Another run holds the host now, so nothing is changed for this one.
    #[error("{} has taken over the host", .0.holder)]
    TakenOver(Box<Lease>),
    /// The connection broke and could not be had again.
    #[error("the connection to {host} broke: {reason}")]
    Broken {
        /// Which host.
        host: HostName,
        /// Why.
        reason: String,
    },
    /// The agent broke the protocol.
    #[error("the agent on {host} broke the protocol: {reason}")]
    Protocol {
        /// Which host.
        host: HostName,
        /// How.
        reason: String,
    },
}

#[cfg(test)]
mod tests;
