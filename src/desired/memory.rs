//! Whether what the services of a host may take together fits into its memory. Each follows the host's memory as if it had it for itself.

use crate::observed::Observed;
use crate::services::{DynService, Finding, Severity};
use crate::site::model::Site;

/// MiB that the system and everything else on a host need.
const REST: u64 = 256;

/// Hosts whose services may take more than there is.
pub(super) fn overcommitted(site: &Site, services: &[&dyn DynService], observed: &Observed) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (host, found) in &observed.hosts {
        let claims: Vec<(String, u64)> = services
            .iter()
            .filter_map(|service| {
                let settings = site.settings.get(&service.name())?.get(host)?;
                Some((service.name().to_string(), service.memory(settings, found.facts.memory)))
            })
            .filter(|(_, megabytes)| *megabytes > 0)
            .collect();
        let sum: u64 = claims.iter().map(|(_, megabytes)| megabytes).sum();
        let there = found.facts.memory / (1024 * 1024);
        // What is wrong with one alone, it says itself.
        if claims.len() > 1 && sum + REST > there {
            let claims: Vec<_> = claims.into_iter().map(|(name, megabytes)| format!("{name} {megabytes}")).collect();
            findings.push(Finding {
                host: host.clone(),
                severity: Severity::Warning,
                message: format!("has {there} MiB of memory, and its services may take {sum}: {}", claims.join(", ")),
                hint: "set heap_megabytes of cassandra and search or max_memory_megabytes of redis to less, give the host more memory, or \
                       put them on hosts of their own"
                    .to_owned(),
            });
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use wire_deploy_agent::state::Facts;

    use super::*;
    use crate::observed::HostObserved;
    use crate::services;
    use crate::site::load::{Sources, load};

    /// What is said of three hosts with so many GiB, each in these groups.
    fn said(groups: &str, settings: &str, gigabytes: u64) -> Vec<String> {
        let text = format!(
            "format: 1\nsite: test\ndomain: example.com\nprofile: production\ninventory: hosts.yaml\nservices: {{{settings}}}\n"
        );
        let groups: String = groups.split(' ').map(|group| format!("  {group}: {{hosts: ['n[1:3]']}}\n")).collect();
        let inventory = format!("hosts:\n  'n[1:3]': {{address: '10.0.0.[1:3]'}}\ngroups:\n{groups}");
        let inventory = Some(("hosts.yaml".to_owned(), Ok(inventory)));
        let site = load(&Sources { path: "site.yaml".to_owned(), text, inventory }, services::ALL).unwrap();
        let facts = Facts { memory: gigabytes << 30, ..Facts::default() };
        let found = || HostObserved { facts: facts.clone(), ..HostObserved::default() };
        let hosts = site.hosts.iter().take(1).map(|host| (host.name.clone(), found())).collect();
        let findings = overcommitted(&site, services::ALL, &Observed { hosts, ..Observed::default() });
        findings.into_iter().map(|finding| format!("{} {}", finding.host, finding.message)).collect()
    }

    #[test]
    fn services_that_take_more_together_than_there_is_are_told() {
        let all = "cassandra search redis etcd";
        let expected =
            "n1 has 16384 MiB of memory, and its services may take 18432: cassandra 6144, redis 4096, search 8192";
        assert_eq!(said(all, "", 16), [expected]);
        assert_eq!(said(all, "", 64), [""; 0]);
        assert_eq!(said(all, "search: {heap_megabytes: 4096}", 16), [""; 0]);
        assert_eq!(said("search etcd", "", 1), [""; 0], "one alone says itself what it lacks");
    }
}
