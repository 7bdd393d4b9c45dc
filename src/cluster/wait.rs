//! Waiting until what was applied runs; stopping as soon as it is known that it will not.

use std::time::Duration;

use futures_util::future::try_join_all;
use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::api::{Api, ApiError, escape};
use super::trouble::{self, Looked, State, Trouble};
use crate::workloads::ManifestId;

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(500);
/// A pod's last lines that are shown.
const LAST_LINES: usize = 15;
/// The most of them, in bytes.
const LAST_BYTES: usize = 16 * 1024;

/// Why it does not run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WaitError {
    /// It will not.
    #[error("{what}: {reason}")]
    Failed {
        /// Which object.
        what: ManifestId,
        /// Why, in words.
        reason: String,
        /// The last lines of the container that tells more, oldest first.
        log: Vec<String>,
    },
    /// It did not in time.
    #[error("{what}: {state} after {seconds} s")]
    Late {
        /// Which object.
        what: ManifestId,
        /// How far it came.
        state: String,
        /// How long it was waited for.
        seconds: u64,
        /// The last lines of a container that is not ready, oldest first.
        log: Vec<String>,
    },
    /// The API does not say.
    #[error(transparent)]
    Api(#[from] ApiError),
}

impl WaitError {
    /// The last lines of a container that tell more, oldest first.
    #[must_use]
    pub fn log(&self) -> &[String] {
        match self {
            Self::Failed { log, .. } | Self::Late { log, .. } => log,
            Self::Api(_) => &[],
        }
    }
}

/// Waits until these objects run; those of kinds that do not run are passed over. `progress` is told in words whenever something gets on:
/// `brig: 1 of 3 ready`.
///
/// # Errors
/// When one will not run, or does not within `patience`.
pub async fn wait(
    api: &Api<'_>,
    ids: &[&ManifestId],
    patience: Duration,
    progress: &(dyn Fn(&str) + Sync),
) -> Result<(), WaitError> {
    let ids = ids.iter().filter(|id| trouble::is_awaited(&id.kind));
    try_join_all(ids.map(|id| wait_for(api, id, patience, progress))).await.map(drop)
}

async fn wait_for(
    api: &Api<'_>,
    id: &ManifestId,
    patience: Duration,
    progress: &(dyn Fn(&str) + Sync),
) -> Result<(), WaitError> {
    let started = Instant::now();
    let mut told = String::new();
    // Since when something has been in the way.
    let mut since: Option<(String, Instant)> = None;
    loop {
        let found = Found::look(api, id).await?;
        let Some(found) = found else {
            return Err(failed(id, "somebody has deleted it meanwhile".to_owned(), Vec::new()));
        };
        let looked = found.looked();
        let state = match trouble::judge(&looked) {
            State::Done => return Ok(()),
            State::Going(state) => {
                since = None;
                state
            }
            State::Failed(trouble) => {
                let begin = match since.take() {
                    Some((reason, begin)) if reason == trouble.reason => begin,
                    _ => Instant::now(),
                };
                if begin.elapsed() >= trouble.grace {
                    let log = lines(api, id, trouble.log.as_ref()).await;
                    return Err(failed(id, trouble.reason, log));
                }
                let Trouble { reason, .. } = trouble;
                since = Some((reason.clone(), begin));
                reason
            }
        };
        if let Some(message) = found.warning(api, id).await? {
            return Err(failed(id, format!("its pods cannot be made: {message}"), Vec::new()));
        }
        if state != told {
            progress(&format!("{}: {state}", id.name));
            told.clone_from(&state);
        }
        if started.elapsed() + PAUSE > patience {
            let log = trouble::not_ready(&trouble::current_pods(&looked));
            let log = lines(api, id, log.as_ref()).await;
            return Err(WaitError::Late { what: id.clone(), state, seconds: patience.as_secs(), log });
        }
        sleep(PAUSE).await;
    }
}

fn failed(id: &ManifestId, reason: String, log: Vec<String>) -> WaitError {
    WaitError::Failed { what: id.clone(), reason, log }
}

/// An object and what belongs to it.
struct Found {
    object: Value,
    replica_sets: Vec<Value>,
    pods: Vec<Value>,
    silent: Vec<String>,
}

impl Found {
    async fn look(api: &Api<'_>, id: &ManifestId) -> Result<Option<Self>, ApiError> {
        let Some(path) = api.find(id).await? else { return Ok(None) };
        let Some(object) = api.get(&path, &format!("read {id}")).await? else { return Ok(None) };
        let mut found = Self { object, replica_sets: Vec::new(), pods: Vec::new(), silent: Vec::new() };
        if let Some(namespace) = &id.namespace {
            let selector = selector(&found.object);
            if id.kind == "Deployment" {
                let sets = format!("/apis/apps/v1/namespaces/{namespace}/replicasets");
                found.replica_sets = api.list(&sets, &selector, "list replicasets.apps").await?;
            }
            found.pods = api.list(&format!("/api/v1/namespaces/{namespace}/pods"), &selector, "list pods").await?;
        }
        if trouble::keeps_places(&id.kind) && trouble::judge(&found.looked()) != State::Done {
            // Who may not see nodes hears less of why.
            let nodes = api.list("/api/v1/nodes", "", "list nodes").await.unwrap_or_default();
            found.silent = trouble::silent_nodes(&nodes);
        }
        Ok(Some(found))
    }

    fn looked(&self) -> Looked<'_> {
        Looked { object: &self.object, replica_sets: &self.replica_sets, pods: &self.pods, silent: &self.silent }
    }

    /// Why pods that are lacking cannot be made: a quota, a webhook or the like. Nobody but an event tells, except of Deployments.
    async fn warning(&self, api: &Api<'_>, id: &ManifestId) -> Result<Option<String>, ApiError> {
        let Some(namespace) = id.namespace.as_ref().filter(|_| id.kind != "Deployment") else { return Ok(None) };
        if trouble::current_pods(&self.looked()).len() as u64 >= trouble::pods_wanted(&self.object) {
            return Ok(None);
        }
        let uid = self.object["metadata"]["uid"].as_str().unwrap_or_default();
        let selector = format!("&fieldSelector={}", escape(&format!("involvedObject.uid={uid},reason=FailedCreate")));
        let events = api.list(&format!("/api/v1/namespaces/{namespace}/events"), &selector, "list events").await?;
        Ok(trouble::newest_warning(&self.object, &events))
    }
}

/// The selector of an object's pods, as a part of a question.
fn selector(object: &Value) -> String {
    let labels = object.pointer("/spec/selector/matchLabels").and_then(Value::as_object);
    let labels: Vec<(&str, &str)> =
        labels.into_iter().flatten().filter_map(|(name, value)| Some((name.as_str(), value.as_str()?))).collect();
    super::api::labelled(&labels)
}

/// A container's last lines. None can be had where its node does not answer; that is no further error.
async fn lines(api: &Api<'_>, id: &ManifestId, log: Option<&(String, String, bool)>) -> Vec<String> {
    let (Some((pod, container, former)), Some(namespace)) = (log, &id.namespace) else { return Vec::new() };
    let path = format!(
        "/api/v1/namespaces/{namespace}/pods/{pod}/log?container={}&tailLines={LAST_LINES}&limitBytes={LAST_BYTES}&previous={former}",
        escape(container)
    );
    match api.text(&path, &format!("read the log of pod {pod}")).await {
        Ok(text) => text.lines().map(str::to_owned).collect(),
        Err(_) => Vec::new(),
    }
}
