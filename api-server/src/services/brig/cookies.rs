//! Sessions: a cookie with a user token, and access tokens made from it.
//!
//! Whatever is wrong with a cookie is answered 403: published clients answer 401 with the same request again, without end.

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::IntoResponse as _;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{claims, login, names};
use crate::app::App;
use crate::config::Activation;
use crate::domain::client::ClientChange;
use crate::domain::user::User;
use crate::domain::{ClientId, Time, UserId};
use crate::http::authentication;
use crate::http::body::{Json, empty, with_cookie};
use crate::http::{Access, Answer, App as AppState, Caller, Failure, Query, Routes, error};
use crate::secret::{self, Secret};
use crate::store::cookies::Cookie;
use crate::store::users::Claim;
use crate::token::{Token, TokenError, TokenKind};

/// The routes.
pub fn routes() -> Routes {
    Routes::default()
        .post("/access", Access::Cookie, renew)
        .gives::<AccessToken>(200)
        .post("/access/logout", Access::Cookie, logout)
        // By the cookie, too; but it sends a mail to whatever address.
        .put("/access/self/email", Access::Public, change_email)
        .get("/cookies", Access::User, list)
        .post("/cookies/remove", Access::User, remove)
        .takes::<Remove>()
}

/// The cookie's name.
const NAME: &str = "zuid";

/// What a client sends with its requests.
#[derive(Serialize, JsonSchema)]
pub struct AccessToken {
    user: UserId,
    access_token: String,
    token_type: &'static str,
    expires_in: i64,
}

fn denied(message: &'static str) -> Failure {
    error::INVALID_CREDENTIALS.saying(message).into()
}

/// Begins a session: its cookie as a header, and an access token.
///
/// # Errors
/// The store's; a process without private keys.
pub async fn issue(
    app: &App,
    user: UserId,
    persistent: bool,
    label: Option<String>,
    client: Option<ClientId>,
) -> Result<(HeaderValue, AccessToken), Failure> {
    let own = app.store.cookies.list(user).await?;
    let mut ended: Vec<u32> = match &label {
        Some(label) => {
            own.iter().filter(|cookie| cookie.label.as_ref() == Some(label)).map(|cookie| cookie.id).collect()
        }
        None => Vec::new(),
    };
    // The oldest give way; one of them is to come.
    let left = own.iter().filter(|cookie| !ended.contains(&cookie.id)).map(|cookie| cookie.id).collect::<Vec<_>>();
    let excess = (left.len() + 1).saturating_sub(app.config.cookies.most);
    ended.extend(left.into_iter().take(excess));
    app.store.cookies.delete(user, &ended).await?;

    let cookie = new_cookie(app, persistent, label, client)?;
    app.store.cookies.put(user, &cookie).await?;
    let access = access_token(app, user, client, None)?;
    Ok((header_of(app, user, &cookie)?, access))
}

fn new_cookie(app: &App, persistent: bool, label: Option<String>, client: Option<ClientId>) -> Result<Cookie, Failure> {
    let settings = &app.config.cookies;
    let created = Time::now();
    let lifetime = if persistent { settings.persistent_lifetime } else { settings.session_lifetime };
    Ok(Cookie {
        id: getrandom::u32()?,
        session: !persistent,
        created,
        expires: created.plus_seconds(lifetime),
        label,
        client,
        successor: None,
    })
}

fn header_of(app: &App, user: UserId, cookie: &Cookie) -> Result<HeaderValue, Failure> {
    let kind = TokenKind::User { cookie: cookie.id, session: cookie.session };
    let token = sign(app, &Token { expires: cookie.expires.seconds(), user, kind, client: cookie.client })?;
    let expires = if cookie.session { String::new() } else { format!("; Expires={}", cookie.expires.http_date()) };
    set_cookie(app, &format!("{token}; Path=/access{expires}"))
}

fn set_cookie(app: &App, value: &str) -> Result<HeaderValue, Failure> {
    let secure = if app.config.cookies.secure { "; Secure" } else { "" };
    let text = format!("{NAME}={value}; HttpOnly; SameSite=Strict{secure}");
    text.parse().map_err(|_| Failure::Internal("a cookie is no header".to_owned()))
}

fn sign(app: &App, token: &Token) -> Result<String, Failure> {
    let signer = app.signer.as_ref().ok_or_else(|| Failure::Internal("tokens.private_keys is empty".to_owned()))?;
    Ok(signer.sign(token))
}

/// An access token, of the same connection as the one it replaces.
fn access_token(
    app: &App,
    user: UserId,
    client: Option<ClientId>,
    connection: Option<String>,
) -> Result<AccessToken, Failure> {
    let lifetime = app.config.tokens.access_lifetime;
    let connection = match connection {
        Some(connection) => connection,
        None => getrandom::u64()?.to_string(),
    };
    let expires = Time::now().seconds() + lifetime;
    let token = Token { expires, user, kind: TokenKind::Access { connection }, client };
    Ok(AccessToken { user, access_token: sign(app, &token)?, token_type: "Bearer", expires_in: lifetime })
}

/// The session that a request's cookie proves.
struct Session {
    user: User,
    cookie: Cookie,
    /// The connection of the access token that came with it.
    connection: Option<String>,
}

async fn session(app: &App, headers: &HeaderMap) -> Result<Session, Failure> {
    let text = cookie_text(headers).ok_or_else(|| denied("Missing cookie"))?;
    let token = app.verifier.verify(text, Time::now()).map_err(|cause| match cause {
        TokenError::Expired => denied("Token expired"),
        TokenError::Invalid => denied("Invalid cookie"),
    })?;
    let TokenKind::User { cookie, .. } = token.kind else { return Err(denied("Invalid cookie")) };
    let cookie = app.store.cookies.get(token.user, cookie).await?.ok_or_else(|| denied("Invalid cookie"))?;
    let connection = match authentication::bearer(headers).map(|token| app.verifier.verify_ended(token)) {
        None => None,
        Some(Ok(Token { user, kind: TokenKind::Access { connection }, .. })) if user == token.user => Some(connection),
        Some(Ok(_)) => return Err(denied("Token mismatch")),
        Some(Err(_)) => return Err(denied("Invalid token")),
    };
    let user = app.store.users.get(token.user).await?.ok_or_else(|| denied("Invalid cookie"))?;
    match user.status {
        crate::domain::user::AccountStatus::Active => Ok(Session { user, cookie, connection }),
        crate::domain::user::AccountStatus::Suspended => Err(error::ACCOUNT_SUSPENDED.into()),
        crate::domain::user::AccountStatus::Deleted => Err(denied("Invalid cookie")),
    }
}

fn cookie_text(headers: &HeaderMap) -> Option<&str> {
    let pairs = headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'));
    pairs.filter_map(|pair| pair.trim().split_once('=')).find(|(name, _)| *name == NAME).map(|(_, value)| value)
}

#[derive(Deserialize)]
struct ForClient {
    client_id: Option<ClientId>,
}

async fn renew(State(app): AppState, Query(by): Query<ForClient>, headers: HeaderMap) -> Answer {
    let Session { user, mut cookie, connection } = session(&app, &headers).await?;
    let client = match (cookie.client, by.client_id) {
        (Some(bound), Some(wanted)) if bound != wanted => return Err(denied("Cookie is bound to another client")),
        (bound, wanted) => wanted.or(bound),
    };
    if let Some(id) = client {
        let today = ClientChange { last_active: Some(Time::now()), ..ClientChange::default() };
        if !app.store.clients.update(user.id, id, today).await? {
            return Err(denied("Client is gone"));
        }
        if cookie.client.is_none() {
            cookie.client = Some(id);
            app.store.cookies.put(user.id, &cookie).await?;
        }
    }
    let access = access_token(&app, user.id, client, connection)?;
    let old = cookie.created.plus_seconds(app.config.cookies.renew_after) <= Time::now();
    if cookie.session || !old {
        return Ok(Json(access).into_response());
    }
    let successor = match cookie.successor {
        Some(id) => app.store.cookies.get(user.id, id).await?,
        None => None,
    };
    let fresh = match successor {
        Some(fresh) => fresh,
        None => {
            let fresh = new_cookie(&app, true, cookie.label.clone(), cookie.client)?;
            app.store.cookies.put(user.id, &fresh).await?;
            cookie.successor = Some(fresh.id);
            app.store.cookies.put(user.id, &cookie).await?;
            fresh
        }
    };
    Ok(with_cookie(Json(access), header_of(&app, user.id, &fresh)?))
}

async fn logout(State(app): AppState, headers: HeaderMap) -> Answer {
    let session = session(&app, &headers).await?;
    app.store.cookies.delete(session.user.id, &[session.cookie.id]).await?;
    let gone = set_cookie(&app, "; Path=/access; Expires=Thu, 01 Jan 1970 00:00:00 GMT")?;
    Ok(with_cookie(empty(200), gone))
}

#[derive(Deserialize)]
struct NewEmail {
    email: String,
}

/// Changes the address: at once, or when it is proved.
async fn change_email(State(app): AppState, headers: HeaderMap, Json(new): Json<NewEmail>) -> Answer {
    let session = session(&app, &headers).await?;
    let email = names::email(&new.email)?;
    if session.user.email.as_ref() == Some(&email) {
        return Ok(empty(204));
    }
    if claims::is_borne(&app, &Claim::Email(email.clone())).await? {
        return Err(error::KEY_EXISTS.into());
    }
    match app.config.activation {
        Activation::Auto => {
            super::activation::set_email(&app, session.user.id, &email).await?;
            Ok(empty(204))
        }
        Activation::Mail => {
            super::activation::send(&app, &email, Some(session.user.id)).await?;
            Ok(empty(202))
        }
    }
}

async fn list(State(app): AppState, caller: Caller) -> Answer<Json<Value>> {
    let view = |cookie: Cookie| {
        json!({
            "id": cookie.id,
            "type": if cookie.session { "session" } else { "persistent" },
            "created": cookie.created,
            "expires": cookie.expires,
            "label": cookie.label,
            "successor": cookie.successor,
        })
    };
    let cookies: Vec<_> = app.store.cookies.list(caller.user).await?.into_iter().map(view).collect();
    Ok(Json(json!({"cookies": cookies})))
}

/// Which sessions to end.
#[derive(Deserialize, JsonSchema)]
struct Remove {
    #[schemars(with = "String")]
    password: Secret,
    #[serde(default)]
    labels: Vec<String>,
    #[serde(default)]
    ids: Vec<u32>,
}

async fn remove(State(app): AppState, caller: Caller, Json(remove): Json<Remove>) -> Answer {
    login::reauthenticate(&app, caller.user, Some(&remove.password)).await?;
    let chosen = |cookie: &Cookie| {
        remove.ids.contains(&cookie.id)
            || cookie.label.as_ref().is_some_and(|label| remove.labels.iter().any(|other| secret::same(label, other)))
    };
    let ids: Vec<_> = app
        .store
        .cookies
        .list(caller.user)
        .await?
        .iter()
        .filter(|cookie| chosen(cookie))
        .map(|cookie| cookie.id)
        .collect();
    app.store.cookies.delete(caller.user, &ids).await?;
    Ok(empty(200))
}

/// Ends all of a user's sessions.
///
/// # Errors
/// The store's.
pub async fn end_all(app: &App, user: UserId) -> Result<(), Failure> {
    end_where(app, user, |_| true).await
}

/// Ends those of a user's sessions that are chosen.
///
/// # Errors
/// The store's.
pub async fn end_where(app: &App, user: UserId, chosen: impl Fn(&Cookie) -> bool) -> Result<(), Failure> {
    let ids: Vec<_> =
        app.store.cookies.list(user).await?.iter().filter(|cookie| chosen(cookie)).map(|cookie| cookie.id).collect();
    Ok(app.store.cookies.delete(user, &ids).await?)
}
