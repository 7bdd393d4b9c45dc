//! Who sends a request: by its access token, or by the headers that the front end sets after checking the token.

use axum::extract::{FromRequestParts, Request};
use axum::http::{HeaderMap, header, request::Parts};

use super::body::text_header;
use super::error::{self, ApiError, Failure};
use crate::app::App;
use crate::config::Authentication;
use crate::domain::{ClientId, Time, UserId};
use crate::token::{Token, TokenError, TokenKind};

/// The user whose request it is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Caller {
    /// The user.
    pub user: UserId,
    /// The device, when the token is bound to one.
    pub client: Option<ClientId>,
    /// The connection that the token names.
    pub connection: String,
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Failure;
    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Failure> {
        let caller = parts.extensions.get::<Self>().cloned();
        caller.ok_or_else(|| Failure::Internal("a handler wants a caller where its route admits anybody".to_owned()))
    }
}

/// Headers by which the front end says who calls.
pub const USER_HEADER: &str = "z-user";
/// The device.
pub const CLIENT_HEADER: &str = "z-client";
/// The connection.
pub const CONNECTION_HEADER: &str = "z-connection";
/// The token's type.
pub const TYPE_HEADER: &str = "z-type";

/// Whose request it is. `in_query`: a websocket may bring its token in the query, as browsers cannot set headers there.
///
/// # Errors
/// 401 without a token, 403 with one that is no good.
pub fn caller(app: &App, request: &Request, in_query: bool) -> Result<Caller, ApiError> {
    match app.config.authentication {
        Authentication::Headers => by_headers(request.headers()),
        Authentication::Token => {
            let token = bearer(request.headers())
                .map(str::to_owned)
                .or_else(|| if in_query { from_query(request) } else { None });
            by_token(app, token.as_deref(), Time::now())
        }
    }
}

/// Whose token it is.
///
/// # Errors
/// 401 without a token or with one that ended, 403 with one that is no good.
pub fn by_token(app: &App, token: Option<&str>, now: Time) -> Result<Caller, ApiError> {
    let token = token.ok_or(error::UNAUTHORIZED)?;
    match app.verifier.verify(token, now) {
        Ok(Token { user, client, kind: TokenKind::Access { connection }, .. }) => {
            Ok(Caller { user, client, connection })
        }
        // A client renews its token only when it is told 401.
        Err(TokenError::Expired) => Err(error::UNAUTHORIZED.saying("Token expired")),
        Ok(_) | Err(TokenError::Invalid) => Err(error::UNAUTHORIZED.saying("Invalid token")),
    }
}

fn by_headers(headers: &HeaderMap) -> Result<Caller, ApiError> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let user = text(USER_HEADER).and_then(|user| user.parse().ok()).ok_or(error::UNAUTHORIZED)?;
    let client = text(CLIENT_HEADER).and_then(|client| client.parse().ok());
    Ok(Caller { user, client, connection: text(CONNECTION_HEADER).unwrap_or_default().to_owned() })
}

/// The token in the Authorization header.
pub fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = text_header(headers, header::AUTHORIZATION)?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token)
}

fn from_query(request: &Request) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Parameters {
        access_token: Option<String>,
    }
    axum::extract::Query::<Parameters>::try_from_uri(request.uri()).ok()?.0.access_token
}
