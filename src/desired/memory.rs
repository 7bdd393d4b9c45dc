//! Whether what the services of a host may take together fits into its memory. Each follows the host's memory as if it had it for itself.

use super::Sources;
use crate::observed::Observed;
use crate::services::{Finding, Severity};

/// MiB that the system and everything else on a host need.
const REST: u64 = 256;

/// Hosts whose services may take more than there is.
pub(super) fn overcommitted(sources: Sources<'_>, observed: &Observed) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (host, found) in &observed.hosts {
        let claims: Vec<(String, u64)> = sources
            .services
            .iter()
            .filter_map(|service| {
                let settings = sources.site.settings.get(&service.name())?.get(host)?;
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
