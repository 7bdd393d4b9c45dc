//! Registration, log-in, sessions, passwords, deletion.

use std::time::Duration;

use axum::http::Method;
use serde_json::json;
use wire_api::config::Config;
use wire_api::domain::user::{AccountStatus, UserChange};
use wire_api::http::rate::Rate;

use super::world::{DOMAIN, PASSWORD, World};

#[tokio::test]
async fn an_address_is_registered_once() {
    let world = World::new();
    let person = world.person().await;
    let again = json!({"name": "Other", "email": person.email.to_uppercase(), "password": PASSWORD});
    world.public("/register", again).await.refused(409, "key-exists");
    world
        .public("/register", json!({"email": "a@example.com", "password": PASSWORD}))
        .await
        .refused(400, "bad-request");
    let short = json!({"name": "Short", "email": "b@example.com", "password": "12345"});
    world.public("/register", short).await.refused(400, "bad-request");
}

#[tokio::test]
async fn the_cookie_is_for_its_path_and_no_script() {
    let world = World::new();
    let login = json!({"email": world.person().await.email, "password": PASSWORD});
    let persistent = world.public("/login?persist=true", login.clone()).await;
    let header = persistent.headers["set-cookie"].to_str().unwrap();
    for attribute in ["zuid=", "; Path=/access", "; Expires=", "; HttpOnly", "; Secure", "; SameSite=Strict"] {
        assert!(header.contains(attribute), "{attribute} is missing in {header}");
    }
    let session = world.public("/login?persist=false", login).await;
    assert!(!session.headers["set-cookie"].to_str().unwrap().contains("Expires"));
}

#[tokio::test]
async fn wrong_log_ins_look_alike_and_become_slow() {
    let world = World::new();
    let person = world.person().await;
    let wrong = |email: &str| json!({"email": email, "password": "wrong password"});
    let known = world.public("/login", wrong(&person.email)).await;
    let unknown = world.public("/login", wrong("nobody@example.com")).await;
    assert_eq!((known.status, &known.bytes), (unknown.status, &unknown.bytes));
    known.refused(403, "invalid-credentials");
    for email in [person.email.as_str(), "nobody@example.com"] {
        for _ in 1..5 {
            world.public("/login", wrong(email)).await.refused(403, "invalid-credentials");
        }
        let late = world.public("/login", wrong(email)).await;
        late.refused(429, "client-error");
        assert!(late.headers.contains_key("retry-after"));
    }
    // Not even the right password opens it now.
    world.public("/login", json!({"email": person.email, "password": PASSWORD})).await.refused(429, "client-error");
}

#[tokio::test]
async fn bad_cookies_are_forbidden_and_never_unauthorized() {
    let world = World::new();
    let person = world.person().await;
    for cookie in ["", "zuid=", "zuid=nonsense", &format!("zuid={}", person.token)] {
        world.access(cookie).await.refused(403, "invalid-credentials");
    }
    let first = world.access(&person.cookie).await.expect(200);
    let second = world.access(&person.cookie).await.expect(200);
    assert_ne!(first["access_token"], second["access_token"]);
    let logout =
        axum::extract::Request::builder().method(Method::POST).uri("/access/logout").header("cookie", &person.cookie);
    world.send(logout.body(axum::body::Body::empty()).unwrap()).await.expect(200);
    world.access(&person.cookie).await.refused(403, "invalid-credentials");
}

#[tokio::test]
async fn a_new_password_ends_all_sessions() {
    let world = World::new();
    let person = world.person().await;
    let change = |old: &str, new: &str| json!({"old_password": old, "new_password": new});
    world
        .put(&person, "/self/password", change("wrong password", "another one"))
        .await
        .refused(403, "invalid-credentials");
    world.put(&person, "/self/password", change(PASSWORD, PASSWORD)).await.refused(409, "password-must-differ");
    world.put(&person, "/self/password", change(PASSWORD, "another one")).await.expect(200);
    world.access(&person.cookie).await.refused(403, "invalid-credentials");
    world.public("/login", json!({"email": person.email, "password": "another one"})).await.expect(200);
}

#[tokio::test]
async fn a_password_in_a_request_is_a_text_and_names_no_file() {
    let world = World::new();
    let person = world.person().await;
    let file = json!({"file": "/etc/hostname"});
    world.public("/login", json!({"email": person.email, "password": file})).await.refused(400, "bad-request");
}

#[tokio::test]
async fn reset_answers_the_same_for_anybody() {
    let world = World::new();
    let person = world.person().await;
    let known = world.public("/password-reset", json!({"email": person.email})).await;
    let unknown = world.public("/password-reset", json!({"email": "nobody@example.com"})).await;
    assert_eq!((known.status, known.bytes), (201, unknown.bytes));
}

#[tokio::test]
async fn a_deleted_account_is_gone_and_its_names_are_free() {
    let world = World::new();
    let (person, friend) = (world.person().await, world.person().await);
    world.connect(&person, &friend).await;
    world.put(&person, "/self/handle", json!({"handle": "somebody"})).await.expect(200);
    world.delete(&person, "/self", json!({"password": "wrong password"})).await.refused(403, "invalid-credentials");
    world.delete(&person, "/self", json!({"password": PASSWORD})).await.expect(200);
    world.get(&person, "/self").await.refused(401, "unauthorized");
    let seen = world.get(&friend, &format!("/users/{DOMAIN}/{}", person.id)).await.expect(200);
    assert_eq!(seen["deleted"], true);
    world.put(&friend, "/self/handle", json!({"handle": "somebody"})).await.expect(200);
    let events = world.events(&friend).await;
    assert!(events.iter().any(|event| event["type"] == "user.delete" && event["id"] == person.id.as_str()));
    assert!(events.iter().any(|event| event["type"] == "conversation.member-leave"));
}

#[tokio::test]
async fn rates_are_limited_with_420() {
    let mut config = Config::default();
    config.limits.user_rate = Some(Rate { per_second: 0.0, burst: 3.0 });
    config.limits.address_rate = Some(Rate { per_second: 0.0, burst: 1.0 });
    let world = World::with(config);
    let person = world.person().await;
    let mut last = world.get(&person, "/self").await;
    for _ in 0..3 {
        last = world.get(&person, "/self").await;
    }
    last.refused(420, "too-many-requests");
    for _ in 0..2 {
        last = world.public("/password-reset", json!({"email": "a@example.com"})).await;
    }
    assert_eq!(last.status, 201);
    world.public("/password-reset", json!({"email": "a@example.com"})).await.refused(420, "too-many-requests");
}

#[tokio::test]
async fn the_newest_version_and_none_are_served_and_newer_ones_are_not() {
    let world = World::new();
    let versions = world.call("", Method::GET, "/api-version", None).await.expect(200);
    assert_eq!(versions["supported"], json!((0..=15).collect::<Vec<_>>()));
    let person = world.person().await;
    for prefix in ["", "/v0", "/v15"] {
        world.get(&person, &format!("{prefix}/self")).await.expect(200);
    }
    world.get(&person, "/v16/self").await.refused(404, "unsupported-version");
    world.get(&person, "/nowhere").await.refused(404, "no-endpoint");
}

#[tokio::test]
async fn a_second_device_needs_the_password_and_there_are_seven() {
    let world = World::new();
    let person = world.person().await;
    let device = |password| json!({"type": "permanent", "prekeys": [], "lastkey": {"id": 65535, "key": "bGFzdA=="}, "password": password});
    world.post(&person, "/clients", device(None)).await.refused(403, "missing-auth");
    world.post(&person, "/clients", device(Some("wrong password"))).await.refused(403, "invalid-credentials");
    for _ in 1..7 {
        world.post(&person, "/clients", device(Some(PASSWORD))).await.expect(201);
    }
    world.post(&person, "/clients", device(Some(PASSWORD))).await.refused(403, "too-many-clients");
}

#[tokio::test]
async fn what_may_be_refused_is_refused_before_anything_is_kept() {
    let world = World::new();
    let long = "x".repeat(257);
    let wrong = [
        json!({"team": {"name": "", "icon": "default"}}),
        json!({"team": {"name": "Team", "icon": long}}),
        json!({"team": {"name": "Team", "icon": "default", "icon_key": long}}),
        json!({"locale": "no language"}),
        json!({"label": long}),
    ];
    for extra in wrong {
        let mut body = json!({"name": "Ann", "email": "ann@example.com", "password": PASSWORD});
        body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        world.public("/register", body).await.refused(400, "bad-request");
    }
    let label = json!({"email": "ann@example.com", "password": PASSWORD, "label": long});
    world.public("/login", label).await.refused(400, "bad-request");
    let good = json!({"name": "Ann", "email": "ann@example.com", "password": PASSWORD, "locale": "de-AT"});
    world.public("/register", good).await.expect(201);
}

#[tokio::test]
async fn a_deletion_goes_on_though_nobody_waits_for_its_answer() {
    let world = World::new();
    let person = world.person().await;
    let asked = world.delete(&person, "/self", json!({"password": PASSWORD}));
    assert!(tokio::time::timeout(Duration::from_millis(1), asked).await.is_err(), "a password takes longer");
    for _ in 0..100 {
        if world.get(&person, "/self").await.status == 401 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let again = json!({"name": "Ann", "email": person.email, "password": PASSWORD});
    world.public("/register", again).await.expect(201);
}

#[tokio::test]
async fn a_deletion_that_broke_off_is_finished_when_it_is_asked_for_again() {
    let world = World::new();
    let (person, friend) = (world.person().await, world.person().await);
    world.connect(&person, &friend).await;
    let begun = UserChange { status: Some(AccountStatus::Deleted), ..UserChange::default() };
    world.app.store.users.update(person.id.parse().unwrap(), begun).await.unwrap();
    world.app.store.users.set_password(person.id.parse().unwrap(), None).await.unwrap();
    world.get(&person, "/self").await.refused(401, "unauthorized");
    let taken = json!({"name": "Ann", "email": person.email, "password": PASSWORD});
    world.public("/register", taken.clone()).await.refused(409, "key-exists");
    world.delete(&person, "/self", json!({"password": PASSWORD})).await.expect(200);
    world.public("/register", taken).await.expect(201);
    assert!(world.events(&friend).await.iter().any(|event| event["type"] == "user.delete"));
    world.delete(&person, "/self", json!({"password": PASSWORD})).await.refused(401, "unauthorized");
}

#[tokio::test]
async fn a_mail_to_any_address_is_asked_for_seldom() {
    let mut config = Config::default();
    config.limits.address_rate = Some(Rate { per_second: 0.0, burst: 1.0 });
    let world = World::with(config);
    let person = world.person().await;
    let change = || {
        let request = axum::extract::Request::builder().method(Method::PUT).uri("/access/self/email");
        let body = json!({"email": person.email}).to_string();
        world.send(request.header("cookie", &person.cookie).body(body.into()).unwrap())
    };
    for _ in 0..2 {
        change().await.expect(204);
    }
    change().await.refused(420, "too-many-requests");
}
