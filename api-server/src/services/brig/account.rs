//! The user's own account: profile, password, language, protocols.

use axum::extract::State;
use axum::response::Response;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{cookies, directory, login, names, register};
use crate::app::App;
use crate::domain::user::{Protocol, SelfProfile, User, UserAsset, UserChange};
use crate::domain::{TeamId, UserId, event};
use crate::http::body::{Json, empty, json as answer};
use crate::http::{Access, Answer, App as AppState, Caller, Failure, Routes, error};
use crate::secret::Secret;

/// The routes.
pub fn routes() -> Routes {
    Routes::default()
        .get("/self", Access::User, show)
        .gives::<SelfProfile>(200)
        .put("/self", Access::User, update)
        .takes::<Update>()
        .get("/self/name", Access::User, name)
        .put("/self/password", Access::User, change_password)
        .takes::<ChangePassword>()
        .head("/self/password", Access::User, has_password)
        .put("/self/locale", Access::User, change_locale)
        .put("/self/supported-protocols", Access::User, change_protocols)
        .put("/self/searchable", Access::User, change_searchable)
        .delete("/self/email", Access::User, keep_email)
}

/// The caller's account; one that is gone is no account.
///
/// # Errors
/// 401.
pub async fn own(app: &App, caller: &Caller) -> Result<User, Failure> {
    let user = app.store.users.get(caller.user).await?;
    Ok(user.filter(User::is_active).ok_or(error::UNAUTHORIZED)?)
}

async fn show(State(app): AppState, caller: Caller) -> Answer {
    Ok(answer(200, own(&app, &caller).await?.self_profile(app.domain())))
}

async fn name(State(app): AppState, caller: Caller) -> Answer<Json<Value>> {
    Ok(Json(json!({"name": own(&app, &caller).await?.name})))
}

/// A new look; what is missing stays.
#[derive(Deserialize, JsonSchema)]
struct Update {
    name: Option<String>,
    accent_id: Option<i32>,
    assets: Option<Vec<UserAsset>>,
    text_status: Option<String>,
}

async fn update(State(app): AppState, caller: Caller, Json(update): Json<Update>) -> Answer {
    own(&app, &caller).await?;
    let mut changed = Map::new();
    let mut change = UserChange { accent_id: update.accent_id, ..UserChange::default() };
    if let Some(name) = update.name {
        let name = names::display_name(&name)?;
        changed.insert("name".to_owned(), json!(name));
        change.name = Some(name);
    }
    if let Some(accent) = update.accent_id {
        changed.insert("accent_id".to_owned(), json!(accent));
    }
    if let Some(assets) = update.assets {
        register::check_assets(&assets)?;
        changed.insert("assets".to_owned(), json!(assets));
        change.assets = Some(assets);
    }
    if let Some(text) = update.text_status {
        if text.chars().count() > 256 {
            return Err(error::BAD_REQUEST.saying("Error in text_status: at most 256 characters are expected").into());
        }
        changed.insert("text_status".to_owned(), json!(text));
        change.text_status = Some(Some(text).filter(|text| !text.is_empty()));
    }
    change_and_tell(&app, &caller, change, Value::Object(changed)).await
}

/// Changes a user and tells those who see them.
///
/// # Errors
/// The store's.
pub async fn change_and_tell(app: &App, caller: &Caller, change: UserChange, changed: Value) -> Answer {
    app.store.users.update(caller.user, change).await?;
    let user = own(app, caller).await?;
    directory::index(app, &user).await?;
    let event = event::user_updated(user.id, app.domain(), changed);
    app.push.tell(audience(app, user.id, user.team).await?, &event, Some(&caller.connection)).await?;
    Ok(empty(200))
}

/// Who is told about a user: themself, those connected, the team.
///
/// # Errors
/// The store's.
pub async fn audience(app: &App, user: UserId, team: Option<TeamId>) -> Result<Vec<UserId>, Failure> {
    let mut users = vec![user];
    let mut after = None;
    loop {
        let page = app.store.connections.list(user, after, 500).await?;
        let accepted =
            page.entries.iter().filter(|side| side.status == crate::domain::connection::ConnectionStatus::Accepted);
        users.extend(accepted.map(|side| side.to));
        after = page.entries.last().map(|side| side.to);
        if !page.has_more {
            break;
        }
    }
    if let Some(team) = team {
        users.extend(app.store.teams.members(team).await?.into_iter().map(|member| member.user));
    }
    users.sort();
    users.dedup();
    Ok(users)
}

/// A new password.
#[derive(Deserialize, JsonSchema)]
struct ChangePassword {
    #[schemars(with = "Option<String>")]
    old_password: Option<Secret>,
    #[schemars(with = "String")]
    new_password: Secret,
}

async fn change_password(State(app): AppState, caller: Caller, Json(change): Json<ChangePassword>) -> Answer {
    names::password(&change.new_password)?;
    login::reauthenticate(&app, caller.user, change.old_password.as_ref()).await?;
    let old = app.store.users.password(caller.user).await?;
    if app.passwords.verify(&change.new_password, old.as_deref()).await? {
        return Err(error::PASSWORD_MUST_DIFFER.into());
    }
    let hash = app.passwords.hash(&change.new_password).await?;
    app.store.users.set_password(caller.user, Some(&hash)).await?;
    cookies::end_all(&app, caller.user).await?;
    Ok(empty(200))
}

async fn has_password(State(app): AppState, caller: Caller) -> Answer {
    let password = app.store.users.password(caller.user).await?;
    Ok(empty(if password.is_some() { 200 } else { 404 }))
}

#[derive(Deserialize)]
struct ChangeLocale {
    locale: String,
}

async fn change_locale(State(app): AppState, caller: Caller, Json(change): Json<ChangeLocale>) -> Answer {
    names::locale(&change.locale)?;
    let changed = json!({"locale": change.locale});
    change_and_tell(&app, &caller, UserChange { locale: Some(change.locale), ..UserChange::default() }, changed).await
}

#[derive(Deserialize)]
struct ChangeProtocols {
    supported_protocols: Vec<Protocol>,
}

async fn change_protocols(State(app): AppState, caller: Caller, Json(change): Json<ChangeProtocols>) -> Answer {
    let changed = json!({"supported_protocols": change.supported_protocols});
    let change = UserChange { supported_protocols: Some(change.supported_protocols), ..UserChange::default() };
    change_and_tell(&app, &caller, change, changed).await
}

#[derive(Deserialize)]
struct ChangeSearchable {
    set_searchable: bool,
}

async fn change_searchable(State(app): AppState, caller: Caller, Json(change): Json<ChangeSearchable>) -> Answer {
    let changed = json!({"searchable": change.set_searchable});
    change_and_tell(
        &app,
        &caller,
        UserChange { searchable: Some(change.set_searchable), ..UserChange::default() },
        changed,
    )
    .await
}

/// Without the address nobody could log in again.
async fn keep_email() -> Answer<Response> {
    Err(error::ApiError::new(403, "last-identity", "The last user identity cannot be removed").into())
}
