//! The host's end of wire-deploy.
fn main() {}
