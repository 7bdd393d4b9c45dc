//! Services apart from each other, as behind nginx: the token check, its headers, and what operators reach.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::Request;
use axum::http::{Method, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::SigningKey;
use serde_json::json;
use tower::ServiceExt as _;
use wire_api::app::App;
use wire_api::config::{Authentication, Config};
use wire_api::http::Routes;
use wire_api::push::LocalHints;
use wire_api::server;
use wire_api::services::{Service, internal};
use wire_api::store::memory;

use super::world::{PASSWORD, Reply, World};

/// A process beside the world's, with what it is told of the keys.
fn process(yaml: &str) -> Arc<App> {
    let config: Config = serde_saphyr::from_str(yaml).unwrap();
    App::new(config, memory::store(std::env::temp_dir()), Arc::new(LocalHints::default())).unwrap()
}

async fn ask(app: &Arc<App>, routes: Routes, request: Request) -> Reply {
    let response = server::router(app, routes).oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let bytes = axum::body::to_bytes(body, usize::MAX).await.unwrap().to_vec();
    Reply { status: parts.status.as_u16(), headers: parts.headers, bytes }
}

fn keys() -> (String, String) {
    let key = SigningKey::from_bytes(&[7; 32]);
    (STANDARD.encode(key.to_bytes()), STANDARD.encode(key.verifying_key().to_bytes()))
}

#[tokio::test]
async fn the_token_check_needs_public_keys_only_and_is_quick() {
    let (private, public) = keys();
    let world = World::with(serde_saphyr::from_str(&format!("tokens: {{private_keys: ['{private}']}}\n")).unwrap());
    let person = world.person().await;
    let check = process(&format!("tokens: {{public_keys: ['{public}']}}\n"));
    assert!(check.signer.is_none());
    let routes = || Service::Auth.routes();
    let with = |value: String| {
        Request::builder().uri("/check").header(header::AUTHORIZATION, value).body(Body::empty()).unwrap()
    };
    let good = ask(&check, routes(), with(format!("Bearer {}", person.token))).await;
    assert_eq!((good.status, good.headers["z-user"].to_str().unwrap()), (204, person.id.as_str()));
    let socket = Request::builder()
        .uri("/check")
        .header("x-original-uri", format!("/await?client=1&access_token={}", person.token));
    assert_eq!(ask(&check, routes(), socket.body(Body::empty()).unwrap()).await.status, 204);
    let cookie = person.cookie.trim_start_matches("zuid=").to_owned();
    assert_eq!(ask(&check, routes(), with(format!("Bearer {cookie}"))).await.status, 403);
    for bad in ["Bearer nonsense".to_owned(), format!("Basic {}", person.token), format!("Bearer {}x", person.token)] {
        assert_eq!(ask(&check, routes(), with(bad)).await.status, 401);
    }
    let now = wire_api::domain::Time::now();
    let (count, began) = (200, Instant::now());
    for _ in 0..count {
        check.verifier.verify(&person.token, now).unwrap();
    }
    assert!(began.elapsed() / count < Duration::from_millis(1), "{:?} a token", began.elapsed() / count);
}

#[tokio::test]
async fn behind_the_front_end_its_headers_say_who_calls() {
    let app = process("authentication: headers\n");
    let world = World::new();
    let person = world.person().await;
    let user = world.app.store.users.get(person.id.parse().unwrap()).await.unwrap().unwrap();
    app.store.users.insert(&user).await.unwrap();
    let own =
        |name: &str, value: &str| Request::builder().uri("/self").header(name, value).body(Body::empty()).unwrap();
    let seen = ask(&app, Service::Brig.routes(), own("z-user", &person.id)).await.expect(200);
    assert_eq!(seen["id"], person.id.as_str());
    assert_eq!(
        ask(&app, Service::Brig.routes(), own("authorization", &format!("Bearer {}", person.token))).await.status,
        401
    );
    assert_eq!(ask(&app, Service::Brig.routes(), own("z-user", "nonsense")).await.status, 401);
    assert_ne!(app.config.authentication, Authentication::Token);
    // A service offers its own paths and no others.
    assert_eq!(ask(&app, Service::Galley.routes(), own("z-user", &person.id)).await.status, 404);
}

#[tokio::test]
async fn operators_see_health_and_numbers_and_manage_users() {
    let world = World::new();
    let app = &world.app;
    let call = async |method: Method, path: &str, body: serde_json::Value| {
        let request = Request::builder().method(method).uri(path).body(Body::from(body.to_string())).unwrap();
        ask(app, internal::routes(&Service::ALL), request).await
    };
    call(Method::GET, "/i/status", json!(null)).await.expect(200);
    let new = json!({"name": "New", "email": "new@example.com", "password": PASSWORD});
    let id = call(Method::POST, "/i/users", new).await.expect(201)["id"].as_str().unwrap().to_owned();
    let found = call(Method::GET, "/i/users?email=NEW@example.com", json!(null)).await.expect(200);
    assert_eq!(found["id"], id.as_str());
    let login = json!({"email": "new@example.com", "password": PASSWORD});
    let cookie = world.public("/login?persist=true", login.clone()).await.cookie();
    let status = format!("/i/users/{id}/status");
    call(Method::PUT, &status, json!({"status": "suspended"})).await.expect(200);
    world.public("/login", login.clone()).await.refused(403, "suspended");
    world.access(&cookie).await.refused(403, "invalid-credentials");
    call(Method::PUT, &status, json!({"status": "deleted"})).await.refused(400, "bad-request");
    call(Method::PUT, &status, json!({"status": "active"})).await.expect(200);
    world.public("/login", login.clone()).await.expect(200);
    call(Method::DELETE, &format!("/i/users/{id}"), json!(null)).await.expect(202);
    world.public("/login", login).await.refused(403, "invalid-credentials");
    call(Method::GET, "/i/users?email=new@example.com", json!(null)).await.refused(404, "not-found");
    let numbers = String::from_utf8(call(Method::GET, "/i/metrics", json!(null)).await.bytes).unwrap();
    assert!(numbers.contains("wire_api_requests_total{status=\"2xx\"} ") && numbers.contains("wire_api_websockets 0"));
    app.ending.send_replace(true);
    call(Method::GET, "/i/status", json!(null)).await.refused(503, "service-unavailable");
}

#[tokio::test]
async fn an_old_cookie_is_renewed_and_a_token_keeps_its_connection() {
    let world = World::with(
        serde_saphyr::from_str("cookies: {renew_after: 0}\nlimits: {user_rate: null, address_rate: null}\n").unwrap(),
    );
    let person = world.person().await;
    let first = world.access(&person.cookie).await;
    let fresh = first.cookie();
    assert_ne!(fresh, person.cookie);
    world.access(&fresh).await.expect(200);
    // Its successor stays the same for clients that keep the old one.
    let successors = world.get(&person, "/cookies").await.expect(200);
    assert_eq!(successors["cookies"].as_array().unwrap().len(), 3);
    let connection = |token: &str| token.split('.').find_map(|part| part.strip_prefix("c=")).unwrap().to_owned();
    let with = Request::builder()
        .method(Method::POST)
        .uri("/access")
        .header(header::COOKIE, &person.cookie)
        .header(header::AUTHORIZATION, format!("Bearer {}", person.token));
    let renewed = world.send(with.body(Body::empty()).unwrap()).await.expect(200);
    assert_eq!(connection(renewed["access_token"].as_str().unwrap()), connection(&person.token));
    let other = world.person().await;
    let mixed = Request::builder()
        .method(Method::POST)
        .uri("/access")
        .header(header::COOKIE, &person.cookie)
        .header(header::AUTHORIZATION, format!("Bearer {}", other.token));
    world.send(mixed.body(Body::empty()).unwrap()).await.refused(403, "invalid-credentials");
}

#[tokio::test]
async fn browsers_of_known_origins_may_ask_and_others_may_not() {
    let world = World::with(serde_saphyr::from_str("browser_origins: ['https://webapp.wire.example']\n").unwrap());
    let ask = |method: Method, origin: &str| {
        let request = Request::builder().method(method).uri("/v8/api-version").header(header::ORIGIN, origin);
        request.header(header::ACCESS_CONTROL_REQUEST_METHOD, "POST").body(Body::empty()).unwrap()
    };
    for (method, status) in [(Method::OPTIONS, 204), (Method::GET, 200)] {
        let reply = world.send(ask(method, "https://webapp.wire.example")).await;
        assert_eq!(reply.status, status);
        assert_eq!(reply.headers[header::ACCESS_CONTROL_ALLOW_ORIGIN], "https://webapp.wire.example");
        assert_eq!(reply.headers[header::ACCESS_CONTROL_ALLOW_CREDENTIALS], "true");
    }
    let foreign = world.send(ask(Method::GET, "https://webapp.wire.example.evil.example")).await;
    assert!(!foreign.headers.contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN));
    assert_eq!(world.send(ask(Method::OPTIONS, "https://evil.example")).await.status, 405);
}

#[tokio::test]
async fn turn_credentials_are_time_limited() {
    let world = World::with(
        serde_saphyr::from_str(
            "calls: {turn_servers: ['turn:192.0.2.1:3478'], turn_secret: hush}\nlimits: {address_rate: null}\n",
        )
        .unwrap(),
    );
    let person = world.person().await;
    for path in ["/v8/calls/config/v2", "/v5/calls/config"] {
        let config = world.get(&person, path).await.expect(200);
        let server = &config["ice_servers"][0];
        assert_eq!(server["urls"], json!(["turn:192.0.2.1:3478"]));
        let until: i64 = server["username"].as_str().unwrap().split(':').next().unwrap().parse().unwrap();
        let now = wire_api::domain::Time::now().seconds();
        assert!((now + 3600..=now + 24 * 3600).contains(&until));
        assert_eq!(STANDARD.decode(server["credential"].as_str().unwrap()).unwrap().len(), 20);
    }
}
