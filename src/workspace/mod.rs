//! The operator's own files: what is read and written around a site.

pub mod runs;
