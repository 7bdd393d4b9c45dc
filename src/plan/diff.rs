//! From what should be and what is to the steps between.
//!
//! For each cluster the nodes that have something to change fall into four kinds: those that are *cut off* (a certificate of theirs has
//! ended and nobody can speak to them), those that are *down* (a unit that should run does not), those that *roll* (a running unit restarts,
//! stops or takes in another configuration) and those that change without any unit noticing. Nodes that are cut off come first, all at
//! once, since they do not even speak with each other; then those that are down, which makes the cluster stronger; then those that change
//! quietly; then the rolling ones, one at a time, each followed by the cluster's gate.

use std::collections::{BTreeMap, BTreeSet};

use wire_deploy_agent::diff::{Action, Change, Reason, TextChange};
use wire_deploy_agent::digest::Digest;
use wire_deploy_agent::resource::{Content, File, Resource};
use wire_deploy_agent::state::State;

use super::preflight::certificate_life;
use super::{FORMAT, Impact, ObjectChange, Plan, Refusal, Step, StepId, Work};
use crate::desired::{Bootstrap, Cluster, Desired, Node, without_content};
use crate::observed::Observed;
use crate::services::Verdict;
use crate::site::names::{HostName, ServiceName};
use crate::site::secrets::Secrets;

/// Everything that a plan is made from.
#[derive(Clone, Copy)]
pub struct Inputs<'a> {
    /// The site's name.
    pub site: &'a str,
    /// What should be.
    pub desired: &'a Desired,
    /// What is.
    pub observed: &'a Observed,
    /// The running clusters as their services judge them.
    pub verdicts: &'a BTreeMap<ServiceName, Verdict>,
    /// Where the fingerprint keys come from.
    pub secrets: &'a Secrets,
    /// The hosts that may be changed; all when `None`.
    pub hosts: Option<&'a BTreeSet<HostName>>,
}

/// What lies between what should be and what is.
///
/// # Errors
/// When a step would leave a cluster unable to do its work, or something keeps a workload's objects from being what they should.
pub fn diff(inputs: Inputs<'_>) -> Result<Plan, Refusal> {
    let mut steps = Vec::new();
    for cluster in &inputs.desired.clusters {
        ClusterPlan::new(inputs, cluster).steps(&mut steps)?;
    }
    super::workloads::steps(inputs, &mut steps)?;
    Ok(Plan {
        format: FORMAT,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        site: inputs.site.to_owned(),
        time: inputs.observed.time,
        steps,
    })
}

/// Whether every unit of a node that should run does, and all is done that a node does once in its life.
#[must_use]
pub fn node_is_up(node: &Node, observed: &Observed) -> bool {
    node.resources.iter().all(|resource| match resource {
        Resource::Unit(unit) if unit.running => {
            let found = observed.state(&node.host, &resource.id());
            matches!(found, Some(State::Unit(state)) if state.active == "active")
        }
        Resource::Exec(exec) if exec.once => {
            matches!(observed.state(&node.host, &resource.id()), Some(State::Exec { code: 0 }))
        }
        _ => true,
    })
}

/// The cluster as it is to be when a gate of the plan is asked: nodes that were not up and that no step before the gate starts are away.
#[must_use]
pub fn expected_at(cluster: &Cluster, plan: &Plan, gate: &StepId, observed: &Observed) -> Cluster {
    let before = plan.steps.iter().take_while(|step| step.id != *gate).filter(|step| step.service == cluster.service);
    let configured =
        before.filter(|step| matches!(step.work, Work::Configure { .. })).filter_map(|step| step.host.as_ref());
    let configured: BTreeSet<_> = configured.collect();
    let (nodes, away) =
        cluster.nodes.iter().cloned().partition(|node| node_is_up(node, observed) || configured.contains(&node.host));
    Cluster { nodes, away, ..cluster.clone() }
}

/// Where in its resources a node starts to be one of its cluster.
fn starts_at(node: &Node) -> usize {
    let first = |is: fn(&Resource) -> bool| node.resources.iter().position(is);
    first(|resource| matches!(resource, Resource::Exec(exec) if exec.once))
        .or_else(|| first(|resource| matches!(resource, Resource::Unit(_))))
        .unwrap_or(node.resources.len())
}

/// What is done to a founder's resource when it is opened: a unit starts again, a file is written.
fn opening(closed: &Resource, opened: &Resource) -> Change {
    let text = |resource: &Resource| match resource {
        Resource::File(File { content: Content::Text(text), sensitive: false, .. }) => Some(text.clone()),
        _ => None,
    };
    let (action, field) = match opened {
        Resource::Unit(_) => (Action::Restart, "started with"),
        _ => (Action::Update, "content"),
    };
    let reason = Reason { field: field.to_owned(), from: "founding".to_owned(), to: "clients".to_owned() };
    let text = text(closed).zip(text(opened)).map(|(from, to)| TextChange { from, to });
    Change { resource: opened.id(), action, reasons: vec![reason], text }
}

/// Name of the step in which a founder is started alone.
const FOUND: &str = "found";

/// What has to change on one node.
struct NodeChanges<'a> {
    node: &'a Node,
    /// The step's name: all of it is `configure`, all before a node starts `prepare`, container images alone `images`, what is taken back
    /// `leave`, and all at a founder's first start [`FOUND`].
    step: &'static str,
    changes: Vec<Change>,
    contents: Digest,
    /// Units that stop for a moment.
    restarts: Vec<String>,
    /// A unit takes its configuration in while it works.
    reloads: bool,
}

struct ClusterPlan<'a> {
    inputs: Inputs<'a>,
    cluster: &'a Cluster,
    /// Some node of it runs.
    running: bool,
    cut_off: Vec<NodeChanges<'a>>,
    down: Vec<NodeChanges<'a>>,
    quiet: Vec<NodeChanges<'a>>,
    rolling: Vec<NodeChanges<'a>>,
    /// Images that nodes which roll lack. All have them before the first one rolls: what runs in a cluster may take any node.
    images: Vec<NodeChanges<'a>>,
    /// Nodes that do not do their work now, whoever is to blame.
    unwell: BTreeSet<HostName>,
}

impl<'a> ClusterPlan<'a> {
    fn new(inputs: Inputs<'a>, cluster: &'a Cluster) -> Self {
        let mut plan = Self {
            inputs,
            cluster,
            running: cluster.nodes.iter().any(|node| node_is_up(node, inputs.observed)),
            cut_off: Vec::new(),
            down: Vec::new(),
            quiet: Vec::new(),
            rolling: Vec::new(),
            images: Vec::new(),
            unwell: inputs
                .verdicts
                .get(&cluster.service)
                .map(|verdict| verdict.unwell.iter().cloned().collect())
                .unwrap_or_default(),
        };
        for node in &cluster.nodes {
            let up = node_is_up(node, inputs.observed);
            if !up {
                plan.unwell.insert(node.host.clone());
            }
            let selected = inputs.hosts.is_none_or(|hosts| hosts.contains(&node.host));
            let changed = selected.then(|| plan.changes("configure", node, &node.resources)).flatten();
            let Some(changed) = changed else { continue };
            match (up, changed.reloads || !changed.restarts.is_empty()) {
                (false, _) => plan.down.push(changed),
                (true, true) if plan.is_cut_off(node) => plan.cut_off.push(changed),
                (true, false) => plan.quiet.push(changed),
                (true, true) => {
                    let is_image = |resource: &&Resource| matches!(resource, Resource::ContainerImage(_));
                    plan.images.extend(plan.changes("images", node, node.resources.iter().filter(is_image)));
                    let others = node.resources.iter().filter(|resource| !is_image(resource));
                    plan.rolling.extend(plan.changes("configure", node, others));
                }
            }
        }
        // A node that is not well anyway is mended before one is touched that still does its work.
        plan.rolling.sort_by_key(|changed| !plan.unwell.contains(&changed.node.host));
        plan
    }

    /// Whether a certificate of the node has ended and it does not do its work: it runs, and nobody can speak to it.
    fn is_cut_off(&self, node: &Node) -> bool {
        if !self.unwell.contains(&node.host) {
            return false;
        }
        let observed = self.inputs.observed;
        let mut found = node.resources.iter().filter_map(|resource| observed.state(&node.host, &resource.id()));
        found.any(|state| certificate_life(state).is_some_and(|(_, ends)| ends <= observed.time))
    }

    fn changes<'b>(
        &self,
        step: &'static str,
        node: &'a Node,
        resources: impl IntoIterator<Item = &'b Resource>,
    ) -> Option<NodeChanges<'a>> {
        let host = self.inputs.observed.hosts.get(&node.host)?;
        let key = self.inputs.secrets.fingerprint_key(&node.host);
        let mut contents = Vec::new();
        let mut changes = Vec::new();
        for resource in resources {
            let state = host.states.get(&resource.id()).unwrap_or(&State::Absent);
            if let Some(change) = wire_deploy_agent::diff::diff(resource, state, &key) {
                changes.push(change);
                contents.push(without_content(resource, &key));
            }
        }
        if changes.is_empty() {
            return None;
        }
        let reloads = changes.iter().any(|change| change.action == Action::Reload);
        let restarts = changes
            .iter()
            .filter(|change| matches!(change.action, Action::Restart | Action::Stop))
            .map(|change| change.resource.0.trim_start_matches("unit ").to_owned())
            .collect();
        // Plain data always turns into JSON; an empty text would only make the digest bind less.
        let contents = Digest::of(&serde_json::to_vec(&contents).unwrap_or_default());
        Some(NodeChanges { node, step, changes, contents, restarts, reloads })
    }

    fn steps(mut self, steps: &mut Vec<Step>) -> Result<(), Refusal> {
        let first = steps.len();
        let mut last: Vec<StepId> = Vec::new();
        self.renew_cut_off_nodes(steps, &mut last);
        self.start_down_nodes(steps, &mut last);
        self.change_quietly(steps, &last);
        self.roll(steps, last)?;
        self.change_objects(steps, first);
        self.leave(steps, first);
        Ok(())
    }

    /// Nodes that nobody can speak to: nothing can be done with them before, and none can be well before all are renewed.
    fn renew_cut_off_nodes(&mut self, steps: &mut Vec<Step>, last: &mut Vec<StepId>) {
        let renewed: Vec<_> = std::mem::take(&mut self.cut_off);
        let configured: Vec<_> =
            renewed.iter().map(|changed| self.configure(steps, changed, Vec::new(), false, None)).collect();
        if !configured.is_empty() {
            *last = vec![self.gate(steps, "renew", configured, None)];
        }
        for changed in renewed {
            self.unwell.remove(&changed.node.host);
        }
    }

    /// Nodes that do not run. `last` ends as what the cluster's next step has to wait for.
    fn start_down_nodes(&mut self, steps: &mut Vec<Step>, last: &mut Vec<StepId>) {
        let down = std::mem::take(&mut self.down);
        if down.is_empty() {
            return;
        }
        let seeds = match self.cluster.bootstrap {
            Bootstrap::AllAtOnce => down.len(),
            Bootstrap::SeedsFirst(seeds) => seeds,
            Bootstrap::FounderFirst(_) | Bootstrap::FirstThenRest => 1,
        };
        let mut together = Vec::new();
        let mut rest = Vec::new();
        let mut one_by_one = Vec::new();
        for (index, changed) in down.into_iter().enumerate() {
            // What is done before a node starts is done to the others, so these start first; and it changes the cluster itself, so
            // only one does it at a time.
            let joins = !changed.node.before.is_empty();
            let at_once = match self.cluster.bootstrap {
                Bootstrap::AllAtOnce => true,
                // Others may run that cannot do without it.
                Bootstrap::FirstThenRest if self.running => true,
                _ => !self.running && index == 0 && seeds > 0,
            };
            match self.cluster.bootstrap {
                _ if at_once && !joins => together.push(changed),
                Bootstrap::FirstThenRest => rest.push(changed),
                _ => one_by_one.push(changed),
            }
        }
        let mut started: Vec<StepId> = Vec::new();
        let founder = together.first().map(|changed| changed.node).filter(|node| self.founds(node));
        if let Some(node) = founder {
            let resources: Vec<_> = node.resources.iter().map(|resource| self.cluster.at_founding(resource)).collect();
            together = self.changes(FOUND, node, &resources).into_iter().collect();
        }
        for changed in together {
            self.unwell.remove(&changed.node.host);
            started.push(self.start(steps, changed, last.clone()));
        }
        if !started.is_empty() {
            *last = vec![self.gate(steps, "start", started, None)];
        }
        let mut joined: Vec<StepId> = Vec::new();
        for changed in rest {
            self.unwell.remove(&changed.node.host);
            joined.push(self.start(steps, changed, last.clone()));
        }
        if !joined.is_empty() {
            *last = vec![self.gate(steps, "join", joined, None)];
        }
        for changed in one_by_one {
            let host = &changed.node.host;
            self.unwell.remove(host);
            let configured = self.start(steps, changed, last.clone());
            *last = vec![self.gate(steps, host.as_str(), vec![configured], None)];
        }
        if let Some(node) = founder {
            let opened = self.configure(steps, &self.opening(node), last.clone(), false, None);
            *last = vec![self.gate(steps, node.host.as_str(), vec![opened], None)];
        }
    }

    /// Whether a node is the first of a cluster that does not exist yet, and is started alone.
    fn founds(&self, node: &Node) -> bool {
        let first = self.cluster.nodes.first().is_some_and(|first| first.host == node.host);
        matches!(self.cluster.bootstrap, Bootstrap::FounderFirst(_)) && !self.running && first
    }

    /// What is left to do on a founder when the others are there: what was otherwise until then, its units' starts among it.
    fn opening(&self, node: &'a Node) -> NodeChanges<'a> {
        let key = self.inputs.secrets.fingerprint_key(&node.host);
        let closed = |resource: &Resource| self.cluster.at_founding(resource);
        let opened: Vec<_> = node.resources.iter().filter(|resource| closed(resource) != **resource).collect();
        let changes: Vec<_> = opened.iter().map(|resource| opening(&closed(resource), resource)).collect();
        let contents: Vec<_> = opened.iter().map(|resource| without_content(resource, &key)).collect();
        let restarts = changes.iter().filter(|change| change.action == Action::Restart);
        let restarts = restarts.map(|change| change.resource.0.trim_start_matches("unit ").to_owned()).collect();
        NodeChanges {
            node,
            step: "configure",
            changes,
            contents: Digest::of(&serde_json::to_vec(&contents).unwrap_or_default()),
            restarts,
            reloads: false,
        }
    }

    /// A node that does not run. Where something else has to be done first, to its cluster or by another one, all that may take long or
    /// fail and changes nothing for the others is done meanwhile: nobody waits for a member that is not there yet.
    fn start(&self, steps: &mut Vec<Step>, changed: NodeChanges<'a>, mut needs: Vec<StepId>) -> StepId {
        let node = changed.node;
        needs.extend(self.others_done(steps));
        if node.before.is_empty() && (self.cluster.after.is_empty() || needs.is_empty()) {
            return self.configure(steps, &changed, needs, false, None);
        }
        let (prepare, start) = node.resources.split_at(starts_at(node));
        if let Some(prepared) = self.changes("prepare", node, prepare) {
            needs.push(self.configure(steps, &prepared, Vec::new(), false, None));
        }
        let started = self.changes("configure", node, start).unwrap_or(changed);
        let needs = self.operations(steps, node, needs);
        self.configure(steps, &started, needs, false, None)
    }

    /// The last steps of the clusters that this one starts after.
    fn others_done(&self, steps: &[Step]) -> Vec<StepId> {
        let others = || steps.iter().filter(|step| self.cluster.after.contains(&step.service));
        let needed: BTreeSet<&StepId> = others().flat_map(|step| &step.needs).collect();
        others().map(|step| &step.id).filter(|id| !needed.contains(id)).cloned().collect()
    }

    fn change_quietly(&self, steps: &mut Vec<Step>, last: &[StepId]) {
        for changed in &self.quiet {
            self.configure(steps, changed, last.to_vec(), false, None);
        }
    }

    fn roll(&mut self, steps: &mut Vec<Step>, mut last: Vec<StepId>) -> Result<(), Refusal> {
        let before = last.clone();
        for changed in &self.images {
            last.push(self.configure(steps, changed, before.clone(), false, None));
        }
        for changed in std::mem::take(&mut self.rolling) {
            let host = &changed.node.host;
            let mut spare = None;
            if !changed.restarts.is_empty() {
                spare = Some(self.spare_without(host)?);
                last = self.operations(steps, changed.node, last);
            }
            let configured = self.configure(steps, &changed, last, true, spare);
            last = vec![self.gate(steps, host.as_str(), vec![configured.clone()], Some(configured))];
            self.unwell.remove(host);
        }
        Ok(())
    }

    /// How many more nodes may die while this one stops.
    fn spare_without(&self, host: &HostName) -> Result<i32, Refusal> {
        let others = self.unwell.iter().filter(|unwell| *unwell != host);
        let spare = i64::from(self.cluster.tolerance) - i64::try_from(others.clone().count()).unwrap_or(i64::MAX) - 1;
        if spare < 0 {
            return Err(Refusal::NothingToSpare {
                service: self.cluster.service.clone(),
                host: host.clone(),
                unwell: others.cloned().collect(),
            });
        }
        Ok(i32::try_from(spare).unwrap_or(i32::MAX))
    }

    fn operations(&self, steps: &mut Vec<Step>, node: &Node, mut needs: Vec<StepId>) -> Vec<StepId> {
        for operation in &node.before {
            let id = self.id(&format!("{}/{}", node.host, operation.name));
            steps.push(Step {
                id: id.clone(),
                service: self.cluster.service.clone(),
                host: Some(node.host.clone()),
                work: Work::Operate { operation: operation.clone() },
                needs,
                impact: Impact::default(),
            });
            needs = vec![id];
        }
        needs
    }

    fn configure(
        &self,
        steps: &mut Vec<Step>,
        changed: &NodeChanges<'_>,
        needs: Vec<StepId>,
        roll: bool,
        spare: Option<i32>,
    ) -> StepId {
        let id = self.id(&format!("{}/{}", changed.node.host, changed.step));
        let notice = match (roll, changed.restarts.is_empty()) {
            (true, false) => "nobody notices: the other nodes do the work meanwhile".to_owned(),
            (true, true) => "nobody notices: it goes on with its work".to_owned(),
            (false, false) => format!("{} did not work before", changed.node.host),
            (false, true) => String::new(),
        };
        steps.push(Step {
            id: id.clone(),
            service: self.cluster.service.clone(),
            host: Some(changed.node.host.clone()),
            work: Work::Configure {
                changes: changed.changes.clone(),
                roll,
                founding: changed.step == FOUND,
                contents: changed.contents.clone(),
            },
            needs,
            impact: Impact { restarts: changed.restarts.clone(), spare, notice },
        });
        id
    }

    fn gate(&self, steps: &mut Vec<Step>, name: &str, needs: Vec<StepId>, guards: Option<StepId>) -> StepId {
        let id = self.id(&format!("{name}/gate"));
        steps.push(Step {
            id: id.clone(),
            service: self.cluster.service.clone(),
            host: None,
            work: Work::Gate { guards, timeout_seconds: self.cluster.gate_timeout_seconds },
            needs,
            impact: Impact::default(),
        });
        id
    }

    /// Objects of a cluster that was asked are compared; those of a cluster that could not be asked are put off until it can.
    fn change_objects(&self, steps: &mut Vec<Step>, first: usize) {
        if self.cluster.objects.is_empty() {
            return;
        }
        let live = self.inputs.observed.live.get(&self.cluster.service).filter(|live| live.tells_objects());
        let work = match live {
            Some(live) => {
                let found = |id: &str| live.objects.get(id).cloned().unwrap_or_default();
                let differing = self.cluster.objects.iter().filter(|object| found(&object.id) != object.wanted);
                let changes: Vec<_> =
                    differing.map(|object| ObjectChange { object: object.clone(), from: found(&object.id) }).collect();
                if changes.is_empty() {
                    return;
                }
                Work::Objects { changes }
            }
            // Hosts that a selection leaves out may be the ones that are down; nothing is promised about them.
            None if steps.len() == first => return,
            None => Work::Deferred { objects: self.cluster.objects.clone() },
        };
        let own = steps.iter().skip(first);
        let needs = own.map(|step| step.id.clone()).collect();
        steps.push(Step {
            id: self.id("objects"),
            service: self.cluster.service.clone(),
            host: None,
            work,
            needs,
            impact: Impact::default(),
        });
    }

    /// Hosts that are no nodes any more, after all that the cluster itself has to be told.
    fn leave(&self, steps: &mut Vec<Step>, first: usize) {
        let selected = |node: &&Node| self.inputs.hosts.is_none_or(|hosts| hosts.contains(&node.host));
        let needs: Vec<StepId> = steps.iter().skip(first).map(|step| step.id.clone()).collect();
        for node in self.cluster.leaving.iter().filter(selected) {
            if let Some(changed) = self.changes("leave", node, &node.resources) {
                self.configure(steps, &changed, needs.clone(), false, None);
            }
        }
    }

    fn id(&self, rest: &str) -> StepId {
        StepId(format!("{}/{rest}", self.cluster.service))
    }
}
