//! The site's workloads: which it names, their settings (profile and site laid over each other), and the cluster that they run on.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::document::Document;
use super::layers::lay_over;
use super::model::{ExistingKubernetes, Kubernetes, Site};
use super::names::WorkloadName;
use super::problem::{Problem, hint_for};
use super::rules;
use super::tree::{Content, Segment, Tree};
use super::written::KubernetesWritten;
use crate::workloads::flows::{API, STORES};
use crate::workloads::{ALL, DynWorkload, workload_of};

/// One layer's settings, by workload; only what fits.
pub(super) type Layer = BTreeMap<WorkloadName, Value>;

/// The key of the section, in the site file and in profiles.
const SECTION: &str = "workloads";
/// The group whose hosts Kubernetes is installed on.
const GROUP: &str = "kubernetes";

/// The workloads that a site file may name.
pub fn named() -> impl Iterator<Item = &'static dyn DynWorkload> + Clone {
    ALL.iter().copied().filter(|workload| workload.is_named())
}

/// The section of a new site, with all that its groups allow: nothing without Kubernetes, and the API only with the stores that it needs.
pub fn section(has_group: impl Fn(&str) -> bool) -> String {
    if !has_group(GROUP) {
        return String::new();
    }
    let has_stores = STORES.iter().all(|(name, _)| has_group(name));
    let is_api = |name: &str| name == "nginz" || API.contains(&name);
    let names = named().map(DynWorkload::name).filter(|name| has_stores || !is_api(name));
    let lines: String = names.map(|name| format!("  {name}: {{}}\n")).collect();
    format!("# What is installed on Kubernetes: what is named here. docs/workloads tells of each.\nworkloads:\n{lines}")
}

/// Reads the section of workloads. One without settings is there all the same: a site installs what it names.
pub(super) fn read(document: &Document, problems: &mut Vec<Problem>) -> Layer {
    let mut layer = Layer::new();
    for entry in document.tree.get(&[SECTION]).map(Tree::entries).unwrap_or_default() {
        let Some(workload) = named().find(|workload| workload.name() == entry.key) else {
            let hint = hint_for(&entry.key, "workloads", named().map(DynWorkload::name));
            problems.push(document.problem(entry.place, format!("there is no workload `{}`", entry.key), hint));
            continue;
        };
        let name = WorkloadName::from(workload.name());
        if entry.value.content == Content::Null {
            layer.insert(name, Value::Object(Map::new()));
            continue;
        }
        let fitting = document.fit(&entry.value, problems, |tree| {
            workload.check_settings(&tree.to_json()).map_err(|error| (tree.path_of(&error.path), error.message))
        });
        if let Some(((), value)) = fitting {
            layer.insert(name, value);
        }
    }
    layer
}

/// The settings of those that the site names: the profile's with the site's laid over them.
pub(super) fn merged(profile: &Layer, site: Layer) -> Layer {
    let merge = |(name, settings): (WorkloadName, Value)| {
        let mut merged = profile.get(&name).cloned().unwrap_or_else(|| Value::Object(Map::new()));
        lay_over(&mut merged, &settings);
        (name, merged)
    };
    site.into_iter().map(merge).collect()
}

/// The cluster that workloads run on, as the site file tells it.
pub(super) fn kubernetes(document: &Document, written: KubernetesWritten, problems: &mut Vec<Problem>) -> Kubernetes {
    let mut kubernetes = Kubernetes::default();
    if let Some(namespace) = written.namespace {
        if let Some(reason) = rules::site_name(&namespace) {
            let hint = Some("a namespace's name is of small letters, digits and hyphens".to_owned());
            problems.push(document.problem_at(&["kubernetes", "namespace"], format!("the namespace {reason}"), hint));
        }
        kubernetes.namespace = namespace;
    }
    let Some(existing) = written.existing else { return kubernetes };
    let texts = [
        ("kubeconfig", existing.kubeconfig, "write the path of a kubeconfig file"),
        (
            "context",
            existing.context,
            "write a context of the kubeconfig file; `kubectl config get-contexts` shows them",
        ),
        (
            "image_repository",
            existing.image_repository,
            "write where nodes fetch images, as `registry.example.com/wire`",
        ),
    ];
    let mut said = texts.into_iter().filter_map(|(key, text, hint)| {
        let keys = ["kubernetes", "existing", key];
        if text.is_none() && document.lacks(&keys) {
            problems.push(document.problem_at(&keys, format!("`{key}` is missing"), Some(hint.to_owned())));
        }
        let is_bad = |text: &String| {
            text.is_empty()
                || (key == "image_repository"
                    && (text.contains("://") || text.ends_with('/') || text.contains(char::is_whitespace)))
        };
        if text.as_ref().is_some_and(is_bad) {
            problems.push(document.problem_at(&keys, format!("`{key}` cannot be this"), Some(hint.to_owned())));
        }
        text
    });
    if let (Some(kubeconfig), Some(context), Some(image_repository)) = (said.next(), said.next(), said.next()) {
        kubernetes.existing = Some(ExistingKubernetes { kubeconfig, context, image_repository });
    }
    kubernetes
}

/// What of the workloads does not fit the rest of the site.
pub(super) fn check(document: &Document, site: &Site, problems: &mut Vec<Problem>) {
    let has_group = site.groups.get(GROUP).is_some_and(|hosts| !hosts.is_empty());
    let existing = document.tree.get(&["kubernetes", "existing"]).is_some();
    if has_group && existing {
        let message = "the site installs Kubernetes on the group `kubernetes` and names an existing cluster, too";
        let hint = "remove `existing`, or the group `kubernetes` from the inventory".to_owned();
        problems.push(document.problem_at(&["kubernetes", "existing"], message, Some(hint)));
    }
    if !has_group && !existing && !site.workloads.is_empty() {
        let message = "there are workloads, and no Kubernetes for them";
        let hint = "give the inventory a group `kubernetes`, or name a cluster: `kubernetes: existing:`".to_owned();
        problems.push(document.problem(document.tree.place_of_key(&[key(SECTION)]), message, Some(hint)));
    }
}

/// What the workloads themselves have to say, on a site that is whole otherwise.
pub(super) fn ask(document: &Document, site: &Site, problems: &mut Vec<Problem>) {
    for name in site.workloads.keys() {
        for problem in workload_of(name.as_str()).map(|workload| workload.check(site)).unwrap_or_default() {
            let place = document.tree.place_of_key(&[key(SECTION), key(name.as_str())]);
            problems.push(document.problem(place, problem.message, Some(problem.hint)));
        }
    }
}

fn key(key: &str) -> Segment {
    Segment::Key(key.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_site_has_what_its_groups_allow() {
        assert_eq!(section(|group| group != GROUP), "");
        let all = section(|_| true);
        assert!(named().all(|workload| all.contains(&format!("\n  {}: {{}}\n", workload.name()))), "{all}");
        let few = section(|group| group != "minio");
        assert!(few.contains("webapp") && few.contains("ingress"), "{few}");
        assert!(!few.contains("brig") && !few.contains("nginz"), "{few}");
    }
}
