//! The pods' network: each host has a share of it, and the others know the way there.
//!
//! A host's share follows from its address, so nothing has to be remembered: hosts come and go, and no other's share changes.

use core::net::{IpAddr, Ipv4Addr};
use std::collections::BTreeMap;

use ipnet::Ipv4Net;

use super::Settings;
use crate::site::model::Host;
use crate::site::names::HostName;

/// Length of the prefix of a host's share.
const SHARE: u8 = 24;

/// A network that is known to be one.
pub(super) fn net(address: [u8; 4], prefix: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::from(address), prefix)
}

/// Whether two networks have an address in common.
pub(super) fn overlap(one: Ipv4Net, other: Ipv4Net) -> bool {
    one.contains(&other.network()) || other.contains(&one.network())
}

/// A host's share of the pods' network; nothing for a host without an IPv4 address.
pub(super) fn share(host: &Host, settings: &Settings) -> Option<Ipv4Net> {
    if let Some(subnet) = settings.pod_subnet {
        return Some(subnet);
    }
    let IpAddr::V4(address) = host.address else { return None };
    let shares = 1_u32.checked_shl(u32::from(SHARE.checked_sub(settings.pod_network.prefix_len())?))?;
    let index = u32::from(address) % shares;
    let first = u32::from(settings.pod_network.network()) + (index << (32 - u32::from(SHARE)));
    Ipv4Net::new(Ipv4Addr::from(first), SHARE).ok()
}

/// The two hosts, by their place, that would have the same share, if there are such.
pub(super) fn collision(shares: &BTreeMap<HostName, Ipv4Net>) -> Option<(&HostName, &HostName)> {
    let mut seen: Vec<(&HostName, Ipv4Net)> = Vec::new();
    for (host, share) in shares {
        if let Some((other, _)) = seen.iter().find(|(_, there)| overlap(*there, *share)) {
            return Some((other, host));
        }
        seen.push((host, *share));
    }
    None
}

/// The address at a place in a network, counted from its first.
pub(super) fn nth(network: Ipv4Net, place: u32) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(network.network()).saturating_add(place))
}

/// Where the API is in the Services' network: at its first address.
pub(super) fn api_address(settings: &Settings) -> Ipv4Addr {
    nth(settings.service_network, 1)
}

/// Where names are looked up: kubeadm's convention is the tenth address.
#[must_use]
pub fn dns_address(settings: &Settings) -> Ipv4Addr {
    nth(settings.service_network, 10)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::services::testing::host;

    #[test]
    fn a_share_follows_from_the_address() {
        let settings = Settings::default();
        let share = |address: [u8; 4]| share(&host("a", IpAddr::from(address)), &settings).unwrap().to_string();
        assert_eq!(share([10, 0, 0, 11]), "10.244.11.0/24");
        assert_eq!(share([192, 168, 7, 255]), "10.244.255.0/24");
        let small = Settings { pod_network: net([172, 20, 4, 0], 22), ..Settings::default() };
        let share = |address: [u8; 4]| super::share(&host("a", IpAddr::from(address)), &small).unwrap().to_string();
        assert_eq!(share([10, 0, 0, 11]), "172.20.7.0/24");
    }

    #[test]
    fn equal_shares_are_found() {
        let shares = |shares: &[(&str, Ipv4Net)]| {
            shares.iter().map(|(host, share)| (HostName((*host).to_owned()), *share)).collect::<BTreeMap<_, _>>()
        };
        assert_eq!(collision(&shares(&[("a", net([10, 1, 1, 0], 24)), ("b", net([10, 1, 2, 0], 24))])), None);
        let same = shares(&[("a", net([10, 1, 1, 0], 24)), ("b", net([10, 1, 0, 0], 16))]);
        assert_eq!(collision(&same).map(|(one, other)| (one.as_str(), other.as_str())), Some(("a", "b")));
    }

    #[test]
    fn networks_overlap_either_way() {
        assert!(overlap(net([10, 0, 0, 0], 8), net([10, 9, 0, 0], 16)));
        assert!(overlap(net([10, 9, 0, 0], 16), net([10, 0, 0, 0], 8)));
        assert!(!overlap(net([10, 9, 0, 0], 16), net([10, 8, 0, 0], 16)));
    }
}
