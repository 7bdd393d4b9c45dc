#![allow(clippy::unwrap_used)]

use serde_json::json;

use super::*;

fn deployment(status: &Value) -> Value {
    json!({
        "kind": "Deployment",
        "metadata": {"name": "brig", "uid": "d", "generation": 2, "annotations": {REVISION: "2"}},
        "spec": {"replicas": 2}, "status": status,
    })
}

fn replica_set(uid: &str, revision: &str) -> Value {
    json!({"metadata": {"uid": uid, "ownerReferences": [{"uid": "d"}], "annotations": {REVISION: revision}}})
}

fn pod(owner: &str, status: &Value) -> Value {
    json!({"metadata": {"name": format!("pod-of-{owner}"), "ownerReferences": [{"uid": owner}]}, "status": status})
}

fn waiting(reason: &str) -> Value {
    json!({"containerStatuses": [{
        "name": "brig", "image": "example/brig:1", "ready": false, "restartCount": 3,
        "state": {"waiting": {"reason": reason, "message": "as it says"}},
        "lastState": {"terminated": {"exitCode": 7, "reason": "Error"}},
    }]})
}

fn judged(object: &Value, pods: &[Value]) -> State {
    let replica_sets = [replica_set("old", "1"), replica_set("new", "2")];
    judge(&Looked { object, replica_sets: &replica_sets, pods, silent: &[] })
}

#[test]
fn a_deployment_is_done_when_all_is_new_and_available() {
    let status = |seen: u64, updated: u64, available: u64, all: u64| json!({"observedGeneration": seen, "updatedReplicas": updated, "availableReplicas": available, "replicas": all});
    assert_eq!(judged(&deployment(&status(2, 2, 2, 2)), &[]), State::Done);
    assert_eq!(judged(&deployment(&status(2, 2, 1, 2)), &[]), State::Going { ready: 1, of: 2 });
    assert_eq!(judged(&deployment(&status(2, 2, 2, 3)), &[]), State::Going { ready: 2, of: 2 });
    assert_eq!(judged(&deployment(&status(1, 2, 2, 2)), &[]), State::Going { ready: 0, of: 2 });
}

#[test]
fn each_trouble_is_told_in_words() {
    let object = deployment(&json!({"observedGeneration": 2}));
    for (reason, words, _) in CONTAINER_TROUBLES {
        let State::Failed(trouble) = judged(&object, &[pod("new", &waiting(reason))]) else { panic!("{reason}") };
        assert!(trouble.reason.contains(words) && trouble.reason.contains(reason), "{}", trouble.reason);
    }
    let State::Failed(crash) = judged(&object, &[pod("new", &waiting("CrashLoopBackOff"))]) else { panic!() };
    assert_eq!(
        crash.reason,
        "container brig of pod pod-of-new ends again and again: CrashLoopBackOff, last with exit code 7 (Error), started again 3 times"
    );
    assert_eq!(crash.log, Some(("pod-of-new".to_owned(), "brig".to_owned(), true)));
    let starting = pod("new", &waiting("ContainerCreating"));
    assert!(matches!(judged(&object, &[starting]), State::Going { .. }));
}

#[test]
fn an_old_pods_trouble_does_not_count() {
    let object = deployment(&json!({"observedGeneration": 2}));
    assert!(matches!(judged(&object, &[pod("old", &waiting("CrashLoopBackOff"))]), State::Going { .. }));
    // The controller has not made the new ones yet.
    let unseen = deployment(&json!({"observedGeneration": 1}));
    assert!(matches!(judged(&unseen, &[pod("new", &waiting("CrashLoopBackOff"))]), State::Going { .. }));
    let mut leaving = pod("new", &waiting("CrashLoopBackOff"));
    leaving["metadata"]["deletionTimestamp"] = "now".into();
    assert!(matches!(judged(&object, &[leaving]), State::Going { .. }));
}

#[test]
fn a_pod_may_find_no_node_for_a_moment_only() {
    let object = deployment(&json!({"observedGeneration": 2}));
    let status = json!({"conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes are available"}]});
    let State::Failed(trouble) = judged(&object, &[pod("new", &status)]) else { panic!() };
    assert_eq!(trouble.reason, "no node takes pod pod-of-new: 0/3 nodes are available");
    assert_eq!(trouble.grace, PLACE_GRACE);
}

#[test]
fn a_quota_is_told_by_the_replica_set() {
    let object = deployment(&json!({"observedGeneration": 2}));
    let mut set = replica_set("new", "2");
    set["status"] =
        json!({"conditions": [{"type": "ReplicaFailure", "status": "True", "message": "exceeded quota: small"}]});
    let State::Failed(trouble) = judge(&Looked { object: &object, replica_sets: &[set], pods: &[], silent: &[] })
    else {
        panic!()
    };
    assert_eq!(trouble.reason, "its pods cannot be made: exceeded quota: small");
}

#[test]
fn a_job_starts_its_pods_again_until_it_has_failed() {
    let job = |conditions: Value| json!({"kind": "Job", "metadata": {"name": "migrate", "uid": "new"}, "status": {"conditions": conditions}});
    let crashing = pod("new", &waiting("CrashLoopBackOff"));
    assert!(matches!(judged(&job(json!([])), &[crashing]), State::Going { .. }));
    assert_eq!(judged(&job(json!([{"type": "Complete", "status": "True"}])), &[]), State::Done);
    let mut ended = pod(
        "new",
        &json!({"phase": "Failed", "containerStatuses": [{"name": "migrate", "state": {"terminated": {"exitCode": 1}}}]}),
    );
    ended["metadata"]["creationTimestamp"] = "2026-01-01T00:00:00Z".into();
    let failed =
        job(json!([{"type": "Failed", "status": "True", "message": "Job has reached the specified backoff limit"}]));
    let State::Failed(trouble) = judged(&failed, &[ended]) else { panic!() };
    assert_eq!(trouble.reason, "it failed: Job has reached the specified backoff limit");
    assert_eq!(trouble.log, Some(("pod-of-new".to_owned(), "migrate".to_owned(), false)));
}

#[test]
fn sets_are_done_when_their_pods_are() {
    let stateful = |ready: u64, revision: &str| {
        json!({"kind": "StatefulSet", "metadata": {"uid": "new", "generation": 1}, "spec": {"replicas": 2},
            "status": {"observedGeneration": 1, "replicas": 2, "updatedReplicas": 1, "readyReplicas": ready, "currentRevision": revision, "updateRevision": "b"}})
    };
    assert_eq!(judged(&stateful(2, "b"), &[]), State::Done);
    assert_eq!(judged(&stateful(2, "a"), &[]), State::Going { ready: 1, of: 2 });
    let daemon = |available: u64| {
        json!({"kind": "DaemonSet", "metadata": {"uid": "new", "generation": 1},
            "status": {"observedGeneration": 1, "desiredNumberScheduled": 3, "updatedNumberScheduled": 3, "numberAvailable": available}})
    };
    assert_eq!(judged(&daemon(3), &[]), State::Done);
    assert_eq!(judged(&daemon(2), &[]), State::Going { ready: 2, of: 3 });
}

#[test]
fn a_node_that_does_not_answer_gets_its_pod_later_and_keeps_others_from_being_replaced() {
    let daemon = |updated: u64| {
        json!({"kind": "DaemonSet", "metadata": {"uid": "new", "generation": 2, "annotations": {"deprecated.daemonset.template.generation": "2"}},
            "status": {"observedGeneration": 2, "desiredNumberScheduled": 2, "updatedNumberScheduled": updated, "numberAvailable": 1}})
    };
    let pod = |node: &str, version: &str, ready: &str| {
        json!({"metadata": {"name": format!("ingress-{node}"), "ownerReferences": [{"uid": "new"}], "labels": {"pod-template-generation": version}},
            "spec": {"nodeName": node}, "status": {"conditions": [{"type": "Ready", "status": ready}]}})
    };
    let judged = |object: &Value, pods: &[Value]| {
        judge(&Looked { object, replica_sets: &[], pods, silent: &["host3".to_owned()] })
    };
    assert_eq!(judged(&daemon(2), &[pod("host1", "2", "True"), pod("host3", "2", "False")]), State::Done);
    assert_eq!(judged(&daemon(1), &[pod("host1", "2", "True"), pod("host3", "1", "False")]), State::Done);
    let State::Failed(trouble) = judged(&daemon(0), &[pod("host1", "1", "True"), pod("host3", "1", "False")]) else {
        panic!()
    };
    assert!(trouble.reason.contains("ingress-host3 is on node host3, which does not answer"), "{}", trouble.reason);
    assert_eq!(trouble.grace, NODE_GRACE);
    let node = |name: &str, ready: &str| json!({"metadata": {"name": name}, "status": {"conditions": [{"type": "Ready", "status": ready}]}});
    assert_eq!(silent_nodes(&[node("host1", "True"), node("host3", "Unknown")]), ["host3"]);
}

#[test]
fn an_event_of_a_former_apply_does_not_count() {
    let object = json!({"metadata": {"managedFields": [{"manager": FIELD_MANAGER, "time": "2026-01-01T00:00:05Z"}]}});
    let event = |time: &str, message: &str| json!({"lastTimestamp": time, "message": message});
    let (old, new) = (event("2026-01-01T00:00:04Z", "old"), event("2026-01-01T00:00:05Z", "new"));
    assert_eq!(newest_warning(&object, &[old.clone(), new]).as_deref(), Some("new"));
    assert_eq!(newest_warning(&object, &[old]), None);
}
