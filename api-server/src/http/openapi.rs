//! The API's description (OpenAPI 3.1), made from the table of routes and the types of their bodies.

use std::sync::OnceLock;

use axum::http::Method;
use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use super::routes::{Access, Route};
use super::version::NEWEST;
use crate::server;
use crate::services::Service;

/// The description of everything that clients may reach.
pub fn document() -> &'static Value {
    static DOCUMENT: OnceLock<Value> = OnceLock::new();
    DOCUMENT.get_or_init(|| describe(server::public(&Service::ALL).table()))
}

fn describe(table: &[Route]) -> Value {
    let settings =
        SchemaSettings::draft2020_12().with(|settings| settings.definitions_path = "/components/schemas".into());
    let mut generator = SchemaGenerator::new(settings);
    let mut paths: Map<String, Value> = Map::new();
    for route in table {
        let path = paths.entry(route.path).or_insert_with(|| json!({}));
        path[route.method.as_str().to_lowercase()] = operation(route, &mut generator);
    }
    let mut schemas = generator.take_definitions(true);
    schemas.insert(
        "Error".to_owned(),
        json!({
            "type": "object",
            "required": ["code", "label", "message"],
            "properties": {"code": {"type": "integer"}, "label": {"type": "string"}, "message": {"type": "string"}},
        }),
    );
    json!({
        "openapi": "3.1.0",
        "info": {"title": "wire-api", "version": format!("v{NEWEST}")},
        "servers": [{"url": format!("/v{NEWEST}")}],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    })
}

fn operation(route: &Route, generator: &mut SchemaGenerator) -> Value {
    let parameter = |name: &str| json!({"name": name, "in": "path", "required": true, "schema": {"type": "string"}});
    let names = route.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    let error = json!({"description": "refused", "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}});
    let mut operation = json!({
        "summary": who(route.access),
        "parameters": names.map(parameter).collect::<Vec<_>>(),
        "responses": {"default": error},
    });
    if !matches!(route.access, Access::Public | Access::Cookie) {
        operation["security"] = json!([{"token": []}]);
    }
    if let Some(schema) = route.request {
        let schema = schema(generator);
        operation["requestBody"] = json!({"content": {"application/json": {"schema": schema}}});
    }
    let (status, content) = match route.response {
        Some((status, schema)) => (status, json!({"application/json": {"schema": schema(generator)}})),
        None => (200, json!({})),
    };
    let body = if route.method == Method::HEAD { json!({}) } else { content };
    operation["responses"][status.to_string()] = json!({"description": "done", "content": body});
    operation
}

fn who(access: Access) -> String {
    match access {
        Access::Public => "anybody".to_owned(),
        Access::Cookie => "whoever has the session's cookie".to_owned(),
        Access::Token | Access::User | Access::Socket => "users".to_owned(),
        Access::Conversation => "members of the conversation".to_owned(),
        Access::ConversationAction(action) => {
            format!("members of the conversation whose role allows {}", json!(action))
        }
        Access::Team => "members of the team".to_owned(),
        Access::TeamPermission(permission) => format!("members of the team with the permission {permission:?}"),
        Access::Internal => "the backend itself".to_owned(),
    }
}
