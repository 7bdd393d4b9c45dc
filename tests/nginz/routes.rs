//! The table and the services that are served: neither has what the other lacks.

use std::collections::BTreeSet;

use wire_api::domain::UserId;
use wire_api::http::Access;
use wire_api::services::{Service, internal};
use wire_deploy::workloads::nginz::routes::ROUTES;

use crate::http::request;
use crate::world::World;

/// Services as the backend's programs are told to be, and as they are named in the cluster.
const SERVICES: [(Service, &str); 6] = [
    (Service::Brig, "brig"),
    (Service::Cannon, "cannon"),
    (Service::Cargohold, "cargohold"),
    (Service::Galley, "galley"),
    (Service::Gundeck, "gundeck"),
    (Service::Spar, "spar"),
];

/// A path that a route's pattern fits.
fn example(pattern: &str) -> String {
    let segments = pattern.split('/').map(|segment| match segment.strip_prefix('{') {
        Some(name) => format!("a-{}", name.trim_end_matches('}')),
        None => segment.to_owned(),
    });
    segments.collect::<Vec<_>>().join("/")
}

#[test]
fn every_route_of_the_services_is_reached_by_whom_it_is_for_and_every_row_is_used() {
    let world = World::start();
    for (at, (_, name)) in SERVICES.iter().enumerate() {
        world.service(name, &[10 + u8::try_from(at).unwrap()]);
    }
    let mut senders = 0_u32;
    for (service, name) in SERVICES {
        for route in service.routes().table() {
            let (method, path) = (route.method.as_str(), example(route.path));
            let is_socket = route.access == Access::Socket;
            let address = if is_socket { world.websocket() } else { world.rest() };
            // Whoever sends does so once only, so that no limit is reached.
            let mut send = |path: &str, headers: &[(&str, &str)]| {
                senders += 1;
                let from = format!("10.1.{}.{}", senders / 256, senders % 256);
                let reply = request(&address, method, path, &[&[("X-Forwarded-For", &*from)], headers].concat(), b"");
                (reply.status, reply.header("served-by").map(str::to_owned))
            };
            let reached = (200, Some(name.to_owned()));
            let bearer = format!("Bearer {}", world.token(UserId::random(), None));
            for versioned in [path.clone(), format!("/v15{path}")] {
                assert_eq!(send(&versioned, &[("Authorization", &bearer)]), reached, "{method} {versioned}");
                let is_for_anybody = [Access::Public, Access::Cookie].contains(&route.access);
                let expected = if is_for_anybody { reached.clone() } else { (401, None) };
                assert_eq!(send(&versioned, &[]), expected, "{method} {versioned} without a token");
            }
            if is_socket {
                let token = world.token(UserId::random(), None);
                assert_eq!(send(&format!("{path}?access_token={token}"), &[]), reached, "{path}");
            }
        }
    }
    let last = world.logged(|line| line["route"] == "/scim/**");
    assert_eq!(last["port"], "rest");
    let used: BTreeSet<String> = world.log().iter().map(|line| line["route"].as_str().unwrap().to_owned()).collect();
    let rows: BTreeSet<String> = ROUTES.iter().map(|route| route.pattern.to_owned()).collect();
    assert_eq!(used, rows);
}

#[test]
fn nothing_internal_is_reached() {
    let world = World::start();
    let services: Vec<_> = SERVICES
        .iter()
        .enumerate()
        .flat_map(|(at, (_, name))| world.service(name, &[10 + u8::try_from(at).unwrap()]))
        .collect();
    let bearer = format!("Bearer {}", world.token(UserId::random(), None));
    let table = internal::routes(&[]);
    assert!(table.table().len() > 3);
    let internal = table.table().iter().map(|route| (route.method.as_str(), example(route.path)));
    let paths =
        ["/", "/v15", "/v15/", "/v/self", "/selfish", "/unknown", "/_check", "/status/more", "/self%2f..%2fi/status"];
    for (method, path) in internal.chain(paths.map(|path| ("GET", path.to_owned()))) {
        for path in [path.clone(), format!("/v3{path}"), format!("/self/..{path}"), format!("/{path}")] {
            for address in [world.rest(), world.websocket()] {
                request(&address, method, &path, &[("Authorization", &bearer)], b"").refused(404, "no-endpoint");
            }
        }
    }
    // A port has what it is for and nothing else.
    request(&world.websocket(), "GET", "/self", &[("Authorization", &bearer)], b"").refused(404, "no-endpoint");
    request(&world.rest(), "GET", "/await", &[("Authorization", &bearer)], b"").refused(404, "no-endpoint");
    assert_eq!(services.iter().map(crate::service::Service::taken).sum::<usize>(), 0);
}
