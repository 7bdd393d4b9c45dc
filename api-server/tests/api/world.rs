//! A backend without sockets, and people who use it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, Method, header};
use serde_json::{Value, json};
use tower::ServiceExt as _;
use wire_api::app::App;
use wire_api::config::Config;
use wire_api::http::version::take_prefix;
use wire_api::push::LocalHints;
use wire_api::server;
use wire_api::services::Service;
use wire_api::store::memory;

pub const PASSWORD: &str = "correct horse battery";
pub const DOMAIN: &str = "wire.example";

pub struct World {
    pub app: Arc<App>,
    router: Router,
    people: AtomicU32,
    folder: tempfile::TempDir,
}

pub struct Reply {
    pub status: u16,
    pub headers: HeaderMap,
    pub bytes: Vec<u8>,
}

impl Reply {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes)
            .unwrap_or_else(|_| panic!("no JSON: {} {}", self.status, String::from_utf8_lossy(&self.bytes)))
    }

    pub fn label(&self) -> String {
        serde_json::from_slice::<Value>(&self.bytes)
            .ok()
            .and_then(|body| Some(body["label"].as_str()?.to_owned()))
            .unwrap_or_default()
    }

    /// The body of an answer that must have this status.
    pub fn expect(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", String::from_utf8_lossy(&self.bytes));
        if self.bytes.is_empty() { Value::Null } else { self.json() }
    }

    pub fn refused(&self, status: u16, label: &str) {
        assert_eq!((self.status, self.label().as_str()), (status, label), "{}", String::from_utf8_lossy(&self.bytes));
    }

    pub fn cookie(&self) -> String {
        let header = self.headers.get(header::SET_COOKIE).expect("a cookie").to_str().unwrap();
        header.split(';').next().unwrap().to_owned()
    }
}

pub struct Person {
    pub id: String,
    pub token: String,
    pub cookie: String,
    pub email: String,
    pub client: String,
}

impl World {
    pub fn new() -> Self {
        let mut config = Config::default();
        config.limits.user_rate = None;
        config.limits.address_rate = None;
        Self::with(config)
    }

    pub fn with(config: Config) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = memory::store(folder.path().to_owned());
        let app = App::new(config, store, Arc::new(LocalHints::default())).unwrap();
        let router = server::router(&app, server::public(&Service::ALL));
        Self { app, router, people: AtomicU32::new(0), folder }
    }

    pub fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }

    pub async fn send(&self, request: Request) -> Reply {
        let response = self.router.clone().oneshot(take_prefix(request)).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = axum::body::to_bytes(body, usize::MAX).await.unwrap().to_vec();
        Reply { status: parts.status.as_u16(), headers: parts.headers, bytes }
    }

    pub async fn call(&self, token: &str, method: Method, path: &str, body: Option<Value>) -> Reply {
        let mut request = Request::builder().method(method).uri(path);
        if !token.is_empty() {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        let body = body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
        self.send(request.body(body).unwrap()).await
    }

    pub async fn get(&self, person: &Person, path: &str) -> Reply {
        self.call(&person.token, Method::GET, path, None).await
    }

    pub async fn post(&self, person: &Person, path: &str, body: Value) -> Reply {
        self.call(&person.token, Method::POST, path, Some(body)).await
    }

    pub async fn put(&self, person: &Person, path: &str, body: Value) -> Reply {
        self.call(&person.token, Method::PUT, path, Some(body)).await
    }

    pub async fn delete(&self, person: &Person, path: &str, body: Value) -> Reply {
        self.call(&person.token, Method::DELETE, path, Some(body)).await
    }

    pub async fn public(&self, path: &str, body: Value) -> Reply {
        self.call("", Method::POST, path, Some(body)).await
    }

    /// Whoever has just registered, with a device.
    pub async fn person(&self) -> Person {
        self.person_with(json!({})).await
    }

    pub async fn person_with(&self, extra: Value) -> Person {
        let number = self.people.fetch_add(1, Ordering::Relaxed);
        let email = format!("person{number}@example.com");
        let mut body = json!({"name": format!("Person {number}"), "email": email, "password": PASSWORD});
        body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        let registered = self.public("/v8/register", body).await;
        let id = registered.expect(201)["id"].as_str().unwrap().to_owned();
        let cookie = registered.cookie();
        let token = self.access(&cookie).await.expect(200)["access_token"].as_str().unwrap().to_owned();
        let mut person = Person { id, token, cookie, email, client: String::new() };
        person.client = self.device(&person).await;
        person
    }

    /// A device more.
    pub async fn device(&self, person: &Person) -> String {
        let prekeys: Vec<_> = (1..=5).map(|id| json!({"id": id, "key": "cHJla2V5"})).collect();
        let body = json!({
            "type": "permanent", "class": "desktop", "password": PASSWORD,
            "prekeys": prekeys, "lastkey": {"id": 65535, "key": "bGFzdA=="},
        });
        self.post(person, "/clients", body).await.expect(201)["id"].as_str().unwrap().to_owned()
    }

    pub async fn access(&self, cookie: &str) -> Reply {
        let request = Request::builder().method(Method::POST).uri("/access").header(header::COOKIE, cookie);
        self.send(request.body(Body::empty()).unwrap()).await
    }

    pub async fn connect(&self, one: &Person, other: &Person) -> String {
        let asked = self.post(one, &format!("/v8/connections/{DOMAIN}/{}", other.id), json!({})).await.expect(201);
        self.put(other, &format!("/v8/connections/{DOMAIN}/{}", one.id), json!({"status": "accepted"}))
            .await
            .expect(200);
        asked["conversation"].as_str().unwrap().to_owned()
    }

    pub async fn group(&self, admin: &Person, members: &[&Person], extra: Value) -> String {
        let users: Vec<_> = members.iter().map(|member| json!({"id": member.id, "domain": DOMAIN})).collect();
        let mut body = json!({
            "name": "Group", "qualified_users": users, "conversation_role": "wire_member", "access": ["invite", "code"],
            "access_role": ["team_member", "non_team_member", "guest"], "protocol": "proteus",
        });
        body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        self.post(admin, "/v8/conversations", body).await.expect(201)["id"].as_str().unwrap().to_owned()
    }

    /// The events that a person's device has been told, oldest first.
    pub async fn events(&self, person: &Person) -> Vec<Value> {
        let path = format!("/v8/notifications?client={}&size=10000", person.client);
        let body = self.get(person, &path).await.expect(200);
        let notifications = body["notifications"].as_array().unwrap();
        notifications.iter().flat_map(|notification| notification["payload"].as_array().unwrap().clone()).collect()
    }
}
