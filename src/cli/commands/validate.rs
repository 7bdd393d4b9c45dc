//! `validate`: the site alone, with its inventory, templates, secrets and SSH keys on this machine; connects nowhere.

use super::{Outcome, read_secrets, read_site};
use crate::artifacts;
use crate::cli::Session;
use crate::cli::error::CommandError;
use crate::cli::exit::ExitCode;
use crate::desired::{self, Sources};
use crate::flow::keys;
use crate::report::{count, ranges};
use crate::services;
use crate::templates::Templates;
use crate::workloads::{self, DynWorkload};

pub(super) fn run(session: &Session) -> Outcome {
    let workspace = read_site(session)?;
    keys::check(&workspace, None)?;
    let site = &workspace.site;
    let secrets = read_secrets(site)?;
    let templates = Templates::new(&workspace.templates).map_err(|error| CommandError::from(&error))?;
    let lock = artifacts::stand_in(&desired::recipes(site, services::ALL), &site.artifacts)?;
    let (secrets, lock, templates) = (&secrets, &lock, &templates);
    let sources =
        Sources { site, secrets, lock, templates, selected: None, services: services::ALL, workloads: workloads::ALL };
    let time = jiff::Timestamp::now().as_millisecond();
    desired::rehearse(sources, time).map_err(|error| CommandError::from(&error))?;
    session.reporter.note(format!(
        "{} is valid: site {}, {}",
        workspace.file.display(),
        site.name,
        count(site.hosts.len(), "host")
    ));
    for service in services::ALL {
        let hosts = site.hosts_of(&service.name());
        if !hosts.is_empty() {
            let names: Vec<_> = hosts.iter().map(|host| &host.name).collect();
            session.reporter.note(format!("  {} on {}", service.name(), ranges(&names)));
        }
    }
    let workloads: Vec<_> = workloads::installed(site).map(DynWorkload::name).collect();
    if !workloads.is_empty() {
        session.reporter.note(format!("  {} on Kubernetes", workloads.join(", ")));
    }
    Ok(ExitCode::Done)
}
