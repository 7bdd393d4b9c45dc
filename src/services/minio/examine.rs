//! What of the hosts MinIO cannot be with: drives of another cluster, drives in another number, disks that are shared.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use wire_deploy_agent::state::State;

use super::Settings;
use super::erasure::Layout;
use super::nodes::{SYSTEM, format_file, parent};
use crate::services::{Context, Finding, Severity};
use crate::site::model::Host;

/// What MinIO wrote on a drive when the cluster was founded (`formatErasureV3`), in one line.
#[derive(Debug, Deserialize)]
struct Format {
    /// The cluster.
    id: String,
    xl: Sets,
}

#[derive(Debug, Deserialize)]
struct Sets {
    /// The ids of the drives of each set.
    sets: Vec<Vec<String>>,
}

/// Everything of that kind.
pub(super) fn examine(context: &Context<'_>) -> Vec<Finding> {
    let hosts = context.hosts();
    let settings: Vec<Settings> = hosts.iter().filter_map(|host| context.settings(&host.name).ok()).collect();
    let Some(first) = settings.first() else { return Vec::new() };
    let mut findings = Vec::new();
    for (host, settings) in hosts.iter().zip(&settings) {
        if settings.drives != first.drives {
            findings.push(fatal(
                host,
                format!("has other drives for minio than {}", hosts[0].name),
                "MinIO wants the same folders on every host: say `drives` for the service, not for groups or hosts",
            ));
        }
    }
    findings.extend(founded(context, &hosts, first));
    findings.extend(hosts.iter().flat_map(|host| shared(context, host, first)));
    findings
}

fn fatal(host: &Host, message: String, hint: &str) -> Finding {
    Finding { host: host.name.clone(), severity: Severity::Fatal, message, hint: hint.to_owned() }
}

/// Drives that belong to a cluster of another form than the site's, or to several clusters.
fn founded(context: &Context<'_>, hosts: &[&Host], settings: &Settings) -> Vec<Finding> {
    let formats: Vec<(&Host, &String, Format)> = hosts
        .iter()
        .flat_map(|host| settings.drives.iter().map(move |drive| (*host, drive)))
        .filter_map(|(host, drive)| Some((host, drive, format(context, host, drive)?)))
        .collect();
    let mut clusters: BTreeMap<&str, usize> = BTreeMap::new();
    for (_, _, format) in &formats {
        *clusters.entry(&format.id).or_default() += 1;
    }
    // What most drives belong to is the cluster; the others are strangers.
    let Some((cluster, _)) = clusters.into_iter().max_by_key(|(_, drives)| *drives) else { return Vec::new() };
    let layout = Layout::of(hosts.len(), settings.drives.len());
    formats
        .iter()
        .filter_map(|(host, drive, format)| {
            if format.id != cluster {
                return Some(fatal(
                    host,
                    format!("{drive} holds data of another MinIO cluster ({}) than most drives", format.id),
                    "move that folder away if its data are not wanted; an empty folder is filled from the others",
                ));
            }
            let sets: BTreeSet<usize> = format.xl.sets.iter().map(Vec::len).collect();
            let drives: usize = format.xl.sets.iter().map(Vec::len).sum();
            let fits = layout.is_some_and(|layout| layout.drives == drives && sets == BTreeSet::from([layout.set]));
            (!fits).then(|| {
                fatal(
                    host,
                    format!(
                        "{drive} is one of {drives} drives that minio was founded with; the site has {}",
                        hosts.len() * settings.drives.len()
                    ),
                    "MinIO never changes the number of a cluster's drives: keep hosts and drives as they were, or set up a \
                     second site with the new ones and copy the buckets over",
                )
            })
        })
        .collect()
}

fn format(context: &Context<'_>, host: &Host, drive: &str) -> Option<Format> {
    match context.state(&host.name, &format!("lines {} {{", format_file(drive))) {
        Some(State::Lines { lines }) => serde_json::from_str(lines.first()?).ok(),
        _ => None,
    }
}

/// Drives that share a disk with each other or with the system.
fn shared(context: &Context<'_>, host: &Host, settings: &Settings) -> Option<Finding> {
    let device = |path: &str| match context.state(&host.name, &format!("path {path}")) {
        Some(State::Exists { device, .. }) => Some(*device),
        _ => None,
    };
    let system = device(SYSTEM)?;
    let devices: Vec<u64> =
        settings.drives.iter().map(|drive| device(drive).or_else(|| device(parent(drive))).unwrap_or(system)).collect();
    let own: BTreeSet<u64> = devices.iter().copied().filter(|device| *device != system).collect();
    if own.len() == devices.len() {
        return None;
    }
    let message = if own.is_empty() {
        "minio's drives are on the system's disk".to_owned()
    } else {
        format!("minio's {} drives are on {} disks of their own", devices.len(), own.len())
    };
    Some(if context.site.profile.shared_disks {
        Finding {
            host: host.name.clone(),
            severity: Severity::Warning,
            message: format!("{message}: a disk that dies takes all of them along"),
            hint: "only the profile sandbox allows it".to_owned(),
        }
    } else {
        fatal(
            host,
            message,
            "mount a disk of its own at each folder that `drives` names; only the profile sandbox lets them share one",
        )
    })
}
