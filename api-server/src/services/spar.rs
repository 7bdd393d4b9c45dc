//! Single sign-on: not offered, and said so in a way that clients understand.

use axum::extract::State;
use serde_json::{Value, json};

use crate::http::body::Json;
use crate::http::{Access, Answer, App, Routes, error};

/// The routes.
pub fn routes() -> Routes {
    Routes::default()
        .get("/sso/settings", Access::Public, settings)
        .post("/sso/get-by-email", Access::Public, by_email)
        .get("/sso/initiate-login/{provider}", Access::Public, off)
        .head("/sso/initiate-login/{provider}", Access::Public, off)
        .get("/identity-providers", Access::Token, providers)
        .post("/identity-providers", Access::Token, off)
        .get("/scim/auth-tokens", Access::Token, tokens)
        .post("/scim/auth-tokens", Access::Token, off)
}

async fn settings(State(_): App) -> Json<Value> {
    Json(json!({"default_sso_code": null}))
}

async fn by_email() -> Json<Value> {
    Json(json!({"sso_code": null}))
}

async fn providers() -> Json<Value> {
    Json(json!({"providers": []}))
}

async fn tokens() -> Json<Value> {
    Json(json!({"tokens": []}))
}

async fn off() -> Answer {
    Err(error::SSO_OFF.into())
}
