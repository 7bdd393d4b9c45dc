//! The end of an account: at once with the password, else by a code that is sent by mail.

use axum::extract::State;
use serde::Deserialize;
use serde_json::json;

use super::{account, connections, cookies, login};
use crate::app::App;
use crate::domain::user::{AccountStatus, User, UserChange};
use crate::domain::{Time, UserId, event};
use crate::http::body::{Json, empty, json as answer};
use crate::http::{Access, Answer, App as AppState, Caller, Failure, Routes, error};
use crate::mail::Letter;
use crate::secret::{self, Secret};
use crate::services::galley;
use crate::store::codes::{Code, Purpose};
use crate::store::users::Claim;

/// The routes.
pub fn routes() -> Routes {
    Routes::default().delete("/self", Access::User, delete_self).post("/delete", Access::Public, confirm)
}

/// Seconds that a code is good.
const LIFETIME: i64 = 600;
/// Wrong guesses that a code bears.
const ATTEMPTS: u32 = 3;

#[derive(Deserialize)]
struct Delete {
    password: Option<Secret>,
}

async fn delete_self(State(app): AppState, caller: Caller, delete_request: Option<Json<Delete>>) -> Answer {
    let user = app.store.users.get(caller.user).await?.ok_or(error::UNAUTHORIZED)?;
    if is_begun(&user) {
        delete(&app, &user, Team::Stays).await?;
        return Ok(empty(200));
    }
    let user = account::own(&app, &caller).await?;
    refuse_last_owner(&app, &user).await?;
    if let Some(password) = delete_request.and_then(|Json(request)| request.password) {
        login::reauthenticate(&app, user.id, Some(&password)).await?;
        delete(&app, &user, Team::Stays).await?;
        return Ok(empty(200));
    }
    let Some(email) = &user.email else { return Err(error::MISSING_AUTH.into()) };
    let text = secret::random_text(18)?;
    let key = secret::digest(&user.id.to_string());
    let expires = Time::now().plus_seconds(LIFETIME);
    let code = Code { digest: secret::digest(&text), subject: user.id.to_string(), expires, attempts: ATTEMPTS };
    app.store.codes.put(Purpose::Deletion, &key, &code).await?;
    app.mailer.send(email, &Letter::Deletion { key: &key, code: &text }).await?;
    Ok(answer(202, json!({"expires_in": LIFETIME})))
}

/// A team is not left without an owner.
async fn refuse_last_owner(app: &App, user: &User) -> Result<(), Failure> {
    let Some(team) = user.team else { return Ok(()) };
    let members = app.store.teams.members(team).await?;
    let others = members.iter().any(|member| member.user != user.id && member.permissions.is_owner());
    let own = members.iter().any(|member| member.user == user.id && member.permissions.is_owner());
    if own && !others { Err(error::NO_OTHER_OWNER.into()) } else { Ok(()) }
}

#[derive(Deserialize)]
struct Confirm {
    key: String,
    code: String,
}

async fn confirm(State(app): AppState, Json(confirm): Json<Confirm>) -> Answer {
    let known = app.store.codes.get(Purpose::Deletion, &confirm.key).await?.ok_or(error::INVALID_CODE)?;
    if !secret::same(&known.digest, &secret::digest(&confirm.code)) {
        app.store.codes.fail(Purpose::Deletion, &confirm.key).await?;
        return Err(error::INVALID_CODE.into());
    }
    let user: UserId = known.subject.parse().map_err(|_| Failure::Internal("a code names no user".to_owned()))?;
    let user = app.store.users.get(user).await?.filter(|user| user.is_active() || is_begun(user));
    delete(&app, &user.ok_or(error::INVALID_CODE)?, Team::Stays).await?;
    app.store.codes.delete(Purpose::Deletion, &confirm.key).await?;
    Ok(empty(200))
}

/// Whether a user's deletion has begun and not come to its end: their names are the last to go.
fn is_begun(user: &User) -> bool {
    user.status == AccountStatus::Deleted && (user.email.is_some() || user.handle.is_some() || user.team.is_some())
}

/// Whether nothing is left of a user but that they are deleted.
pub fn is_done(user: &User) -> bool {
    user.status == AccountStatus::Deleted && !is_begun(user)
}

/// What becomes of a deleted user's team.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Team {
    /// It goes on, and its members are told.
    Stays,
    /// It goes as a whole, and its members know.
    Goes,
}

/// Deletes a user: sessions, devices, memberships, data, names. Done again when it broke off, it goes on to the end: by the user with the token
/// that they had, by the code that was sent, by an operator.
///
/// # Errors
/// The store's.
pub async fn delete(app: &App, user: &User, team: Team) -> Result<(), Failure> {
    let change = UserChange { status: Some(AccountStatus::Deleted), assets: Some(Vec::new()), ..UserChange::default() };
    app.store.users.update(user.id, change).await?;
    app.store.users.set_password(user.id, None).await?;
    cookies::end_all(app, user.id).await?;
    app.store.search.delete(user.id).await?;
    for client in app.store.clients.list(user.id).await? {
        app.store.clients.delete(user.id, client.id).await?;
        app.store.prekeys.delete(user.id, client.id).await?;
        app.client_gone(user.id, client.id);
    }
    galley::departure::leave_conversations(app, user.id).await?;
    // Told as long as it is known to whom.
    let mates = user.team.filter(|_| team == Team::Stays);
    let audience = account::audience(app, user.id, mates).await?;
    let others = audience.into_iter().filter(|other| *other != user.id);
    app.push.tell(others, &event::user_deleted(user.id, app.domain()), None).await?;
    if let Some(team) = mates {
        galley::departure::leave_team(app, user.id, team).await?;
    }
    connections::forget(app, user.id).await?;
    app.store.properties.clear(user.id).await?;
    app.store.notifications.delete_all(user.id).await?;
    // The names last: whoever takes them finds nothing of the former owner.
    if let Some(email) = &user.email {
        app.store.users.release(&Claim::Email(email.clone()), user.id).await?;
    }
    if let Some(handle) = &user.handle {
        app.store.users.release(&Claim::Handle(handle.clone()), user.id).await?;
    }
    let nameless = UserChange { email: Some(None), handle: Some(None), team: Some(None), ..UserChange::default() };
    Ok(app.store.users.update(user.id, nameless).await?)
}
