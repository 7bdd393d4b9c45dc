//! E-mail addresses are proved by a code of six digits, good for a day and five attempts.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use super::{claims, directory, names};
use crate::app::App;
use crate::domain::user::UserChange;
use crate::domain::{Time, UserId, event};
use crate::http::body::{Json, empty, json as answer};
use crate::http::{Access, Answer, App as AppState, Failure, Query, Routes, error};
use crate::mail::Letter;
use crate::secret;
use crate::store::codes::{Code, Purpose};
use crate::store::users::Claim;

/// The routes.
pub fn routes() -> Routes {
    Routes::default()
        .post("/activate/send", Access::Public, send_code)
        .takes::<Send>()
        .post("/activate", Access::Public, activate)
        .takes::<Activate>()
        .get("/activate", Access::Public, activate_by_link)
}

/// Seconds that a code is good.
const LIFETIME: i64 = 24 * 3600;
/// Wrong guesses that a code bears.
const ATTEMPTS: u32 = 5;

/// Ask for a code.
#[derive(Deserialize, JsonSchema)]
struct Send {
    email: String,
}

async fn send_code(State(app): AppState, Json(request): Json<Send>) -> Answer {
    let email = names::email(&request.email)?;
    // As the published API has it: whoever registers learns here that the address is taken.
    if claims::is_borne(&app, &Claim::Email(email.clone())).await? {
        return Err(error::KEY_EXISTS.into());
    }
    send(&app, &email, None).await?;
    Ok(empty(200))
}

/// The key under which an address's code is kept and named in links.
pub fn key_of(email: &str) -> String {
    secret::digest(email)
}

/// Sends a code to an address; when a user waits for it, the code makes the address theirs.
///
/// # Errors
/// The mail server's, the store's.
pub async fn send(app: &App, email: &str, user: Option<UserId>) -> Result<(), Failure> {
    let digits = secret::random_digits()?;
    let key = key_of(email);
    let subject = match user {
        Some(user) => format!("{email} {user}"),
        None => email.to_owned(),
    };
    let code = Code {
        digest: secret::digest(&digits),
        subject,
        expires: Time::now().plus_seconds(LIFETIME),
        attempts: ATTEMPTS,
    };
    app.store.codes.put(Purpose::Activation, &key, &code).await?;
    app.mailer.send(email, &Letter::Activation { key: &key, code: &digits }).await
}

/// Whether the code is the one that was sent to the address. It stays good: a registration that fails later is tried again.
///
/// # Errors
/// 404.
pub async fn check(app: &App, email: &str, code: &str) -> Result<(), Failure> {
    look_up(app, &key_of(email), code).await.map(drop)
}

/// What the code proves.
async fn look_up(app: &App, key: &str, code: &str) -> Result<String, Failure> {
    let known = app.store.codes.get(Purpose::Activation, key).await?.ok_or(error::INVALID_ACTIVATION_CODE)?;
    if !secret::same(&known.digest, &secret::digest(code)) {
        app.store.codes.fail(Purpose::Activation, key).await?;
        return Err(error::INVALID_ACTIVATION_CODE.into());
    }
    Ok(known.subject)
}

/// Prove an address.
#[derive(Deserialize, JsonSchema)]
struct Activate {
    key: Option<String>,
    email: Option<String>,
    code: String,
    #[serde(default)]
    dryrun: bool,
}

async fn activate(State(app): AppState, Json(request): Json<Activate>) -> Answer {
    let key = match (request.key, request.email) {
        (Some(key), _) => key,
        (None, Some(email)) => key_of(&names::email(&email)?),
        (None, None) => return Err(error::BAD_REQUEST.saying("key or email is missing").into()),
    };
    if request.dryrun {
        look_up(&app, &key, &request.code).await?;
        return Ok(empty(200));
    }
    prove(&app, &key, &request.code).await
}

#[derive(Deserialize)]
struct Link {
    key: String,
    code: String,
}

async fn activate_by_link(State(app): AppState, Query(link): Query<Link>) -> Answer {
    prove(&app, &link.key, &link.code).await
}

async fn prove(app: &App, key: &str, code: &str) -> Answer {
    let subject = look_up(app, key, code).await?;
    let Some((email, user)) = subject.split_once(' ') else {
        // Nobody waits for it: the code is for a registration to come.
        return Ok(StatusCode::NO_CONTENT.into_response());
    };
    let user: UserId = user.parse().map_err(|_| Failure::Internal("a code names no user".to_owned()))?;
    let first = set_email(app, user, email).await?;
    app.store.codes.delete(Purpose::Activation, key).await?;
    Ok(answer_activated(email, first))
}

fn answer_activated(email: &str, first: bool) -> Response {
    answer(200, json!({"email": email, "first": first}))
}

/// Makes an address a user's, and says whether it is their first.
///
/// # Errors
/// 409 when it is another's.
pub async fn set_email(app: &App, user: UserId, email: &str) -> Result<bool, Failure> {
    let known = app
        .store
        .users
        .get(user)
        .await?
        .filter(crate::domain::user::User::is_active)
        .ok_or(error::INVALID_ACTIVATION_CODE)?;
    if !claims::take(app, &Claim::Email(email.to_owned()), user).await? {
        return Err(error::KEY_EXISTS.into());
    }
    app.store.users.update(user, UserChange { email: Some(Some(email.to_owned())), ..UserChange::default() }).await?;
    match &known.email {
        Some(old) if old != email => app.store.users.release(&Claim::Email(old.clone()), user).await?,
        _ => {}
    }
    let event = event::user_updated(user, app.domain(), json!({"email": email}));
    app.push.tell([user], &event, None).await?;
    directory::index(app, &known).await?;
    Ok(known.email.is_none())
}
