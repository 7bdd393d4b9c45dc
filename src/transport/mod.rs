//! Reaching hosts: SSH or this machine, the agent's client end on top, tunnels through it. The only room with sockets to hosts.

mod mux;
mod ssh;

use std::sync::Arc;

use wire_deploy_agent::digest::{Digest, FingerprintKey};
use wire_deploy_agent::protocol::{Event, Failure, Request, Response};

use crate::services::Stream;
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

/// A request to an agent failed.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// The agent says so.
    #[error(transparent)]
    Failed(#[from] Failure),
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

/// The client end of the agent on one host. Clones share the connection; requests run side by side.
#[derive(Clone)]
pub struct Agent {
    inner: Arc<()>,
}

impl Agent {
    /// One exchange; events go to `on_event` as they come.
    ///
    /// # Errors
    /// When the connection breaks or the agent answers with a failure.
    pub async fn request(
        &self,
        request: &Request,
        on_event: &mut (dyn FnMut(Event) + Send),
    ) -> Result<Response, AgentError> {
        let _ = (&self.inner, request, on_event);
        todo!()
    }

    /// Sends a blob to the host's cache; `progress` gets the bytes sent so far.
    ///
    /// # Errors
    /// When reading it or the connection fails, or the host has no room.
    pub async fn put_blob(
        &self,
        blob: &Digest,
        size: u64,
        content: &mut (dyn tokio::io::AsyncRead + Send + Unpin),
        progress: &mut (dyn FnMut(u64) + Send),
    ) -> Result<(), AgentError> {
        let _ = (blob, size, content, progress);
        todo!()
    }

    /// A TCP connection opened from the host.
    ///
    /// # Errors
    /// When the host cannot open it.
    pub async fn connect(&self, address: core::net::SocketAddr) -> Result<Box<dyn Stream>, AgentError> {
        let _ = address;
        todo!()
    }
}

/// A host's fingerprint key travels with requests; it is derived from the site's seed.
pub type HostKey = FingerprintKey;
