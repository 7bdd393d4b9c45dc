//! One suite of promises for every store.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod memory;
mod suite;
