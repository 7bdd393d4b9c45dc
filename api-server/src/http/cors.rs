//! Web clients come from other addresses than the API's: browsers ask whether they may (CORS).
//!
//! Behind nginx that is nginx's to answer; here it is for a process that browsers reach by themselves.

use std::sync::Arc;

use axum::Extension;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use axum::middleware::Next;
use axum::response::Response;

use super::body::empty;
use crate::app::App;

/// Answers browsers' questions, and marks answers for the origins that are configured. Other origins get no mark, and so no answer.
pub async fn allow(Extension(app): Extension<Arc<App>>, request: Request, next: Next) -> Response {
    let origin = request.headers().get(header::ORIGIN).cloned();
    let known =
        |origin: &HeaderValue| app.config.browser_origins.iter().any(|known| known.as_bytes() == origin.as_bytes());
    let Some(origin) = origin.filter(known) else { return next.run(request).await };
    let asks =
        request.method() == Method::OPTIONS && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    if !asks {
        let mut response = next.run(request).await;
        mark(response.headers_mut(), origin);
        return response;
    }
    let mut response = empty(204);
    mark(response.headers_mut(), origin);
    let answers: [(HeaderName, &str); 3] = [
        (header::ACCESS_CONTROL_ALLOW_METHODS, "GET, HEAD, POST, PUT, DELETE"),
        (header::ACCESS_CONTROL_ALLOW_HEADERS, "Authorization, Content-Type, Content-Encoding, Asset-Token"),
        (header::ACCESS_CONTROL_MAX_AGE, "86400"),
    ];
    for (name, value) in answers {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

fn mark(headers: &mut HeaderMap, origin: HeaderValue) {
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
    headers
        .insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("Request-Id, Retry-After, Location"));
    headers.append(header::VARY, HeaderValue::from_static("Origin"));
}
