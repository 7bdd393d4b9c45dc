//! Prekeys of others: each call takes them out.

use std::collections::{BTreeMap, HashMap};

use axum::extract::{Path, State};
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use serde_json::{Value, json};

use crate::app::App;
use crate::domain::client::Prekey;
use crate::domain::{ClientId, Qualified, UserId};
use crate::http::body::Json;
use crate::http::{Access, Answer, App as AppState, Caller, Failure, Routes, error};

/// The routes.
pub fn routes() -> Routes {
    Routes::default()
        .get("/users/{domain}/{user}/prekeys", Access::User, of_user)
        .get("/users/{domain}/{user}/prekeys/{client}", Access::User, of_client)
        .post("/users/list-prekeys", Access::User, of_many)
        .takes::<HashMap<String, HashMap<UserId, Vec<ClientId>>>>()
        .post("/users/prekeys", Access::User, of_many_unqualified)
}

/// Devices asked for at a time.
const CLIENTS: usize = 4096;
/// Claims under way at a time.
const CLAIMS: usize = 32;

async fn of_user(
    State(app): AppState,
    _caller: Caller,
    Path((domain, user)): Path<(String, UserId)>,
) -> Answer<Json<Value>> {
    super::users::check_domain(&app, &domain)?;
    let clients: Vec<_> = app.store.clients.list(user).await?.iter().map(|client| (user, client.id)).collect();
    let claimed = claim(&app, &clients).await?;
    let view = |(client, prekey)| json!({"client": client, "prekey": prekey});
    let prekeys: Vec<_> =
        claimed.into_values().flatten().filter_map(|(client, prekey)| Some(view((client, prekey?)))).collect();
    let qualified = Qualified::new(user, app.domain());
    Ok(Json(json!({"user": user, "qualified_user": qualified, "clients": prekeys})))
}

async fn of_client(
    State(app): AppState,
    _caller: Caller,
    Path((domain, user, client)): Path<(String, UserId, ClientId)>,
) -> Answer<Json<Value>> {
    super::users::check_domain(&app, &domain)?;
    let prekey = app.store.prekeys.claim(user, client).await?.ok_or(error::CLIENT_NOT_FOUND)?;
    Ok(Json(json!({"client": client, "prekey": prekey})))
}

type Claimed = BTreeMap<UserId, BTreeMap<ClientId, Option<Prekey>>>;

async fn claim(app: &App, clients: &[(UserId, ClientId)]) -> Result<Claimed, Failure> {
    if clients.len() > CLIENTS {
        return Err(error::BAD_REQUEST.saying(format!("Too many clients: at most {CLIENTS} are expected")).into());
    }
    let claims =
        stream::iter(clients.iter().copied())
            .map(|(user, client)| async move {
                Ok::<_, Failure>((user, client, app.store.prekeys.claim(user, client).await?))
            })
            .buffer_unordered(CLAIMS)
            .try_collect::<Vec<_>>()
            .await?;
    let mut claimed = Claimed::new();
    for (user, client, prekey) in claims {
        claimed.entry(user).or_default().insert(client, prekey);
    }
    Ok(claimed)
}

fn pairs(wanted: &HashMap<UserId, Vec<ClientId>>) -> Vec<(UserId, ClientId)> {
    let mut pairs: Vec<_> =
        wanted.iter().flat_map(|(user, clients)| clients.iter().map(|client| (*user, *client))).collect();
    pairs.sort();
    pairs.dedup();
    pairs
}

async fn of_many(
    State(app): AppState,
    _caller: Caller,
    Json(wanted): Json<HashMap<String, HashMap<UserId, Vec<ClientId>>>>,
) -> Answer<Json<Value>> {
    let empty = HashMap::new();
    let claimed = claim(&app, &pairs(wanted.get(app.domain()).unwrap_or(&empty))).await?;
    let elsewhere = wanted.iter().filter(|(domain, _)| *domain != app.domain());
    let failed: Vec<_> = elsewhere
        .flat_map(|(domain, users)| users.keys().map(move |user| Qualified { id: *user, domain: domain.clone() }))
        .collect();
    Ok(Json(json!({"qualified_user_client_prekeys": {app.domain(): claimed}, "failed_to_list": failed})))
}

async fn of_many_unqualified(
    State(app): AppState,
    _caller: Caller,
    Json(wanted): Json<HashMap<UserId, Vec<ClientId>>>,
) -> Answer<Json<Value>> {
    Ok(Json(json!(claim(&app, &pairs(&wanted)).await?)))
}
