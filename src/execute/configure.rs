//! Making one host's resources what they should be: blobs first, then everything in one request.

use std::collections::BTreeSet;

use wire_deploy_agent::diff::{Action, Change};
use wire_deploy_agent::digest::Digest;
use wire_deploy_agent::protocol::{Event, Request, Response};
use wire_deploy_agent::resource::{Content, Resource, ResourceId};
use wire_deploy_agent::state::State;

use super::step::Failed;
use super::turns::Permits;
use super::{Cause, Execution, Finished};
use crate::plan::{Step, StepId};
use crate::report::{EventKind, StepOutcome};
use crate::site::names::HostName;
use crate::transport::{Agent, AgentError};

/// Uploads from this size on count against the limit of large uploads, in bytes.
const LARGE: u64 = 1024 * 1024;

/// Lines of a unit's journal that are shown with a gate that did not pass.
const JOURNAL_LINES: u32 = 10;

/// What a step changes on its host.
#[derive(Clone, Copy)]
pub(super) struct Wanted<'a> {
    pub changes: &'a [Change],
    /// A running node is changed: its former configuration is kept until the cluster is well.
    pub roll: bool,
    /// It is a founder's first start.
    pub founding: bool,
}

/// A blob that a resource needs on the host.
struct Need {
    blob: Digest,
    /// Its size in bytes, where the resource tells it.
    size: Option<u64>,
}

pub(super) async fn run(execution: &Execution<'_>, permits: &Permits, step: &Step, wanted: Wanted<'_>) -> Finished {
    let Some(host) = &step.host else {
        return Failed::new("the step names no host").into();
    };
    let failed = match apply(execution, permits, step, host, wanted).await {
        Ok(changed) => return Finished::done(changed),
        Err(failed) => failed,
    };
    if !wanted.roll || failed.cause == Cause::LeaseLost {
        return failed.into();
    }
    match put_back(execution, &step.id).await {
        Ok(()) => {
            let outcome = StepOutcome::PutBack { reason: failed.reason, log: failed.log };
            Finished { outcome, cause: Cause::Gate }
        }
        Err(why) => {
            let cause = if failed.cause == Cause::Unreachable { failed.cause } else { Cause::Gate };
            Failed { reason: format!("{}; putting back failed: {why}", failed.reason), cause, ..failed }.into()
        }
    }
}

async fn apply(
    execution: &Execution<'_>,
    permits: &Permits,
    step: &Step,
    host: &HostName,
    wanted: Wanted<'_>,
) -> Result<Vec<String>, Failed> {
    let connected = execution.observer.hosts.agent(host).await;
    let agent = connected.map_err(|error| Failed {
        hint: Some(error.hint),
        cause: Cause::Unreachable,
        ..Failed::new(error.reason)
    })?;
    let mut resources = resources(execution, step, host, wanted.changes);
    if let Some(cluster) = execution.desired.cluster(&step.service).filter(|_| wanted.founding) {
        resources = resources.iter().map(|resource| cluster.at_founding(resource)).collect();
    }
    send_blobs(execution, permits, step, &agent, host, &resources).await?;
    if execution.restart {
        // From here on the next run would restart them, if this one is cut short.
        let restarted = wanted.changes.iter().filter(|change| change.action == Action::Restart);
        let units = restarted.map(|change| change.resource.0.trim_start_matches("unit ").to_owned()).collect();
        let request = Request::ForgetStarts { run: execution.run.to_owned(), units };
        agent.change(&request, &mut |_| {}).await.map_err(from_agent)?;
    }
    let request = Request::Apply {
        run: execution.run.to_owned(),
        resources,
        key: execution.observer.secrets.fingerprint_key(host),
        transaction: wanted.roll.then(|| transaction(execution, &step.id)),
    };
    let (mut done, mut changed) = (0, Vec::new());
    let reporter = execution.observer.reporter;
    let total = u64::try_from(wanted.changes.len()).ok();
    let mut told = |event| match event {
        Event::Applying { resource } => reporter.send(EventKind::StepProgress {
            step: step.id.clone(),
            message: resource.to_string(),
            done: Some(done),
            total,
        }),
        Event::Applied { resource, changed: was_changed } => {
            done += 1;
            if was_changed {
                changed.push(resource.to_string());
            }
        }
        Event::Log { line } => reporter.send(EventKind::StepLog { step: step.id.clone(), line }),
    };
    agent.change(&request, &mut told).await.map_err(from_agent)?;
    Ok(changed)
}

/// The resources that change, whole, in the node's order.
fn resources(execution: &Execution<'_>, step: &Step, host: &HostName, changes: &[Change]) -> Vec<Resource> {
    let ids: BTreeSet<&ResourceId> = changes.iter().map(|change| &change.resource).collect();
    let cluster = execution.desired.cluster(&step.service).into_iter();
    let nodes = cluster.flat_map(|cluster| cluster.nodes.iter().chain(&cluster.leaving));
    let all = nodes.filter(|node| &node.host == host).flat_map(|node| &node.resources);
    all.filter(|resource| ids.contains(&resource.id())).cloned().collect()
}

async fn send_blobs(
    execution: &Execution<'_>,
    permits: &Permits,
    step: &Step,
    agent: &Agent,
    host: &HostName,
    resources: &[Resource],
) -> Result<(), Failed> {
    let observed = |resource: &Resource| execution.observed.state(host, &resource.id());
    let needs: Vec<Need> = resources.iter().flat_map(|resource| needs(resource, observed(resource))).collect();
    if needs.is_empty() {
        return Ok(());
    }
    let blobs = needs.iter().map(|need| need.blob.clone()).collect();
    let missing = match agent.request(&Request::MissingBlobs { blobs }, &mut |_| {}).await.map_err(from_agent)? {
        Response::Missing { blobs } => blobs.into_iter().collect::<BTreeSet<Digest>>(),
        other => return Err(from_agent(agent.unexpected(&other))),
    };
    let failed = |error: crate::artifacts::ArtifactError| Failed::new(error.to_string());
    let mut sendings = Vec::new();
    for blob in missing {
        let told = needs.iter().find(|need| need.blob == blob).and_then(|need| need.size);
        let size = told.map_or_else(|| execution.store.size(&blob), Ok).map_err(failed)?;
        sendings.push((blob, size));
    }
    let total: u64 = sendings.iter().map(|(_, size)| size).sum();
    let _permit = if total >= LARGE { Some(permits.uploads.acquire().await) } else { None };
    let mut before = 0;
    for (blob, size) in sendings {
        let mut content = execution.store.read(&blob).map_err(failed)?;
        let mut progress = |sent| {
            execution.observer.reporter.send(EventKind::StepProgress {
                step: step.id.clone(),
                message: "send files".to_owned(),
                done: Some(before + sent),
                total: Some(total),
            });
        };
        agent.put_blob(&blob, size, &mut content, &mut progress).await.map_err(from_agent)?;
        before += size;
    }
    Ok(())
}

/// The blobs that applying a resource takes, given what is there.
fn needs(resource: &Resource, state: Option<&State>) -> Vec<Need> {
    let one = |blob: &Digest| vec![Need { blob: blob.clone(), size: None }];
    match resource {
        Resource::File(file) => match &file.content {
            Content::Blob(blob) => one(blob),
            Content::Text(_) | Content::Digest(_) => Vec::new(),
        },
        Resource::Archive(archive) => one(&archive.blob),
        Resource::ContainerImage(image) => one(&image.blob),
        Resource::Packages(packages) => {
            let installed = match state {
                Some(State::Packages { installed, .. }) => Some(installed),
                _ => None,
            };
            let has = |name: &str, version: &str| {
                let there = installed.and_then(|installed| installed.get(name));
                there.is_some_and(|there| wire_deploy_agent::version::compare(there, version).is_ge())
            };
            let lacking = packages.closure.iter().filter(|package| !has(&package.name, &package.version));
            lacking.map(|package| Need { blob: package.blob.clone(), size: Some(package.size) }).collect()
        }
        _ => Vec::new(),
    }
}

/// The last lines of the journals of the units that a roll restarted; none where the host does not tell.
pub(super) async fn last_lines(execution: &Execution<'_>, step: &StepId) -> Vec<String> {
    let Some(rolled) = execution.plan.steps.iter().find(|known| &known.id == step) else { return Vec::new() };
    let Some(host) = &rolled.host else { return Vec::new() };
    let mut lines = Vec::new();
    for unit in &rolled.impact.restarts {
        let request = Request::Journal { unit: unit.clone(), lines: JOURNAL_LINES };
        let Ok(agent) = execution.observer.hosts.agent(host).await else { return lines };
        if let Ok(Response::Journal { lines: said }) = agent.request(&request, &mut |_| {}).await {
            lines.extend(said);
        }
    }
    lines
}

/// Puts the former configuration of a rolled node back.
pub(super) async fn put_back(execution: &Execution<'_>, step: &StepId) -> Result<(), String> {
    let run = execution.run.to_owned();
    ask(execution, step, &Request::PutBack { run, transaction: transaction(execution, step) }).await
}

/// Forgets the former configuration of a rolled node.
pub(super) async fn commit(execution: &Execution<'_>, step: &StepId) -> Result<(), String> {
    ask(execution, step, &Request::Commit { transaction: transaction(execution, step) }).await
}

async fn ask(execution: &Execution<'_>, step: &StepId, request: &Request) -> Result<(), String> {
    let host = execution.plan.steps.iter().find(|known| &known.id == step).and_then(|known| known.host.as_ref());
    let host = host.ok_or_else(|| format!("{step} has no host"))?;
    let agent = execution.observer.hosts.agent(host).await.map_err(|error| error.to_string())?;
    agent.change(request, &mut |_| {}).await.map_err(|error| from_agent(error).reason)
}

fn transaction(execution: &Execution<'_>, step: &StepId) -> String {
    format!("{}-{}", execution.run, step.0.replace('/', "-"))
}

fn from_agent(error: AgentError) -> Failed {
    match error {
        AgentError::Failed(failure) => {
            let reason = failure.text();
            Failed { reason, hint: failure.hint, log: failure.log, cause: Cause::Work }
        }
        AgentError::TakenOver(ref lease) => Failed {
            hint: Some(format!("apply again once run {} has ended", lease.run)),
            cause: Cause::LeaseLost,
            ..Failed::new(error.to_string())
        },
        AgentError::Broken { .. } => Failed {
            hint: Some("apply again: it goes on where this stopped".to_owned()),
            cause: Cause::Unreachable,
            ..Failed::new(error.to_string())
        },
        AgentError::Protocol { .. } => Failed::new(error.to_string()),
    }
}
