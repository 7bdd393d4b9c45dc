//! How far a roll-out is, and what keeps it from getting there, from what the API says of its objects. Pure.

use std::time::Duration;

use serde_json::Value;

use super::FIELD_MANAGER;

/// How something that runs is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum State {
    /// As it should be.
    Done,
    /// On its way: so many pods are new and ready, of so many.
    Going { ready: u64, of: u64 },
    /// It will not get there by waiting.
    Failed(Trouble),
}

/// What keeps it from getting there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Trouble {
    /// In words.
    pub(super) reason: String,
    /// Whose last lines tell more: pod, container, and whether those of its former process.
    pub(super) log: Option<(String, String, bool)>,
    /// For how long it may pass by itself.
    pub(super) grace: Duration,
}

/// An object that is waited for, with what belongs to it.
pub(super) struct Looked<'a> {
    /// The Deployment, `StatefulSet`, `DaemonSet` or Job.
    pub(super) object: &'a Value,
    /// A Deployment's `ReplicaSets`.
    pub(super) replica_sets: &'a [Value],
    /// The pods that its selector picks.
    pub(super) pods: &'a [Value],
    /// The nodes that do not answer.
    pub(super) silent: &'a [String],
}

/// What a container may wait for in vain, in words, and whether its last lines tell more.
const CONTAINER_TROUBLES: [(&str, &str, bool); 8] = [
    ("CrashLoopBackOff", "ends again and again", true),
    ("ImagePullBackOff", "has an image that cannot be had", false),
    ("ErrImagePull", "has an image that cannot be had", false),
    ("InvalidImageName", "has an image whose name is none", false),
    ("ErrImageNeverPull", "has an image that is not on its node and is not to be pulled", false),
    ("CreateContainerConfigError", "lacks something that it is configured with", false),
    ("CreateContainerError", "cannot be made", false),
    ("RunContainerError", "cannot be started", true),
];
/// A pod may find no node for a moment, while one that it takes the place of still leaves.
const PLACE_GRACE: Duration = Duration::from_secs(10);
/// A node may be silent for as long as its host takes to boot.
const NODE_GRACE: Duration = Duration::from_secs(60);

/// Whether a roll-out of this kind is waited for.
pub fn is_awaited(kind: &str) -> bool {
    matches!(kind, "Deployment" | "StatefulSet" | "DaemonSet" | "Job")
}

/// How far it is.
pub(super) fn judge(looked: &Looked<'_>) -> State {
    let object = looked.object;
    let number = |pointer: &str| object.pointer(pointer).and_then(Value::as_u64).unwrap_or_default();
    let seen = number("/status/observedGeneration") >= number("/metadata/generation");
    let wanted = object.pointer("/spec/replicas").and_then(Value::as_u64).unwrap_or(1);
    let (ready, of) = match object["kind"].as_str().unwrap_or_default() {
        "Deployment" => {
            let (updated, available) = (number("/status/updatedReplicas"), number("/status/availableReplicas"));
            let settled = number("/status/replicas") == wanted;
            if seen && updated == wanted && available == wanted && settled {
                return State::Done;
            }
            (if seen { updated.min(available) } else { 0 }, wanted)
        }
        "StatefulSet" => {
            let (updated, ready) = (number("/status/updatedReplicas"), number("/status/readyReplicas"));
            let revised = object["status"]["currentRevision"] == object["status"]["updateRevision"];
            if seen && (revised || updated == wanted) && ready == wanted && number("/status/replicas") == wanted {
                return State::Done;
            }
            (if seen { updated.min(ready) } else { 0 }, wanted)
        }
        "DaemonSet" => {
            let wanted = number("/status/desiredNumberScheduled");
            let (updated, available) = (number("/status/updatedNumberScheduled"), number("/status/numberAvailable"));
            // A node that does not answer gets its pod when it is back.
            let lost = on_silent_nodes(looked).count() as u64;
            let of_others = || current_pods(looked).into_iter().filter(|pod| silent_node(looked, pod).is_none());
            let ready = || of_others().filter(|pod| holds(pod, "Ready")).count() as u64;
            if seen && (updated == wanted && available == wanted || lost > 0 && ready() + lost >= wanted) {
                return State::Done;
            }
            (if seen { updated.min(available) } else { 0 }, wanted)
        }
        "Job" => {
            if holds(object, "Complete") {
                return State::Done;
            }
            let wanted = object.pointer("/spec/completions").and_then(Value::as_u64).unwrap_or(1);
            (number("/status/succeeded"), wanted)
        }
        _ => return State::Done,
    };
    if let Some(trouble) = trouble(looked).filter(|_| seen || object["kind"] == "Job") {
        return State::Failed(trouble);
    }
    State::Going { ready, of }
}

/// The worst that is known of it.
fn trouble(looked: &Looked<'_>) -> Option<Trouble> {
    let object = looked.object;
    let at_once = |reason: String, log| Trouble { reason, log, grace: Duration::ZERO };
    if object["kind"] == "Job" && holds(object, "Failed") {
        let pods = looked.pods.iter().filter(|pod| pod["status"]["phase"] == "Failed");
        let log = pods.max_by_key(|pod| pod["metadata"]["creationTimestamp"].as_str()).and_then(ended_container);
        let why = condition(object, "Failed").and_then(|condition| condition["message"].as_str());
        return Some(at_once(format!("it failed: {}", why.unwrap_or("no reason given")), log));
    }
    let pods: Vec<&Value> = current_pods(looked);
    let mut found: Vec<Trouble> = pods.iter().filter_map(|pod| pod_trouble(pod, object["kind"] == "Job")).collect();
    // A Deployment has another one somewhere else.
    if keeps_places(object["kind"].as_str().unwrap_or_default()) {
        found.extend(on_silent_nodes(looked).map(|(pod, node)| Trouble {
            reason: format!("pod {pod} is on node {node}, which does not answer, and no other takes its place"),
            log: None,
            grace: NODE_GRACE,
        }));
    }
    // The one that surely does not pass comes first.
    found.sort_by_key(|trouble| trouble.grace);
    if let Some(trouble) = found.into_iter().next() {
        return Some(trouble);
    }
    let creator = looked.replica_sets.iter().find(|set| is_current(object, set)).unwrap_or(object);
    for (kind, words) in [("ReplicaFailure", "its pods cannot be made"), ("Progressing", "it does not get on")] {
        let condition = condition(creator, kind).or_else(|| condition(object, kind));
        let bad = condition.filter(|condition| {
            let status = condition["status"].as_str().unwrap_or_default();
            (kind == "ReplicaFailure" && status == "True") || (kind == "Progressing" && status == "False")
        });
        if let Some(condition) = bad {
            let said = condition["message"].as_str().unwrap_or("no reason given");
            return Some(at_once(format!("{words}: {said}"), not_ready(&pods)));
        }
    }
    None
}

/// The container of whose last lines a person wants to know when nothing else is known.
pub(super) fn not_ready(pods: &[&Value]) -> Option<(String, String, bool)> {
    pods.iter().find_map(|pod| {
        let status = containers(pod).find(|status| status["ready"] == false)?;
        let restarted = status["restartCount"].as_u64().unwrap_or_default() > 0 && status["state"]["running"].is_null();
        Some((name(pod)?, status["name"].as_str()?.to_owned(), restarted))
    })
}

/// The pods that the object has now, without those of a former version of it.
pub(super) fn current_pods<'a>(looked: &Looked<'a>) -> Vec<&'a Value> {
    let object = looked.object;
    let owner = match object["kind"].as_str().unwrap_or_default() {
        "Deployment" => {
            looked.replica_sets.iter().find(|set| is_current(object, set)).map(|set| &set["metadata"]["uid"])
        }
        _ => Some(&object["metadata"]["uid"]),
    };
    let label =
        |pod: &Value, label: &str, wanted: &Value| wanted.is_null() || pod["metadata"]["labels"][label] == *wanted;
    let generation = &object["metadata"]["annotations"]["deprecated.daemonset.template.generation"];
    let revision = &object["status"]["updateRevision"];
    looked
        .pods
        .iter()
        .filter(|pod| owner.is_some_and(|owner| owned_by(pod, owner)))
        .filter(|pod| pod["metadata"]["deletionTimestamp"].is_null())
        .filter(|pod| match object["kind"].as_str().unwrap_or_default() {
            "StatefulSet" => label(pod, "controller-revision-hash", revision),
            "DaemonSet" => label(pod, "pod-template-generation", generation),
            _ => true,
        })
        .collect()
}

/// Whether pods of this kind have places of their own, so that one on a node that does not answer keeps others from being replaced.
pub(super) fn keeps_places(kind: &str) -> bool {
    matches!(kind, "StatefulSet" | "DaemonSet")
}

/// The object's pods, of whatever version, on nodes that do not answer, and those nodes.
fn on_silent_nodes<'a>(looked: &'a Looked<'_>) -> impl Iterator<Item = (&'a str, &'a str)> {
    let own = looked.pods.iter().filter(|pod| owned_by(pod, &looked.object["metadata"]["uid"]));
    own.filter_map(|pod| Some((pod["metadata"]["name"].as_str()?, silent_node(looked, pod)?)))
}

fn silent_node<'a>(looked: &'a Looked<'_>, pod: &Value) -> Option<&'a str> {
    let node = pod["spec"]["nodeName"].as_str()?;
    looked.silent.iter().map(String::as_str).find(|silent| *silent == node)
}

/// The names of those of the cluster's nodes that do not answer.
pub(super) fn silent_nodes(nodes: &[Value]) -> Vec<String> {
    nodes.iter().filter(|node| !holds(node, "Ready")).filter_map(name).collect()
}

/// How many pods the object is to have.
pub(super) fn pods_wanted(object: &Value) -> u64 {
    let number = |pointer: &str| object.pointer(pointer).and_then(Value::as_u64);
    match object["kind"].as_str().unwrap_or_default() {
        "DaemonSet" => number("/status/desiredNumberScheduled").unwrap_or_default(),
        "Job" => number("/spec/parallelism").unwrap_or(1),
        _ => number("/spec/replicas").unwrap_or(1),
    }
}

/// The newest of some events about an object that is not older than what we last applied. All times are the cluster's own.
pub(super) fn newest_warning(object: &Value, events: &[Value]) -> Option<String> {
    let entries = object.pointer("/metadata/managedFields")?.as_array()?;
    let applied = entries.iter().find(|entry| entry["manager"] == FIELD_MANAGER)?["time"].as_str()?;
    let time = |event: &Value| event["lastTimestamp"].as_str().unwrap_or_default().to_owned();
    let newest = events.iter().filter(|event| time(event).as_str() >= applied).max_by_key(|event| time(event))?;
    Some(newest["message"].as_str().unwrap_or("no reason given").to_owned())
}

const REVISION: &str = "deployment.kubernetes.io/revision";

/// Whether a `ReplicaSet` is the one of a Deployment's present version.
fn is_current(deployment: &Value, set: &Value) -> bool {
    owned_by(set, &deployment["metadata"]["uid"])
        && set["metadata"]["annotations"][REVISION] == deployment["metadata"]["annotations"][REVISION]
}

fn owned_by(object: &Value, owner: &Value) -> bool {
    let owners = object["metadata"]["ownerReferences"].as_array().into_iter().flatten();
    owners.into_iter().any(|reference| reference["uid"] == *owner)
}

fn pod_trouble(pod: &Value, retries: bool) -> Option<Trouble> {
    let pod_name = name(pod)?;
    for status in containers(pod) {
        let waiting = &status["state"]["waiting"];
        let reason = waiting["reason"].as_str().unwrap_or_default();
        let Some((_, words, tells)) = CONTAINER_TROUBLES.iter().find(|(known, _, _)| *known == reason) else {
            continue;
        };
        // A Job starts its pods again as often as it says, and fails then.
        if retries && reason == "CrashLoopBackOff" {
            continue;
        }
        let container = status["name"].as_str().unwrap_or_default().to_owned();
        let image = if reason.contains("Image") {
            format!(" ({})", status["image"].as_str().unwrap_or_default())
        } else {
            String::new()
        };
        let said = ended(status).or_else(|| waiting["message"].as_str().map(str::to_owned)).unwrap_or_default();
        let reason = format!("container {container} of pod {pod_name} {words}{image}: {reason}, {said}");
        let log = tells.then_some((pod_name, container, true));
        return Some(Trouble { reason, log, grace: Duration::ZERO });
    }
    let placed = condition(pod, "PodScheduled")?;
    (placed["status"] == "False" && placed["reason"] == "Unschedulable").then(|| Trouble {
        reason: format!("no node takes pod {pod_name}: {}", placed["message"].as_str().unwrap_or("no reason given")),
        log: None,
        grace: PLACE_GRACE,
    })
}

/// How a container's last process ended.
fn ended(status: &Value) -> Option<String> {
    let last = &status["lastState"]["terminated"];
    let code = last["exitCode"].as_i64()?;
    let restarts = status["restartCount"].as_u64().unwrap_or_default();
    let reason = last["reason"].as_str().unwrap_or("Error");
    Some(format!("last with exit code {code} ({reason}), started again {restarts} times"))
}

fn ended_container(pod: &Value) -> Option<(String, String, bool)> {
    let status = containers(pod).find(|status| !status["state"]["terminated"].is_null())?;
    Some((name(pod)?, status["name"].as_str()?.to_owned(), false))
}

fn containers(pod: &Value) -> impl Iterator<Item = &Value> {
    ["initContainerStatuses", "containerStatuses"]
        .into_iter()
        .flat_map(|field| pod["status"][field].as_array().into_iter().flatten())
}

fn name(object: &Value) -> Option<String> {
    object["metadata"]["name"].as_str().map(str::to_owned)
}

fn condition<'a>(object: &'a Value, kind: &str) -> Option<&'a Value> {
    let conditions = object.pointer("/status/conditions")?.as_array()?;
    conditions.iter().find(|condition| condition["type"] == kind)
}

fn holds(object: &Value, kind: &str) -> bool {
    condition(object, kind).is_some_and(|condition| condition["status"] == "True")
}

#[cfg(test)]
#[path = "trouble/tests.rs"]
mod tests;
