//! Others' profiles.

use axum::extract::{Path, State};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::app::App;
use crate::domain::user::{User, UserProfile};
use crate::domain::{Qualified, UserId};
use crate::http::body::Json;
use crate::http::{Access, Answer, App as AppState, Caller, Failure, Query, Routes, error};
use crate::store::users::Claim;

/// The routes.
pub fn routes() -> Routes {
    Routes::default()
        .get("/users", Access::User, by_query)
        .get("/users/{domain}/{user}", Access::User, get)
        .gives::<UserProfile>(200)
        .get("/users/{user}", Access::User, get_unqualified)
        .get("/users/{domain}/{user}/supported-protocols", Access::User, protocols)
        .get("/users/{user}/rich-info", Access::User, rich_info)
        .get("/users/by-handle/{domain}/{handle}", Access::User, by_handle)
        .post("/list-users", Access::User, list)
        .takes::<Wanted>()
}

/// Users asked for at a time.
const USERS: usize = 500;

/// This backend knows no other.
///
/// # Errors
/// 422, as for a backend that is not federated with.
pub fn check_domain(app: &App, domain: &str) -> Result<(), Failure> {
    if domain == app.domain() {
        Ok(())
    } else {
        Err(error::ApiError::new(422, "invalid-domain", "This backend is not federated with that domain").into())
    }
}

/// Ids of this backend's users among these; those of other backends are left out.
///
/// # Errors
/// 400 for too many.
pub fn local(app: &App, users: &[Qualified<UserId>]) -> Result<Vec<UserId>, Failure> {
    if users.len() > USERS {
        return Err(error::BAD_REQUEST.saying(format!("Too many users: at most {USERS} are expected")).into());
    }
    Ok(users.iter().filter(|user| user.domain == app.domain()).map(|user| user.id).collect())
}

async fn get(
    State(app): AppState,
    _caller: Caller,
    Path((domain, user)): Path<(String, UserId)>,
) -> Answer<Json<UserProfile>> {
    check_domain(&app, &domain)?;
    profile(&app, user).await
}

async fn get_unqualified(State(app): AppState, _caller: Caller, Path(user): Path<UserId>) -> Answer<Json<UserProfile>> {
    profile(&app, user).await
}

async fn profile(app: &App, user: UserId) -> Answer<Json<UserProfile>> {
    let user = app.store.users.get(user).await?.ok_or(error::USER_NOT_FOUND)?;
    Ok(Json(user.profile(app.domain())))
}

async fn protocols(
    State(app): AppState,
    _caller: Caller,
    Path((domain, user)): Path<(String, UserId)>,
) -> Answer<Json<Value>> {
    check_domain(&app, &domain)?;
    let user = app.store.users.get(user).await?.ok_or(error::USER_NOT_FOUND)?;
    Ok(Json(json!(user.supported_protocols)))
}

async fn by_handle(
    State(app): AppState,
    _caller: Caller,
    Path((domain, handle)): Path<(String, String)>,
) -> Answer<Json<UserProfile>> {
    check_domain(&app, &domain)?;
    let owner = app.store.users.owner(&Claim::Handle(handle.to_lowercase())).await?.ok_or(error::HANDLE_NOT_FOUND)?;
    profile(&app, owner).await
}

/// Further fields that a directory outside would bring: there is none.
async fn rich_info() -> Json<Value> {
    Json(json!({"version": 0, "fields": []}))
}

/// By ids or by handles.
#[derive(Deserialize, JsonSchema)]
struct Wanted {
    qualified_ids: Option<Vec<Qualified<UserId>>>,
    qualified_handles: Option<Vec<QualifiedHandle>>,
}

#[derive(Deserialize, JsonSchema)]
struct QualifiedHandle {
    handle: String,
    domain: String,
}

async fn list(State(app): AppState, _caller: Caller, Json(wanted): Json<Wanted>) -> Answer<Json<Value>> {
    let mut ids = wanted.qualified_ids.unwrap_or_default();
    let handles = wanted.qualified_handles.unwrap_or_default();
    if handles.len() > 50 {
        return Err(error::BAD_REQUEST.saying("Too many handles: at most 50 are expected").into());
    }
    for QualifiedHandle { handle, domain } in handles {
        let owner = app.store.users.owner(&Claim::Handle(handle.to_lowercase())).await?;
        ids.extend(owner.map(|id| Qualified { id, domain }));
    }
    let found = app.store.users.get_many(&local(&app, &ids)?).await?;
    let failed: Vec<_> = ids.iter().filter(|id| id.domain != app.domain()).collect();
    let is_found = |id: &Qualified<UserId>| found.iter().any(|user: &User| user.id == id.id);
    let not_found: Vec<_> = ids.iter().filter(|id| id.domain == app.domain() && !is_found(id)).collect();
    let profiles: Vec<_> = found.iter().map(|user| user.profile(app.domain())).collect();
    Ok(Json(json!({"found": profiles, "failed": failed, "not_found": not_found})))
}

#[derive(Deserialize)]
struct ByQuery {
    ids: Option<String>,
    handles: Option<String>,
}

/// The first versions' list: ids or handles between commas.
async fn by_query(
    State(app): AppState,
    _caller: Caller,
    Query(query): Query<ByQuery>,
) -> Answer<Json<Vec<UserProfile>>> {
    let mut ids: Vec<UserId> = Vec::new();
    for text in query.ids.iter().flat_map(|ids| ids.split(',')) {
        ids.push(text.trim().parse().map_err(|_| error::BAD_REQUEST.saying("ids holds what is no id"))?);
    }
    for handle in query.handles.iter().flat_map(|handles| handles.split(',')).take(50) {
        ids.extend(app.store.users.owner(&Claim::Handle(handle.trim().to_lowercase())).await?);
    }
    ids.truncate(USERS);
    Ok(Json(app.store.users.get_many(&ids).await?.iter().map(|user| user.profile(app.domain())).collect()))
}
