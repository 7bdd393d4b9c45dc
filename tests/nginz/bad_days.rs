//! Something dies, and what clients see of it.

use std::time::{Duration, Instant};

use wire_api::domain::UserId;

use crate::service::Manner;
use crate::world::World;

#[test]
fn without_the_check_of_tokens_nobody_passes_who_needs_one_and_then_again() {
    let world = World::start();
    world.service("brig", &[10]);
    let bearer = format!("Bearer {}", world.token(UserId::random(), None));
    let own = || world.ask("GET", "/self", &[("Authorization", &bearer)]);
    assert_eq!(own().status, 200);
    world.kill_auth();
    for _ in 0..3 {
        let reply = own();
        reply.refused(503, "service-unavailable");
        assert_eq!(reply.header("retry-after"), Some("1"));
    }
    let socket = format!("/await?access_token={}", world.token(UserId::random(), None));
    crate::http::request(&world.websocket(), "GET", &socket, &[], b"").refused(503, "service-unavailable");
    assert_eq!(world.logged(|line| line["status"] == 503)["check"], "502");
    // Whoever needs no token is not bothered.
    assert_eq!(world.ask("POST", "/login", &[]).status, 200);
    world.start_auth();
    assert_eq!(own().status, 200);
}

#[test]
fn a_dead_pod_costs_nobody_a_request_that_can_be_repeated() {
    let world = World::start();
    let pods = world.service("brig", &[10]);
    // The name still has an address where nobody listens.
    world.names.set("brig", &[world.address(10), world.address(20)]);
    for _ in 0..30 {
        let bearer = format!("Bearer {}", world.token(UserId::random(), None));
        for method in ["GET", "PUT", "DELETE", "POST"] {
            // Nothing was sent to it, so that even what may not be done twice is sent to the other one.
            assert_eq!(world.ask(method, "/self", &[("Authorization", &bearer)]).status, 200, "{method}");
        }
    }
    assert_eq!(pods[0].taken(), 120);
    let line = world.logged(|line| line["port"] == "inner");
    let dead = world.address(20).to_string();
    assert!(line["upstreams"].as_str().unwrap().starts_with(&dead), "{line}");
    assert_eq!((&line["service"], &line["statuses"]), (&"brig".into(), &"502, 200".into()), "{line}");
}

#[test]
fn a_pod_that_breaks_off_is_asked_again_elsewhere_only_for_what_may_be_done_twice() {
    let world = World::start();
    let pods = world.service("galley", &[10, 11]);
    world.names.set_whole("galley", world.address(11));
    for manner in [Manner::BreaksOff, Manner::IsEnding] {
        pods[0].behave(manner);
        let (mut passed, mut refused) = (0, 0);
        for _ in 0..40 {
            let bearer = format!("Bearer {}", world.token(UserId::random(), None));
            for method in ["GET", "PUT", "DELETE"] {
                let reply = world.ask(method, "/conversations/a/name", &[("Authorization", &bearer)]);
                assert_eq!(reply.status, 200, "{method}");
            }
            let before = pods[0].taken() + pods[1].taken();
            let reply = world.ask("POST", "/conversations", &[("Authorization", &bearer)]);
            assert_eq!(pods[0].taken() + pods[1].taken(), before + 1, "a POST was sent twice");
            match reply.status {
                200 => passed += 1,
                // What the pod itself says passes as it is.
                503 if manner == Manner::IsEnding => refused += 1,
                _ => {
                    reply.refused(503, "service-unavailable");
                    refused += 1;
                }
            }
        }
        assert!(passed > 5 && refused > 5, "{passed} passed, {refused} were refused");
    }
}

#[test]
fn a_service_that_is_silent_is_given_up_and_not_asked_twice() {
    let world = World::with_patience(2);
    let pods = world.service("gundeck", &[10]);
    world.names.set_whole("gundeck", world.address(10));
    pods[0].behave(Manner::IsSilent);
    let bearer = format!("Bearer {}", world.token(UserId::random(), None));
    world.ask("POST", "/push/tokens", &[("Authorization", &bearer)]).refused(504, "gateway-timeout");
    assert_eq!(pods[0].taken(), 1);
}

#[test]
fn names_that_are_late_cost_nobody_a_request() {
    let world = World::start();
    world.service("brig", &[10]);
    world.names.set("brig", &[world.address(20), world.address(21)]);
    world.names.set_whole("brig", world.address(10));
    let bearer = format!("Bearer {}", world.token(UserId::random(), None));
    for method in ["GET", "PUT", "DELETE", "POST"] {
        let reply =
            crate::http::request(&world.rest(), method, "/self?a=1", &[("Authorization", &bearer)], b"all of it");
        assert_eq!((reply.status, reply.json()["body"].as_u64()), (200, Some(9)), "{method}");
        assert_eq!(reply.json()["path"], "/self?a=1");
    }
    let line = world.logged(|line| line["port"] == "inner");
    assert_eq!((line["status"].as_u64(), &line["statuses"]), (Some(200), &"502, 502 : 200".into()), "{line}");
}

#[test]
fn a_service_that_is_not_there_is_told_as_such_and_found_when_it_comes() {
    let world = World::start();
    let bearer = format!("Bearer {}", world.token(UserId::random(), None));
    let ask = || world.ask("GET", "/time", &[("Authorization", &bearer)]);
    // No such name, and then a name without a pod that lives.
    ask().refused(503, "service-unavailable");
    world.names.set("gundeck", &[world.address(20)]);
    crate::world::wait_for("the name to be looked up again", || {
        ask().refused(503, "service-unavailable");
        world.log().iter().any(|line| line["statuses"].as_str().is_some_and(|statuses| statuses.starts_with("502")))
    });
    world.service("gundeck", &[10]);
    crate::world::wait_for("gundeck", || ask().status == 200);
}

#[test]
fn names_whose_answers_do_not_come_are_asked_for_on_another_socket() {
    let world = World::start();
    world.service("brig", &[10]);
    let bearer = format!("Bearer {}", world.token(UserId::random(), None));
    let ask = || world.ask("GET", "/self", &[("Authorization", &bearer)]);
    crate::world::wait_for("a worker that has asked on both of its sockets", || {
        assert_eq!(ask().status, 200);
        std::thread::sleep(Duration::from_millis(200));
        world.names.sockets() > 1
    });
    world.names.deafen_the_first();
    let (start, mut slowest) = (Instant::now(), Duration::ZERO);
    while start.elapsed() < Duration::from_secs(15) {
        let asked = Instant::now();
        assert_eq!(ask().status, 200, "after {:?}", start.elapsed());
        slowest = slowest.max(asked.elapsed());
        std::thread::sleep(Duration::from_millis(100));
    }
    assert!(slowest < Duration::from_secs(8), "{slowest:?}");
}
