//! Redis and etcd as real programs, three and more of each on loopback addresses of this machine: the files that hosts would get are
//! accepted, the clusters form, and what is done to them while they run does what it says.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod etcd;
mod place;
mod redis;
