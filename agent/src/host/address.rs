//! Who answers at an address, and on which of the host's networks it lies.

use std::fs;
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use super::root::Root;
use crate::state::{Answers, State};

/// A port that nobody uses (discard, RFC 863): a host that is there refuses it.
const PORT: u16 = 9;
/// How long a host on the same network may take to refuse.
const PATIENCE: Duration = Duration::from_millis(400);
/// The flag in /proc/net/arp of an entry that has been answered.
const COMPLETE: u32 = 0x2;

/// Tries to connect. The kernel asks for the hardware address on the way, so that a host which drops packets is found as well; an
/// entry that was there before proves nothing, since it outlives its host.
pub fn observe(root: &Root, address: Ipv4Addr) -> State {
    let text = |path: &str| fs::read_to_string(root.path(path)).unwrap_or_default();
    let interface = interface(&text("/proc/net/route"), address);
    let is_own = super::facts::own_addresses(root).contains(&address.to_string());
    let answers = if is_own {
        Answers::This
    } else {
        let known = hardware(&text("/proc/net/arp"), address).is_some();
        let refused = match TcpStream::connect_timeout(&SocketAddr::new(IpAddr::V4(address), PORT), PATIENCE) {
            Ok(_) => true,
            Err(error) => error.kind() == ErrorKind::ConnectionRefused,
        };
        let hardware = hardware(&text("/proc/net/arp"), address);
        match (refused, known, hardware) {
            (true, _, hardware) | (false, false, hardware @ Some(_)) => Answers::Other { hardware },
            _ => Answers::Nobody,
        }
    };
    State::Address { interface, answers }
}

/// The interface of the smallest network that holds the address, from the kernel's routes (addresses are little-endian hexadecimal).
fn interface(routes: &str, address: Ipv4Addr) -> Option<String> {
    let number = |text: &str| u32::from_str_radix(text, 16).ok().map(u32::swap_bytes);
    let networks = routes.lines().skip(1).filter_map(|line| {
        // Iface Destination Gateway Flags RefCnt Use Metric Mask
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (network, gateway, mask) = (number(fields.get(1)?)?, number(fields.get(2)?)?, number(fields.get(7)?)?);
        let holds = mask != 0 && gateway == 0 && address.to_bits() & mask == network;
        holds.then(|| (mask.count_ones(), (*fields.first().unwrap_or(&"")).to_owned()))
    });
    networks.max_by_key(|(length, _)| *length).map(|(_, interface)| interface)
}

/// The hardware address that answered for an address.
fn hardware(table: &str, address: Ipv4Addr) -> Option<String> {
    table.lines().skip(1).find_map(|line| {
        // IP address, HW type, Flags, HW address
        let fields: Vec<&str> = line.split_whitespace().collect();
        let flags = u32::from_str_radix(fields.get(2)?.trim_start_matches("0x"), 16).ok()?;
        let found = fields.first()?.parse() == Ok(address) && flags & COMPLETE != 0;
        found.then(|| fields.get(3).map(|hardware| (*hardware).to_owned()))?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_lies_on_the_smallest_network_that_holds_it() {
        let routes = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\n\
                      eth0\t00000000\t0100000A\t0003\t0\t0\t0\t00000000\n\
                      eth0\t0000000A\t00000000\t0001\t0\t0\t0\t000000FF\n\
                      eth1\t0000010A\t00000000\t0001\t0\t0\t0\t0000FFFF\n\
                      eth2\t0001A8C0\t0100000A\t0003\t0\t0\t0\t00FFFFFF\n";
        let on = |address: [u8; 4]| interface(routes, address.into());
        assert_eq!(on([10, 0, 7, 7]).as_deref(), Some("eth0"));
        assert_eq!(on([10, 1, 0, 9]).as_deref(), Some("eth1"));
        assert_eq!(on([192, 168, 1, 1]), None, "it is reached through a gateway");
        assert_eq!(on([8, 8, 8, 8]), None);
    }

    #[test]
    fn only_an_entry_that_was_answered_counts() {
        let table = "IP address       HW type     Flags       HW address            Mask     Device\n\
                     10.0.0.1         0x1         0x2         aa:bb:cc:dd:ee:ff     *        eth0\n\
                     10.0.0.2         0x1         0x0         00:00:00:00:00:00     *        eth0\n";
        assert_eq!(hardware(table, [10, 0, 0, 1].into()).as_deref(), Some("aa:bb:cc:dd:ee:ff"));
        assert_eq!(hardware(table, [10, 0, 0, 2].into()), None);
        assert_eq!(hardware(table, [10, 0, 0, 3].into()), None);
    }
}
