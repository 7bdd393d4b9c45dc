//! Settings of services: each layer's section checked by the service itself, then profile, site, groups and host laid over each other.

use std::collections::BTreeMap;

use serde_json::Value;

use super::document::Document;
use super::names::ServiceName;
use super::problem::{Problem, hint_for};
use super::tree::{Content, Tree};
use crate::services::DynService;

/// One layer's settings, by service; only what fits.
pub(super) type Layer = BTreeMap<ServiceName, Value>;

/// Reads the section of services below some keys.
pub(super) fn read(
    document: &Document,
    keys: &[&str],
    services: &[&dyn DynService],
    problems: &mut Vec<Problem>,
) -> Layer {
    let mut layer = Layer::new();
    for entry in document.tree.get(keys).map(Tree::entries).unwrap_or_default() {
        let Some(service) = services.iter().find(|service| service.name().as_str() == entry.key) else {
            let names: Vec<ServiceName> = services.iter().map(|service| service.name()).collect();
            let hint = hint_for(&entry.key, "services", names.iter().map(ServiceName::as_str));
            problems.push(document.problem(entry.place, format!("there is no service `{}`", entry.key), hint));
            continue;
        };
        if entry.value.content == Content::Null {
            continue;
        }
        let fitting = document.fit(&entry.value, problems, |tree| {
            service.check_settings(&tree.to_json()).map_err(|error| (tree.path_of(&error.path), error.message))
        });
        if let Some(((), value)) = fitting {
            layer.insert(service.name(), value);
        }
    }
    layer
}

/// Lays `upper` over `lower`: sections are merged key by key, anything else is replaced.
pub(super) fn lay_over(lower: &mut Value, upper: &Value) {
    match (lower, upper) {
        (Value::Object(lower), Value::Object(upper)) => {
            for (key, value) in upper {
                lay_over(lower.entry(key.as_str()).or_insert(Value::Null), value);
            }
        }
        (lower, upper) => *lower = upper.clone(),
    }
}

/// The settings of a service from layers, the lowest first.
pub(super) fn merged<'a>(service: &ServiceName, layers: impl IntoIterator<Item = &'a Layer>) -> Value {
    let mut value = Value::Object(serde_json::Map::new());
    for settings in layers.into_iter().filter_map(|layer| layer.get(service)) {
        lay_over(&mut value, settings);
    }
    value
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_layer_replaces_exactly_the_keys_it_writes() {
        let redis = ServiceName::from("redis");
        let layer = |value| Layer::from([(redis.clone(), value)]);
        let layers = [
            layer(json!({"memory": {"limit": 1, "policy": "a"}, "ports": [1, 2]})),
            Layer::new(),
            layer(json!({"memory": {"limit": 2}})),
            layer(json!({"ports": [3], "new": {"x": true}})),
        ];
        let expected = json!({"memory": {"limit": 2, "policy": "a"}, "ports": [3], "new": {"x": true}});
        assert_eq!(merged(&redis, &layers), expected);
        assert_eq!(merged(&ServiceName::from("etcd"), &layers), json!({}));
    }
}
