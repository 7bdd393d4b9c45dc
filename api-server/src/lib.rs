//! `wire-api`: the reference API server of a Wire-style backend, which the published clients use unchanged.
//!
//! One program, several services (brig, galley, gundeck, cannon, cargohold, spar, auth): each its own Deployment, reached by path through
//! nginx; or all in one process. Nothing lives in a process: what is kept is in the [`store`], what is told goes through [`push`].
//!
//! | room | what is inside |
//! |---|---|
//! | [`domain`] | the nouns and their JSON; no I/O |
//! | [`http`] | routes with their access, bodies, errors, limits |
//! | [`store`] | what is kept: a trait an area, and the stores |
//! | [`push`] | telling users what happened |
//! | [`services`] | the handlers, a folder a service |
//! | [`token`], [`password`], [`secret`], [`mail`], [`metrics`], [`tls`] | tools |
//! | [`config`], [`app`], [`listen`], [`server`] | putting it together |

pub mod app;
pub mod config;
pub mod domain;
pub mod http;
pub mod listen;
pub mod mail;
pub mod metrics;
pub mod password;
pub mod push;
pub mod secret;
pub mod server;
pub mod services;
pub mod store;
pub mod tls;
pub mod token;
