//! A new site: the files that `init` writes, from a few answers.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use core::net::IpAddr;

use super::load::{FORMAT, Sources, load, profiles};
use super::names::{GroupName, HostName, ServiceName};
use super::problem::{Problem, hint_for};
use super::range::Pattern;
use super::{rules, workloads};
use crate::services::DynService;

/// What an operator says of a new site.
#[derive(Debug, Clone)]
pub struct InitOptions {
    /// The site's name.
    pub name: String,
    /// The backend's domain.
    pub domain: String,
    /// The profile, as `production`.
    pub profile: String,
    /// The hosts: `ADDRESS`, or `NAME=ADDRESS`; ranges as in the inventory. Hosts without a name are `host1`, `host2` and so on.
    pub hosts: Vec<String>,
    /// The services, each with the names of its hosts; one without names goes on the first three hosts. None: every service goes there.
    pub groups: Vec<(ServiceName, Vec<HostName>)>,
    /// User to log in as.
    pub ssh_user: Option<String>,
    /// Private key file.
    pub ssh_key: Option<String>,
    /// The identity that opens the secrets: an age identity file or an SSH private key. None: a new age identity beside the site file.
    pub identity: Option<String>,
}

/// A file to write, by its path below the site's folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewFile {
    /// Where.
    pub path: String,
    /// What.
    pub text: String,
}

/// An answer that will not do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct InitError {
    /// What is wrong.
    pub reason: String,
    /// What to do about it.
    pub hint: String,
}

/// The site file's name.
pub const SITE_FILE: &str = "wire-deploy.yaml";
/// The inventory's name.
pub const INVENTORY_FILE: &str = "hosts.yaml";
/// The secrets file's name.
pub const SECRETS_FILE: &str = "secrets.age";
/// The name of a new age identity.
pub const IDENTITY_FILE: &str = "secrets.identity";

/// The files of a new site, which [`super::load`] takes as they are.
///
/// # Errors
/// All answers that will not do.
pub fn files(options: &InitOptions, services: &[&dyn DynService]) -> Result<Vec<NewFile>, Vec<InitError>> {
    let mut errors = Vec::new();
    let wrong = |what: &str, text: &str, reason: Option<String>, hint: &str| {
        reason.map(|reason| InitError { reason: format!("{what} `{text}` {reason}"), hint: hint.to_owned() })
    };
    errors.extend(wrong(
        "the name",
        &options.name,
        rules::site_name(&options.name),
        "small letters, digits and hyphens",
    ));
    errors.extend(wrong(
        "the domain",
        &options.domain,
        rules::domain(&options.domain),
        "write a domain such as `example.com`",
    ));
    if !profiles().any(|profile| profile == options.profile) {
        let hint = hint_for(&options.profile, "profiles", profiles()).unwrap_or_default();
        errors.push(InitError { reason: format!("there is no profile `{}`", options.profile), hint });
    }
    let hosts = hosts(&options.hosts, &mut errors);
    let groups = groups(options, &hosts, services, &mut errors);
    if !errors.is_empty() {
        return Err(errors);
    }
    let (site, inventory) = (site_file(options, &groups), inventory_file(&hosts, &groups));
    // What the services themselves want is known only to them: how many hosts, which zones.
    let sources = Sources {
        path: SITE_FILE.to_owned(),
        text: site.clone(),
        inventory: Some((INVENTORY_FILE.to_owned(), Ok(inventory.clone()))),
    };
    load(&sources, services).map_err(|problems| {
        let error = |problem: Problem| InitError { reason: problem.message, hint: problem.hint.unwrap_or_default() };
        problems.into_iter().map(error).collect::<Vec<_>>()
    })?;
    Ok(vec![
        NewFile { path: SITE_FILE.to_owned(), text: site },
        NewFile { path: INVENTORY_FILE.to_owned(), text: inventory },
        NewFile { path: ".gitignore".to_owned(), text: format!("{IDENTITY_FILE}\nruns/\n") },
    ])
}

fn hosts(written: &[String], errors: &mut Vec<InitError>) -> Vec<(HostName, IpAddr)> {
    let mut hosts: Vec<(HostName, IpAddr)> = Vec::new();
    let mut error = |reason: String, hint: &str| errors.push(InitError { reason, hint: hint.to_owned() });
    for item in written {
        let (names, addresses) = match item.split_once('=') {
            Some((name, address)) => (Some(Pattern::read(name)), Pattern::read(address)),
            None => (None, Pattern::read(item)),
        };
        let (names, addresses) = match (names.transpose(), addresses) {
            (Ok(names), Ok(addresses)) => (names, addresses),
            (Err(reason), _) | (_, Err(reason)) => {
                error(reason, "write `NAME=ADDRESS`, as `db1=10.0.0.11` or `db[1:3]=10.0.0.1[1:3]`");
                continue;
            }
        };
        if names.as_ref().is_some_and(|names| names.count() != addresses.count()) {
            error(format!("`{item}` has not as many names as addresses"), "the ranges of name and address count along");
            continue;
        }
        for (index, text) in addresses.all().into_iter().enumerate() {
            let next = format!("host{}", hosts.len() + 1);
            let name = names.as_ref().and_then(|names| names.at(index)).unwrap_or(next);
            if let Some(reason) = rules::host_name(&name) {
                error(format!("the host name `{name}` {reason}"), "small letters, digits, hyphens and dots");
            }
            match text.parse::<IpAddr>() {
                Ok(address) if hosts.iter().any(|(other, there)| other.as_str() == name || *there == address) => {
                    error(format!("host `{name}` or its address {address} is there twice"), "say each host once");
                }
                Ok(address) => hosts.push((HostName(name), address)),
                Err(_) => error(format!("`{text}` is no IP address"), "write an IP address, as `10.0.0.11`"),
            }
        }
    }
    if written.is_empty() {
        error("there are no hosts".to_owned(), "say at least one host: `10.0.0.11`, or `db1=10.0.0.11`");
    }
    hosts
}

fn groups(
    options: &InitOptions,
    hosts: &[(HostName, IpAddr)],
    services: &[&dyn DynService],
    errors: &mut Vec<InitError>,
) -> Vec<(GroupName, Vec<HostName>)> {
    let known: Vec<ServiceName> = services.iter().map(|service| service.name()).collect();
    let every: Vec<(ServiceName, Vec<HostName>)> = known.iter().map(|service| (service.clone(), Vec::new())).collect();
    let wanted = if options.groups.is_empty() { &every } else { &options.groups };
    let mut groups = Vec::new();
    let mut seen = BTreeSet::new();
    for (service, members) in wanted {
        if !known.contains(service) {
            let hint =
                hint_for(service.as_str(), "services", known.iter().map(ServiceName::as_str)).unwrap_or_default();
            errors.push(InitError { reason: format!("there is no service `{service}`"), hint });
        }
        if !seen.insert(service) {
            let hint = "say each service once, with all its hosts".to_owned();
            errors.push(InitError { reason: format!("service `{service}` is there twice"), hint });
        }
        for member in members.iter().filter(|member| !hosts.iter().any(|(name, _)| name == *member)) {
            let hint =
                hint_for(member.as_str(), "hosts", hosts.iter().map(|(name, _)| name.as_str())).unwrap_or_default();
            errors.push(InitError { reason: format!("there is no host `{member}` for `{service}`"), hint });
        }
        // Three is the least that most clusters need, and a number that suits a quorum.
        let first = || hosts.iter().take(3).map(|(name, _)| name.clone()).collect();
        let members: Vec<HostName> = if members.is_empty() { first() } else { members.clone() };
        let subgroups = services.iter().find(|known| known.name() == *service).map(|service| service.subgroups());
        groups.push((GroupName(service.0.clone()), members.clone()));
        for (name, count) in subgroups.into_iter().flatten() {
            groups.push((GroupName((*name).to_owned()), members.iter().take(*count).cloned().collect()));
        }
    }
    groups
}

/// A text as YAML, in quotes where it could be read as something else.
fn quoted(text: &str) -> String {
    let plain = |character: char| character.is_ascii_alphanumeric() || "./_-~".contains(character);
    let safe =
        text.chars().all(plain) && text.starts_with(|first: char| first.is_ascii_alphabetic() || "./~".contains(first));
    if safe && !["true", "false", "null", "~"].contains(&text) { text.to_owned() } else { format!("{text:?}") }
}

fn site_file(options: &InitOptions, groups: &[(GroupName, Vec<HostName>)]) -> String {
    let InitOptions { name, domain, profile, .. } = options;
    let identity = options.identity.as_deref().unwrap_or(IDENTITY_FILE);
    let mut text = format!(
        "# The site `{name}`. wire-deploy.example.yaml and docs/site-reference.md explain every key.\n\
         format: {FORMAT}\n\
         site: {name}\n\
         domain: {domain}\n\
         # Sizes and time-outs: sandbox, ci or production.\n\
         profile: {profile}\n\
         # The hosts and what runs on them.\n\
         inventory: {INVENTORY_FILE}\n\
         # One seed from which every password and key is derived. Keep the identity that opens it apart, and a copy of both.\n\
         secrets:\n  file: {SECRETS_FILE}\n  identity: {}\n",
        quoted(identity)
    );
    let user = options.ssh_user.as_deref().unwrap_or("root");
    // Writing to a String cannot fail.
    let _ = write!(
        text,
        "# How hosts are reached; groups and hosts in the inventory may say otherwise.\nssh:\n  user: {}\n",
        quoted(user)
    );
    let _ = match &options.ssh_key {
        Some(key) => writeln!(text, "  key: {}", quoted(key)),
        None => {
            writeln!(text, "  # The keys of the SSH agent are tried; a key file would be\n  # key: ~/.ssh/id_ed25519")
        }
    };
    if user != "root" {
        text.push_str(
            "# How root is had. With a password: `wire-deploy secrets set NAME`, then `password: NAME` here.\nbecome:\n  method: sudo\n",
        );
    }
    text.push_str("# Settings of services, by service. Without any, the profile's hold.\n# services:\n#   redis: {}\n");
    text.push_str(&workloads::section(|name| groups.iter().any(|(group, _)| group.as_str() == name)));
    text
}

fn inventory_file(hosts: &[(HostName, IpAddr)], groups: &[(GroupName, Vec<HostName>)]) -> String {
    let mut text = "# The hosts, each with the address where the other hosts reach it. docs/inventory.md explains every key.\n\
                    # A zone is what fails together, as a rack or a building: `zone: a`; either all hosts have one or none has.\nhosts:\n"
        .to_owned();
    for (name, address) in hosts {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "  {}:\n    address: {}", quoted(name.as_str()), quoted_address(*address));
    }
    text.push_str("# The group of a service's name is where that service is installed.\ngroups:\n");
    for (group, members) in groups {
        let names: Vec<String> = members.iter().map(|name| quoted(name.as_str())).collect();
        let _ = writeln!(text, "  {group}:\n    hosts: [{}]", names.join(", "));
    }
    text
}

fn quoted_address(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => address.to_string(),
        // Some end in a colon, which would make a key of them.
        IpAddr::V6(address) => format!("\"{address}\""),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::super::tests::known_services;
    use super::*;

    fn options() -> InitOptions {
        InitOptions {
            name: "my-site".to_owned(),
            domain: "wire.example.com".to_owned(),
            profile: "production".to_owned(),
            hosts: vec!["db[1:3]=10.0.0.1[1:3]".to_owned(), "fd00::".to_owned()],
            groups: Vec::new(),
            ssh_user: None,
            ssh_key: None,
            identity: None,
        }
    }

    #[test]
    fn what_is_written_is_a_site() {
        for options in [
            options(),
            InitOptions {
                groups: vec![(ServiceName::from("sample"), vec![HostName::from("db2")])],
                ssh_user: Some("1".to_owned()),
                ssh_key: Some("~/a key: \"x\"".to_owned()),
                identity: Some("~/.ssh/id_ed25519".to_owned()),
                ..options()
            },
        ] {
            let files = files(&options, &known_services()).unwrap();
            let text = |path: &str| files.iter().find(|file| file.path == path).unwrap().text.clone();
            let inventory = Some((INVENTORY_FILE.to_owned(), Ok(text(INVENTORY_FILE))));
            let sources = Sources { path: SITE_FILE.to_owned(), text: text(SITE_FILE), inventory };
            let site = load(&sources, &known_services()).unwrap();
            assert_eq!((site.name.as_str(), site.hosts.len()), ("my-site", 4));
            let super::super::model::Connection::Ssh(ssh) = &site.hosts[3].connection else { panic!("not over SSH") };
            assert_eq!(ssh.key, options.ssh_key);
            assert_eq!(Some(&ssh.user), options.ssh_user.as_ref().or(Some(&"root".to_owned())));
            let expected = if options.groups.is_empty() { 3 } else { 1 };
            assert_eq!(site.hosts_of(&ServiceName::from("sample")).len(), expected);
        }
    }

    #[test]
    fn all_answers_that_will_not_do_are_named() {
        let options = InitOptions {
            name: "My Site".to_owned(),
            domain: "localhost".to_owned(),
            profile: "prod".to_owned(),
            hosts: ["db1=10.0.0.1", "db1=10.0.0.2", "nowhere", "a[1:2]=10.0.0.3", "B=10.0.0.9"]
                .map(str::to_owned)
                .to_vec(),
            groups: vec![(ServiceName::from("sampel"), vec![HostName::from("db7")])],
            ..options()
        };
        let text: Vec<String> =
            files(&options, &known_services()).unwrap_err().iter().map(ToString::to_string).collect();
        for expected in [
            "the name `My Site` has capital letters",
            "the domain `localhost` has no dot",
            "there is no profile `prod`",
            "host `db1` or its address 10.0.0.2 is there twice",
            "`nowhere` is no IP address",
            "has not as many names as addresses",
            "the host name `B` has capital letters",
            "there is no service `sampel`",
            "there is no host `db7` for `sampel`",
        ] {
            assert!(text.iter().any(|found| found.contains(expected)), "{expected}: {text:?}");
        }
        let none = InitOptions { hosts: Vec::new(), ..self::options() };
        assert_eq!(files(&none, &known_services()).unwrap_err()[0].reason, "there are no hosts");
    }
}
