//! Where the two flavors differ.

use super::Flavor;

impl Flavor {
    /// Of the recipe, the user, the folders, the unit and the program.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Opensearch => "opensearch",
            Self::Elasticsearch => "elasticsearch",
        }
    }

    /// The environment variable that names the folder of settings.
    pub(super) fn settings_variable(self) -> &'static str {
        match self {
            Self::Opensearch => "OPENSEARCH_PATH_CONF",
            Self::Elasticsearch => "ES_PATH_CONF",
        }
    }

    /// The environment variable that names the Java to run on.
    pub(super) fn java_variable(self) -> &'static str {
        match self {
            Self::Opensearch => "OPENSEARCH_JAVA_HOME",
            Self::Elasticsearch => "JAVA_HOME",
        }
    }

    /// The setting that names the nodes that found a cluster.
    pub(super) fn initial_setting(self) -> &'static str {
        match self {
            Self::Opensearch => "cluster.initial_cluster_manager_nodes",
            Self::Elasticsearch => "cluster.initial_master_nodes",
        }
    }

    /// The role of nodes that may lead the cluster.
    pub(super) fn manager_role(self) -> &'static str {
        match self {
            Self::Opensearch => "cluster_manager",
            Self::Elasticsearch => "master",
        }
    }

    /// Whether there are TLS and users.
    pub(super) fn is_secure(self) -> bool {
        self == Self::Opensearch
    }
}
