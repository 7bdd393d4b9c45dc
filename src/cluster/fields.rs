//! Whether an object in the cluster is as its manifest says, without asking the API: by its `managedFields`, which say what we set, and by values.
//! Pure.
//!
//! What says `Same` must be right, since nothing more is asked then. What says `Differs` may be wrong (a default that the API fills in where
//! nobody knows it here): the API is asked next.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::{FIELD_MANAGER, quantity};

/// What a comparison comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// Every field that we want is ours and has its value, and nothing else is ours.
    Same,
    /// Something differs, or could.
    Differs,
    /// There is no such object.
    Missing,
}

/// Fields below these are quantities.
const QUANTITIES: [&str; 6] = ["limits", "requests", "hard", "capacity", "sizeLimit", "divisor"];

/// What the API fills in inside of values that it takes as a whole: leaving it out is saying it.
const DEFAULTS: [(&str, &str); 6] = [
    ("protocol", "TCP"),
    ("apiVersion", "v1"),
    ("apiGroup", "rbac.authorization.k8s.io"),
    ("apiGroup", ""),
    ("divisor", "0"),
    ("name", ""),
];

/// Compares a manifest in the form in which it is applied (see [`super::shape::applied`]) with what is there.
#[must_use]
pub fn compare(manifest: &Value, live: Option<&Value>) -> Comparison {
    let Some(live) = live else { return Comparison::Missing };
    let Some(owned) = owned(live, manifest["apiVersion"].as_str().unwrap_or_default()) else {
        return Comparison::Differs;
    };
    let Some(mut wanted) = manifest.as_object().cloned() else { return Comparison::Differs };
    wanted.retain(|key, _| key != "apiVersion" && key != "kind");
    if let Some(metadata) = wanted.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.retain(|key, _| key != "name" && key != "namespace");
        if metadata.is_empty() {
            wanted.remove("metadata");
        }
    }
    if members(&wanted, Some(live), owned, false) { Comparison::Same } else { Comparison::Differs }
}

/// The fields that we set when we applied last.
fn owned<'a>(live: &'a Value, version: &str) -> Option<&'a Map<String, Value>> {
    let entries = live.pointer("/metadata/managedFields")?.as_array()?;
    let ours = entries.iter().find(|entry| {
        entry["manager"] == FIELD_MANAGER && entry["operation"] == "Apply" && entry["subresource"].is_null()
    })?;
    (ours["apiVersion"] == version).then(|| ours["fieldsV1"].as_object())?
}

/// A value against what is there and the set of our fields below it. `quantities`: its texts are quantities.
fn matches(wanted: &Value, live: Option<&Value>, owned: &Map<String, Value>, quantities: bool) -> bool {
    let has = |prefix: &str| owned.keys().any(|key| key.starts_with(prefix));
    match wanted {
        Value::Object(wanted) if has("f:") => members(wanted, live, owned, quantities),
        Value::Array(wanted) if has("k:") => keyed(wanted, live, owned),
        Value::Array(wanted) if has("v:") => set(wanted, live, owned),
        // What holds no fields of ours is owned as a whole; but one that is owned without what is in it is not.
        Value::Object(members) if !members.is_empty() && owned.contains_key(".") => false,
        _ => owned.keys().all(|key| key == ".") && whole(wanted, live, quantities),
    }
}

fn members(wanted: &Map<String, Value>, live: Option<&Value>, owned: &Map<String, Value>, quantities: bool) -> bool {
    let ours = owned.keys().filter(|key| key.starts_with("f:")).count();
    ours == wanted.len()
        && wanted.iter().all(|(key, wanted)| {
            let quantities = quantities || QUANTITIES.contains(&key.as_str());
            let owned = owned.get(&format!("f:{key}")).and_then(Value::as_object);
            owned.is_some_and(|owned| matches(wanted, live.and_then(|live| live.get(key)), owned, quantities))
        })
}

/// A list whose items are told apart by some of their fields. Our items must be there in the same order, others' may be between.
fn keyed(wanted: &[Value], live: Option<&Value>, owned: &Map<String, Value>) -> bool {
    let Some(live) = live.and_then(Value::as_array) else { return false };
    let items: Vec<(Value, &Map<String, Value>)> = owned
        .iter()
        .filter_map(|(key, owned)| Some((serde_json::from_str(key.strip_prefix("k:")?).ok()?, owned.as_object()?)))
        .collect();
    let mut next = 0;
    let mut seen = BTreeSet::new();
    items.len() == wanted.len()
        && wanted.iter().all(|wanted| {
            // A key that the manifest leaves out was filled in.
            let ours = items.iter().position(|(key, _)| has_key(wanted, key, true));
            let Some(ours) = ours.filter(|ours| seen.insert(*ours)) else { return false };
            let (key, owned) = &items[ours];
            let there = live[next..].iter().position(|there| has_key(there, key, false));
            let Some(there) = there else { return false };
            next += there + 1;
            matches(wanted, live.get(next - 1), owned, false)
        })
}

/// Whether an item is the one of this key.
fn has_key(item: &Value, key: &Value, may_lack: bool) -> bool {
    key.as_object().is_some_and(|key| {
        key.iter().all(|(name, value)| match item.get(name) {
            None => may_lack,
            Some(there) => there == value,
        })
    })
}

/// A list of values that are each there or not.
fn set(wanted: &[Value], live: Option<&Value>, owned: &Map<String, Value>) -> bool {
    let Some(live) = live.and_then(Value::as_array) else { return false };
    let ours = owned.keys().filter(|key| key.starts_with("v:")).count();
    ours == wanted.len()
        && wanted.iter().all(|wanted| owned.contains_key(&format!("v:{wanted}")) && live.contains(wanted))
}

/// Whether a value that is taken as a whole is there.
fn whole(wanted: &Value, live: Option<&Value>, quantities: bool) -> bool {
    match (wanted, live) {
        (wanted, None | Some(Value::Null)) => is_empty(wanted),
        (Value::Object(wanted), Some(Value::Object(live))) => {
            wanted
                .iter()
                .all(|(key, wanted)| whole(wanted, live.get(key), quantities || QUANTITIES.contains(&key.as_str())))
                && live.iter().all(|(key, live)| wanted.contains_key(key) || is_default(key, live))
        }
        (Value::Array(wanted), Some(Value::Array(live))) => {
            wanted.len() == live.len()
                && wanted.iter().zip(live).all(|(wanted, live)| whole(wanted, Some(live), quantities))
        }
        (Value::Number(wanted), Some(Value::Number(live))) => wanted == live || wanted.as_f64() == live.as_f64(),
        (Value::String(wanted), Some(Value::String(live))) if quantities => quantity::same(wanted, live),
        (Value::Number(wanted), Some(Value::String(live))) if quantities => quantity::same(&wanted.to_string(), live),
        (wanted, Some(live)) => wanted == live,
    }
}

/// The API drops what is empty.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(members) => members.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

fn is_default(key: &str, value: &Value) -> bool {
    DEFAULTS.iter().any(|(known, default)| *known == key && value == default)
}

#[cfg(test)]
#[path = "fields/tests.rs"]
mod tests;
