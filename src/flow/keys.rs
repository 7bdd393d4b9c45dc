//! The private keys that a site names, looked at before anything is connected: they are this machine's affair, not the hosts'.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::site::model::{Connection, Host};
use crate::site::names::HostName;
use crate::site::problem::Problem;
use crate::transport::unusable_key;
use crate::workspace::sources::Workspace;

/// Looks at the keys that open the selected hosts (all when `None`) and the hosts on the way to them.
///
/// # Errors
/// A problem for each key that is missing, encrypted or open to others, where the site or its inventory names it.
pub fn check(workspace: &Workspace, selected: Option<&BTreeSet<HostName>>) -> Result<(), Vec<Problem>> {
    let hosts: BTreeMap<&HostName, &Host> = workspace.site.hosts.iter().map(|host| (&host.name, host)).collect();
    let chosen = hosts.values().filter(|host| selected.is_none_or(|selected| selected.contains(&host.name)));
    let ways = chosen.flat_map(|host| jumps(host).iter().filter_map(|jump| hosts.get(jump)).chain([host]));
    let keys: BTreeSet<&str> = ways.filter_map(|host| key(host)).collect();
    let unusable: Vec<_> = keys.into_iter().filter_map(|key| Some((key, unusable_key(Path::new(key))?))).collect();
    if unusable.is_empty() {
        return Ok(());
    }
    let written = workspace.keys();
    let problem = |(key, (reason, hint)): (&str, (String, String))| {
        let place = written.iter().find(|(path, _)| path == key).map(|(_, problem)| problem.clone());
        let place = place.unwrap_or_else(|| Problem::of_file(&workspace.file.display().to_string(), "", None));
        Problem { message: reason, hint: Some(hint), ..place }
    };
    Err(unusable.into_iter().map(problem).collect())
}

fn key(host: &Host) -> Option<&str> {
    match &host.connection {
        Connection::Ssh(ssh) => ssh.key.as_deref(),
        Connection::Local => None,
    }
}

fn jumps(host: &Host) -> &[HostName] {
    match &host.connection {
        Connection::Ssh(ssh) => &ssh.jump,
        Connection::Local => &[],
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::services::ALL;
    use crate::site::problem::render_all;

    #[test]
    fn a_key_of_no_use_is_one_problem_where_it_is_written_however_many_hosts_need_it() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let site =
            "format: 1\nsite: lab\ndomain: example.com\nprofile: ci\ninventory: hosts.yaml\nssh:\n  key: absent\n";
        fs::write(at("wire-deploy.yaml"), site).unwrap();
        let inventory = "hosts:\n  db[1:3]: {address: '10.0.0.1[1:3]', groups: [redis]}\n  \
                         gate: {address: 10.0.0.9, ssh: {key: open}}\n  \
                         far: {address: 10.0.0.8, ssh: {key: good, jump: [gate]}}\n\
                         groups:\n  redis: {}\n";
        fs::write(at("hosts.yaml"), inventory).unwrap();
        let text = "-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n";
        for (name, mode) in [("open", 0o644), ("good", 0o600)] {
            fs::write(at(name), text).unwrap();
            fs::set_permissions(at(name), fs::Permissions::from_mode(mode)).unwrap();
        }
        let workspace = Workspace::read(&at("wire-deploy.yaml"), ALL).unwrap();
        let told = |selected: Option<&[&str]>| {
            let selected = selected.map(|hosts| hosts.iter().map(|host| HostName::from(*host)).collect());
            check(&workspace, selected.as_ref()).err().map_or_else(String::new, |problems| render_all(&problems))
        };
        let all = told(None);
        assert_eq!(all.matches("error:").count(), 2, "{all}");
        assert!(all.contains("absent cannot be read") && all.contains("wire-deploy.yaml:7:8"), "{all}");
        assert!(all.contains("can be read by others") && all.contains("hosts.yaml:3:"), "{all}");
        assert!(!told(Some(&["db1"])).contains("others"));
        let way = told(Some(&["far"]));
        assert!(way.contains("can be read by others") && !way.contains("absent"), "the key of the host between: {way}");
    }
}
