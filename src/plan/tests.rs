//! Properties of every plan, over clusters of made-up nodes in made-up states.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};

use core::net::{IpAddr, Ipv4Addr};
use proptest::prelude::*;
use wire_deploy_agent::digest::Digest;
use wire_deploy_agent::resource::{Content, File, Mode, Owner, Ownership, Resource, Unit};
use wire_deploy_agent::state::{Entry, PathState, State, UnitState};

use super::{Inputs, Plan, Refusal, Step, StepId, Work, diff};
use crate::desired::{Bootstrap, Cluster, Desired, Node, Operation};
use crate::observed::{HostObserved, LiveState, Observed};
use crate::services::Verdict;
use crate::site::names::{HostName, ServiceName};
use crate::site::secrets::Secrets;

/// How a node is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Found {
    Absent,
    AsWanted,
    /// A file differs that the unit must be restarted for.
    OldConfiguration,
    /// A file differs that nothing has to restart for.
    OldMode,
    /// A file differs that the unit takes in while it works.
    OldReload,
    Stopped,
}

fn found() -> impl Strategy<Value = Found> {
    prop_oneof![
        Just(Found::Absent),
        Just(Found::AsWanted),
        Just(Found::OldConfiguration),
        Just(Found::OldMode),
        Just(Found::OldReload),
        Just(Found::Stopped)
    ]
}

fn secrets() -> Secrets {
    Secrets::new([7; 32], 0, BTreeMap::new(), BTreeMap::new())
}

fn host(index: usize) -> HostName {
    HostName(format!("db{index}"))
}

fn file() -> File {
    File {
        path: "/etc/example.conf".to_owned(),
        owner: Owner { user: "root".to_owned(), group: "root".to_owned() },
        mode: Mode(0o644),
        content: Content::Text("new\n".to_owned()),
        sensitive: false,
        ownership: Ownership::Ours,
    }
}

fn unit() -> Unit {
    Unit {
        name: "example.service".to_owned(),
        enabled: true,
        running: true,
        started_with: Some(Digest::of(b"new")),
        reloaded_with: Some(Digest::of(b"new")),
        timeout_seconds: 10,
        attempts: 1,
    }
}

fn cluster(nodes: usize, bootstrap: Bootstrap, joining: bool) -> Cluster {
    let operation = Operation {
        name: "join".to_owned(),
        description: "let it join".to_owned(),
        arguments: serde_json::Value::Null,
    };
    let node = |index| Node {
        host: host(index),
        address: IpAddr::V4(Ipv4Addr::LOCALHOST),
        resources: vec![Resource::File(file()), Resource::Unit(unit())],
        before: if joining { vec![operation.clone()] } else { Vec::new() },
    };
    Cluster {
        service: ServiceName("example".to_owned()),
        version: "1".to_owned(),
        nodes: (0..nodes).map(node).collect(),
        leaving: Vec::new(),
        away: Vec::new(),
        bootstrap,
        after: Vec::new(),
        tolerance: u32::try_from(nodes.saturating_sub(1) / 2).unwrap(),
        gate_timeout_seconds: 10,
        objects: Vec::new(),
    }
}

fn states(found: Found) -> Option<[State; 2]> {
    let text = if found == Found::OldConfiguration { "old\n" } else { "new\n" };
    let path = PathState {
        entry: Entry::File { digest: Digest::of(text.as_bytes()), text: Some(text.to_owned()) },
        owner: file().owner,
        mode: Mode(if found == Found::OldMode { 0o600 } else { 0o644 }),
    };
    let started_with = Some(Digest::of(if found == Found::OldConfiguration { b"old" } else { b"new" }));
    let reloaded_with = Some(Digest::of(if found == Found::OldReload { b"old" } else { b"new" }));
    let unit = UnitState {
        load: "loaded".to_owned(),
        active: if found == Found::Stopped { "inactive" } else { "active" }.to_owned(),
        enabled: true,
        next_start_with: started_with.clone(),
        started_with,
        next_reload_with: reloaded_with.clone(),
        reloaded_with,
    };
    (found != Found::Absent).then_some([State::Path(path), State::Unit(unit)])
}

fn observed(nodes: &[Found]) -> Observed {
    let ids = [Resource::File(file()).id(), Resource::Unit(unit()).id()];
    let hosts = nodes.iter().enumerate().map(|(index, found)| {
        let states = states(*found).into_iter().flat_map(|states| ids.clone().into_iter().zip(states)).collect();
        (host(index), HostObserved { states, ..HostObserved::default() })
    });
    Observed { hosts: hosts.collect(), ..Observed::default() }
}

fn plan(cluster: &Cluster, nodes: &[Found]) -> Result<Plan, Refusal> {
    let desired = Desired { clusters: vec![cluster.clone()], ..Desired::default() };
    let mut observed = observed(nodes);
    if nodes.iter().any(|found| !matches!(found, Found::Absent | Found::Stopped)) {
        observed.live.insert(cluster.service.clone(), LiveState::default());
    }
    let verdicts = BTreeMap::from([(cluster.service.clone(), Verdict::default())]);
    let secrets = secrets();
    diff(Inputs {
        site: "example",
        desired: &desired,
        observed: &observed,
        verdicts: &verdicts,
        secrets: &secrets,
        hosts: None,
    })
}

/// The steps that must be done before a step, however far back.
fn ancestors<'a>(plan: &'a Plan, id: &'a StepId) -> BTreeSet<&'a StepId> {
    let steps = plan.by_id();
    let (mut known, mut open) = (BTreeSet::new(), vec![id]);
    while let Some(step) = open.pop().and_then(|id| steps.get(id)) {
        open.extend(step.needs.iter().filter(|need| known.insert(*need)));
    }
    known
}

fn bootstraps() -> impl Strategy<Value = Bootstrap> {
    prop_oneof![
        Just(Bootstrap::AllAtOnce),
        Just(Bootstrap::FirstThenRest),
        (1_usize..3).prop_map(Bootstrap::SeedsFirst)
    ]
}

proptest! {
    #[test]
    fn every_plan_keeps_its_promises(
        nodes in prop::collection::vec(found(), 1..7),
        bootstrap in bootstraps(),
        joining in any::<bool>(),
    ) {
        let cluster = cluster(nodes.len(), bootstrap, joining);
        let Ok(plan) = plan(&cluster, &nodes) else { return Ok(()) };

        // What is needed comes earlier, and names are unique.
        let mut before = BTreeSet::new();
        for step in &plan.steps {
            prop_assert!(step.needs.iter().all(|need| before.contains(need)), "{} comes too early", step.id);
            prop_assert!(before.insert(&step.id), "{} is there twice", step.id);
        }

        // A node is changed exactly if it differs, and the cluster can spare what stops.
        let changed: BTreeSet<_> = plan.steps.iter().filter_map(|step| match &step.work {
            Work::Configure { .. } => step.host.clone(),
            _ => None,
        }).collect();
        let differing = nodes.iter().enumerate().filter(|(_, found)| **found != Found::AsWanted);
        prop_assert_eq!(changed, differing.map(|(index, _)| host(index)).collect());
        prop_assert!(plan.steps.iter().all(|step| step.impact.spare.is_none_or(|spare| spare >= 0)));

        // Rolled nodes follow one another, and each gate guards its own.
        let rolled: Vec<_> = plan.steps.iter().filter(|step| matches!(step.work, Work::Configure { roll: true, .. })).collect();
        for pair in rolled.windows(2) {
            prop_assert!(ancestors(&plan, &pair[1].id).contains(&pair[0].id));
        }
        for step in rolled {
            let guarded = |other: &Step| matches!(&other.work, Work::Gate { guards, .. } if guards.as_ref() == Some(&step.id));
            prop_assert!(plan.steps.iter().any(guarded));
        }
    }

    #[test]
    fn a_plan_that_was_carried_out_leaves_an_empty_plan(nodes in prop::collection::vec(found(), 1..7)) {
        let cluster = cluster(nodes.len(), Bootstrap::AllAtOnce, false);
        let Ok(plan) = plan(&cluster, &nodes) else { return Ok(()) };
        let mut after = nodes.clone();
        for step in &plan.steps {
            if let (Work::Configure { .. }, Some(changed)) = (&step.work, &step.host) {
                let index = (0..after.len()).find(|index| host(*index) == *changed).unwrap();
                after[index] = Found::AsWanted;
            }
        }
        prop_assert!(self::plan(&cluster, &after).unwrap().is_empty());
    }
}

#[test]
fn a_cluster_that_can_spare_no_node_is_not_rolled() {
    let refused = plan(&cluster(2, Bootstrap::AllAtOnce, false), &[Found::OldConfiguration, Found::AsWanted]);
    assert!(matches!(refused, Err(Refusal::NothingToSpare { .. })), "{refused:?}");
}

#[test]
fn a_node_that_only_takes_its_configuration_in_stops_nothing_and_is_guarded() {
    let plan = plan(&cluster(2, Bootstrap::AllAtOnce, true), &[Found::OldReload, Found::OldReload]).unwrap();
    let ids: Vec<&str> = plan.steps.iter().map(|step| step.id.0.as_str()).collect();
    let expected = ["example/db0/configure", "example/db0/gate", "example/db1/configure", "example/db1/gate"];
    assert_eq!(ids, expected);
    assert!(plan.steps.iter().all(|step| step.impact.spare.is_none() && step.impact.restarts.is_empty()));
    assert!(matches!(&plan.steps[1].work, Work::Gate { guards: Some(guarded), .. } if guarded.0 == expected[0]));
}

#[test]
fn a_node_that_is_down_is_started_before_another_is_rolled() {
    let plan =
        plan(&cluster(3, Bootstrap::AllAtOnce, false), &[Found::OldConfiguration, Found::Stopped, Found::AsWanted])
            .unwrap();
    let rolled = plan.steps.iter().find(|step| matches!(step.work, Work::Configure { roll: true, .. })).unwrap();
    assert!(ancestors(&plan, &rolled.id).contains(&StepId("example/db1/configure".to_owned())));
    assert_eq!(rolled.impact.spare, Some(0));
}

#[test]
fn seeds_start_first_and_the_others_one_by_one() {
    let plan = plan(&cluster(3, Bootstrap::SeedsFirst(1), false), &[Found::Absent; 3]).unwrap();
    let id = |host: &str| StepId(format!("example/{host}/configure"));
    let [second, third] = [id("db1"), id("db2")];
    assert!(ancestors(&plan, &second).contains(&id("db0")));
    assert!(ancestors(&plan, &third).contains(&second));
}

#[test]
fn a_new_cluster_starts_all_at_once_and_is_asked_at_the_end() {
    let plan = plan(&cluster(3, Bootstrap::AllAtOnce, false), &[Found::Absent; 3]).unwrap();
    let (gates, others): (Vec<_>, Vec<_>) = plan.steps.iter().partition(|step| matches!(step.work, Work::Gate { .. }));
    assert_eq!((gates.len(), others.len()), (1, 3), "{:#?}", plan.steps);
    assert!(others.iter().all(|step| step.needs.is_empty()));
}

#[test]
fn after_the_first_all_others_start_at_once() {
    let plan = plan(&cluster(3, Bootstrap::FirstThenRest, false), &[Found::Absent; 3]).unwrap();
    let id = |host: &str| StepId(format!("example/{host}/configure"));
    let [second, third] = [id("db1"), id("db2")];
    assert!(ancestors(&plan, &second).contains(&id("db0")) && ancestors(&plan, &third).contains(&id("db0")));
    assert!(!ancestors(&plan, &third).contains(&second));
    assert_eq!(plan.steps.iter().filter(|step| matches!(step.work, Work::Gate { .. })).count(), 2);
}

#[test]
fn a_cluster_that_comes_after_another_is_prepared_meanwhile() {
    let other = cluster(3, Bootstrap::AllAtOnce, false);
    let later = Cluster {
        service: ServiceName("later".to_owned()),
        after: vec![other.service.clone()],
        ..cluster(3, Bootstrap::FirstThenRest, false)
    };
    let (observed, secrets) = (observed(&[Found::Absent; 3]), secrets());
    let plan = diff(Inputs {
        site: "example",
        desired: &Desired { clusters: vec![other, later], ..Desired::default() },
        observed: &observed,
        verdicts: &BTreeMap::new(),
        secrets: &secrets,
        hosts: None,
    })
    .unwrap();
    let id = |text: &str| StepId(text.to_owned());
    assert!(ancestors(&plan, &id("later/db0/prepare")).is_empty());
    assert!(ancestors(&plan, &id("later/db0/configure")).contains(&id("example/start/gate")));
}

#[test]
fn a_host_that_leaves_is_cleared_when_all_else_is_done() {
    let mut shrunk = cluster(3, Bootstrap::AllAtOnce, false);
    shrunk.leaving = shrunk.nodes.split_off(2);
    let plan = plan(&shrunk, &[Found::OldMode, Found::AsWanted, Found::OldMode]).unwrap();
    let ids: Vec<&str> = plan.steps.iter().map(|step| step.id.0.as_str()).collect();
    assert_eq!(ids, ["example/db0/configure", "example/db2/leave"]);
    assert_eq!(plan.steps[1].needs, [plan.steps[0].id.clone()]);
}
