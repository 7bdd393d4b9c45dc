//! What the operator wrote: the site file, its inventory, its profile and its secrets. Pure; texts come in, a [`model::Site`] or all
//! errors at once go out.
//!
//! [`load`] tells the way: texts become [`tree`]s that know their lines, types are read from these ([`written`]), hosts and groups are
//! listed, settings are checked by the services themselves and laid over each other, and each [`problem`] is kept with its place.

pub mod artifacts;
pub mod certificates;
mod complaint;
pub mod document;
#[cfg(test)]
mod examples;
mod hosts;
pub mod init;
pub mod keys;
mod layers;
pub mod load;
pub mod model;
pub mod names;
pub mod problem;
pub mod range;
pub mod reference;
mod roster;
pub mod rules;
pub mod schema;
pub mod secrets;
pub mod selection;
pub mod strict;
#[cfg(test)]
pub(crate) mod tests;
pub mod tree;
pub mod workloads;
pub mod written;
