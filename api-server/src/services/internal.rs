//! What only operators and probes reach, on a listener of its own: `/i/status`, `/i/metrics`, user administration.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::{HeaderName, header};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::domain::UserId;
use crate::domain::user::{AccountStatus, UserChange};
use crate::http::body::{Json, empty, json as answer};
use crate::http::{Access, Answer, App, Query, Routes, error};
use crate::secret::Secret;
use crate::services::{Service, brig};
use crate::store::Part;
use crate::store::users::Claim;

/// The routes of a process with some services.
pub fn routes(services: &[Service]) -> Routes {
    let needs: Arc<[Part]> = services.iter().flat_map(|service| service.needs()).copied().collect();
    Routes::default()
        .get("/i/status", Access::Internal, move |app| status(app, needs.clone()))
        .get("/i/metrics", Access::Internal, metrics)
        .get("/i/users", Access::Internal, find)
        .post("/i/users", Access::Internal, create)
        .put("/i/users/{user}/status", Access::Internal, set_status)
        .delete("/i/users/{user}", Access::Internal, delete)
}

/// 200 when what the services need answers and the process is not ending, else 503.
async fn status(State(app): App, needs: Arc<[Part]>) -> Answer {
    if *app.ending.borrow() {
        return Err(error::DRAINING.into());
    }
    app.store.ready(&needs).await?;
    Ok(empty(200))
}

async fn metrics(State(app): App) -> ([(HeaderName, &'static str); 1], String) {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], app.metrics.text())
}

#[derive(Deserialize)]
struct ByEmail {
    email: String,
}

async fn find(State(app): App, Query(by): Query<ByEmail>) -> Answer<Json<Value>> {
    let email = brig::names::email(&by.email)?;
    let owner = app.store.users.owner(&Claim::Email(email)).await?.ok_or(error::USER_NOT_FOUND)?;
    let user = app.store.users.get(owner).await?.ok_or(error::USER_NOT_FOUND)?;
    Ok(Json(json!(user.self_profile(app.domain()))))
}

#[derive(Deserialize)]
struct NewUser {
    name: String,
    email: String,
    password: Secret,
}

/// Makes a user whose address is believed, whatever `activation` says.
async fn create(State(app): App, Json(new): Json<NewUser>) -> Answer {
    let user = brig::register::create_believed(&app, &new.name, &new.email, &new.password).await?;
    Ok(answer(201, user.self_profile(app.domain())))
}

#[derive(Deserialize)]
struct NewStatus {
    status: AccountStatus,
}

/// Suspends a user or lets them in again. A suspended user's sessions end.
async fn set_status(State(app): App, Path(user): Path<UserId>, Json(new): Json<NewStatus>) -> Answer {
    if new.status == AccountStatus::Deleted {
        return Err(error::BAD_REQUEST.saying("use DELETE to delete a user").into());
    }
    let known = app.store.users.get(user).await?.filter(|user| user.status != AccountStatus::Deleted);
    known.ok_or(error::USER_NOT_FOUND)?;
    app.store.users.update(user, UserChange { status: Some(new.status), ..UserChange::default() }).await?;
    if new.status == AccountStatus::Suspended {
        brig::cookies::end_all(&app, user).await?;
    }
    Ok(empty(200))
}

async fn delete(State(app): App, Path(user): Path<UserId>) -> Answer {
    let user = app.store.users.get(user).await?.ok_or(error::USER_NOT_FOUND)?;
    brig::deletion::delete(&app, &user, brig::deletion::Team::Stays).await?;
    Ok(empty(202))
}
