//! What the commands that meet hosts share: opening a run, showing plans and health.

use tokio::sync::watch;

use super::{read_secrets, read_site};
use crate::cli::Session;
use crate::cli::arguments::{Connecting, Permission, Recording, Selection};
use crate::cli::error::CommandError;
use crate::cli::exit::ExitCode;
use crate::cli::interrupt;
use crate::flow::artifacts::Need;
use crate::flow::health::Health;
use crate::flow::{Choice, Flow};
use crate::report::{EventKind, count};
use crate::services;
use crate::services::{Finding, Severity};
use crate::site::model::Site;
use crate::site::secrets::{Purpose, SecretText, Secrets};
use crate::workloads::found::Allowed;
use crate::workspace::runs::RunFolder;

/// The choice that flags make.
pub(super) fn choice(selection: &Selection, connecting: &Connecting) -> Choice {
    Choice {
        limit: selection.limit.clone(),
        only: selection.only.clone(),
        accept_new_host_keys: connecting.accept_new_host_keys,
        allowed: Allowed::default(),
    }
}

/// What flags allow in Kubernetes.
pub(super) fn allowed(permission: Permission) -> Allowed {
    let Permission { take, replace, prune_data } = permission;
    Allowed { take, replace, prune_data, ..Allowed::default() }
}

/// The site, its secrets made known to the report, so that they are masked whatever happens.
pub(super) async fn open(session: &Session, choice: Choice, need: Need) -> Result<Flow, CommandError> {
    let workspace = read_site(session)?;
    let secrets = read_secrets(&workspace.site)?;
    session.reporter.conceal(generated(&workspace.site, &secrets));
    Ok(Flow::open(workspace, secrets, choice, need, &session.reporter).await?)
}

/// Every password that the site's services derive (former generations too), and what the operator brought.
fn generated(site: &Site, secrets: &Secrets) -> Vec<SecretText> {
    let mut known: Vec<SecretText> =
        secrets.provided_names().filter_map(|name| secrets.provided(name).cloned()).collect();
    for service in services::ALL {
        let name = service.name();
        for (purpose, per_host) in service.passwords() {
            let mut add = |host| known.extend(secrets.passwords(&Purpose { service: &name, host, name: purpose }));
            if *per_host {
                site.hosts_of(&name).iter().for_each(|host| add(Some(&host.name)));
            } else {
                add(None);
            }
        }
    }
    known
}

/// Runs `work`, and ends at once when the operator interrupts it: for commands that change nothing.
pub(super) async fn or_interrupted<T>(
    session: &Session,
    work: impl Future<Output = Result<T, CommandError>>,
) -> Result<T, CommandError> {
    let mut interrupted = listen(session)?;
    tokio::select! {
        result = work => result,
        _ = interrupted.wait_for(|stop| *stop) => {
            Err(CommandError::new(ExitCode::Interrupted, "interrupted; nothing was changed"))
        }
    }
}

/// The flag that becomes true when the operator interrupts.
pub(super) fn listen(session: &Session) -> Result<watch::Receiver<bool>, CommandError> {
    interrupt::cancellation(&session.reporter)
        .map_err(|error| CommandError::failed("cannot listen to signals").because(error))
}

/// Begins a run; one that leaves a folder behind is recorded there from now on. The run's name.
pub(super) fn begin(session: &Session, recording: Option<&Recording>, command: &str) -> Result<String, CommandError> {
    let site = read_site(session)?.site.name;
    let mut name = None;
    if let Some(recording) = recording {
        let beside = session.globals.config.with_file_name("runs");
        let runs = recording.runs.as_ref().unwrap_or(&beside);
        let folder = RunFolder::create(runs, jiff::Timestamp::now()).map_err(|error| {
            CommandError::failed(format!("cannot make a folder for this run in {}", runs.display()))
                .because(error)
                .hint("`--runs DIR` says where")
        })?;
        name = Some(folder.name().to_owned());
        session.reporter.record(folder);
    }
    let run = name.clone();
    session.reporter.send(EventKind::RunStarted { command: command.to_owned(), site, run });
    Ok(name.unwrap_or_default())
}

/// How a command ends that found the clusters as `health` says.
pub(super) fn end_of(health: &Health) -> ExitCode {
    if health.unreachable {
        ExitCode::Unreachable
    } else if health.rows.iter().all(|row| row.healthy) {
        ExitCode::Done
    } else {
        ExitCode::Unhealthy
    }
}

/// Tells what was found on the hosts.
pub(super) fn tell_findings<'a>(session: &Session, findings: impl IntoIterator<Item = &'a Finding>) {
    for finding in findings {
        session.reporter.send(finding.into());
    }
}

/// Refuses to go on where `apply` would.
pub(super) fn none_is_fatal(findings: &[Finding]) -> Result<(), CommandError> {
    match findings.iter().filter(|finding| finding.severity == Severity::Fatal).count() {
        0 => Ok(()),
        fatal => Err(CommandError::failed(format!("{} would keep `apply` from starting", count(fatal, "finding")))),
    }
}
