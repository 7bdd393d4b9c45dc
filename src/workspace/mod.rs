//! The operator's own files: what is read and written around a site.

pub mod files;
pub mod init;
pub mod machine;
pub mod runs;
pub mod secrets_file;
pub mod sources;
