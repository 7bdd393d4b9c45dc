//! SSH.

mod known_hosts;
