//! Forms of an object: as it is applied, and as it is shown to a person. Pure.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Map, Value, json};
use wire_deploy_agent::diff::{Reason, TextChange};
use wire_deploy_agent::digest::FingerprintKey;

use super::{SITE_LABEL, WORKLOAD_LABEL};
use crate::workloads::Manifest;
use crate::workloads::found::Difference;
use crate::workloads::manifest::encode_texts;

/// What the API keeps of an object for itself.
const SERVERS_OWN: [&str; 7] =
    ["managedFields", "resourceVersion", "uid", "generation", "creationTimestamp", "selfLink", "deletionTimestamp"];
/// Where kubectl keeps a copy of all that it applied, secrets included.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
/// The longest value that a reason shows, in characters.
const LONGEST: usize = 200;

/// Who makes an object.
#[derive(Debug, Clone, Copy)]
pub struct Maker<'a> {
    /// The site.
    pub site: &'a str,
    /// The workload that the object is part of.
    pub workload: &'a str,
}

/// A manifest in the one form in which it is compared and applied: with the labels that say whose it is, without nulls and status, and a
/// Secret's texts as the API keeps them.
#[must_use]
pub fn applied(manifest: &Manifest, maker: Maker<'_>) -> Value {
    let mut value = manifest.value.clone();
    drop_nulls(&mut value);
    if let Some(object) = value.as_object_mut() {
        object.remove("status");
        if manifest.id.is_secret() {
            encode_texts(object);
            // The API keeps no empty one.
            object.retain(|key, value| key != "data" || value.as_object().is_none_or(|data| !data.is_empty()));
        }
        let metadata = object.entry("metadata").or_insert_with(|| json!({}));
        if let Some(metadata) = metadata.as_object_mut() {
            metadata.retain(|key, _| !SERVERS_OWN.contains(&key.as_str()));
            let labels = metadata.entry("labels").or_insert_with(|| json!({}));
            labels[SITE_LABEL] = maker.site.into();
            labels[WORKLOAD_LABEL] = maker.workload.into();
        }
    }
    value
}

/// By what an object is told from another one of its name.
pub(super) fn uid(object: &Value) -> &str {
    object["metadata"]["uid"].as_str().unwrap_or_default()
}

/// A label of an object.
pub(super) fn label<'a>(object: &'a Value, name: &str) -> Option<&'a str> {
    object["metadata"]["labels"][name].as_str()
}

fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.retain(|_, value| !value.is_null());
            members.values_mut().for_each(drop_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_nulls),
        _ => {}
    }
}

/// In what two states of an object differ; nothing if in nothing that concerns a person. Secrets' texts are shown as fingerprints under `key`.
#[must_use]
pub fn difference(from: &Value, to: &Value, key: &FingerprintKey) -> Option<Difference> {
    let (from, to) = (shown(from, key), shown(to, key));
    let mut reasons = Vec::new();
    walk(&from, &to, "", &mut reasons);
    let text = TextChange { from: yaml(&from), to: yaml(&to) };
    (!reasons.is_empty()).then_some(Difference { reasons, text })
}

/// An object as a person is shown it.
fn shown(object: &Value, key: &FingerprintKey) -> Value {
    let mut object = object.clone();
    let secret = object["kind"] == "Secret";
    let Some(members) = object.as_object_mut() else { return object };
    members.remove("status");
    if let Some(metadata) = members.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.retain(|key, _| !SERVERS_OWN.contains(&key.as_str()));
        if let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) {
            annotations.remove(LAST_APPLIED);
        }
    }
    if secret {
        for field in ["data", "stringData"] {
            let data = members.get_mut(field).and_then(Value::as_object_mut);
            for value in data.into_iter().flat_map(Map::values_mut) {
                let text = value.as_str().unwrap_or_default();
                let bytes = BASE64.decode(text).unwrap_or_else(|_| text.as_bytes().to_vec());
                *value = format!("secret {}", key.fingerprint(&bytes).short()).into();
            }
        }
    }
    object
}

fn walk(from: &Value, to: &Value, path: &str, reasons: &mut Vec<Reason>) {
    match (from, to) {
        (from, to) if from == to => {}
        (Value::Object(one), Value::Object(other)) => {
            let keys: BTreeSet<&String> = one.keys().chain(other.keys()).collect();
            for key in keys {
                let dot = if path.is_empty() { "" } else { "." };
                // A key with dots of its own would read like a path.
                let path = if key.contains('.') { format!("{path}[{key}]") } else { format!("{path}{dot}{key}") };
                walk(&from[key.as_str()], &to[key.as_str()], &path, reasons);
            }
        }
        (Value::Array(one), Value::Array(other)) => match (names(one), names(other)) {
            (Some(before), Some(after)) => {
                let all: BTreeSet<&str> = before.iter().chain(&after).copied().collect();
                let item = |items: &[Value], names: &[&str], name: &str| {
                    names.iter().position(|there| *there == name).map_or(Value::Null, |place| items[place].clone())
                };
                let found = reasons.len();
                for name in all {
                    let (from, to) = (item(one, &before, name), item(other, &after, name));
                    walk(&from, &to, &format!("{path}[{name}]"), reasons);
                }
                if reasons.len() == found {
                    reasons.push(Reason { field: path.to_owned(), from: before.join(", "), to: after.join(", ") });
                }
            }
            _ => {
                for index in 0..one.len().max(other.len()) {
                    let item = |items: &[Value]| items.get(index).cloned().unwrap_or_default();
                    walk(&item(one), &item(other), &format!("{path}[{index}]"), reasons);
                }
            }
        },
        (from, to) => reasons.push(Reason { field: path.to_owned(), from: compact(from), to: compact(to) }),
    }
}

/// The names of a list's items, if every item has one of its own.
fn names(items: &[Value]) -> Option<Vec<&str>> {
    let names: Option<Vec<&str>> = items.iter().map(|item| item.get("name")?.as_str()).collect();
    names.filter(|names| names.iter().collect::<BTreeSet<_>>().len() == names.len())
}

/// A value on one line; nothing for none.
fn compact(value: &Value) -> String {
    let text = match value {
        Value::Null => return String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    if text.chars().count() <= LONGEST { text } else { text.chars().take(LONGEST).chain(['…']).collect() }
}

/// As YAML; what YAML cannot say, as JSON.
fn yaml(value: &Value) -> String {
    serde_saphyr::to_string(value).unwrap_or_else(|_| format!("{value:#}\n"))
}

#[cfg(test)]
#[path = "shape/tests.rs"]
mod tests;
