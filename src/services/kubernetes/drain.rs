//! Emptying a node: no new pods, and the ones there leave, each as its disruption budget allows.

use std::time::Duration;

use anyhow::{Context as _, bail};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::connection::{Connection, Connector};
use super::view::{DRAINED, View};
use crate::desired::Cluster;
use crate::services::http::StatusCode;

/// Between two looks at the pods that are still there.
const PAUSE: Duration = Duration::from_secs(1);

/// Empties a node. If pods have not left in time, it is opened again, unless someone else had closed it. An API server that goes away meanwhile is no reason to give up:
/// control planes are upgraded, too.
pub(super) async fn drain(
    connector: &Connector<'_>,
    cluster: &Cluster,
    node: &str,
    patience: Duration,
) -> anyhow::Result<()> {
    let end = Instant::now() + patience;
    loop {
        let mut connection = connector.patiently(cluster).await?;
        let left = ask_to_leave(&mut connection, node).await;
        if left.as_ref().is_ok_and(Vec::is_empty) {
            return Ok(());
        }
        if Instant::now() >= end {
            let why = left.map_or_else(|error| format!("{error:#}"), |staying| staying.join("; "));
            let mut connection = connector.patiently(cluster).await?;
            let opened = look(&mut connection, node).await?.drained;
            if opened {
                open(&mut connection, node).await?;
            }
            let again = if opened { ", so it takes pods again" } else { "" };
            bail!("pods did not leave {node} within {} s{again}: {why}", patience.as_secs());
        }
        sleep(PAUSE).await;
    }
}

/// Closes a node and asks its pods to leave; those that are still there, and why if something keeps them.
async fn ask_to_leave(connection: &mut Connection, node: &str) -> anyhow::Result<Vec<String>> {
    // Who closed it will open it.
    if !look(connection, node).await?.cordoned {
        let cordon = json!({ "spec": { "unschedulable": true }, "metadata": { "annotations": { DRAINED: "true" } } });
        connection.merge(&format!("/api/v1/nodes/{node}"), &cordon).await?;
    }
    let pods = connection.get(&format!("/api/v1/pods?fieldSelector=spec.nodeName%3D{node}")).await?.unwrap_or_default();
    let mut staying = Vec::new();
    for pod in pods["items"].as_array().into_iter().flatten().filter(|pod| leaves(pod)) {
        let why = evict(connection, pod).await?;
        staying.push(why.unwrap_or_else(|| format!("{} is still there", name(pod))));
    }
    Ok(staying)
}

async fn look(connection: &mut Connection, node: &str) -> anyhow::Result<View> {
    let found = connection.get(&format!("/api/v1/nodes/{node}")).await?;
    Ok(View::of(&found.with_context(|| format!("there is no node {node}"))?))
}

/// Lets pods come again.
pub(super) async fn open(connection: &mut Connection, node: &str) -> anyhow::Result<()> {
    let change = json!({ "spec": { "unschedulable": null }, "metadata": { "annotations": { DRAINED: null } } });
    connection.merge(&format!("/api/v1/nodes/{node}"), &change).await
}

/// Whether a pod goes elsewhere when its node is emptied: not those that belong to the node, and not those that are done.
fn leaves(pod: &Value) -> bool {
    let owners = pod.pointer("/metadata/ownerReferences").and_then(Value::as_array);
    let of_the_node =
        owners.into_iter().flatten().any(|owner| matches!(owner["kind"].as_str(), Some("DaemonSet" | "Node")));
    let mirror =
        pod.pointer("/metadata/annotations").is_some_and(|all| all.get("kubernetes.io/config.mirror").is_some());
    let done = matches!(pod.pointer("/status/phase").and_then(Value::as_str), Some("Succeeded" | "Failed"));
    !of_the_node && !mirror && !done
}

fn name(pod: &Value) -> String {
    let text = |key: &str| pod["metadata"][key].as_str().unwrap_or_default();
    format!("{}/{}", text("namespace"), text("name"))
}

/// Has a pod leave; why that is not allowed now, in the API's words.
async fn evict(connection: &mut Connection, pod: &Value) -> anyhow::Result<Option<String>> {
    let metadata = &pod["metadata"];
    if !metadata["deletionTimestamp"].is_null() {
        return Ok(None);
    }
    let (namespace, name) =
        (metadata["namespace"].as_str().unwrap_or_default(), metadata["name"].as_str().unwrap_or_default());
    let eviction = json!({
        "apiVersion": "policy/v1", "kind": "Eviction", "metadata": { "name": name, "namespace": namespace },
    });
    let (status, answer) =
        connection.post(&format!("/api/v1/namespaces/{namespace}/pods/{name}/eviction"), &eviction).await?;
    match status {
        StatusCode::NOT_FOUND => Ok(None),
        StatusCode::TOO_MANY_REQUESTS => {
            let causes = answer.pointer("/details/causes").and_then(Value::as_array);
            let budget = causes.into_iter().flatten().find_map(|cause| cause["message"].as_str());
            let why = budget.or_else(|| answer["message"].as_str()).unwrap_or("no reason given");
            Ok(Some(format!("{namespace}/{name}: {why}")))
        }
        status if status.is_success() => Ok(None),
        status => bail!(
            "{namespace}/{name} cannot be evicted: {} {}",
            status.as_u16(),
            answer["message"].as_str().unwrap_or_default()
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pods_that_belong_to_the_node_stay() {
        let owned =
            |kind: &str| json!({"metadata": {"ownerReferences": [{"kind": kind}]}, "status": {"phase": "Running"}});
        assert!(leaves(&owned("ReplicaSet")));
        assert!(leaves(&json!({"metadata": {}, "status": {"phase": "Pending"}})));
        assert!(!leaves(&owned("DaemonSet")) && !leaves(&owned("Node")));
        assert!(!leaves(&json!({"metadata": {}, "status": {"phase": "Succeeded"}})));
        assert!(!leaves(&json!({"metadata": {"annotations": {"kubernetes.io/config.mirror": "x"}}})));
    }
}
