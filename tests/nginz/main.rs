//! nginz on Debian's nginx, with the rendered configuration, real checks of tokens and services that tell what they were sent.
#![allow(clippy::unwrap_used)]

#[path = "../common/mod.rs"]
mod common;

mod bad_days;
mod http;
mod limits;
mod names;
mod refused;
mod routes;
mod service;
mod tokens;
mod whole;
mod world;
