//! The host's end of wire-deploy, and what both ends share.
//!
//! - [`resource`] and [`state`]: what a host should hold, and what it holds. Data, nothing else.
//! - [`diff`]: the pure comparison of the two. What `plan` prints and what `apply` does come from this one function.
//! - [`protocol`]: the frames and messages between the command line and the agent.
//! - [`version`]: how versions of Debian packages compare.
//! - [`host`]: observing and applying, the only part that touches a system; only the agent runs it.
//!
//! The library knows no SSH, no async runtime and no terminal.

pub mod diff;
pub mod digest;
pub mod host;
pub mod protocol;
pub mod resource;
pub mod state;
pub mod version;
