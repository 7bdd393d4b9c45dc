//! From services to a listening server: layers that hold for all routes, and an end that lets clients go in peace.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Router, ServiceExt};
use tower::util::MapRequest;
use tracing::Instrument as _;

use crate::app::App;
use crate::http::version::{self, Version};
use crate::http::{Routes, cors, error};
use crate::listen::Listener;
use crate::services::Service;

/// Header that names a request in all services' logs.
const REQUEST_ID: HeaderName = HeaderName::from_static("request-id");

/// The routes of some services that clients may reach.
pub fn public(services: &[Service]) -> Routes {
    services.iter().fold(Routes::default(), |routes, service| routes.and(service.routes()))
}

/// A router for routes.
pub fn router(app: &Arc<App>, routes: Routes) -> Router {
    let (router, _) = routes.into_parts();
    router
        .fallback(no_endpoint)
        .method_not_allowed_fallback(|| async { error::BAD_METHOD })
        .with_state(app.clone())
        .layer(middleware::from_fn(cors::allow))
        .layer(middleware::from_fn(record))
        .layer(Extension(app.clone()))
}

async fn no_endpoint(request: Request) -> Response {
    if version::split(request.uri().path()).is_some() {
        error::UNSUPPORTED_VERSION.into_response()
    } else {
        error::NO_ENDPOINT.into_response()
    }
}

/// Logs a request and counts it. Neither query nor body is logged: they hold tokens.
async fn record(Extension(app): Extension<Arc<App>>, request: Request, next: Next) -> Response {
    let began = Instant::now();
    let known = request.headers().get(&REQUEST_ID).and_then(|id| id.to_str().ok());
    let usable =
        known.filter(|id| id.len() <= 64 && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-'));
    let id = usable.map_or_else(|| uuid::Uuid::new_v4().to_string(), str::to_owned);
    let method = request.method().clone();
    // The route's pattern, not the path: paths hold codes.
    let path = request.extensions().get::<axum::extract::MatchedPath>().map_or("-", |path| path.as_str()).to_owned();
    let version = request.extensions().get::<Version>().map_or(0, |version| version.0);
    // Whatever is said on the way bears the id.
    let mut response = next.run(request).instrument(tracing::info_span!("request", request = id)).await;
    let (status, elapsed) = (response.status().as_u16(), began.elapsed());
    app.metrics.request(status, elapsed);
    let milliseconds = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
    tracing::info!(%method, path, version, status, milliseconds, request = id, "answered");
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    response
}

/// Serves until `end` is done, then lets websockets go and waits for what is under way.
///
/// # Errors
/// The listener broke.
pub async fn serve(
    listener: impl Into<Listener>,
    app: Arc<App>,
    routes: Routes,
    end: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    let router = router(&app, routes);
    let service = MapRequest::new(router, version::take_prefix as fn(Request) -> Request);
    let drain = Duration::from_secs(app.config.limits.drain_seconds);
    let ended = {
        let app = app.clone();
        async move {
            end.await;
            // Nobody may be listening to it.
            app.ending.send_replace(true);
        }
    };
    let mut ending = app.ending.subscribe();
    let overdue = async move {
        // The sender lives in the app, which lives longer.
        let _ = ending.wait_for(|ending| *ending).await;
        tokio::time::sleep(drain + Duration::from_secs(5)).await;
    };
    let listener = listener.into();
    let metrics = &app.metrics;
    let served = async {
        let served = match listener {
            Listener::Network(listener) => {
                let service = ServiceExt::<Request>::into_make_service_with_connect_info::<SocketAddr>(service);
                axum::serve(listener, service).with_graceful_shutdown(ended).await
            }
            Listener::Socket(listener) => {
                let service = ServiceExt::<Request>::into_make_service(service);
                axum::serve(listener, service).with_graceful_shutdown(ended).await
            }
        };
        // axum waits for connections only: a websocket is none any more, and what a client that is gone had asked for has none.
        if served.is_ok() {
            metrics.idle().await;
        }
        served
    };
    tokio::select! {
        served = served => served,
        () = overdue => Ok(()),
    }
}
