//! What the operator wrote: the site file, its inventory, its profile and its secrets. Pure; texts come in, a [`model::Site`] or all
//! errors at once go out.

pub mod certificates;
pub mod model;
pub mod names;
pub mod secrets;
