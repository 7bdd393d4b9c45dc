//! What the cluster says of pods that do not become ready: where they ended and why, the newest warning about them, and what their nodes lack. It
//! keeps nothing from ever being done, but a person who waits wants to know. Pure.

use serde_json::Value;

/// Conditions of a node by which it takes no more pods, or puts some off.
const PRESSURES: [&str; 3] = ["DiskPressure", "MemoryPressure", "PIDPressure"];

/// All of it in words, of the first pod that has something; nothing if there is nothing to tell.
pub(super) fn said(pods: &[&Value], events: &[Value], nodes: &[Value]) -> Option<String> {
    let silent: Vec<&&Value> = pods.iter().filter(|pod| !is_true(pod, "Ready")).collect();
    let ended = silent.iter().find_map(|pod| ended(pod));
    let told: Vec<String> =
        ended.or_else(|| newest(&silent, events)).into_iter().chain(short(&silent, nodes)).collect();
    (!told.is_empty()).then(|| told.join("; "))
}

/// A pod that its node has ended: `Evicted`, with what was short there.
fn ended(pod: &Value) -> Option<String> {
    let status = &pod["status"];
    let reason = status["reason"].as_str().filter(|_| status["phase"] == "Failed")?;
    Some(format!("pod {} was ended: {reason}, {}", name(pod), status["message"].as_str().unwrap_or("no reason given")))
}

fn newest(pods: &[&&Value], events: &[Value]) -> Option<String> {
    let about = |event: &Value| pods.iter().find(|pod| pod["metadata"]["uid"] == event["involvedObject"]["uid"]);
    let (pod, event) = events
        .iter()
        .filter_map(|event| Some((about(event)?, event)))
        .max_by_key(|(_, event)| time(event).to_owned())?;
    let text = |field: &str| event[field].as_str().unwrap_or("no reason given").to_owned();
    Some(format!("pod {}: {}, {}", name(pod), text("reason"), text("message")))
}

/// When it was last so. Newer programs say it in another field.
fn time(event: &Value) -> &str {
    let times = [&event["lastTimestamp"], &event["series"]["lastObservedTime"], &event["eventTime"]];
    times.into_iter().find_map(Value::as_str).unwrap_or_default()
}

/// The nodes of these pods, or any where pods have none, that are short of something.
fn short(pods: &[&&Value], nodes: &[Value]) -> Option<String> {
    let concerns = |node: &Value| {
        pods.iter().any(|pod| pod["spec"]["nodeName"].as_str().is_none_or(|placed| placed == name(node)))
    };
    nodes.iter().filter(|node| concerns(node)).find_map(|node| {
        let pressure = PRESSURES.into_iter().find(|pressure| is_true(node, pressure))?;
        Some(format!("node {} has {pressure}", name(node)))
    })
}

fn name(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap_or_default()
}

fn is_true(object: &Value, kind: &str) -> bool {
    let conditions = object["status"]["conditions"].as_array().into_iter().flatten();
    conditions.into_iter().any(|condition| condition["type"] == kind && condition["status"] == "True")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(uid: &str, ready: &str) -> Value {
        json!({"metadata": {"name": format!("brig-{uid}"), "uid": uid}, "spec": {"nodeName": "host1"},
            "status": {"phase": "Pending", "conditions": [{"type": "Ready", "status": ready}]}})
    }

    fn event(uid: &str, time: &str, reason: &str) -> Value {
        json!({"involvedObject": {"uid": uid}, "lastTimestamp": time, "reason": reason, "message": "as it says"})
    }

    #[test]
    fn the_newest_warning_about_a_pod_that_is_not_ready_is_said() {
        let (well, ill) = (pod("a", "True"), pod("b", "False"));
        let mut newest = event("b", "", "FailedMount");
        newest["lastTimestamp"] = Value::Null;
        newest["eventTime"] = "2026-01-01T00:00:05.000001Z".into();
        let events = [
            event("b", "2026-01-01T00:00:04Z", "FailedCreatePodSandBox"),
            newest,
            event("a", "2026-01-01T00:00:06Z", "Unhealthy"),
            event("stranger", "2026-01-01T00:00:07Z", "Unhealthy"),
        ];
        assert_eq!(said(&[&well, &ill], &events, &[]).as_deref(), Some("pod brig-b: FailedMount, as it says"));
        assert_eq!(said(&[&well], &events, &[]), None);
    }

    #[test]
    fn a_full_disk_is_said() {
        let mut evicted = pod("a", "False");
        evicted["status"]["phase"] = "Failed".into();
        evicted["status"]["reason"] = "Evicted".into();
        evicted["status"]["message"] = "The node was low on resource: ephemeral-storage.".into();
        let node = |name: &str, status: &str| json!({"metadata": {"name": name}, "status": {"conditions": [{"type": "DiskPressure", "status": status}]}});
        assert_eq!(
            said(&[&evicted], &[], &[node("host2", "True"), node("host1", "True")]).as_deref(),
            Some(
                "pod brig-a was ended: Evicted, The node was low on resource: ephemeral-storage.; node host1 has DiskPressure"
            )
        );
        assert_eq!(said(&[&pod("a", "False")], &[], &[node("host1", "False"), node("host2", "True")]), None);
    }
}
