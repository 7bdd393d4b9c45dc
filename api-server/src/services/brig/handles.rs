//! Handles: unique names.

use axum::extract::{Path, State};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::account::{change_and_tell, own};
use super::{claims, names};
use crate::domain::Qualified;
use crate::domain::user::UserChange;
use crate::http::body::{Json, empty};
use crate::http::{Access, Answer, App, Caller, Routes, error};
use crate::store::users::Claim;

/// The routes.
pub fn routes() -> Routes {
    Routes::default()
        .put("/self/handle", Access::User, change)
        .takes::<Change>()
        .post("/handles", Access::User, free)
        .takes::<Wanted>()
        .post("/users/handles", Access::User, free)
        .head("/handles/{handle}", Access::User, taken)
        .head("/users/handles/{handle}", Access::User, taken)
        .get("/users/handles/{handle}", Access::User, find)
        .get("/handles/{handle}", Access::User, find)
}

/// A new handle.
#[derive(Deserialize, JsonSchema)]
struct Change {
    handle: String,
}

async fn change(State(app): App, caller: Caller, Json(new): Json<Change>) -> Answer {
    let handle = names::handle(&new.handle)?;
    let user = own(&app, &caller).await?;
    if user.handle.as_ref() == Some(&handle) {
        return Ok(empty(200));
    }
    if !claims::take(&app, &Claim::Handle(handle.clone()), user.id).await? {
        return Err(error::HANDLE_EXISTS.into());
    }
    let changed = json!({"handle": handle});
    let done =
        change_and_tell(&app, &caller, UserChange { handle: Some(Some(handle)), ..UserChange::default() }, changed)
            .await?;
    if let Some(old) = user.handle {
        app.store.users.release(&Claim::Handle(old), user.id).await?;
    }
    Ok(done)
}

/// Handles of which some may be free.
#[derive(Deserialize, JsonSchema)]
struct Wanted {
    handles: Vec<String>,
    #[serde(rename = "return", default = "Wanted::one")]
    most: usize,
}

impl Wanted {
    fn one() -> usize {
        1
    }
}

async fn free(State(app): App, _caller: Caller, Json(wanted): Json<Wanted>) -> Answer<Json<Vec<String>>> {
    if wanted.handles.len() > 50 {
        return Err(error::BAD_REQUEST.saying("Error in handles: at most 50 are expected").into());
    }
    let mut free = Vec::new();
    for handle in wanted.handles.iter().filter_map(|handle| names::handle(handle).ok()) {
        if free.len() >= wanted.most.clamp(1, 10) {
            break;
        }
        if !claims::is_borne(&app, &Claim::Handle(handle.clone())).await? {
            free.push(handle);
        }
    }
    Ok(Json(free))
}

async fn taken(State(app): App, _caller: Caller, Path(handle): Path<String>) -> Answer {
    let handle = names::handle(&handle)?;
    Ok(empty(if claims::is_borne(&app, &Claim::Handle(handle)).await? { 200 } else { 404 }))
}

async fn find(State(app): App, _caller: Caller, Path(handle): Path<String>) -> Answer<Json<Value>> {
    let owner = app.store.users.owner(&Claim::Handle(handle.to_lowercase())).await?.ok_or(error::HANDLE_NOT_FOUND)?;
    Ok(Json(json!({"user": owner, "qualified_user": Qualified::new(owner, app.domain())})))
}
