//! What all services share on the wire: routes with their access, bodies, errors, limits.

pub mod authentication;
pub mod body;
pub mod cors;
pub mod devices;
pub mod error;
pub mod openapi;
pub mod rate;
pub mod routes;
pub mod version;

pub use authentication::Caller;
pub use body::{Json, Payload, Query};
pub use error::{ApiError, Failure};
pub use routes::{Access, Routes};

use std::sync::Arc;

/// What a handler is given.
pub type App = axum::extract::State<Arc<crate::app::App>>;

/// What a handler gives.
pub type Answer<T = axum::response::Response> = Result<T, Failure>;
