//! Waiting until what was applied runs; stopping as soon as it is known that it will not.

use std::time::Duration;

use futures_util::future::try_join_all;
use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::api::{Api, ApiError, escape};
use super::nodes::nodes;
use super::patience::{self, Patience};
use super::refusal::{Refusal, Status};
use super::said;
use super::shape::uid;
use super::trouble::{self, Looked, State, Trouble};
use crate::workloads::ManifestId;
use crate::workloads::found::Right;

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(500);
/// When nothing gets on for so long, what the cluster says of the pods is told, too.
const STUCK: Duration = Duration::from_secs(20);
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
    /// It does not get on.
    #[error("{what}: {state}, and nothing has got on for {seconds} s")]
    Late {
        /// Which object.
        what: ManifestId,
        /// How far it came, and what the cluster says of its pods.
        state: String,
        /// For how long nothing has got on.
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
/// When one will not run, or does not get on for `patience` and as long as its pods may take to end.
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
    let mut patience = Patience::new(patience, Instant::now());
    let mut told = String::new();
    // Since when something has been in the way.
    let mut since: Option<(String, Instant)> = None;
    loop {
        let found = Found::look(api, id).await?;
        let Some(found) = found else {
            return Err(failed(id, "somebody has deleted it meanwhile".to_owned(), Vec::new()));
        };
        let looked = found.looked();
        let mut state = match trouble::judge(&looked) {
            State::Done => return Ok(()),
            State::Going { ready, of } => {
                since = None;
                patience.note(ready, Instant::now());
                format!("{ready} of {of} ready")
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
        if let Some(message) = found.warning(api, id).await {
            return Err(failed(id, format!("its pods cannot be made: {message}"), Vec::new()));
        }
        let idle = patience.idle(Instant::now());
        let is_late = idle + PAUSE > patience.limit(patience::grace(&found.object, &found.pods));
        if (is_late || idle > STUCK)
            && let Some(said) = found.said(api, id).await
        {
            state = format!("{state}; {said}");
        }
        if state != told {
            progress(&format!("{}: {state}", id.name));
            told.clone_from(&state);
        }
        if is_late {
            let log = trouble::not_ready(&trouble::current_pods(&looked));
            let log = lines(api, id, log.as_ref()).await;
            return Err(WaitError::Late { what: id.clone(), state, seconds: idle.as_secs(), log });
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
                found.replica_sets = replica_sets(api, namespace, &selector).await?;
            }
            found.pods = pods(api, namespace, &selector).await?;
        }
        if trouble::keeps_places(&id.kind) && trouble::judge(&found.looked()) != State::Done {
            found.silent = trouble::silent_nodes(&nodes(api).await);
        }
        Ok(Some(found))
    }

    fn looked(&self) -> Looked<'_> {
        Looked { object: &self.object, replica_sets: &self.replica_sets, pods: &self.pods, silent: &self.silent }
    }

    /// Why pods that are lacking cannot be made: a quota, a webhook or the like. Nobody but an event tells, except of Deployments.
    async fn warning(&self, api: &Api<'_>, id: &ManifestId) -> Option<String> {
        let namespace = id.namespace.as_ref().filter(|_| id.kind != "Deployment")?;
        if trouble::current_pods(&self.looked()).len() as u64 >= trouble::pods_wanted(&self.object) {
            return None;
        }
        let fields = format!("involvedObject.uid={},reason=FailedCreate", uid(&self.object));
        let events = events(api, namespace, &fields).await;
        trouble::newest_warning(&self.object, &events)
    }

    /// What the cluster says of pods that do not become ready.
    async fn said(&self, api: &Api<'_>, id: &ManifestId) -> Option<String> {
        let events = events(api, id.namespace.as_ref()?, "involvedObject.kind=Pod,type=Warning").await;
        let nodes = nodes(api).await;
        said::said(&trouble::current_pods(&self.looked()), &events, &nodes)
    }
}

async fn replica_sets(api: &Api<'_>, namespace: &str, selector: &str) -> Result<Vec<Value>, ApiError> {
    let sets = format!("/apis/apps/v1/namespaces/{namespace}/replicasets");
    api.list(&sets, selector, "list replicasets.apps").await
}

async fn pods(api: &Api<'_>, namespace: &str, selector: &str) -> Result<Vec<Value>, ApiError> {
    api.list(&format!("/api/v1/namespaces/{namespace}/pods"), selector, "list pods").await
}

/// Who may not see events hears less of why.
async fn events(api: &Api<'_>, namespace: &str, fields: &str) -> Vec<Value> {
    let selector = format!("&fieldSelector={}", escape(fields));
    let events = format!("/api/v1/namespaces/{namespace}/events");
    api.list(&events, &selector, "list events").await.unwrap_or_default()
}

/// What is missing to wait for an object that is to be like this, before it is there.
pub(super) async fn missing_right(api: &Api<'_>, id: &ManifestId, wanted: &Value) -> Result<Option<Right>, ApiError> {
    let Some(namespace) = id.namespace.as_ref().filter(|_| trouble::is_awaited(&id.kind)) else { return Ok(None) };
    let selector = selector(wanted);
    let mut tried = pods(api, namespace, &selector).await;
    if tried.is_ok() && id.kind == "Deployment" {
        tried = replica_sets(api, namespace, &selector).await;
    }
    match tried {
        Ok(_) => Ok(None),
        Err(error) => match error.status().map(Status::refusal) {
            Some(Refusal::Forbidden(right)) => Ok(Some(right)),
            _ => Err(error),
        },
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
