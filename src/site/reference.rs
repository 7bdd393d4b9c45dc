//! docs/site-reference.md, made from the schemas: every key, its type and what it means.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use serde_json::Value;

use super::schema::{File, schema};
use super::workloads::named;
use super::written::{SERVICES_DEFINITION, WORKLOADS_DEFINITION};
use crate::services::DynService;

const INTRODUCTION: &str = "\
# Site reference

<!-- Generated from the types that read the files: `WIRE_DEPLOY_UPDATE=1 cargo test --lib -- site`. Do not edit. -->

A site is two files: the site file (`wire-deploy.yaml`) and the inventory that it names. Both are YAML. A key that is not listed here is
refused, and so is a key that is there twice. `wire-deploy validate` names every problem at once, with file, line and column; `wire-deploy
schema` prints these keys as JSON Schema for editors.

Settings are laid over each other: profile, site file, groups (the outer before the inner, among others in the inventory's order), host. A
layer changes exactly the keys it writes: sections are merged key by key, lists and values replaced.
";

/// The whole page.
#[must_use]
pub fn reference(services: &[&dyn DynService]) -> String {
    let mut text = INTRODUCTION.to_owned();
    let mut shown = BTreeSet::new();
    for (file, title) in [(File::Site, "Site file"), (File::Inventory, "Inventory")] {
        let schema = schema(file, services);
        section(&mut text, title, &schema, &schema, &mut shown);
    }
    let schema = schema(File::Site, services);
    for service in services {
        let name = service.name();
        let found = &schema["$defs"][SERVICES_DEFINITION]["properties"][name.as_str()];
        section(&mut text, &format!("`services: {name}`"), resolve(&schema, found), &schema, &mut shown);
    }
    for workload in named() {
        let name = workload.name();
        let found = &schema["$defs"][WORKLOADS_DEFINITION]["properties"][name];
        section(&mut text, &format!("`workloads: {name}`"), resolve(&schema, found), &schema, &mut shown);
    }
    text
}

/// A section with its keys, and after it those sections that it is the first to mention.
fn section(text: &mut String, title: &str, section: &Value, root: &Value, shown: &mut BTreeSet<String>) {
    let description = section["description"].as_str().unwrap_or_default();
    // Writing to a String cannot fail.
    let _ = write!(text, "\n## {title}\n\n{description}\n\n");
    let required: Vec<&str> = section["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let mut mentioned = Vec::new();
    let properties = section["properties"].as_object();
    if properties.is_none_or(serde_json::Map::is_empty) {
        text.push_str("There is nothing to set.\n");
        return;
    }
    text.push_str("| key | type | meaning |\n|---|---|---|\n");
    for (key, property) in properties.into_iter().flatten() {
        let kind = kind(property, root, &mut mentioned);
        let must = if required.contains(&key.as_str()) { " **Required.**" } else { "" };
        let default = match &property["default"] {
            Value::Null => String::new(),
            _ if property["description"].as_str().is_some_and(|text| text.contains("Default")) => String::new(),
            Value::Object(_) | Value::Array(_) => String::new(),
            value => format!(" Default: `{}`.", value.as_str().map_or_else(|| value.to_string(), str::to_owned)),
        };
        let meaning = property["description"].as_str().unwrap_or_default().replace('\n', " ").replace('|', "\\|");
        let _ = writeln!(text, "| `{key}` | {kind} | {meaning}{default}{must} |");
    }
    for name in mentioned {
        let definition = &root["$defs"][&name];
        if definition["properties"].is_object()
            && ![SERVICES_DEFINITION, WORKLOADS_DEFINITION].contains(&name.as_str())
            && shown.insert(name.clone())
        {
            self::section(text, &title_of(&name), definition, root, shown);
        }
    }
}

fn resolve<'a>(root: &'a Value, schema: &'a Value) -> &'a Value {
    match name_of(schema) {
        Some(name) => &root["$defs"][name],
        None => schema,
    }
}

fn name_of(schema: &Value) -> Option<&str> {
    schema["$ref"].as_str()?.strip_prefix("#/$defs/")
}

fn title_of(name: &str) -> String {
    match name {
        "SecretsWritten" => "`secrets`".to_owned(),
        "SshWritten" => "`ssh` of the site and of groups".to_owned(),
        "HostSshWritten" => "`ssh` of a host".to_owned(),
        "BecomeWritten" => "`become`".to_owned(),
        "LimitsWritten" => "`limits`".to_owned(),
        "KubernetesWritten" => "`kubernetes`".to_owned(),
        "ExistingKubernetesWritten" => "`kubernetes: existing`".to_owned(),
        "HostWritten" => "A host".to_owned(),
        "GroupWritten" => "A group".to_owned(),
        other => other.to_owned(),
    }
}

/// A type in a few words; the sections it leads to are noted.
fn kind(schema: &Value, root: &Value, mentioned: &mut Vec<String>) -> String {
    if let Some(name) = name_of(schema) {
        let definition = &root["$defs"][name];
        if let Some(values) = values_of(definition) {
            return values;
        }
        if name == SERVICES_DEFINITION {
            return "section by service".to_owned();
        }
        if name == WORKLOADS_DEFINITION {
            return "section by workload".to_owned();
        }
        mentioned.push(name.to_owned());
        return "section".to_owned();
    }
    let alternatives = schema["anyOf"].as_array().or_else(|| schema["oneOf"].as_array());
    if let Some(alternatives) = alternatives {
        let kinds: Vec<String> =
            alternatives.iter().filter(|one| one["type"] != "null").map(|one| kind(one, root, mentioned)).collect();
        return kinds.join(" or ");
    }
    if let Some(values) = values_of(schema) {
        return values;
    }
    let name = match &schema["type"] {
        Value::Array(types) => types.iter().filter_map(Value::as_str).find(|name| *name != "null"),
        other => other.as_str(),
    };
    match name {
        Some("string") => "text".to_owned(),
        Some("integer") => match (schema["minimum"].as_i64(), schema["maximum"].as_i64()) {
            (Some(least), Some(most)) => format!("whole number, {least} to {most}"),
            (Some(least), None) => format!("whole number, at least {least}"),
            _ => "whole number".to_owned(),
        },
        Some("number") => "number".to_owned(),
        Some("boolean") => "`true` or `false`".to_owned(),
        Some("array") => format!("list of {}", kind(&schema["items"], root, mentioned)),
        Some("object") if schema["additionalProperties"].is_object() => {
            format!("by name: {}", kind(&schema["additionalProperties"], root, mentioned))
        }
        Some("object") => "section".to_owned(),
        _ => "any".to_owned(),
    }
}

/// The values of an enumeration.
fn values_of(schema: &Value) -> Option<String> {
    let quoted = |values: Vec<&str>| values.iter().map(|value| format!("`{value}`")).collect::<Vec<_>>().join(" or ");
    if let Some(values) = schema["enum"].as_array() {
        return Some(quoted(values.iter().filter_map(Value::as_str).collect()));
    }
    let constants: Option<Vec<&str>> = schema["oneOf"].as_array()?.iter().map(|one| one["const"].as_str()).collect();
    constants.map(quoted)
}

#[cfg(test)]
mod tests {
    use crate::services::ALL;
    use crate::site::tests::committed;

    #[test]
    fn the_committed_page_is_that_of_the_types() {
        committed("docs/site-reference.md", &super::reference(ALL));
    }
}
