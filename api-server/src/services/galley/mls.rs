//! MLS is off; clients want to see the key that would remove members all the same.

use axum::extract::State;
use serde_json::{Value, json};

use crate::http::body::Json;
use crate::http::{Access, Answer, App, Caller, Routes, error};

/// The routes.
pub fn routes() -> Routes {
    Routes::default()
        .get("/mls/public-keys", Access::User, public_keys)
        .post("/mls/messages", Access::User, off)
        .post("/mls/commit-bundles", Access::User, off)
        .get("/conversations/mls-self", Access::User, off)
        .post("/mls/key-packages/self/{client}", Access::User, off)
        .get("/mls/key-packages/self/{client}/count", Access::User, off)
        .post("/mls/key-packages/claim/{domain}/{user}", Access::User, off)
}

async fn public_keys(State(app): App, _caller: Caller) -> Json<Value> {
    Json(json!({"removal": {"ed25519": app.mls_removal_key}}))
}

async fn off() -> Answer {
    Err(error::MLS_OFF.into())
}
