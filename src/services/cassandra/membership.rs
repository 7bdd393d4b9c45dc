//! Who has joined already, and how a node that has not comes in.
//!
//! A node founds a cluster only if every host was looked at and none has ever joined one. Otherwise it joins: as a node of its
//! own, or in the place of the one that had its address and lost its data. Its list of seeds leaves itself out until then,
//! because a seed takes its share without the data that belong to it.

use core::net::IpAddr;

/// What is known of one host of the site.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct HostView {
    /// Where the others reach it.
    pub address: IpAddr,
    /// Whether its node has joined a cluster; `None` if it was not looked at.
    pub joined: Option<bool>,
    /// It has joined as the founder that is not open to clients yet.
    pub closed: bool,
}

/// How a node starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Start {
    /// It has joined: its configuration is the one that counts.
    Again,
    /// It founds the cluster, or has and is not open to clients yet.
    Founds,
    /// It joins.
    Joins,
    /// It takes the place of the node that had its address.
    Replaces,
}

/// How each host's node starts, in the hosts' order. `live` are the addresses of the running cluster's nodes, dead ones included, if one
/// answers.
pub(super) fn starts(hosts: &[HostView], live: Option<&[IpAddr]>) -> Vec<Start> {
    // Where nobody but a founder that is still closed has joined, nobody else ever had a place.
    let exists = live.is_some() || hosts.iter().any(|host| host.joined == Some(true) && !host.closed);
    let founds = !exists && hosts.iter().all(|host| host.joined == Some(false));
    let start_of = |(index, host): (usize, &HostView)| match (host.joined, live) {
        (Some(true), _) if host.closed => Start::Founds,
        (Some(true), _) => Start::Again,
        _ if founds && index == 0 => Start::Founds,
        (_, Some(live)) if live.contains(&host.address) => Start::Replaces,
        // A cluster that does not answer, and that nothing was ever added to: the host's node has to be one of old.
        (_, None) if exists => Start::Replaces,
        _ => Start::Joins,
    };
    hosts.iter().enumerate().map(start_of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(index: usize) -> IpAddr {
        IpAddr::from([10, 0, 0, u8::try_from(index + 1).unwrap_or_default()])
    }

    /// One letter a host: `j` joined, `c` joined and is still closed, `-` not, `?` not looked at.
    fn starts_of(hosts: &str, live: Option<&[usize]>) -> Vec<Start> {
        let view = |(index, letter)| HostView {
            address: address(index),
            joined: match letter {
                '?' => None,
                letter => Some(letter != '-'),
            },
            closed: letter == 'c',
        };
        let hosts: Vec<_> = hosts.chars().enumerate().map(view).collect();
        let live: Option<Vec<_>> = live.map(|live| live.iter().map(|index| address(*index)).collect());
        starts(&hosts, live.as_deref())
    }

    #[test]
    fn bare_hosts_found_a_cluster_and_join_it() {
        assert_eq!(starts_of("---", None), [Start::Founds, Start::Joins, Start::Joins]);
    }

    #[test]
    fn nobody_founds_a_cluster_beside_one_that_may_be() {
        assert_eq!(starts_of("--?", None), [Start::Joins; 3]);
        assert_eq!(starts_of("--j", None), [Start::Replaces, Start::Replaces, Start::Again]);
    }

    #[test]
    fn who_lost_everything_takes_the_place_it_had_and_who_is_new_joins() {
        assert_eq!(starts_of("jj-", Some(&[0, 1, 2])), [Start::Again, Start::Again, Start::Replaces]);
        assert_eq!(starts_of("jj-", Some(&[0, 1])), [Start::Again, Start::Again, Start::Joins]);
    }

    #[test]
    fn a_founding_that_was_cut_short_is_gone_on_with() {
        for live in [Some(&[0][..]), None] {
            assert_eq!(starts_of("c--", live), [Start::Founds, Start::Joins, Start::Joins], "{live:?}");
        }
        assert_eq!(starts_of("cj-", Some(&[0, 1])), [Start::Founds, Start::Again, Start::Joins]);
        assert_eq!(starts_of("cj-", None), [Start::Founds, Start::Again, Start::Replaces]);
    }
}
