//! Devices: registration, change, removal.

use std::collections::{BTreeMap, HashMap};

use axum::extract::{Path, State};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{cookies, login, names};
use crate::app::App;
use crate::domain::client::{
    Capability, Client, ClientChange, ClientClass, ClientKind, LAST_RESORT, Prekey, PublicClient,
};
use crate::domain::{ClientId, Qualified, Time, UserId, event};
use crate::http::body::{Json, empty, json as answer};
use crate::http::{Access, Answer, App as AppState, Caller, Failure, Routes, error};
use crate::secret::Secret;

/// The routes.
pub fn routes() -> Routes {
    Routes::default()
        .get("/clients", Access::User, list)
        .gives::<Vec<Client>>(200)
        .post("/clients", Access::User, register)
        .takes::<NewClient>()
        .gives::<Client>(201)
        .get("/clients/{client}", Access::User, get)
        .gives::<Client>(200)
        .put("/clients/{client}", Access::User, update)
        .takes::<Update>()
        .delete("/clients/{client}", Access::User, remove)
        .get("/clients/{client}/prekeys", Access::User, prekey_ids)
        .gives::<Vec<u16>>(200)
        .get("/clients/{client}/capabilities", Access::User, capabilities)
        .get("/users/{domain}/{user}/clients", Access::User, of_user)
        .gives::<Vec<PublicClient>>(200)
        .get("/users/{domain}/{user}/clients/{client}", Access::User, one_of_user)
        .post("/users/list-clients", Access::User, of_users)
        .takes::<Users>()
        .post("/users/list-clients/v2", Access::User, of_users)
}

/// Prekeys uploaded at a time.
const PREKEYS: usize = 1000;

/// A device to be.
#[derive(Deserialize, JsonSchema)]
struct NewClient {
    #[serde(rename = "type")]
    kind: ClientKind,
    class: Option<ClientClass>,
    cookie: Option<String>,
    label: Option<String>,
    model: Option<String>,
    #[schemars(with = "Option<String>")]
    password: Option<Secret>,
    #[serde(default)]
    capabilities: Vec<Capability>,
    #[serde(default)]
    mls_public_keys: BTreeMap<String, String>,
    prekeys: Vec<Prekey>,
    lastkey: Prekey,
}

async fn register(State(app): AppState, caller: Caller, Json(new): Json<NewClient>) -> Answer {
    super::account::own(&app, &caller).await?;
    check_prekeys(&new.prekeys, Some(&new.lastkey))?;
    if new.kind == ClientKind::Legalhold || new.class == Some(ClientClass::Legalhold) {
        return Err(error::BAD_REQUEST.saying("Legal hold is not offered here").into());
    }
    names::short("label, model or cookie", [&new.label, &new.model, &new.cookie])?;
    let others = app.store.clients.list(caller.user).await?;
    // Whoever stole a token must not add a device that reads along.
    if !others.is_empty() {
        login::reauthenticate(&app, caller.user, new.password.as_ref()).await?;
    }
    let permanent = others.iter().filter(|client| client.kind == ClientKind::Permanent).count();
    if new.kind == ClientKind::Permanent && permanent >= app.config.limits.permanent_clients {
        return Err(error::TOO_MANY_CLIENTS.into());
    }
    let mut client = Client {
        id: ClientId(0),
        kind: new.kind,
        class: new.class,
        time: Time::now(),
        cookie: new.cookie,
        label: new.label,
        model: new.model,
        capabilities: new.capabilities,
        mls_public_keys: new.mls_public_keys,
        last_active: None,
    };
    loop {
        // Read as a signed number by some stores and languages: the top bit stays clear.
        client.id = ClientId(getrandom::u64()? >> 1);
        if client.id != ClientId(0) && app.store.clients.insert(caller.user, &client).await? {
            break;
        }
    }
    let mut prekeys = new.prekeys;
    prekeys.push(new.lastkey);
    app.store.prekeys.put(caller.user, client.id, &prekeys).await?;
    // One temporary device at a time: the new one takes its place.
    if client.kind == ClientKind::Temporary {
        for old in others.iter().filter(|old| old.kind == ClientKind::Temporary) {
            delete(&app, caller.user, old, None).await?;
        }
    }
    app.push.tell([caller.user], &event::client_added(&client), Some(&caller.connection)).await?;
    Ok(answer(201, client))
}

fn check_prekeys(prekeys: &[Prekey], last: Option<&Prekey>) -> Result<(), Failure> {
    let is_key =
        |prekey: &Prekey| prekey.key.len() <= 1024 && STANDARD.decode(&prekey.key).is_ok_and(|key| !key.is_empty());
    let good = prekeys.len() <= PREKEYS
        && prekeys.iter().all(|prekey| prekey.id != LAST_RESORT && is_key(prekey))
        && last.is_none_or(|last| last.id == LAST_RESORT && is_key(last));
    if good { Ok(()) } else { Err(error::MALFORMED_PREKEYS.into()) }
}

async fn list(State(app): AppState, caller: Caller) -> Answer<Json<Vec<Client>>> {
    Ok(Json(app.store.clients.list(caller.user).await?))
}

/// Published clients tell "this device is gone" by a 404 without a body.
async fn own(app: &App, caller: &Caller, id: ClientId) -> Result<Client, Failure> {
    Ok(app.store.clients.get(caller.user, id).await?.ok_or(error::GONE)?)
}

async fn get(State(app): AppState, caller: Caller, Path(id): Path<ClientId>) -> Answer<Json<Client>> {
    Ok(Json(own(&app, &caller, id).await?))
}

async fn capabilities(State(app): AppState, caller: Caller, Path(id): Path<ClientId>) -> Answer<Json<Value>> {
    Ok(Json(json!({"capabilities": own(&app, &caller, id).await?.capabilities})))
}

async fn prekey_ids(State(app): AppState, caller: Caller, Path(id): Path<ClientId>) -> Answer<Json<Vec<u16>>> {
    Ok(Json(app.store.prekeys.ids(caller.user, id).await?))
}

/// What changes of a device; what is missing stays.
#[derive(Deserialize, JsonSchema)]
struct Update {
    #[serde(default)]
    prekeys: Vec<Prekey>,
    lastkey: Option<Prekey>,
    label: Option<String>,
    capabilities: Option<Vec<Capability>>,
    mls_public_keys: Option<BTreeMap<String, String>>,
}

async fn update(State(app): AppState, caller: Caller, Path(id): Path<ClientId>, Json(update): Json<Update>) -> Answer {
    let client = own(&app, &caller, id).await?;
    check_prekeys(&update.prekeys, update.lastkey.as_ref())?;
    names::short("label", [&update.label])?;
    if let Some(capabilities) = &update.capabilities
        && !client.capabilities.iter().all(|known| capabilities.contains(known))
    {
        let error = error::ApiError::new(
            409,
            "client-capabilities-cannot-be-removed",
            "You can only add capabilities to a client, not remove them.",
        );
        return Err(error.into());
    }
    let mut prekeys = update.prekeys;
    prekeys.extend(update.lastkey);
    if !prekeys.is_empty() {
        app.store.prekeys.put(caller.user, id, &prekeys).await?;
    }
    let change = ClientChange {
        label: update.label,
        capabilities: update.capabilities,
        mls_public_keys: update.mls_public_keys,
        last_active: None,
    };
    app.store.clients.update(caller.user, id, change).await?;
    Ok(empty(200))
}

#[derive(Deserialize, Default)]
struct Remove {
    password: Option<Secret>,
}

async fn remove(
    State(app): AppState,
    caller: Caller,
    Path(id): Path<ClientId>,
    request: Option<Json<Remove>>,
) -> Answer {
    let client = app.store.clients.get(caller.user, id).await?.ok_or(error::CLIENT_NOT_FOUND)?;
    if client.kind != ClientKind::Temporary {
        let password = request.and_then(|Json(request)| request.password);
        login::reauthenticate(&app, caller.user, password.as_ref()).await?;
    }
    delete(&app, caller.user, &client, Some(&caller.connection)).await?;
    Ok(empty(200))
}

/// Removes a device with its sessions, and tells the others.
async fn delete(app: &App, user: UserId, client: &Client, origin: Option<&str>) -> Result<(), Failure> {
    app.store.clients.delete(user, client.id).await?;
    app.store.prekeys.delete(user, client.id).await?;
    let its_own = |cookie: &crate::store::cookies::Cookie| {
        cookie.client == Some(client.id) || (cookie.label.is_some() && cookie.label == client.cookie)
    };
    cookies::end_where(app, user, its_own).await?;
    app.push.tell([user], &event::client_removed(client.id), origin).await?;
    app.client_gone(user, client.id);
    Ok(())
}

async fn of_user(
    State(app): AppState,
    _caller: Caller,
    Path((domain, user)): Path<(String, UserId)>,
) -> Answer<Json<Vec<PublicClient>>> {
    super::users::check_domain(&app, &domain)?;
    Ok(Json(app.store.clients.list(user).await?.iter().map(Client::public).collect()))
}

async fn one_of_user(
    State(app): AppState,
    _caller: Caller,
    Path((domain, user, client)): Path<(String, UserId, ClientId)>,
) -> Answer<Json<PublicClient>> {
    super::users::check_domain(&app, &domain)?;
    Ok(Json(app.store.clients.get(user, client).await?.ok_or(error::CLIENT_NOT_FOUND)?.public()))
}

/// Users by qualified id; in version 1 under the other name.
#[derive(Deserialize, JsonSchema)]
struct Users {
    #[serde(alias = "users")]
    qualified_users: Vec<Qualified<UserId>>,
}

async fn of_users(State(app): AppState, _caller: Caller, Json(users): Json<Users>) -> Answer<Json<Value>> {
    let ids = super::users::local(&app, &users.qualified_users)?;
    let known = app.store.clients.list_many(&ids).await?;
    let public: HashMap<UserId, Vec<PublicClient>> = ids
        .into_iter()
        .map(|user| {
            (user, known.get(&user).map(|clients| clients.iter().map(Client::public).collect()).unwrap_or_default())
        })
        .collect();
    Ok(Json(json!({"qualified_user_map": {app.domain(): public}})))
}
