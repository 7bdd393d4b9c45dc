//! SSH, over libssh2, without any of its dangers: one thread owns a session, and nobody else touches it.
//!
//! - [`session`] connects, knows the host ([`host_key`], [`known_hosts`]) and logs in ([`key_file`]);
//! - [`pump`] is the thread's loop, [`carrier`] one channel and the socket pair that leads to its user.

mod carrier;
mod host_key;
mod key_file;
mod known_hosts;
mod pump;
mod session;

pub(super) use host_key::Policy;
pub(super) use key_file::read as read_key;
pub(super) use pump::Liveness;
pub(super) use session::{Login, Session};
