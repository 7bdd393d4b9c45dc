//! `--limit host,glob,@group,!x`: which hosts are meant.

use std::collections::BTreeSet;

use super::model::Site;
use super::names::{GroupName, HostName};
use super::problem::hint_for;

/// A selection that means nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct SelectionError {
    /// What is wrong with it.
    pub reason: String,
    /// What to do about it.
    pub hint: String,
}

/// The hosts that a selection means, in the inventory's order.
///
/// It is a list of names, patterns (`db*`, `db[13]`, `{db,web}1`), and groups (`@redis`, patterns too), with commas between them.
/// `!` before one takes its hosts out again; if the first one has it, all hosts are in to begin with.
///
/// # Errors
/// When a part means nothing, or nothing is left.
pub fn select(site: &Site, text: &str) -> Result<Vec<HostName>, SelectionError> {
    let parts = split(text);
    let mut chosen = BTreeSet::new();
    if parts.first().is_some_and(|part| part.starts_with('!')) {
        chosen.extend(0..site.hosts.len());
    }
    for part in parts {
        match part.strip_prefix('!') {
            Some(part) => {
                let out = hosts_of(site, part)?;
                chosen.retain(|host| !out.contains(host));
            }
            None => chosen.extend(hosts_of(site, part)?),
        }
    }
    if chosen.is_empty() {
        let hint = "name a host, a pattern or an `@group`; `!` takes hosts out".to_owned();
        return Err(SelectionError { reason: format!("`{text}` means no host"), hint });
    }
    Ok(chosen.into_iter().map(|host| site.hosts[host].name.clone()).collect())
}

/// The parts between commas; one within `{…}` separates alternatives instead.
fn split(text: &str) -> Vec<&str> {
    let mut depth = 0_usize;
    let parts = text.split(|character| {
        match character {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        character == ',' && depth == 0
    });
    parts.map(str::trim).filter(|part| !part.is_empty()).collect()
}

fn hosts_of(site: &Site, part: &str) -> Result<Vec<usize>, SelectionError> {
    let hosts = || site.hosts.iter().enumerate();
    let unknown = |what: &str, name: &str, kind: &str, names: &[&str]| SelectionError {
        reason: format!("there is no {what} `{name}`"),
        hint: hint_for(name, kind, names.iter().copied()).unwrap_or_else(|| format!("the site has no {kind}")),
    };
    let found: Vec<usize> = match part.strip_prefix('@') {
        Some(group) => {
            let is = matcher(group)?;
            let members = site.groups.iter().filter(|(name, _)| is(name.as_str()));
            let members: BTreeSet<&HostName> = members.flat_map(|(_, members)| members).collect();
            if members.is_empty() {
                let names: Vec<&str> = site.groups.keys().map(GroupName::as_str).collect();
                return Err(unknown("group", group, "groups", &names));
            }
            hosts().filter(|(_, host)| members.contains(&host.name)).map(|(index, _)| index).collect()
        }
        None => {
            let is = matcher(part)?;
            hosts().filter(|(_, host)| is(host.name.as_str())).map(|(index, _)| index).collect()
        }
    };
    if found.is_empty() {
        if site.groups.contains_key(part) {
            let reason = format!("there is no host `{part}`");
            return Err(SelectionError { reason, hint: format!("the group of that name is `@{part}`") });
        }
        let names: Vec<&str> = site.hosts.iter().map(|host| host.name.as_str()).collect();
        return Err(unknown("host", part, "hosts", &names));
    }
    Ok(found)
}

fn matcher(pattern: &str) -> Result<impl Fn(&str) -> bool, SelectionError> {
    let glob = globset::Glob::new(pattern).map_err(|error| SelectionError {
        reason: format!("`{pattern}` is no pattern: {}", error.kind()),
        hint: "`*` is any text, `?` one character, `[13]` one of these, `{a,b}` either".to_owned(),
    })?;
    let glob = glob.compile_matcher();
    Ok(move |name: &str| glob.is_match(name))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::super::load::{Sources, load};
    use super::*;

    fn site() -> Site {
        let sources = Sources {
            path: "wire-deploy.yaml".to_owned(),
            text: "format: 1\nsite: test\ndomain: example.com\nprofile: ci\ninventory: hosts.yaml\n".to_owned(),
            inventory: Some((
                "hosts.yaml".to_owned(),
                Ok("hosts:\n  \"db[1:3]\": {address: \"10.0.0.1[1:3]\"}\n  web1: {address: 10.0.0.9}\n\
                    groups:\n  redis-hosts: {hosts: [db3, db1]}\n  web: {hosts: [web1]}\n"
                    .to_owned()),
            )),
        };
        load(&sources, &[]).unwrap()
    }

    #[test]
    fn a_selection_means_hosts_in_the_inventorys_order() {
        for (text, expected) in [
            ("db2", "db2"),
            ("web1,db1", "db1 web1"),
            ("db*", "db1 db2 db3"),
            ("db[13]", "db1 db3"),
            ("{db1,web1}, db2", "db1 db2 web1"),
            ("@redis-hosts", "db1 db3"),
            ("@*", "db1 db3 web1"),
            ("!db2", "db1 db3 web1"),
            ("*,!@redis-hosts", "db2 web1"),
            ("db*,!db1,db1", "db1 db2 db3"),
            ("!db*", "web1"),
        ] {
            let names: Vec<String> = select(&site(), text).unwrap().into_iter().map(|name| name.0).collect();
            assert_eq!(names.join(" "), expected, "{text}");
        }
    }

    #[test]
    fn what_means_nothing_is_refused_with_the_nearest_name() {
        for (text, reason, hint) in [
            ("db4", "there is no host `db4`", "did you mean `db1`?"),
            ("@redis-host", "there is no group `redis-host`", "did you mean `redis-hosts`?"),
            ("@x", "there is no group `x`", "groups: `redis-hosts`, `web`"),
            ("web", "there is no host `web`", "the group of that name is `@web`"),
            ("", "`` means no host", "name a host, a pattern or an `@group`; `!` takes hosts out"),
            ("db1,!db*", "`db1,!db*` means no host", "name a host, a pattern or an `@group`; `!` takes hosts out"),
            ("!nothing", "there is no host `nothing`", "hosts: `db1`, `db2`, `db3`, `web1`"),
        ] {
            let error = select(&site(), text).unwrap_err();
            assert_eq!((error.reason.as_str(), error.hint.as_str()), (reason, hint), "{text}");
        }
        assert!(select(&site(), "db[1").unwrap_err().reason.contains("is no pattern"));
    }
}
