//! Who is primary now: the running cluster is asked first; when nothing runs, what it wrote on its hosts' disks is read.

use core::net::IpAddr;

use wire_deploy_agent::state::State;

use super::{CLUSTER, SENTINEL_STATE, SERVER_STATE};
use crate::services::Context;
use crate::site::model::Host;

/// The live fact that names the primary's address.
pub(super) const PRIMARY_ADDRESS: &str = "primary_address";

/// What a line of Redis's own file that says whom it follows begins with.
pub(super) const FOLLOWS: &str = "replicaof ";
/// What lines of Sentinel's own file that say whom it watches begin with.
pub(super) const WATCHES: &str = "sentinel monitor ";
/// What lines of Sentinel's own file that say how recent that is begin with.
pub(super) const EPOCH: &str = "sentinel config-epoch ";

/// What lines of Sentinel's own file that name replicas begin with: there are some once it has met a primary that had any.
pub(super) const KNOWS: &str = "sentinel known-replica ";

/// What one host's disk says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct OnDisk {
    /// Redis has been there: `Some(false)` is a host without its file, `None` one that was not looked at.
    pub known: Option<bool>,
    /// Whom it follows, if anyone.
    pub follows: Option<IpAddr>,
    /// Whom its Sentinel watches, and that configuration's epoch.
    pub watches: Option<(u64, IpAddr)>,
    /// Its Sentinel has met a primary with replicas, so there was a cluster once.
    pub met_cluster: bool,
}

/// Who is primary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Primary {
    /// Its address.
    pub address: IpAddr,
    /// The cluster or its Sentinels said so; otherwise it is a choice for a cluster that does not exist yet, or a guess.
    pub certain: bool,
}

/// Reads what a host's disk says from what was found there.
pub(super) fn on_disk(context: &Context<'_>, host: &Host) -> OnDisk {
    let lines = |path: &str, prefix: &str| match context.state(&host.name, &format!("lines {path} {prefix}")) {
        Some(State::Lines { lines }) => Some(lines.as_slice()),
        _ => None,
    };
    let address = |line: &String, field: usize| line.split_whitespace().nth(field)?.trim_matches('"').parse().ok();
    let server = context.state(&host.name, &format!("lines {SERVER_STATE} {FOLLOWS}"));
    let own = |line: &&String| line.split_whitespace().nth(2) == Some(CLUSTER);
    let watched = lines(SENTINEL_STATE, WATCHES).into_iter().flatten().find(own).and_then(|line| address(line, 3));
    let epoch = lines(SENTINEL_STATE, EPOCH).into_iter().flatten().find(own);
    let epoch = epoch.and_then(|line| line.split_whitespace().nth(3)?.parse().ok()).unwrap_or(0);
    OnDisk {
        known: match server {
            Some(State::Lines { .. }) => Some(true),
            Some(State::Absent) => Some(false),
            _ => None,
        },
        follows: lines(SERVER_STATE, FOLLOWS).into_iter().flatten().next_back().and_then(|line| address(line, 1)),
        watches: watched.map(|address| (epoch, address)),
        met_cluster: lines(SENTINEL_STATE, KNOWS).is_some_and(|lines| !lines.is_empty()),
    }
}

/// Who is primary, from what the live cluster says and what the disks say. `hosts` are in the inventory's order, at least one.
pub(super) fn decide(live: Option<IpAddr>, hosts: &[(IpAddr, OnDisk)]) -> Option<Primary> {
    if let Some(address) = live {
        return Some(Primary { address, certain: true });
    }
    // The Sentinels' latest agreement, kept across a power cut. Epoch 0 is what they were told at their first start, which says
    // nothing if the primary has been lost since; but then every node still follows the same one.
    if let Some((_, address)) = hosts.iter().filter_map(|(_, disk)| disk.watches).max_by_key(|(epoch, _)| *epoch) {
        return Some(Primary { address, certain: true });
    }
    let followed = |address: IpAddr| hosts.iter().filter(|(_, disk)| disk.follows == Some(address)).count();
    let most = hosts.iter().filter_map(|(_, disk)| disk.follows).max_by_key(|address| followed(*address));
    let claims = || hosts.iter().find(|(_, disk)| disk.known == Some(true)).map(|(address, _)| *address);
    let first = || hosts.first().map(|(address, _)| *address);
    let address = most.or_else(claims).or_else(first)?;
    Some(Primary { address, certain: followed(address) > hosts.len() / 2 })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn address(last: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, last])
    }

    fn claims() -> OnDisk {
        OnDisk { known: Some(true), ..OnDisk::default() }
    }

    fn follows(last: u8) -> OnDisk {
        OnDisk { known: Some(true), follows: Some(address(last)), ..OnDisk::default() }
    }

    fn blank() -> OnDisk {
        OnDisk { known: Some(false), ..OnDisk::default() }
    }

    fn decided(live: Option<u8>, disks: [OnDisk; 3]) -> (IpAddr, bool) {
        let hosts: Vec<_> = (1..).map(address).zip(disks).collect();
        let primary = decide(live.map(address), &hosts).unwrap();
        (primary.address, primary.certain)
    }

    #[test]
    fn a_new_cluster_begins_with_the_first_host() {
        assert_eq!(decided(None, [blank(), blank(), blank()]), (address(1), false));
    }

    #[test]
    fn the_running_cluster_has_the_last_word() {
        assert_eq!(decided(Some(2), [claims(), follows(1), follows(1)]), (address(2), true));
    }

    #[test]
    fn after_a_power_cut_the_latest_agreement_of_the_sentinels_counts() {
        let mut old = claims();
        old.watches = Some((0, address(1)));
        let mut new = claims();
        new.watches = Some((3, address(2)));
        let mut third = follows(2);
        third.watches = Some((3, address(2)));
        assert_eq!(decided(None, [old, new, third]), (address(2), true));
    }

    #[test]
    fn without_sentinels_the_followers_tell() {
        assert_eq!(decided(None, [follows(2), claims(), follows(2)]), (address(2), true));
        assert_eq!(decided(None, [claims(), claims(), follows(2)]), (address(2), false));
    }

    #[test]
    fn a_node_with_data_goes_before_one_without() {
        assert_eq!(decided(None, [blank(), claims(), blank()]), (address(2), false));
    }
}
