//! From what Kubernetes should run and what it does to the steps between: one for each workload that differs.
//!
//! They come after everything that is done to hosts: what runs in the cluster needs the stores, the nodes and the images on them.

use std::collections::BTreeMap;

use wire_deploy_agent::digest::Digest;

use super::{Impact, Inputs, Refusal, Step, StepId, Work};
use crate::site::names::ServiceName;
use crate::workloads::WorkloadDesired;
use crate::workloads::found::{Found, WorkloadFound};

/// Kinds whose pods are replaced when they change.
const RUNNING: [&str; 3] = ["Deployment", "StatefulSet", "DaemonSet"];

/// Adds the steps of all workloads that differ.
pub(super) fn steps(inputs: Inputs<'_>, steps: &mut Vec<Step>) -> Result<(), Refusal> {
    let wanted = &inputs.desired.workloads;
    let Some(found) = &inputs.observed.workloads else {
        // Only a cluster that something is done to may be one that cannot be asked yet.
        if !steps.is_empty() && inputs.hosts.is_none() {
            let put_off = |workload: &WorkloadDesired| Some(deferred(workload));
            add(wanted.iter().map(|workload| (workload, put_off(workload))), steps);
        }
        return Ok(());
    };
    let obstacles: Vec<_> = found.iter().flat_map(WorkloadFound::obstacles).collect();
    if !obstacles.is_empty() {
        return Err(Refusal::Obstacles(obstacles));
    }
    let of = |name: &str| found.iter().find(|found| found.workload == name);
    let work = |workload: &WorkloadDesired| {
        let found = of(workload.name.as_str()).filter(|found| !found.is_same())?;
        Some(Work::RollOut { found: found.clone(), timeout_seconds: workload.gate_timeout_seconds })
    };
    add(wanted.iter().map(|workload| (workload, work(workload))), steps);
    // What leads to it is led away first, as the ingress is from a page.
    let before: Vec<StepId> = steps.iter().map(|step| step.id.clone()).collect();
    let is_gone = |found: &&WorkloadFound| !wanted.iter().any(|wanted| wanted.name.as_str() == found.workload);
    for gone in found.iter().filter(is_gone).filter(|found| !found.is_same()) {
        let work = Work::RollOut { found: gone.clone(), timeout_seconds: 0 };
        steps.push(step(&gone.workload, "remove", work, before.clone()));
    }
    Ok(())
}

/// The steps of workloads that have work, each after those of the workloads that must be well before, and all after what is there already.
fn add<'a>(works: impl Iterator<Item = (&'a WorkloadDesired, Option<Work>)>, steps: &mut Vec<Step>) {
    let before: Vec<StepId> = steps.iter().map(|step| step.id.clone()).collect();
    // By workload: what has to be done when it is to be well. One without work of its own hands on what it waits for itself.
    let mut done: BTreeMap<&str, Vec<StepId>> = BTreeMap::new();
    for (workload, work) in works {
        let after = workload.after.iter().filter_map(|name| done.get(name.as_str())).flatten().cloned();
        let mut needs: Vec<StepId> = before.iter().cloned().chain(after).collect();
        needs.dedup();
        if let Some(work) = work {
            let step = step(workload.name.as_str(), "roll-out", work, needs);
            needs = vec![step.id.clone()];
            steps.push(step);
        } else {
            needs.retain(|need| !before.contains(need));
        }
        done.insert(workload.name.as_str(), needs);
    }
}

fn step(workload: &str, what: &str, work: Work, needs: Vec<StepId>) -> Step {
    let impact = impact(&work);
    let id = StepId(format!("{workload}/{what}"));
    Step { id, service: ServiceName::from(workload), host: None, work, needs, impact }
}

fn deferred(workload: &WorkloadDesired) -> Work {
    let ids: Vec<_> = workload.manifests.iter().map(|manifest| manifest.id.clone()).collect();
    // The manifests hold secrets, so of those only the names are bound.
    let open = workload.manifests.iter().filter(|manifest| !manifest.id.is_secret()).map(|manifest| &manifest.value);
    let contents = Digest::of(&serde_json::to_vec(&open.collect::<Vec<_>>()).unwrap_or_default());
    Work::DeferredRollOut { objects: ids, contents, timeout_seconds: workload.gate_timeout_seconds }
}

/// What users notice: pods that are replaced take leave of their clients, a few at a time; what is made anew is away meanwhile.
fn impact(work: &Work) -> Impact {
    let Work::RollOut { found, .. } = work else { return Impact::default() };
    let running = || found.objects.iter().filter(|object| RUNNING.contains(&object.id.kind.as_str()));
    let notice = if running().any(|object| matches!(object.found, Found::Replaced { .. } | Found::Unwanted)) {
        "its pods end, and what they serve is away until others run"
    } else if running().any(|object| matches!(object.found, Found::Differs { .. })) {
        "pods are replaced, a few at a time"
    } else {
        ""
    };
    Impact { notice: notice.to_owned(), ..Impact::default() }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_json::json;

    use super::*;
    use crate::desired::Desired;
    use crate::observed::Observed;
    use crate::site::names::WorkloadName;
    use crate::site::secrets::Secrets;
    use crate::workloads::found::{FieldOwner, ObjectFound};
    use crate::workloads::{Manifest, ManifestId};

    fn id(kind: &str, name: &str) -> ManifestId {
        let (api_version, namespace) = ("v1".to_owned(), Some("wire".to_owned()));
        ManifestId { api_version, kind: kind.to_owned(), namespace, name: name.to_owned() }
    }

    fn workload(name: &str, after: &[&str]) -> WorkloadDesired {
        let manifest = Manifest { id: id("ConfigMap", name), value: json!({}), template: String::new() };
        WorkloadDesired {
            name: WorkloadName::from(name),
            manifests: vec![manifest],
            after: after.iter().map(|name| WorkloadName::from(*name)).collect(),
            gate_timeout_seconds: 60,
        }
    }

    fn found(name: &str, found: Found) -> WorkloadFound {
        let object = ObjectFound { id: id("ConfigMap", name), template: None, found };
        WorkloadFound { workload: name.to_owned(), objects: vec![object], settled: true }
    }

    fn planned(
        workloads: &[WorkloadDesired],
        found: Option<&[WorkloadFound]>,
        before: &[&str],
    ) -> Result<Vec<Step>, Refusal> {
        let desired = Desired { workloads: workloads.to_vec(), ..Desired::default() };
        let observed = Observed { workloads: found.map(<[_]>::to_vec), ..Observed::default() };
        let secrets = Secrets::new([0; 32], 0, BTreeMap::new(), BTreeMap::new());
        let inputs = Inputs {
            site: "test",
            desired: &desired,
            observed: &observed,
            verdicts: &BTreeMap::new(),
            secrets: &secrets,
            hosts: None,
        };
        let gate = Work::Gate { guards: None, timeout_seconds: 1 };
        let mut all: Vec<Step> = before.iter().map(|name| step(name, "gate", gate.clone(), Vec::new())).collect();
        steps(inputs, &mut all).map(|()| all.split_off(before.len()))
    }

    fn needs(step: &Step) -> Vec<&str> {
        step.needs.iter().map(|need| need.0.as_str()).collect()
    }

    #[test]
    fn each_comes_after_what_it_needs_and_all_after_the_hosts() {
        let all = [workload("base", &[]), workload("brig", &["base"]), workload("nginz", &["brig"])];
        let missing = ["base", "brig", "nginz"].map(|name| found(name, Found::Missing));
        let steps = planned(&all, Some(&missing), &["kubernetes"]).unwrap();
        assert_eq!(
            steps.iter().map(|step| step.id.0.as_str()).collect::<Vec<_>>(),
            ["base/roll-out", "brig/roll-out", "nginz/roll-out"]
        );
        assert_eq!(needs(&steps[0]), ["kubernetes/gate"]);
        assert_eq!(needs(&steps[2]), ["kubernetes/gate", "brig/roll-out"]);
        // Through one that is as it should be.
        let some = [found("base", Found::Missing), found("brig", Found::Same), found("nginz", Found::Missing)];
        let steps = planned(&all, Some(&some), &[]).unwrap();
        assert_eq!(needs(&steps[1]), ["base/roll-out"]);
    }

    #[test]
    fn nothing_is_done_where_nothing_differs_and_what_left_the_site_is_removed() {
        let all = [workload("brig", &[])];
        assert_eq!(planned(&all, Some(&[found("brig", Found::Same)]), &[]).unwrap(), []);
        let gone = [found("brig", Found::Same), found("spar", Found::Unwanted)];
        let steps = planned(&all, Some(&gone), &[]).unwrap();
        assert_eq!(steps.iter().map(|step| step.id.0.as_str()).collect::<Vec<_>>(), ["spar/remove"]);
    }

    #[test]
    fn what_left_the_site_goes_when_nothing_leads_to_it_any_more() {
        let all = [workload("ingress", &["webapp"])];
        let gone = [found("ingress", Found::Missing), found("webapp", Found::Unwanted), found("spar", Found::Unwanted)];
        let steps = planned(&all, Some(&gone), &["kubernetes"]).unwrap();
        assert_eq!(steps[1].id.0, "webapp/remove");
        assert_eq!(needs(&steps[1]), ["kubernetes/gate", "ingress/roll-out"]);
        assert_eq!(needs(&steps[2]), ["kubernetes/gate", "ingress/roll-out"]);
    }

    #[test]
    fn a_cluster_that_is_yet_to_come_is_planned_for_again() {
        let all = [workload("brig", &[])];
        let steps = planned(&all, None, &["kubernetes"]).unwrap();
        assert!(matches!(&steps[0].work, Work::DeferredRollOut { objects, .. } if objects.len() == 1));
        assert_eq!(planned(&all, None, &[]).unwrap(), [], "nothing is promised of a cluster that is just silent");
    }

    #[test]
    fn obstacles_stop_everything() {
        let field = FieldOwner { field: ".spec.replicas".to_owned(), manager: "autoscaler".to_owned() };
        let conflict = [found("brig", Found::Conflict { fields: vec![field] })];
        let refusal = planned(&[workload("brig", &[])], Some(&conflict), &[]).unwrap_err();
        assert!(refusal.to_string().contains(".spec.replicas by autoscaler"), "{refusal}");
        assert!(refusal.hint().contains("--take"), "{}", refusal.hint());
    }
}
