//! The token check beside the front end, which asks it about every request (nginx's `auth_request`): public keys only, no store.
//!
//! `GET /check`: 204 with the caller in `Z-…` headers; 401 without a good access token; 403 for a token of another type.

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};

use crate::domain::Time;
use crate::http::authentication::{self, CLIENT_HEADER, CONNECTION_HEADER, TYPE_HEADER, USER_HEADER};
use crate::http::body::Query;
use crate::http::{Access, Answer, App, Routes, error};
use crate::token::{TokenError, TokenKind};

/// The routes.
pub fn routes() -> Routes {
    Routes::default().get("/check", Access::Cookie, check)
}

/// Header in which the front end names the request it asks about: a websocket's token is in its query.
const ORIGINAL_URI: &str = "x-original-uri";

#[derive(serde::Deserialize)]
struct Parameters {
    access_token: Option<String>,
}

async fn check(State(app): App, Query(own): Query<Parameters>, headers: HeaderMap) -> Answer {
    let original = || -> Option<String> {
        let uri: Uri = headers.get(ORIGINAL_URI)?.to_str().ok()?.parse().ok()?;
        axum::extract::Query::<Parameters>::try_from_uri(&uri).ok()?.0.access_token
    };
    let token = authentication::bearer(&headers).map(str::to_owned).or(own.access_token).or_else(original);
    let token = token.ok_or(error::UNAUTHORIZED)?;
    let token = match app.verifier.verify(&token, Time::now()) {
        Ok(token) => token,
        Err(TokenError::Expired) => return Err(error::UNAUTHORIZED.saying("Token expired").into()),
        Err(TokenError::Invalid) => return Err(error::UNAUTHORIZED.saying("Invalid token").into()),
    };
    let TokenKind::Access { connection } = token.kind else { return Err(error::ACCESS_DENIED.into()) };
    let mut answer: Vec<(&str, String)> = vec![
        (TYPE_HEADER, "access".to_owned()),
        (USER_HEADER, token.user.to_string()),
        (CONNECTION_HEADER, connection),
    ];
    if let Some(client) = token.client {
        answer.push((CLIENT_HEADER, client.to_string()));
    }
    let mut response: Response = StatusCode::NO_CONTENT.into_response();
    for (name, value) in answer {
        if let (Ok(name), Ok(value)) = (axum::http::HeaderName::try_from(name), value.parse()) {
            response.headers_mut().insert(name, value);
        }
    }
    Ok(response)
}
