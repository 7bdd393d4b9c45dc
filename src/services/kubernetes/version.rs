//! The versions that can be installed. Each is one minor release, of which the lock has one patch.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A minor release of Kubernetes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum Minor {
    /// 1.35.
    #[serde(rename = "1.35")]
    V35,
    /// 1.36.
    #[default]
    #[serde(rename = "1.36")]
    V36,
}

impl Minor {
    /// The recipe of its programs.
    #[must_use]
    pub fn programs(self) -> &'static str {
        match self {
            Self::V35 => "kubernetes-1.35",
            Self::V36 => "kubernetes-1.36",
        }
    }

    /// The recipe of the image that holds them.
    #[must_use]
    pub fn image(self) -> &'static str {
        match self {
            Self::V35 => "kubernetes-image-1.35",
            Self::V36 => "kubernetes-image-1.36",
        }
    }

    /// All of them.
    pub const ALL: [Self; 2] = [Self::V35, Self::V36];

    /// The tag of the pause image by which its kubeadm tries, before an upgrade, whether pods can be run.
    #[must_use]
    pub fn pause(self) -> &'static str {
        match self {
            Self::V35 => "3.10.1",
            Self::V36 => "3.10.2",
        }
    }

    /// Its second number.
    #[must_use]
    pub fn number(self) -> u32 {
        match self {
            Self::V35 => 35,
            Self::V36 => 36,
        }
    }
}

impl fmt::Display for Minor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "1.{}", self.number())
    }
}

/// The second number of a version as `v1.35.4` or `1.35.4`; nothing if it is of another form.
#[must_use]
pub fn minor_of(version: &str) -> Option<u32> {
    let mut numbers = version.trim_start_matches('v').split('.');
    let (first, second) = (numbers.next()?, numbers.next()?);
    if first == "1" { second.parse().ok() } else { None }
}

/// Why a cluster of one version cannot become one of another; nothing if it can. kubeadm goes up one minor release at a time.
#[must_use]
pub fn forbids(from: &str, to: Minor) -> Option<(String, &'static str)> {
    let there = minor_of(from)?;
    match to.number().checked_sub(there) {
        Some(0 | 1) => None,
        Some(_) => Some((
            format!("the cluster runs Kubernetes {from}, and the site wants {to}"),
            "kubeadm goes up one minor version at a time: set `version` to the one in between first and apply",
        )),
        None => Some((
            format!("the cluster runs Kubernetes {from}, which is newer than {to}"),
            "there is no way back from an upgrade: set `version` to what runs",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_next_minor_version_is_gone_to() {
        assert_eq!(forbids("v1.35.4", Minor::V36), None);
        assert_eq!(forbids("v1.36.0", Minor::V36), None);
        assert!(forbids("v1.34.9", Minor::V36).is_some_and(|(_, hint)| hint.contains("in between")));
        assert!(forbids("v1.36.3", Minor::V35).is_some_and(|(_, hint)| hint.contains("no way back")));
        assert_eq!(forbids("something", Minor::V36), None);
    }
}
