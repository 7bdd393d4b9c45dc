//! Notification logs: read after a pause, page by page.

use axum::extract::{Path, State};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::domain::notification::Notification;
use crate::domain::{ClientId, NotificationId, Time};
use crate::http::body::Json;
use crate::http::{Access, Answer, App, Caller, Query, Routes, error};

/// The routes.
pub fn routes() -> Routes {
    Routes::default()
        .get("/notifications", Access::User, list)
        .get("/notifications/last", Access::User, last)
        .get("/notifications/{notification}", Access::User, one)
        .get("/time", Access::Token, time)
        .get("/push/tokens", Access::User, push_tokens)
        .post("/push/tokens", Access::User, no_push)
        .delete("/push/tokens/{token}", Access::User, no_push)
}

#[derive(Deserialize)]
struct Range {
    client: Option<ClientId>,
    since: Option<String>,
    size: Option<usize>,
}

/// Notifications of a page, for those who say nothing.
const PAGE: usize = 1000;

async fn list(State(app): App, caller: Caller, Query(range): Query<Range>) -> Answer<Json<Value>> {
    let size = range.size.unwrap_or(PAGE).clamp(100, 10_000);
    let since = match range.since.as_deref() {
        None | Some("") => None,
        Some(text) => {
            Some(text.parse::<NotificationId>().map_err(|_| error::BAD_REQUEST.saying("since is no notification id"))?)
        }
    };
    let mut page = app.store.notifications.page(caller.user, since, size).await?.ok_or(error::NOT_FOUND)?;
    let own =
        |page: &[Notification]| page.iter().filter(|entry| entry.is_for(range.client)).cloned().collect::<Vec<_>>();
    let mut notifications = own(&page.entries);
    // A page without anything for this device would look like the end.
    while notifications.is_empty() && page.has_more {
        let last = page.entries.last().map(|entry| entry.id);
        page = app.store.notifications.after(caller.user, last, size).await?;
        notifications = own(&page.entries);
    }
    let views: Vec<_> = notifications.iter().map(Notification::view).collect();
    Ok(Json(json!({"notifications": views, "has_more": page.has_more, "time": Time::now()})))
}

#[derive(Deserialize)]
struct ForClient {
    client: Option<ClientId>,
}

async fn last(State(app): App, caller: Caller, Query(by): Query<ForClient>) -> Answer<Json<Value>> {
    let last = app.store.notifications.last(caller.user, by.client).await?.ok_or(error::NOT_FOUND)?;
    Ok(Json(json!(last.view())))
}

async fn one(
    State(app): App,
    caller: Caller,
    Path(id): Path<NotificationId>,
    Query(by): Query<ForClient>,
) -> Answer<Json<Value>> {
    let found = app.store.notifications.get(caller.user, id).await?.filter(|entry| entry.is_for(by.client));
    Ok(Json(json!(found.ok_or(error::NOT_FOUND)?.view())))
}

async fn time() -> Json<Value> {
    Json(json!({"time": Time::now()}))
}

/// Telephones are woken by Apple's and Google's services only; this server reaches neither.
async fn push_tokens() -> Json<Value> {
    Json(json!({"tokens": []}))
}

async fn no_push() -> Answer {
    Err(error::ApiError::new(404, "app-not-found", "App does not exist: this backend sends no native push").into())
}
