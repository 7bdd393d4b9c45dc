//! What this backend is: versions, settings, the API's description.

use axum::extract::State;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};

use crate::http::body::Json;
use crate::http::version::NEWEST;
use crate::http::{Access, App, Routes, openapi};

/// The routes.
pub fn routes() -> Routes {
    Routes::default()
        .get("/api-version", Access::Public, version)
        .gives::<Versions>(200)
        .get("/api/swagger.json", Access::Public, describe)
        .get("/system/settings/unauthorized", Access::Public, settings)
        .get("/system/settings", Access::User, settings)
}

/// What clients agree with the server on.
#[derive(Serialize, JsonSchema)]
struct Versions {
    supported: Vec<u32>,
    development: Vec<u32>,
    federation: bool,
    domain: String,
}

async fn version(State(app): App) -> Json<Versions> {
    let supported = (0..=NEWEST).collect();
    Json(Versions { supported, development: Vec::new(), federation: false, domain: app.config.domain.clone() })
}

async fn describe() -> Json<&'static Value> {
    Json(openapi::document())
}

async fn settings() -> Json<Value> {
    Json(json!({"setRestrictUserCreation": false, "setEnableMls": false}))
}
