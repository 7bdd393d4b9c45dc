//! Handlers on the store in memory, as clients call them: requests in, answers and notifications out.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod access;
mod accounts;
mod assets;
mod bodies;
mod connections;
mod groups;
mod mail;
mod messages;
mod openapi;
mod program;
mod sockets;
mod split;
mod teams;
mod world;
