//! Files in S3 or what speaks like it.

use std::path::PathBuf;

use serde::Deserialize;

use crate::secret::ConfiguredSecret;

/// Files in S3 or what speaks like it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct S3 {
    /// Its servers, `https://host:9000`: whichever answers is asked.
    pub endpoints: Vec<String>,
    /// The bucket.
    #[serde(default = "S3::bucket")]
    pub bucket: String,
    /// The region that requests are signed for.
    #[serde(default = "S3::region")]
    pub region: String,
    /// The user's name.
    pub access_key: String,
    /// The user's secret key.
    pub secret_key: ConfiguredSecret,
    /// A PEM file of the authorities that vouch for the servers; those that the host trusts when not set.
    pub authority: Option<PathBuf>,
    /// Where clients fetch files by themselves, `https://assets.wire.example`, which leads to the servers and keeps the name; they
    /// are sent there with an address that is good for a while. Without it files pass through this process.
    pub assets_host: Option<String>,
}

impl S3 {
    fn bucket() -> String {
        "assets".to_owned()
    }

    fn region() -> String {
        "us-east-1".to_owned()
    }
}
