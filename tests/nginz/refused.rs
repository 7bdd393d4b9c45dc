//! What the gateway answers by itself: web clients' questions, probes, counters.

use wire_api::domain::UserId;

use crate::http::{Reply, request};
use crate::world::World;

/// An answer's headers for web clients.
fn marks(reply: &Reply) -> Vec<(&str, &str)> {
    let headers = reply.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    headers.filter(|(name, _)| name.starts_with("access-control-")).collect()
}

#[test]
fn pages_of_the_sites_own_hosts_may_read_answers_and_others_may_not() {
    let world = World::start();
    world.service("brig", &[10]);
    let bearer = format!("Bearer {}", world.token(UserId::random(), None));
    for host in ["webapp", "account", "teams"] {
        let origin = format!("https://{host}.wire.example");
        let ask = [
            ("Origin", origin.as_str()),
            ("Access-Control-Request-Method", "PUT"),
            ("Access-Control-Request-Headers", "authorization,content-type"),
        ];
        let reply = world.ask("OPTIONS", "/v13/self", &ask);
        assert_eq!(reply.status, 204);
        let may_read = [
            ("access-control-allow-origin", origin.as_str()),
            ("access-control-allow-credentials", "true"),
            ("access-control-expose-headers", "Request-Id, Retry-After, Location"),
        ];
        let may_send = [
            ("access-control-allow-methods", "GET, HEAD, POST, PUT, DELETE"),
            ("access-control-allow-headers", "authorization,content-type"),
            ("access-control-max-age", "86400"),
        ];
        assert_eq!(marks(&reply), [&may_read[..], &may_send[..]].concat());
        // An answer may be read whatever it says and whoever says it.
        for authorization in [bearer.as_str(), ""] {
            let reply = world.ask("GET", "/self", &[("Origin", &origin), ("Authorization", authorization)]);
            assert_eq!(reply.status, if authorization.is_empty() { 401 } else { 200 });
            assert_eq!(marks(&reply), may_read);
            assert_eq!(reply.header("vary"), Some("Origin"));
        }
    }
    let strangers =
        ["https://evil.example", "http://webapp.wire.example", "https://webapp.wire.example.evil.example", "null"];
    for origin in strangers {
        let ask = [("Origin", origin), ("Access-Control-Request-Method", "PUT")];
        let reply = world.ask("OPTIONS", "/self", &ask);
        assert_eq!((reply.status, marks(&reply)), (401, Vec::new()), "{origin}");
        let reply = world.ask("GET", "/self", &[("Origin", origin), ("Authorization", &bearer)]);
        assert_eq!((reply.status, marks(&reply)), (200, Vec::new()), "{origin}");
    }
}

#[test]
fn probes_and_counters_are_answered_and_not_logged() {
    let world = World::start();
    for address in [world.rest(), world.websocket()] {
        assert_eq!(request(&address, "GET", "/status", &[], b"").status, 200);
    }
    let counters = String::from_utf8(request(&world.metrics(), "GET", "/metrics", &[], b"").body).unwrap();
    let names: Vec<_> = counters.lines().map(|line| line.split_once(' ').unwrap()).collect();
    for name in ["active", "reading", "writing", "waiting"] {
        let (_, value) = names.iter().find(|(known, _)| *known == format!("nginx_connections_{name}")).unwrap();
        value.parse::<u64>().unwrap();
    }
    let totals = String::from_utf8(request(&world.metrics(), "GET", "/stub_status", &[], b"").body).unwrap();
    assert!(totals.contains("server accepts handled requests"), "{totals}");
    assert_eq!(request(&world.metrics(), "GET", "/self", &[], b"").status, 404);
    assert!(world.log().is_empty(), "{:?}", world.log());
}
