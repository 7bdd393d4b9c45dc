//! Which nodes may lead the cluster: three, in as many zones as can be.

use crate::site::model::Host;

/// More would only make elections longer.
const MANAGERS: usize = 3;

/// The hosts whose nodes may lead, in the inventory's order, so that a host that is added at its end changes nothing.
pub(super) fn managers<'a>(hosts: &[&'a Host]) -> Vec<&'a Host> {
    let mut chosen: Vec<&Host> = Vec::new();
    for another_zone in [true, false] {
        for host in hosts {
            let known = chosen.iter().any(|other| other.name == host.name);
            let zone_taken = chosen.iter().any(|other| other.zone == host.zone);
            if chosen.len() < MANAGERS && !known && !(another_zone && zone_taken) {
                chosen.push(host);
            }
        }
    }
    hosts.iter().copied().filter(|host| chosen.iter().any(|other| other.name == host.name)).collect()
}

#[cfg(test)]
mod tests {
    use core::net::IpAddr;

    use super::*;
    use crate::site::model::{BecomeRoot, Connection};

    fn host(number: u8, zone: &str) -> Host {
        Host {
            name: format!("db{number}").as_str().into(),
            address: IpAddr::from([10, 0, 0, number]),
            public_address: None,
            zone: zone.to_owned(),
            release: "bookworm".to_owned(),
            connection: Connection::Local,
            become_root: BecomeRoot::No,
        }
    }

    fn chosen(zones: &[&str]) -> Vec<String> {
        let hosts: Vec<Host> = (1..).zip(zones).map(|(number, zone)| host(number, zone)).collect();
        managers(&hosts.iter().collect::<Vec<_>>()).iter().map(|host| host.name.to_string()).collect()
    }

    #[test]
    fn three_lead_in_as_many_zones_as_there_are() {
        assert_eq!(chosen(&["", "", ""]), ["db1", "db2", "db3"]);
        assert_eq!(chosen(&["a", "a", "b", "b", "c"]), ["db1", "db3", "db5"]);
        assert_eq!(chosen(&["a", "a", "a", "b"]), ["db1", "db2", "db4"]);
        assert_eq!(chosen(&["", "", "", "", ""]), ["db1", "db2", "db3"]);
    }
}
