//! Why nothing is done.

use crate::site::names::{HostName, ServiceName};
use crate::workloads::found::Obstacle;

/// A plan that must not be carried out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A node would have to stop while its cluster can spare none.
    #[error("{service} on {host} has to restart, but the cluster can spare no node now{}", among(unwell))]
    NothingToSpare {
        /// The service.
        service: ServiceName,
        /// The host whose node has to restart.
        host: HostName,
        /// The hosts whose nodes are not well already.
        unwell: Vec<HostName>,
    },
    /// A restart was asked for while nodes are down.
    #[error("{service} is not restarted while {} down", if let [host] = hosts.as_slice() { format!("its node on {host} is") } else { format!("its nodes on {} are", names(hosts)) })]
    NodesDown {
        /// The service.
        service: ServiceName,
        /// The hosts whose nodes are down.
        hosts: Vec<HostName>,
    },
    /// A restart was asked for while something else is to be done.
    #[error("{service} is not restarted while the hosts differ from the site")]
    Unsettled {
        /// The service.
        service: ServiceName,
    },
    /// Something keeps workloads' objects from being what they should.
    #[error("{}", .0.iter().map(|obstacle| obstacle.message.as_str()).collect::<Vec<_>>().join("; "))]
    Obstacles(Vec<Obstacle>),
    /// A saved plan has another format.
    #[error("the plan has format {found}, this program reads format {}", super::FORMAT)]
    Format {
        /// The format found.
        found: u64,
    },
    /// A saved plan comes from another version of the program.
    #[error("the plan was made by version {found}, this is version {}", env!("CARGO_PKG_VERSION"))]
    Version {
        /// The version that made it.
        found: String,
    },
    /// A saved plan belongs to another site.
    #[error("the plan is for site {found}, this is site {site}")]
    Site {
        /// The plan's site.
        found: String,
        /// This site.
        site: String,
    },
    /// A saved plan is not what was saved.
    #[error("the plan file was altered, or sealed with another site's secrets")]
    Seal,
    /// A file that is no plan.
    #[error("the file is no plan: {reason}")]
    Unreadable {
        /// Why.
        reason: String,
    },
    /// The world has moved since the plan was saved.
    #[error("the plan is stale: {what}")]
    Stale {
        /// What differs now.
        what: String,
    },
}

impl Refusal {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> &str {
        match self {
            Self::NothingToSpare { .. } => {
                "bring the nodes that are not well back first (`wire-deploy status` shows why); a node that is down is started before anything else restarts"
            }
            Self::Obstacles(obstacles) => obstacles.first().map_or("", |obstacle| obstacle.hint.as_str()),
            Self::NodesDown { .. } => "bring them back first: `wire-deploy apply` starts what is down",
            Self::Unsettled { .. } => "`wire-deploy plan` shows what differs; `wire-deploy apply` restarts what has to",
            Self::Format { .. } | Self::Version { .. } | Self::Stale { .. } => {
                "make a new plan with `wire-deploy plan -o FILE`"
            }
            Self::Site { .. } => "give the site file that the plan was made with by `-c FILE`",
            Self::Seal | Self::Unreadable { .. } => {
                "plans cannot be edited; make a new one with `wire-deploy plan -o FILE`"
            }
        }
    }
}

fn among(unwell: &[HostName]) -> String {
    if unwell.is_empty() {
        return String::new();
    }
    format!(": {} not well", names(unwell))
}

fn names(hosts: &[HostName]) -> String {
    let names: Vec<&str> = hosts.iter().map(HostName::as_str).collect();
    names.join(", ")
}
