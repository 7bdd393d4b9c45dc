//! Who passes, and what services are told of whom.

use serde_json::json;
use wire_api::domain::UserId;
use wire_api::token::TokenKind;

use crate::http::request;
use crate::world::World;

/// What a client may send to be taken for somebody.
const FORGED: [(&str, &str); 13] = [
    ("Z-User", "11111111-1111-4111-8111-111111111111"),
    ("z-user", "22222222-2222-4222-8222-222222222222"),
    ("Z_User", "33333333-3333-4333-8333-333333333333"),
    ("Z-Client", "aaaa"),
    ("Z-Connection", "99"),
    ("Z-Type", "user"),
    ("Z-Bot", "1"),
    ("Z-Conversation", "1"),
    ("Z-Host", "evil.example"),
    ("Z-Provider", "1"),
    ("Z-Timestamp", "1"),
    ("X-Real-IP", "192.0.2.66"),
    ("Request-Id", "forged"),
];

#[test]
fn a_service_is_told_whose_token_it_is_and_never_sees_the_token() {
    let world = World::start();
    world.service("brig", &[10]);
    let user = UserId::random();
    let client = "1a2b".parse().unwrap();
    let bearer = format!("Bearer {}", world.token(user, Some(client)));
    let headers = [
        ("Authorization", bearer.as_str()),
        ("Cookie", "zuid=crumbs"),
        ("X-Forwarded-For", "192.0.2.1, 198.51.100.7"),
        ("Accept-Language", "de"),
    ];
    let reply = world.ask("GET", "/v13/self?a=1&b=%2F", &[&headers[..], &FORGED].concat());
    assert_eq!(reply.status, 200, "{reply:?}");
    let seen = reply.json();
    assert_eq!(seen["path"], "/v13/self?a=1&b=%2F");
    let request_id = reply.header("request-id").unwrap();
    assert_eq!(request_id.len(), 32, "{request_id}");
    assert_eq!(reply.headers.iter().filter(|(name, _)| name == "request-id").count(), 1, "{reply:?}");
    assert_eq!(
        seen["headers"],
        json!({
            "host": "nginz-https.wire.example",
            "accept-language": "de",
            "request-id": request_id,
            "x-forwarded-for": "198.51.100.7",
            "x-real-ip": "198.51.100.7",
            "z-user": user.to_string(),
            "z-client": client.to_string(),
            "z-connection": "17",
            "z-type": "access",
        })
    );
    let line = world.logged(|line| line["request"] == request_id);
    assert_eq!((&line["user"], &line["route"]), (&json!(user.to_string()), &json!("/self/**")));
    assert_eq!(line["address"], "198.51.100.7");
}

#[test]
fn where_anybody_may_come_nobody_is_told_to_be_somebody() {
    let world = World::start();
    world.service("brig", &[10]);
    let bearer = format!("Bearer {}", world.token(UserId::random(), None));
    let mine = [("Authorization", bearer.as_str()), ("Cookie", "zuid=crumbs")];
    let told = |path: &str| {
        let reply = world.ask("POST", path, &[&mine[..], &FORGED].concat());
        assert_eq!(reply.status, 200, "{reply:?}");
        let seen = reply.json()["headers"].as_object().unwrap().clone();
        assert!(!seen.keys().any(|name| name.starts_with("z-") || name.starts_with("z_")), "{seen:?}");
        (seen.get("authorization").cloned(), seen.get("cookie").cloned())
    };
    assert_eq!(told("/login"), (None, None));
    // Only where a session is renewed does the service look itself.
    assert_eq!(told("/access"), (Some(json!(bearer)), Some(json!("zuid=crumbs"))));
    assert_eq!(told("/access/logout"), (Some(json!(bearer)), Some(json!("zuid=crumbs"))));
}

#[test]
fn what_is_no_good_token_is_refused_as_clients_understand_it() {
    let world = World::start();
    let services = world.service("brig", &[10]);
    let user = UserId::random();
    let good = world.token(user, None);
    let access = || TokenKind::Access { connection: "1".to_owned() };
    let cases = [
        (401, String::new()),
        (401, "Bearer ".to_owned()),
        (401, "Bearer nonsense".to_owned()),
        (401, format!("Basic {good}")),
        (401, good.clone()),
        (401, format!("Bearer {}", good.replacen("u=", "u=0", 1))),
        (401, format!("Bearer {}", world.sign(user, None, access(), -1))),
        (403, format!("Bearer {}", world.sign(user, None, TokenKind::User { cookie: 1, session: false }, 900))),
    ];
    for (status, authorization) in cases {
        let reply = world.ask("GET", "/self", &[("Authorization", &authorization)]);
        reply.refused(status, if status == 401 { "unauthorized" } else { "access-denied" });
    }
    // In the query only where a browser cannot send it otherwise.
    world.ask("GET", &format!("/self?access_token={good}"), &[]).refused(401, "unauthorized");
    assert_eq!(services[0].taken(), 0);
}

#[test]
fn a_token_in_the_query_opens_a_websocket_and_goes_no_further() {
    let world = World::start();
    world.service("cannon", &[10]);
    let user = UserId::random();
    let token = world.token(user, None);
    let encoded = token.replace('=', "%3D");
    let queries = [
        (format!("access_token={token}"), ""),
        (format!("access_token={encoded}&client=1a2b"), "?client=1a2b"),
        (format!("client=1a2b&access_token={encoded}&sync_marker=x"), "?client=1a2b&sync_marker=x"),
        (format!("client=1a2b&access_token={token}"), "?client=1a2b&"),
        (format!("access_token={token}&access_token={token}"), "?"),
    ];
    for (query, left) in &queries[..4] {
        let reply = request(&world.websocket(), "GET", &format!("/v13/await?{query}"), &[], b"");
        assert_eq!(reply.status, 200, "{reply:?}");
        assert_eq!(reply.json()["path"], format!("/v13/await{left}"));
        assert_eq!(reply.json()["headers"]["z-user"], user.to_string());
    }
    // Two are one too many for whoever checks, and neither is passed on or logged.
    let reply = request(&world.websocket(), "GET", &format!("/await?{}", queries[4].0), &[], b"");
    reply.refused(401, "unauthorized");
    request(&world.websocket(), "GET", "/await?access_token=nonsense", &[], b"").refused(401, "unauthorized");
    request(&world.websocket(), "GET", "/await", &[], b"").refused(401, "unauthorized");
}
