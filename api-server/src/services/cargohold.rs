//! Files: uploaded and downloaded as streams, never held whole.

use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use futures_util::StreamExt as _;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::app::App;
use crate::domain::Time;
use crate::domain::asset::{AssetKey, AssetMeta, Retention};
use crate::http::body::{Json, empty, json as answer, text_header};
use crate::http::{Access, Answer, App as AppState, Caller, Failure, Query, Routes, error};
use crate::secret;
use crate::services::brig::users::check_domain;
use crate::store::assets::{ByteStream, Content, PutError};

/// The routes.
pub fn routes() -> Routes {
    Routes::default()
        .post("/assets", Access::User, upload)
        .takes::<Settings>()
        .gives::<Uploaded>(201)
        .post("/assets/v3", Access::User, upload)
        .get("/assets/{domain}/{key}", Access::User, download)
        .get("/assets/v3/{key}", Access::User, download_unqualified)
        .get("/assets/v4/{domain}/{key}", Access::User, download)
        .get("/assets/{key}", Access::User, download_unqualified)
        .delete("/assets/{domain}/{key}", Access::User, delete)
        .delete("/assets/v3/{key}", Access::User, delete_unqualified)
        .post("/assets/{key}/token", Access::User, renew_token)
        .post("/assets/v3/{key}/token", Access::User, renew_token)
        .delete("/assets/{key}/token", Access::User, delete_token)
        .delete("/assets/v3/{key}/token", Access::User, delete_token)
}

/// Bytes of an upload's first part.
const SETTINGS: u64 = 16 * 1024;

/// The first part of an upload.
#[derive(Deserialize, JsonSchema)]
struct Settings {
    #[serde(default)]
    public: bool,
    #[serde(default)]
    retention: Retention,
}

/// What became of an upload.
#[derive(Serialize, JsonSchema)]
struct Uploaded {
    #[schemars(with = "String")]
    key: AssetKey,
    domain: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires: Option<Time>,
}

async fn upload(State(app): AppState, caller: Caller, request: Request) -> Answer {
    let limit = app.config.limits.asset_bytes;
    let parts_limit = limit + SETTINGS + 4096;
    let length = text_header(request.headers(), header::CONTENT_LENGTH).and_then(|length| length.parse::<u64>().ok());
    if length.is_some_and(|length| length > parts_limit) {
        return Err(error::ASSET_TOO_LARGE.into());
    }
    let boundary = boundary(request.headers())?;
    let constraints =
        multer::Constraints::new().size_limit(multer::SizeLimit::new().whole_stream(parts_limit).per_field(limit));
    let mut parts = multer::Multipart::with_constraints(request.into_body().into_data_stream(), boundary, constraints);
    let settings = parts.next_field().await.map_err(|cause| broken(&cause))?.ok_or(error::ASSET_INCOMPLETE)?;
    let settings = settings.bytes().await.map_err(|cause| broken(&cause))?;
    let settings: Settings = serde_json::from_slice(&settings)
        .map_err(|cause| error::BAD_REQUEST.saying(format!("Error in the first part: {cause}")))?;
    let file = parts.next_field().await.map_err(|cause| broken(&cause))?.ok_or(error::ASSET_INCOMPLETE)?;

    let key = AssetKey { retention: settings.retention, id: Uuid::new_v4() };
    let token = if settings.public { None } else { Some(secret::random_text(16)?) };
    let expires = settings.retention.lifetime().map(|seconds| Time::now().plus_seconds(seconds));
    let meta = AssetMeta { key, owner: caller.user, token: token.clone(), expires };
    keep(&app, &meta, file).await?;
    let body = Uploaded { key, domain: app.config.domain.clone(), token, expires };
    let mut response = answer(201, body);
    if let Ok(location) = format!("/assets/{}/{key}", app.domain()).parse() {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}

/// The boundary of `multipart/mixed` (as clients send it) or any other kind of multipart.
fn boundary(headers: &HeaderMap) -> Result<String, Failure> {
    let kind = text_header(headers, header::CONTENT_TYPE).unwrap_or_default();
    let parameter = kind
        .split(';')
        .skip(1)
        .filter_map(|part| part.trim().split_once('='))
        .find(|(name, _)| name.eq_ignore_ascii_case("boundary"));
    match parameter {
        Some((_, value)) if kind.to_ascii_lowercase().starts_with("multipart/") => {
            Ok(value.trim_matches('"').to_owned())
        }
        _ => Err(error::BAD_REQUEST.saying("multipart/mixed with a boundary is expected").into()),
    }
}

async fn keep(app: &App, meta: &AssetMeta, file: multer::Field<'static>) -> Result<(), Failure> {
    // The reason an upload broke off is in the stream's error; it is found again in `PutError::Sender`.
    let bytes: ByteStream = file.map(|chunk| chunk.map_err(std::io::Error::other)).boxed();
    app.store.assets.put(meta, bytes).await.map_err(|failed| match failed {
        PutError::Sender(cause) => match cause.get_ref().and_then(|cause| cause.downcast_ref()) {
            Some(cause) => broken(cause),
            None => error::ASSET_INCOMPLETE.into(),
        },
        PutError::Store(cause) => cause.into(),
    })
}

fn broken(cause: &multer::Error) -> Failure {
    match cause {
        multer::Error::FieldSizeExceeded { .. } | multer::Error::StreamSizeExceeded { .. } => {
            error::ASSET_TOO_LARGE.into()
        }
        _ => error::ASSET_INCOMPLETE.into(),
    }
}

#[derive(Deserialize)]
struct Token {
    asset_token: Option<String>,
}

async fn download(
    State(app): AppState,
    _caller: Caller,
    Path((domain, key)): Path<(String, String)>,
    Query(token): Query<Token>,
    headers: HeaderMap,
) -> Answer {
    check_domain(&app, &domain)?;
    fetch(&app, &key, token, &headers).await
}

async fn download_unqualified(
    State(app): AppState,
    _caller: Caller,
    Path(key): Path<String>,
    Query(token): Query<Token>,
    headers: HeaderMap,
) -> Answer {
    fetch(&app, &key, token, &headers).await
}

fn parse(key: &str) -> Result<AssetKey, Failure> {
    Ok(key.parse().map_err(|_| error::ASSET_NOT_FOUND)?)
}

async fn fetch(app: &App, key: &str, token: Token, headers: &HeaderMap) -> Answer {
    let meta = app.store.assets.meta(parse(key)?).await?.ok_or(error::ASSET_NOT_FOUND)?;
    let shown =
        headers.get("asset-token").and_then(|value| value.to_str().ok()).map(str::to_owned).or(token.asset_token);
    if let Some(expected) = &meta.token
        && !shown.is_some_and(|shown| secret::same(expected, &shown))
    {
        // As if it were not there: whether a file exists is told only to who may have it.
        return Err(error::ASSET_NOT_FOUND.into());
    }
    match app.store.assets.content(meta.key).await?.ok_or(error::ASSET_NOT_FOUND)? {
        Content::Redirect(address) => {
            let address = HeaderValue::try_from(address).map_err(|error| Failure::Internal(error.to_string()))?;
            Ok((StatusCode::FOUND, [(header::LOCATION, address)]).into_response())
        }
        Content::Stream { bytes, length } => {
            let headers = [
                (header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream")),
                (header::CONTENT_LENGTH, HeaderValue::from(length)),
            ];
            let response: Response = (headers, Body::from_stream(bytes)).into_response();
            Ok(response)
        }
    }
}

async fn own(app: &App, caller: &Caller, key: &str) -> Result<AssetMeta, Failure> {
    let meta = app.store.assets.meta(parse(key)?).await?.ok_or(error::ASSET_NOT_FOUND)?;
    if meta.owner == caller.user { Ok(meta) } else { Err(error::ASSET_UNAUTHORIZED.into()) }
}

async fn delete(State(app): AppState, caller: Caller, Path((domain, key)): Path<(String, String)>) -> Answer {
    check_domain(&app, &domain)?;
    remove(&app, &caller, &key).await
}

async fn delete_unqualified(State(app): AppState, caller: Caller, Path(key): Path<String>) -> Answer {
    remove(&app, &caller, &key).await
}

async fn remove(app: &App, caller: &Caller, key: &str) -> Answer {
    let meta = own(app, caller, key).await?;
    app.store.assets.delete(meta.key).await?;
    Ok(empty(200))
}

async fn renew_token(State(app): AppState, caller: Caller, Path(key): Path<String>) -> Answer<Json<Value>> {
    let meta = own(&app, &caller, &key).await?;
    let token = secret::random_text(16)?;
    app.store.assets.set_token(meta.key, Some(&token)).await?;
    Ok(Json(json!({"token": token})))
}

async fn delete_token(State(app): AppState, caller: Caller, Path(key): Path<String>) -> Answer {
    let meta = own(&app, &caller, &key).await?;
    app.store.assets.set_token(meta.key, None).await?;
    Ok(empty(200))
}
