//! Hints between processes through Redis behind Sentinel.

use std::path::PathBuf;

use serde::Deserialize;

use crate::secret::ConfiguredSecret;

/// Hints between processes through Redis behind Sentinel.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Redis {
    /// The Sentinels, `host:26379`: they tell where the primary is.
    pub sentinels: Vec<String>,
    /// What the Sentinels call the primary.
    #[serde(default = "Redis::primary")]
    pub primary: String,
    /// The user, at the Sentinels and at Redis.
    pub user: String,
    /// Their password.
    pub password: ConfiguredSecret,
    /// A PEM file of the authorities that vouch for both; those that the host trusts when not set.
    pub authority: Option<PathBuf>,
}

impl Redis {
    fn primary() -> String {
        "wire".to_owned()
    }
}
