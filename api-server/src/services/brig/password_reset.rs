//! A new password by a code that is sent by mail. The answer tells nobody whether an address is known.

use axum::extract::{Path, State};
use schemars::JsonSchema;
use serde::Deserialize;
use tracing::Instrument as _;

use super::{cookies, names};
use crate::app::App;
use crate::domain::{Time, UserId};
use crate::http::body::{Json, empty};
use crate::http::{Access, Answer, App as AppState, Failure, Routes, error};
use crate::mail::Letter;
use crate::secret::{self, Secret};
use crate::store::codes::{Code, Purpose};
use crate::store::users::Claim;

/// The routes.
pub fn routes() -> Routes {
    Routes::default()
        .post("/password-reset", Access::Public, ask)
        .takes::<Ask>()
        .post("/password-reset/complete", Access::Public, complete)
        .takes::<Complete>()
        .post("/password-reset/{key}", Access::Public, complete_by_key)
}

/// Seconds that a code is good.
const LIFETIME: i64 = 3600;
/// Wrong guesses that a code bears.
const ATTEMPTS: u32 = 3;

/// Ask for a code.
#[derive(Deserialize, JsonSchema)]
struct Ask {
    email: String,
}

async fn ask(State(app): AppState, Json(ask): Json<Ask>) -> Answer {
    let email = names::email(&ask.email)?;
    if let Some(user) = app.store.users.owner(&Claim::Email(email.clone())).await? {
        // Sent beside the answer, which would else take longer for a known address.
        let sending = async move {
            if let Err(error) = send(&app, user, &email).await {
                tracing::error!(%error, "a reset code was not sent");
            }
        };
        tokio::spawn(sending.in_current_span());
    }
    Ok(empty(201))
}

async fn send(app: &App, user: UserId, email: &str) -> Result<(), Failure> {
    let text = secret::random_text(18)?;
    let code = Code {
        digest: secret::digest(&text),
        subject: user.to_string(),
        expires: Time::now().plus_seconds(LIFETIME),
        attempts: ATTEMPTS,
    };
    let key = secret::digest(&user.to_string());
    app.store.codes.put(Purpose::PasswordReset, &key, &code).await?;
    app.mailer.send(email, &Letter::PasswordReset { key: &key, code: &text }).await
}

/// Set a password.
#[derive(Deserialize, JsonSchema)]
struct Complete {
    key: Option<String>,
    email: Option<String>,
    code: String,
    #[schemars(with = "String")]
    password: Secret,
}

#[derive(Deserialize)]
struct CompleteByKey {
    code: String,
    password: Secret,
}

async fn complete(State(app): AppState, Json(complete): Json<Complete>) -> Answer {
    let key = match (complete.key, complete.email) {
        (Some(key), _) => key,
        (None, Some(email)) => {
            let owner = app.store.users.owner(&Claim::Email(names::email(&email)?)).await?;
            // An address that is nobody's costs the same reads.
            secret::digest(&owner.unwrap_or_else(UserId::random).to_string())
        }
        (None, None) => return Err(error::BAD_REQUEST.saying("key or email is missing").into()),
    };
    set(&app, &key, &complete.code, &complete.password).await
}

async fn complete_by_key(State(app): AppState, Path(key): Path<String>, Json(complete): Json<CompleteByKey>) -> Answer {
    set(&app, &key, &complete.code, &complete.password).await
}

async fn set(app: &App, key: &str, code: &str, password: &Secret) -> Answer {
    names::password(password)?;
    let known = app.store.codes.get(Purpose::PasswordReset, key).await?.ok_or(error::INVALID_RESET_CODE)?;
    if !secret::same(&known.digest, &secret::digest(code)) {
        app.store.codes.fail(Purpose::PasswordReset, key).await?;
        return Err(error::INVALID_RESET_CODE.into());
    }
    let user: UserId = known.subject.parse().map_err(|_| Failure::Internal("a code names no user".to_owned()))?;
    let old = app.store.users.password(user).await?;
    if app.passwords.verify(password, old.as_deref()).await? {
        return Err(error::PASSWORD_MUST_DIFFER.into());
    }
    let hash = app.passwords.hash(password).await?;
    app.store.users.set_password(user, Some(&hash)).await?;
    app.store.codes.delete(Purpose::PasswordReset, key).await?;
    // Whoever had the old password is logged out.
    cookies::end_all(app, user).await?;
    Ok(empty(200))
}
