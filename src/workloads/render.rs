//! From a rendered template to manifests, and what code adds to every one of them.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::manifest::{Manifest, ManifestId, encode_texts};
use super::{BuildError, Context};
use crate::site::document::Document;
use crate::site::problem::{Place, Problem};

/// Label of every object and pod: the site's name. Whoever finds another site's leaves it alone.
pub const SITE_LABEL: &str = "wire-deploy/site";
/// Label of every object and pod: the workload's name.
pub const WORKLOAD_LABEL: &str = "wire-deploy/workload";
/// Annotation of pods: another value of it rolls them. A keyed digest of the configuration and the secrets that they mount.
pub const CONFIGURATION_ANNOTATION: &str = "wire-deploy/configuration";
/// Annotation of a ConfigMap or Secret whose changes pods take in while they run: it rolls none.
pub const RELOADED_ANNOTATION: &str = "wire-deploy/reloaded";

/// Kinds whose objects live in no namespace; all others, those of operators' own definitions too, are taken to live in one.
const CLUSTER_KINDS: [&str; 13] = [
    "APIService",
    "ClusterRole",
    "ClusterRoleBinding",
    "CustomResourceDefinition",
    "GatewayClass",
    "IngressClass",
    "MutatingWebhookConfiguration",
    "Namespace",
    "Node",
    "PersistentVolume",
    "PriorityClass",
    "StorageClass",
    "ValidatingWebhookConfiguration",
];

/// Reads the documents of a rendered template; `file` is the template as errors name it. Documents without content are left out.
///
/// # Errors
/// The first document that is no YAML, or lacks apiVersion, kind or name; lines are those of the rendered text.
pub fn manifests(file: &str, text: &str, namespace: &str) -> Result<Vec<Manifest>, BuildError> {
    documents(text)
        .into_iter()
        .filter(|(_, document)| document.lines().any(has_content))
        .map(|(before, document)| manifest(file, &document, namespace).map_err(|problem| shifted(problem, before)))
        .collect()
}

fn has_content(line: &str) -> bool {
    let line = line.trim();
    !line.is_empty() && !line.starts_with('#')
}

/// The documents, each with the number of lines before it.
fn documents(text: &str) -> Vec<(usize, String)> {
    let mut documents = vec![(0, String::new())];
    for (index, line) in text.lines().enumerate() {
        // At the beginning of a line this cannot be anything else: what is in a document's block of text is indented.
        if line.trim_end() == "---" {
            documents.push((index + 1, String::new()));
        } else if let Some((_, document)) = documents.last_mut() {
            document.push_str(line);
            document.push('\n');
        }
    }
    documents
}

fn shifted(problem: Problem, lines: usize) -> BuildError {
    let line = if problem.line == 0 { 0 } else { problem.line + lines };
    BuildError::Manifest(Box::new(Problem { line, ..problem }))
}

const HINT: &str = "lines are those of the rendered text; `wire-deploy templates show` prints the built-in template";

fn manifest(file: &str, text: &str, namespace: &str) -> Result<Manifest, Problem> {
    let mut problems = Vec::new();
    let document = Document::read(&format!("{file} (rendered)"), text, &mut problems);
    if let Some(problem) = problems.into_iter().next() {
        return Err(Problem { hint: problem.hint.or_else(|| Some(HINT.to_owned())), ..problem });
    }
    let Some(document) = document else { return Err(Problem::of_file(file, "it cannot be read", None)) };
    let mut value = document.tree.to_json();
    let first =
        text.lines().position(has_content).map_or(Place::START, |index| Place { line: index + 1, ..Place::START });
    let said = |keys: &[&str], what: &str| {
        let found = keys.iter().try_fold(&value, |value, key| value.get(key)).and_then(Value::as_str);
        found.filter(|text| !text.is_empty()).map(str::to_owned).ok_or_else(|| {
            let place = if document.tree.get(&keys[..1]).is_some() { document.tree.place_of(keys) } else { first };
            document.problem(place, format!("a manifest without {what}"), Some(HINT.to_owned()))
        })
    };
    let (api_version, kind, name) =
        (said(&["apiVersion"], "apiVersion")?, said(&["kind"], "kind")?, said(&["metadata", "name"], "metadata.name")?);
    let namespaced = !CLUSTER_KINDS.contains(&kind.as_str());
    if namespaced && value["metadata"].get("namespace").is_none() {
        value["metadata"]["namespace"] = json!(namespace);
    }
    let namespace = value["metadata"].get("namespace").and_then(Value::as_str).map(str::to_owned);
    Ok(Manifest { id: ManifestId { api_version, kind, namespace, name }, value, template: file.to_owned() })
}

/// Refuses two manifests of one object.
///
/// # Errors
/// Names the later one, and both templates.
pub fn refuse_twins<'a>(manifests: impl Iterator<Item = &'a Manifest>) -> Result<(), BuildError> {
    let mut seen: BTreeMap<&ManifestId, &str> = BTreeMap::new();
    for manifest in manifests {
        if let Some(other) = seen.insert(&manifest.id, &manifest.template) {
            let message = format!("{} is made by {other}, too", manifest.id);
            let hint = "two templates cannot make the same object: give one of the two another name".to_owned();
            return Err(BuildError::Manifest(Box::new(Problem::of_file(&manifest.template, message, Some(hint)))));
        }
    }
    Ok(())
}

/// Where the template of an object's pods is, for the kinds that have pods.
#[must_use]
pub fn pod_template(manifest: &Value) -> Option<&Value> {
    const KINDS: [&str; 4] = ["Deployment", "StatefulSet", "DaemonSet", "Job"];
    let kind = manifest["kind"].as_str()?;
    if KINDS.contains(&kind) { manifest.pointer("/spec/template") } else { None }
}

/// Adds what is the same for all objects: labels, and by what pods roll. A Job cannot be changed: its name ends with a digest of all that it
/// is, so that another one is another Job.
pub fn finish(context: &Context<'_>, manifests: &mut [Manifest]) {
    let labels = [(SITE_LABEL, context.site.name.as_str()), (WORKLOAD_LABEL, context.workload)];
    let key = context.secrets.plan_key();
    let digests: Vec<Option<String>> = manifests
        .iter()
        .map(|manifest| {
            let template = pod_template(&manifest.value)?;
            let mounted: Vec<&Value> = mounted(template, manifests).collect();
            // Members of an object are in alphabetical order, so the text follows from the content.
            let text: Vec<String> = mounted.iter().map(ToString::to_string).collect();
            (!text.is_empty()).then(|| key.fingerprint(text.join("\n").as_bytes()).short().to_owned())
        })
        .collect();
    for (manifest, digest) in manifests.iter_mut().zip(digests) {
        if let Some(secret) = manifest.value.as_object_mut().filter(|_| manifest.id.is_secret()) {
            encode_texts(secret);
        }
        put(&mut manifest.value, &["metadata", "labels"], &labels);
        if pod_template(&manifest.value).is_none() {
            continue;
        }
        put(&mut manifest.value, &["spec", "template", "metadata", "labels"], &labels);
        if let Some(digest) = &digest {
            let annotation = [(CONFIGURATION_ANNOTATION, digest.as_str())];
            put(&mut manifest.value, &["spec", "template", "metadata", "annotations"], &annotation);
        }
        if manifest.id.kind == "Job" {
            let digest = key.fingerprint(manifest.value["spec"].to_string().as_bytes()).short().to_owned();
            manifest.id.name = format!("{}-{}", manifest.id.name, digest);
            manifest.value["metadata"]["name"] = json!(manifest.id.name);
        }
    }
}

/// The ConfigMaps and Secrets among the manifests that pods of a template are given, but for those that they read again by themselves.
fn mounted<'a>(template: &Value, manifests: &'a [Manifest]) -> impl Iterator<Item = &'a Value> {
    let mut wanted: Vec<(&str, String)> = Vec::new();
    collect(template, &mut wanted);
    manifests
        .iter()
        .filter(move |manifest| {
            let reloaded = manifest
                .value
                .pointer("/metadata/annotations")
                .is_some_and(|all| all.get(RELOADED_ANNOTATION).is_some());
            !reloaded && wanted.iter().any(|(kind, name)| *kind == manifest.id.kind && *name == manifest.id.name)
        })
        .map(|manifest| &manifest.value)
}

/// How a ConfigMap or Secret is named by pods: the key, the key of the name below it, and the kind.
const REFERENCES: [(&str, &str, &str); 6] = [
    ("configMap", "name", "ConfigMap"),
    ("configMapRef", "name", "ConfigMap"),
    ("configMapKeyRef", "name", "ConfigMap"),
    ("secret", "secretName", "Secret"),
    ("secretRef", "name", "Secret"),
    ("secretKeyRef", "name", "Secret"),
];

fn collect(value: &Value, wanted: &mut Vec<(&'static str, String)>) {
    match value {
        Value::Object(members) => {
            for (key, below) in members {
                for (_, name, kind) in REFERENCES.iter().filter(|(reference, _, _)| reference == key) {
                    // Within `projected` a Secret is named as a ConfigMap is.
                    let name = below.get(name).or_else(|| below.get("name")).and_then(Value::as_str);
                    wanted.extend(name.map(|name| (*kind, name.to_owned())));
                }
                collect(below, wanted);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, wanted)),
        _ => {}
    }
}

/// Puts texts into the object below some keys, which is made if it is not there.
fn put(value: &mut Value, keys: &[&str], texts: &[(&str, &str)]) {
    let mut here = value;
    for key in keys {
        let Some(object) = here.as_object_mut() else { return };
        here = object.entry(*key).or_insert_with(|| Value::Object(Map::new()));
    }
    if let Some(object) = here.as_object_mut() {
        object.extend(texts.iter().map(|(key, text)| ((*key).to_owned(), json!(text))));
    }
}
