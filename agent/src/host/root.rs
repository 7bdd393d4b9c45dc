//! Where the host's file system begins, and where the agent keeps its own things in it.

use std::path::{Path, PathBuf};

/// The folder that stands for `/`: on a host `/` itself, in tests a temporary folder.
#[derive(Debug, Clone)]
pub struct Root(PathBuf);

/// What the agent keeps from one run to the next; only root may look inside.
pub const KEPT: &str = "/var/lib/wire-deploy";
/// What the agent keeps until the next boot.
pub const RUNTIME: &str = "/run/wire-deploy";

impl Root {
    /// The folder that stands for `/`.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self(folder.into())
    }

    /// The folder itself.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.0
    }

    /// Whether this is the host itself and no test's folder.
    #[must_use]
    pub fn is_host(&self) -> bool {
        self.0 == Path::new("/")
    }

    /// Where an absolute path of the host really is.
    #[must_use]
    pub fn path(&self, absolute: &str) -> PathBuf {
        self.0.join(absolute.trim_start_matches('/'))
    }

    /// systemd runs the host.
    #[must_use]
    pub fn has_systemd(&self) -> bool {
        self.path("/run/systemd/system").is_dir()
    }
}
