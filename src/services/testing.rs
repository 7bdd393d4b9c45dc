//! What the services' own tests share.

use core::net::IpAddr;

use crate::desired::{Bootstrap, Cluster, Node};
use crate::site::model::{BecomeRoot, Connection, Host};
use crate::site::names::HostName;

/// The address of host `db<last>`.
pub(super) fn address(last: u8) -> IpAddr {
    IpAddr::from([10, 0, 0, last])
}

/// A service's cluster on the hosts `db1`, `db2` and `db3`, one of which may die.
pub(super) fn cluster(service: &str) -> Cluster {
    let node = |last: u8| Node {
        host: HostName(format!("db{last}")),
        address: address(last),
        resources: Vec::new(),
        before: Vec::new(),
    };
    Cluster {
        service: service.into(),
        version: "1".to_owned(),
        nodes: (1..=3).map(node).collect(),
        leaving: Vec::new(),
        away: Vec::new(),
        bootstrap: Bootstrap::AllAtOnce,
        after: Vec::new(),
        tolerance: 1,
        gate_timeout_seconds: 1,
        objects: Vec::new(),
    }
}

/// A host of that name and address.
pub(super) fn host(name: &str, address: IpAddr) -> Host {
    Host {
        name: HostName(name.to_owned()),
        address,
        public_address: None,
        zone: "a".to_owned(),
        release: "bookworm".to_owned(),
        connection: Connection::Local,
        become_root: BecomeRoot::No,
    }
}
