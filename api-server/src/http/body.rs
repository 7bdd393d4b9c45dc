//! Bodies of requests: size limits, gzip, JSON; errors as the API words them.

use std::io::Read as _;

use axum::extract::{FromRequest, FromRequestParts, OptionalFromRequest, Request};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header, request::Parts};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use flate2::read::GzDecoder;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::error::{self, Failure};

/// The most bytes of a JSON body, sent and inflated.
pub const JSON_LIMIT: usize = 512 * 1024;

/// The most bytes of a message, sent and inflated.
pub const MESSAGE_LIMIT: usize = 40 * 1024 * 1024;

/// A JSON body.
pub struct Json<T>(pub T);

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        axum::Json(self.0).into_response()
    }
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = Failure;
    async fn from_request(request: Request, _state: &S) -> Result<Self, Failure> {
        let body = read(request, JSON_LIMIT).await?;
        parse(&body).map(Self)
    }
}

/// A JSON body that may be missing.
impl<T: DeserializeOwned, S: Send + Sync> OptionalFromRequest<S> for Json<T> {
    type Rejection = Failure;
    async fn from_request(request: Request, _state: &S) -> Result<Option<Self>, Failure> {
        let body = read(request, JSON_LIMIT).await?;
        if body.is_empty() { Ok(None) } else { parse(&body).map(|value| Some(Self(value))) }
    }
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Failure> {
    // serde's words name the field and the position, never the value of a string that fits its type.
    serde_json::from_slice(body)
        .map_err(|cause| error::BAD_REQUEST.saying(format!("Error in the body: {cause}")).into())
}

/// A body of any type, as big as a message may be.
pub struct Payload {
    /// The bytes, inflated.
    pub bytes: Bytes,
    /// Whether the client says that it is protobuf.
    pub is_protobuf: bool,
}

impl<S: Send + Sync> FromRequest<S> for Payload {
    type Rejection = Failure;
    async fn from_request(request: Request, _state: &S) -> Result<Self, Failure> {
        let is_protobuf = text_header(request.headers(), header::CONTENT_TYPE)
            .is_some_and(|kind| kind.starts_with("application/x-protobuf"));
        Ok(Self { bytes: read(request, MESSAGE_LIMIT).await?, is_protobuf })
    }
}

impl Payload {
    /// The body read as JSON.
    ///
    /// # Errors
    /// 400.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        parse(&self.bytes)
    }
}

/// A query string.
pub struct Query<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Failure;
    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Failure> {
        axum::extract::Query::try_from_uri(&parts.uri)
            .map(|query| Self(query.0))
            .map_err(|cause| error::BAD_REQUEST.saying(format!("Error in the query: {cause}")).into())
    }
}

/// A header's text.
pub fn text_header(headers: &HeaderMap, name: header::HeaderName) -> Option<&str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

async fn read(request: Request, limit: usize) -> Result<Bytes, Failure> {
    let gzip = match text_header(request.headers(), header::CONTENT_ENCODING) {
        None | Some("" | "identity") => false,
        Some("gzip") => true,
        Some(_) => {
            return Err(
                error::ApiError::new(415, "unsupported-media-type", "The body's encoding is not supported").into()
            );
        }
    };
    let body = axum::body::to_bytes(request.into_body(), limit).await.map_err(|cause| too_large_or_broken(&cause))?;
    if !gzip {
        return Ok(body);
    }
    let mut inflated = Vec::new();
    let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    GzDecoder::new(body.as_ref())
        .take(most)
        .read_to_end(&mut inflated)
        .map_err(|_| error::BAD_REQUEST.saying("The body is no gzip stream"))?;
    if inflated.len() > limit { Err(error::TOO_LARGE.into()) } else { Ok(inflated.into()) }
}

fn too_large_or_broken(cause: &axum::Error) -> Failure {
    let is_length = std::iter::successors(Some(cause as &dyn std::error::Error), |cause| cause.source())
        .any(|cause| cause.to_string() == "length limit exceeded");
    if is_length { error::TOO_LARGE.into() } else { error::BAD_REQUEST.saying("The body ended too early").into() }
}

/// An answer without a body.
pub fn empty(status: u16) -> Response {
    StatusCode::from_u16(status).unwrap_or(StatusCode::OK).into_response()
}

/// A JSON answer with a status.
pub fn json<T: Serialize>(status: u16, body: T) -> Response {
    (StatusCode::from_u16(status).unwrap_or(StatusCode::OK), axum::Json(body)).into_response()
}

/// An answer that sets a cookie.
pub fn with_cookie(response: impl IntoResponse, cookie: HeaderValue) -> Response {
    let mut response = response.into_response();
    response.headers_mut().append(header::SET_COOKIE, cookie);
    response
}
