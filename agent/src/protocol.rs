//! What the command line and the agent say to each other.
//!
//! A frame is `length: u32 big-endian` (of what follows) `| kind: u8 | id: u32 big-endian | payload`. Requests,
//! responses and events are JSON; data is raw. The command line opens exchanges with ids of its choice; everything
//! that belongs to an exchange carries its id:
//!
//! - one `Request`, any number of `Event`s back, one `Response` back: that ends the exchange, but for
//! - [`Request::PutBlob`]: after the request come `Data` frames and one `End` from the command line, then the response;
//! - [`Request::Connect`] and [`Request::Datagrams`]: after an [`Response::Ok`] `Data` flows both ways; each side sends one `End` when it has
//!   no more; `Reset` from either side ends both ways at once.
//!
//! A sender of `Data` starts with [`INITIAL_CREDIT`] bytes of credit an exchange and direction and may send no more than it has
//! been granted; the receiver grants more with `Credit` (u32 big-endian) as it consumes. So a blob cannot starve an
//! event, and a slow reader bounds the memory of both ends. A peer that breaks a bound is hung up on.
//!
//! Either end may get frames of an exchange that it has just ended (they crossed on the way): those are ignored.

mod codec;
mod window;

pub use codec::{Decoder, FrameError, HEADER};
use serde::{Deserialize, Serialize};
pub use window::{ReceiveWindow, SendWindow};

use crate::digest::{Digest, FingerprintKey};
use crate::resource::{Resource, ResourceId};
use crate::state::{Facts, Lease, State};

/// Longest `Data` payload in bytes.
pub const MAX_DATA: usize = 32 * 1024;
/// Longest JSON payload in bytes.
pub const MAX_MESSAGE: usize = 16 * 1024 * 1024;
/// Bytes of credit that each direction of an exchange starts with.
pub const INITIAL_CREDIT: u32 = 1024 * 1024;

/// What a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum FrameKind {
    /// JSON [`Request`], command line to agent.
    Request = 1,
    /// JSON [`Response`], agent to command line.
    Response = 2,
    /// JSON [`Event`], agent to command line.
    Event = 3,
    /// Bytes of a blob or a stream.
    Data = 4,
    /// u32 big-endian: so many more bytes of data may be sent.
    Credit = 5,
    /// No more data in this direction.
    End = 6,
    /// The stream is over in both directions.
    Reset = 7,
}

/// One frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// What it is.
    pub kind: FrameKind,
    /// The exchange it belongs to.
    pub id: u32,
    /// Its payload.
    pub payload: Vec<u8>,
}

/// A request.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "snake_case")]
pub enum Request {
    /// Look at these resources, the host's facts and its lease. Answered by [`Response::Observed`].
    Observe {
        /// What to look at; file contents in the form [`crate::resource::Content::Digest`].
        resources: Vec<Resource>,
        /// Key for the fingerprints of sensitive files.
        key: FingerprintKey,
    },
    /// Which of these blobs the host lacks. Answered by [`Response::Missing`].
    MissingBlobs {
        /// The blobs asked about.
        blobs: Vec<Digest>,
    },
    /// A blob for the host's cache follows as data. Answered by [`Response::Ok`] once it is stored and its digest is right.
    /// What a session has used is deleted when the session ends; what none has used, after a week. So ask
    /// [`Request::MissingBlobs`] in the session that applies, and again after a reconnect.
    PutBlob {
        /// Its digest.
        blob: Digest,
        /// Its size in bytes.
        size: u64,
    },
    /// Apply these resources in order; stops at the first that fails. Events: [`Event::Applying`], [`Event::Applied`], [`Event::Log`].
    /// Answered by [`Response::Ok`] or [`Response::Error`], or by [`Response::LeaseHeld`] with the other's lease.
    Apply {
        /// The run that asks. Where another holds the host, nothing is done.
        run: String,
        /// In order, with whole contents; blobs are already on the host.
        resources: Vec<Resource>,
        /// Key for the fingerprints of sensitive files.
        key: FingerprintKey,
        /// Keep the former files under this name, so that they can be put back.
        transaction: Option<String>,
    },
    /// Forget what these units were started with, so that applying them restarts them. Answered as [`Request::Apply`].
    ForgetStarts {
        /// The run that asks.
        run: String,
        /// Unit names.
        units: Vec<String>,
    },
    /// Put back the files that the transaction replaced, and restart the units it restarted. Answered as [`Request::Apply`].
    PutBack {
        /// The run that asks.
        run: String,
        /// The transaction's name.
        transaction: String,
    },
    /// Forget what a transaction kept. Answered by [`Response::Ok`].
    Commit {
        /// The transaction's name.
        transaction: String,
    },
    /// Open a TCP connection from the host. Answered by [`Response::Ok`], then data flows.
    Connect {
        /// An IP address and port; names are not looked up.
        address: std::net::SocketAddr,
    },
    /// Exchange datagrams (UDP) with one address, from the host. Answered by [`Response::Ok`], then data flows: each datagram behind its length
    /// in bytes, a number of two bytes, the higher first.
    Datagrams {
        /// An IP address and port.
        address: std::net::SocketAddr,
    },
    /// Take or renew the lease. Answered by [`Response::Ok`], or by [`Response::LeaseHeld`] with the other's lease.
    Lease {
        /// The wanted lease; `since` and `expires` are set by the host from `seconds`.
        lease: Lease,
        /// How long from now.
        seconds: u32,
        /// Take it even from a holder that has not expired.
        force: bool,
    },
    /// Give the lease of this run back. Answered by [`Response::Ok`].
    Release {
        /// The run that held it.
        run: String,
    },
    /// Remove what the resources stand for, in reverse order: units stopped and their files deleted, folders (data too) deleted,
    /// users removed; packages stay. Answered as [`Request::Apply`]. Only `destroy` sends it.
    Remove {
        /// The run that asks.
        run: String,
        /// In the order in which they were applied.
        resources: Vec<Resource>,
    },
    /// The last lines of a unit's journal. Answered by [`Response::Journal`].
    Journal {
        /// Unit name.
        unit: String,
        /// How many lines.
        lines: u32,
    },
    /// Delete everything the agent left on the host, itself included. Answered by [`Response::Ok`]; the agent then ends.
    Uninstall,
}

/// The answer to a request.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "response", rename_all = "snake_case")]
pub enum Response {
    /// Done.
    Ok,
    /// It failed.
    Error(Failure),
    /// To [`Request::Observe`].
    Observed {
        /// About the host.
        facts: Box<Facts>,
        /// One per resource, in the same order.
        states: Vec<State>,
        /// Who holds the host.
        lease: Option<Lease>,
    },
    /// To [`Request::MissingBlobs`].
    Missing {
        /// Those that the host lacks.
        blobs: Vec<Digest>,
    },
    /// To [`Request::Lease`] and to whatever changes the host: someone else holds it.
    LeaseHeld {
        /// The holder's lease.
        lease: Lease,
    },
    /// To [`Request::Journal`].
    Journal {
        /// Oldest first.
        lines: Vec<String>,
    },
}

/// Why a request failed. No secret is ever in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// The resource that failed, if it was one.
    pub resource: Option<ResourceId>,
    /// What went wrong.
    pub message: String,
    /// What an operator may do about it.
    pub hint: Option<String>,
    /// The last lines of the log that tells more.
    #[serde(default)]
    pub log: Vec<String>,
}

impl Failure {
    /// What went wrong, and with which resource.
    #[must_use]
    pub fn text(&self) -> String {
        match &self.resource {
            Some(resource) => format!("{resource}: {}", self.message),
            None => self.message.clone(),
        }
    }
}

/// What happens while a request is worked on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// A resource is begun.
    Applying {
        /// Which.
        resource: ResourceId,
    },
    /// A resource is as wanted.
    Applied {
        /// Which.
        resource: ResourceId,
        /// Whether anything had to be done.
        changed: bool,
    },
    /// A line of a program's output.
    Log {
        /// The line, without its end.
        line: String,
    },
}

/// Bytes as base64 inside JSON.
pub mod base64_bytes {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use serde::{Deserialize as _, Deserializer, Serializer};

    /// Writes bytes as base64.
    ///
    /// # Errors
    /// As the serializer has them.
    pub fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(bytes))
    }

    /// Reads bytes from base64.
    ///
    /// # Errors
    /// When the text is not base64.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        STANDARD.decode(String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}
