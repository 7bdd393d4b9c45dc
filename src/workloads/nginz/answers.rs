//! What the gateway answers by itself, in the form in which services answer errors.

use serde::Serialize;

/// An error as clients read it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// What clients tell errors apart by.
    pub label: &'static str,
    /// For people.
    pub message: &'static str,
}

/// Each status that the gateway answers by itself. Clients renew their token when they read 401, slow down when they read 420
/// and try again later when they read 503.
pub const ANSWERS: [Answer; 7] = [
    Answer { status: 401, label: "unauthorized", message: "A valid access token is needed" },
    Answer { status: 403, label: "access-denied", message: "You do not have permission to access this resource" },
    Answer { status: 404, label: "no-endpoint", message: "The requested endpoint does not exist" },
    Answer { status: 413, label: "request-entity-too-large", message: "The request body is too large" },
    Answer { status: 420, label: "too-many-requests", message: "Too many requests; slow down" },
    Answer { status: 503, label: "service-unavailable", message: "The service cannot answer now; try again" },
    Answer { status: 504, label: "gateway-timeout", message: "The service did not answer in time" },
];
