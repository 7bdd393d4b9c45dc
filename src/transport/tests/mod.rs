#![allow(clippy::unwrap_used, clippy::expect_used)]

//! The contract of SSH, kept against real sshds of this machine: started for a test, on the loopback, gone afterwards.

mod flow;
mod hosts;
mod jump;
mod login;
mod sshd;
