//! JSON Schemas of the site file and the inventory, for editors; made from the types that read them.

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Value, json};

use super::workloads::named;
use super::written::{InventoryFile, SERVICES_DEFINITION, SiteFile, WORKLOADS_DEFINITION};
use crate::services::DynService;

/// Which file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum File {
    /// The site file.
    Site,
    /// The inventory.
    Inventory,
}

impl File {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Site, Self::Inventory];

    /// Its name in `schema/`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Site => "site.json",
            Self::Inventory => "inventory.json",
        }
    }
}

/// The schema of a file, the services' settings included.
#[must_use]
pub fn schema(file: File, services: &[&dyn DynService]) -> Value {
    match file {
        File::Site => of::<SiteFile>("wire-deploy site file", services, true),
        File::Inventory => of::<InventoryFile>("wire-deploy inventory", services, false),
    }
}

fn of<T: JsonSchema>(title: &str, services: &[&dyn DynService], has_workloads: bool) -> Value {
    let mut generator: SchemaGenerator = SchemaSettings::draft2020_12().into_generator();
    let sections: serde_json::Map<String, Value> = services
        .iter()
        .map(|service| (service.name().to_string(), service.schema(&mut generator).to_value()))
        .collect();
    // Only the site file speaks of workloads.
    let workloads: Option<serde_json::Map<String, Value>> = has_workloads.then(|| {
        named().map(|workload| (workload.name().to_owned(), workload.schema(&mut generator).to_value())).collect()
    });
    let mut schema = generator.into_root_schema_for::<T>().to_value();
    if let Some(root) = schema.as_object_mut() {
        root.insert("title".to_owned(), json!(title));
        let definitions = root.entry("$defs").or_insert_with(|| json!({}));
        if let Some(definitions) = definitions.as_object_mut() {
            let section = json!({
                "description": "Settings of services, by service.",
                "type": "object",
                "properties": sections,
                "additionalProperties": false,
            });
            definitions.insert(SERVICES_DEFINITION.to_owned(), section);
            if let Some(workloads) = workloads {
                let section = json!({
                    "description": "What is installed on Kubernetes, by workload.",
                    "type": "object",
                    "properties": workloads,
                    "additionalProperties": false,
                });
                definitions.insert(WORKLOADS_DEFINITION.to_owned(), section);
            }
        }
    }
    required_is_not_null(&mut schema);
    schema
}

/// Rust's optional fields may be `null`; what must be there must not.
fn required_is_not_null(schema: &mut Value) {
    let Some(object) = schema.as_object_mut() else { return };
    let required: Vec<String> = object
        .get("required")
        .and_then(Value::as_array)
        .map(|names| names.iter().filter_map(Value::as_str).map(str::to_owned).collect())
        .unwrap_or_default();
    for name in required {
        let types = object
            .get_mut("properties")
            .and_then(|properties| properties.get_mut(&name))
            .and_then(|p| p.get_mut("type"));
        if let Some(types) = types
            && let Some(only) = types.as_array().and_then(|all| all.iter().find(|one| *one != "null")).cloned()
        {
            *types = only;
        }
    }
    for definition in
        object.get_mut("$defs").and_then(Value::as_object_mut).into_iter().flat_map(serde_json::Map::values_mut)
    {
        required_is_not_null(definition);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;
    use crate::services::ALL;
    use crate::site::tests::committed;

    #[test]
    fn the_committed_schemas_are_those_of_the_types() {
        for file in File::ALL {
            let text = serde_json::to_string_pretty(&schema(file, ALL)).unwrap() + "\n";
            committed(&format!("schema/{}", file.name()), &text);
        }
    }

    #[test]
    fn every_service_has_its_section() {
        for file in File::ALL {
            let schema = schema(file, ALL);
            for service in ALL {
                let section = &schema["$defs"][SERVICES_DEFINITION]["properties"][service.name().as_str()];
                assert!(section.is_object(), "{}", service.name());
            }
        }
        assert_eq!(schema(File::Site, ALL)["properties"]["domain"]["type"], "string");
    }
}
