//! nginz, the gateway of the API: nginx with a table of routes. It checks tokens, limits how often requests come, and passes
//! them to the services.

pub mod answers;
pub mod gateway;
pub mod limits;
pub mod routes;

pub use gateway::{Gateway, Listen};
