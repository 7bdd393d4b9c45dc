//! Who is a member already, and how a node without data comes in.
//!
//! A node without data may found a cluster only if none has ever been: two that found one again beside a third with data would
//! outvote it and lose everything. So each member leaves a mark once it was in a cluster with a leader, and where there is a
//! mark, a node without data can only join.

use core::net::IpAddr;

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{ADD_MEMBER, REPLACE_MEMBER, peer_url};
use crate::desired::Operation;

/// The live fact that holds the members, as JSON.
pub(super) const MEMBERS: &str = "members";

/// A member as the cluster lists it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Listed {
    /// Its id, decimal.
    pub id: String,
    /// Its name; empty until it has started for the first time.
    pub name: String,
    /// Where the others reach it.
    pub peer_url: String,
    /// It has no vote yet.
    #[serde(default)]
    pub learner: bool,
}

/// What is known of one host of the site.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct HostView<'a> {
    /// Its name, which is the member's.
    pub name: &'a str,
    /// Where the others reach it.
    pub address: IpAddr,
    /// Whether a member's data are there; `None` if it was not looked at.
    pub data: Option<bool>,
    /// Whether that member was once in a cluster with a leader.
    pub joined: bool,
    /// Whether this run may start it.
    pub selected: bool,
}

/// How a node starts for the first time.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Start {
    /// It has no data, so its first start is yet to come.
    pub first: bool,
    /// etcd's `initial-cluster-state`.
    pub state: &'static str,
    /// etcd's `initial-cluster`.
    pub members: String,
    /// What has to be done to the cluster before.
    pub before: Option<Operation>,
}

/// How each host's node starts, in the hosts' order. `live` are the members of the running cluster, if one answers. A node joins those
/// and the new ones before it; one that this run leaves alone is not among them.
pub(super) fn starts(hosts: &[HostView<'_>], live: Option<&[Listed]>) -> Vec<Start> {
    let everyone: Vec<_> = hosts.iter().map(|host| (host.name.to_owned(), peer_url(host.address))).collect();
    let mut joined = live.map(|live| named(live, hosts));
    let exists = live.is_some() || hosts.iter().any(|host| host.joined);
    let start_of = |host: &HostView<'_>| {
        let first = host.data == Some(false);
        let own = (host.name.to_owned(), peer_url(host.address));
        let before = (first && exists).then(|| join(host, live));
        let members = match &mut joined {
            Some(joined) if first => {
                if host.selected && !joined.iter().any(|(_, url)| *url == own.1) {
                    joined.push(own);
                }
                joined.as_slice()
            }
            _ => everyone.as_slice(),
        };
        let members: Vec<_> = members.iter().map(|(name, url)| format!("{name}={url}")).collect();
        Start { first, state: if exists { "existing" } else { "new" }, members: members.join(","), before }
    };
    hosts.iter().map(start_of).collect()
}

/// The members with a name each: one that has not started yet will have its host's.
fn named(live: &[Listed], hosts: &[HostView<'_>]) -> Vec<(String, String)> {
    let host_of = |url: &str| hosts.iter().find(|host| peer_url(host.address) == url).map(|host| host.name.to_owned());
    let name = |member: &Listed| {
        let own = Some(&member.name).filter(|name| !name.is_empty()).cloned();
        own.or_else(|| host_of(&member.peer_url)).unwrap_or_else(|| member.id.clone())
    };
    live.iter().map(|member| (name(member), member.peer_url.clone())).collect()
}

fn join(host: &HostView<'_>, live: Option<&[Listed]>) -> Operation {
    let url = peer_url(host.address);
    let listed = live.map(|live| live.iter().find(|member| member.peer_url == url));
    match listed {
        // It has to be a member of old: there is a cluster that does not answer yet, and nothing was ever added to it.
        None => operation(REPLACE_MEMBER, host, None, "let a member without data in again"),
        Some(Some(member)) if !member.name.is_empty() => {
            operation(REPLACE_MEMBER, host, Some(&member.id), "replace the member that lost its data")
        }
        Some(_) => operation(ADD_MEMBER, host, None, "add a member"),
    }
}

fn operation(name: &str, host: &HostView<'_>, member: Option<&str>, what: &str) -> Operation {
    Operation {
        name: name.to_owned(),
        description: format!("{what}: {}", host.name),
        arguments: json!({ "host": host.name, "member": member }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: [&str; 5] = ["db1", "db2", "db3", "db4", "db5"];

    fn address(index: usize) -> IpAddr {
        IpAddr::from([10, 0, 0, u8::try_from(index + 1).unwrap_or_default()])
    }

    /// One letter a host: `d` data of one that had joined, `s` data of one that never had, `-` nothing, `?` not looked at.
    fn hosts(views: &str) -> Vec<HostView<'static>> {
        let view = |(index, letter): (usize, char)| HostView {
            name: NAMES[index],
            address: address(index),
            data: match letter {
                '?' => None,
                letter => Some(letter != '-'),
            },
            joined: letter == 'd',
            selected: true,
        };
        views.chars().enumerate().map(view).collect()
    }

    fn live(names: &[&str]) -> Vec<Listed> {
        let member = |(index, name): (usize, &&str)| Listed {
            id: format!("{}", index + 100),
            name: (*name).to_owned(),
            peer_url: peer_url(address(index)),
            learner: false,
        };
        names.iter().enumerate().map(member).collect()
    }

    fn operations(starts: &[Start]) -> Vec<Option<&str>> {
        starts.iter().map(|start| start.before.as_ref().map(|before| before.name.as_str())).collect()
    }

    #[test]
    fn a_new_cluster_is_founded_by_all() {
        let starts = starts(&hosts("---"), None);
        let all = "db1=https://10.0.0.1:2380,db2=https://10.0.0.2:2380,db3=https://10.0.0.3:2380";
        assert!(starts.iter().all(|start| start.first && start.state == "new" && start.members == all));
        assert_eq!(operations(&starts), [None, None, None]);
    }

    #[test]
    fn a_founding_that_was_cut_short_goes_on() {
        let starts = starts(&hosts("s--"), None);
        assert_eq!(starts[1].state, "new");
        assert_eq!(operations(&starts), [None, None, None]);
    }

    #[test]
    fn members_with_data_need_nothing() {
        for live in [None, Some(live(&["db1", "db2", "db3"]))] {
            let starts = starts(&hosts("ddd"), live.as_deref());
            assert!(starts.iter().all(|start| !start.first && start.before.is_none()));
        }
    }

    #[test]
    fn a_member_that_lost_its_data_is_replaced() {
        let live = live(&["db1", "db2", "db3"]);
        let starts = starts(&hosts("dd-"), Some(&live));
        assert_eq!(operations(&starts), [None, None, Some(REPLACE_MEMBER)]);
        assert_eq!(starts[2].state, "existing");
        let before = starts[2].before.as_ref().map(|before| before.arguments.clone());
        assert_eq!(before, Some(json!({ "host": "db3", "member": "102" })));
    }

    #[test]
    fn a_replacement_that_was_cut_short_goes_on() {
        let live = live(&["db1", "db2", ""]);
        let starts = starts(&hosts("dd-"), Some(&live));
        assert_eq!(operations(&starts), [None, None, Some(ADD_MEMBER)]);
        assert!(starts[2].members.ends_with("db3=https://10.0.0.3:2380"), "{}", starts[2].members);
    }

    #[test]
    fn new_hosts_join_one_after_the_other() {
        let live = live(&["db1", "db2", "db3"]);
        let starts = starts(&hosts("ddd--"), Some(&live));
        assert_eq!(operations(&starts)[3..], [Some(ADD_MEMBER), Some(ADD_MEMBER)]);
        assert_eq!(starts[3].members.matches("https").count(), 4);
        assert_eq!(starts[4].members.matches("https").count(), 5);
    }

    #[test]
    fn a_new_host_joins_without_those_that_are_left_out() {
        let live = live(&["db1", "db2", "db3"]);
        let mut hosts = hosts("ddd--");
        hosts[3].selected = false;
        let starts = starts(&hosts, Some(&live));
        let expected =
            "db1=https://10.0.0.1:2380,db2=https://10.0.0.2:2380,db3=https://10.0.0.3:2380,db5=https://10.0.0.5:2380";
        assert_eq!(starts[4].members, expected);
    }

    #[test]
    fn nothing_is_founded_beside_a_cluster_that_is_down() {
        let starts = starts(&hosts("d--"), None);
        assert!(starts.iter().all(|start| start.state == "existing"));
        assert_eq!(operations(&starts), [None, Some(REPLACE_MEMBER), Some(REPLACE_MEMBER)]);
    }

    #[test]
    fn a_host_that_was_not_looked_at_is_left_alone() {
        let starts = starts(&hosts("dd?"), None);
        assert!(!starts[2].first && starts[2].before.is_none());
    }
}
