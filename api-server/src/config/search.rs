//! The directory of users in OpenSearch.

use std::path::PathBuf;

use serde::Deserialize;

use crate::secret::ConfiguredSecret;

/// The directory of users in OpenSearch.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Search {
    /// Its nodes, `https://host:9200`: whichever answers is asked.
    pub endpoints: Vec<String>,
    /// The user who may read and write the directory; none where there are no users.
    pub user: Option<String>,
    /// Their password.
    pub password: Option<ConfiguredSecret>,
    /// A PEM file of the authorities that vouch for the nodes; those that the host trusts when not set.
    pub authority: Option<PathBuf>,
}
