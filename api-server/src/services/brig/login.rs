//! Log-in by e-mail address or handle. Wrong passwords are counted by name, whether or not it is anybody's.

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::Deserialize;

use super::cookies::{self, AccessToken};
use super::names;
use crate::app::App;
use crate::domain::UserId;
use crate::domain::user::{AccountStatus, User};
use crate::http::body::{Json, empty, with_cookie};
use crate::http::{Access, Answer, App as AppState, Failure, Query, Routes, error};
use crate::secret::{self, Secret};
use crate::store::users::Claim;

/// The routes.
pub fn routes() -> Routes {
    Routes::default().post("/login", Access::Public, login).takes::<Login>().gives::<AccessToken>(200).post(
        "/verification-code/send",
        Access::Public,
        no_second_factor,
    )
}

/// Seconds in which wrong passwords are counted.
const WINDOW: i64 = 300;

/// Who one says to be.
#[derive(Deserialize, JsonSchema)]
struct Login {
    email: Option<String>,
    handle: Option<String>,
    #[schemars(with = "String")]
    password: Secret,
    label: Option<String>,
}

#[derive(Deserialize)]
struct Persist {
    #[serde(default)]
    persist: bool,
}

async fn login(State(app): AppState, Query(query): Query<Persist>, Json(login): Json<Login>) -> Answer {
    let claim = match (&login.email, &login.handle) {
        (Some(email), None) => names::email(email).map(Claim::Email).map_err(|_| error::INVALID_CREDENTIALS)?,
        (None, Some(handle)) => Claim::Handle(handle.trim_start_matches('@').to_lowercase()),
        _ => return Err(error::BAD_REQUEST.saying("Either email or handle is expected").into()),
    };
    names::short("label", [&login.label])?;
    let counted = format!("login:{}", secret::digest(&claim.key()));
    check_frequency(&app, &counted).await?;
    // A name that is nobody's costs the same reads: what is asked for then is nobody, too.
    let id = app.store.users.owner(&claim).await?.unwrap_or_else(UserId::random);
    let user = app.store.users.get(id).await?;
    if !password_matches(&app, id, &login.password).await? {
        app.store.codes.count_failure(&counted, WINDOW).await?;
        return Err(error::INVALID_CREDENTIALS.into());
    }
    app.store.codes.forget_failures(&counted).await?;
    // Only who knows the password learns how the account stands.
    let user: User = user.ok_or(error::INVALID_CREDENTIALS)?;
    match user.status {
        AccountStatus::Active => {}
        AccountStatus::Suspended => return Err(error::ACCOUNT_SUSPENDED.into()),
        AccountStatus::Deleted => return Err(error::INVALID_CREDENTIALS.into()),
    }
    let (cookie, access) = cookies::issue(&app, user.id, query.persist, login.label, None).await?;
    Ok(with_cookie(Json(access), cookie))
}

/// There is no second factor, and so no code to send: the same for every address.
async fn no_second_factor() -> Answer {
    Ok(empty(200))
}

async fn check_frequency(app: &App, counted: &str) -> Result<(), Failure> {
    if app.store.codes.failures(counted).await? < app.config.limits.login_failures {
        return Ok(());
    }
    let mut response: Response = error::LOGINS_TOO_FREQUENT.into_response();
    response.headers_mut().insert(header::RETRY_AFTER, WINDOW.into());
    Err(Failure::Response(Box::new(response)))
}

/// Whether it is the user's password; takes as long for nobody.
async fn password_matches(app: &App, user: UserId, password: &Secret) -> Result<bool, Failure> {
    let hash = app.store.users.password(user).await?;
    app.passwords.verify(password, hash.as_deref()).await
}

/// Asks a user who is logged in for the password once more.
///
/// # Errors
/// 403 `missing-auth` without one, `invalid-credentials` with a wrong one; 429 after too many.
pub async fn reauthenticate(app: &App, user: UserId, password: Option<&Secret>) -> Result<(), Failure> {
    let password = password.ok_or(error::MISSING_AUTH)?;
    let counted = format!("password:{user}");
    check_frequency(app, &counted).await?;
    if password_matches(app, user, password).await? {
        return Ok(app.store.codes.forget_failures(&counted).await?);
    }
    app.store.codes.count_failure(&counted, WINDOW).await?;
    Err(error::INVALID_CREDENTIALS.into())
}
