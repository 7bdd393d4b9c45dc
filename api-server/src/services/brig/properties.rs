//! Properties: JSON values that a user's devices share.

use axum::extract::{Path, State};
use serde_json::{Value, json};

use crate::domain::event;
use crate::http::body::{Json, empty};
use crate::http::{Access, Answer, App, Caller, Routes, error};

/// The routes.
pub fn routes() -> Routes {
    Routes::default()
        .get("/properties", Access::User, keys)
        .gives::<Vec<String>>(200)
        .get("/properties-values", Access::User, values)
        .delete("/properties", Access::User, clear)
        .get("/properties/{key}", Access::User, get)
        .put("/properties/{key}", Access::User, put)
        .delete("/properties/{key}", Access::User, delete)
}

/// Bytes of a key, and of a value.
const KEY: usize = 256;
const VALUE: usize = 4096;

async fn keys(State(app): App, caller: Caller) -> Answer<Json<Vec<String>>> {
    Ok(Json(app.store.properties.list(caller.user).await?.into_keys().collect()))
}

async fn values(State(app): App, caller: Caller) -> Answer<Json<Value>> {
    Ok(Json(json!(app.store.properties.list(caller.user).await?)))
}

async fn get(State(app): App, caller: Caller, Path(key): Path<String>) -> Answer<Json<Value>> {
    Ok(Json(app.store.properties.get(caller.user, &key).await?.ok_or(error::NOT_FOUND)?))
}

async fn put(State(app): App, caller: Caller, Path(key): Path<String>, Json(value): Json<Value>) -> Answer {
    if key.len() > KEY || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(error::PROPERTY_KEY_TOO_LARGE.into());
    }
    if value.to_string().len() > VALUE {
        return Err(error::PROPERTY_VALUE_TOO_LARGE.into());
    }
    let known = app.store.properties.list(caller.user).await?;
    if !known.contains_key(&key) && known.len() >= app.config.limits.properties {
        return Err(error::PROPERTY_TOO_MANY.into());
    }
    app.store.properties.put(caller.user, &key, &value).await?;
    app.push.tell([caller.user], &event::property_set(&key, &value), Some(&caller.connection)).await?;
    Ok(empty(200))
}

async fn delete(State(app): App, caller: Caller, Path(key): Path<String>) -> Answer {
    app.store.properties.delete(caller.user, &key).await?;
    app.push.tell([caller.user], &event::property_deleted(&key), Some(&caller.connection)).await?;
    Ok(empty(200))
}

async fn clear(State(app): App, caller: Caller) -> Answer {
    app.store.properties.clear(caller.user).await?;
    app.push.tell([caller.user], &event::properties_cleared(), Some(&caller.connection)).await?;
    Ok(empty(200))
}
