//! How often, and how much.

use std::time::{Duration, Instant};

use wire_api::domain::UserId;

use crate::http::{self, Reply, request};
use crate::service::Manner;
use crate::world::World;

/// How many of some requests sent at once pass, that the others are told to slow down, and how long it took.
fn passing(count: usize, send: impl Fn() -> Reply + Sync) -> (usize, f64) {
    let start = Instant::now();
    let replies: Vec<Reply> = std::thread::scope(|scope| {
        let senders: Vec<_> =
            (0..8).map(|_| scope.spawn(|| (0..count / 8).map(|_| send()).collect::<Vec<_>>())).collect();
        senders.into_iter().flat_map(|sender| sender.join().unwrap()).collect()
    });
    let seconds = start.elapsed().as_secs_f64();
    let passed = replies.iter().filter(|reply| reply.status == 200).count();
    for reply in replies.iter().filter(|reply| reply.status != 200) {
        reply.refused(420, "too-many-requests");
        assert_eq!(reply.header("retry-after"), Some("1"));
    }
    (passed, seconds)
}

#[test]
fn a_user_may_send_so_much_and_no_other_user_is_bothered() {
    let world = World::start();
    world.service("brig", &[10]);
    let bearer = |user| format!("Bearer {}", world.token(user, None));
    let (one, other) = (bearer(UserId::random()), bearer(UserId::random()));
    // Whatever the token, the path and the address: it is the user who is counted.
    let (passed, seconds) = passing(400, || world.ask("GET", "/self", &[("Authorization", &one)]));
    let most = 21.0 + 30.0 * seconds + 1.0;
    assert!(passed >= 21 && (passed as f64) <= most, "{passed} passed in {seconds} s");
    assert!(passed < 400, "all passed, in {seconds} s: this machine is too slow to be limited");
    assert_eq!(world.ask("GET", "/self", &[("Authorization", &other)]).status, 200);
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(world.ask("GET", "/self", &[("Authorization", &one)]).status, 200);
    assert_eq!(world.logged(|line| line["status"] == 420)["route"], "/self/**");
}

#[test]
fn an_address_without_a_user_may_try_a_route_so_often_under_whatever_name() {
    let world = World::start();
    world.service("brig", &[10]);
    world.service("spar", &[11]);
    let post = |path: &str, from: &str| world.ask("POST", path, &[("X-Forwarded-For", from)]);
    for (path, other_path, burst) in [
        ("/login", "/v3/login", 11),
        ("/password-reset/key1", "/v1/password-reset/key2", 11),
        ("/sso/get-by-email", "/v8/sso/get-by-email", 16),
    ] {
        let start = Instant::now();
        let replies: Vec<Reply> =
            (0..40).map(|at| post(if at % 2 == 0 { path } else { other_path }, "198.51.100.7")).collect();
        let passed = replies.iter().filter(|reply| reply.status == 200).count();
        // One more each four seconds.
        let more = usize::try_from(start.elapsed().as_secs()).unwrap() / 4 + 1;
        assert!((burst..=burst + more).contains(&passed), "{path}: {passed}");
        replies[39].refused(420, "too-many-requests");
        assert_eq!(post(path, "198.51.100.8").status, 200, "{path}");
    }
    // Single sign-on takes several requests: 50 a second, and ten at once more.
    let (passed, seconds) = passing(400, || world.ask("GET", "/sso/settings", &[("X-Forwarded-For", "198.51.100.7")]));
    assert!(passed >= 11 && (passed as f64) <= 12.0 + 50.0 * seconds, "{passed} passed in {seconds} s");
    assert!(passed < 400, "all passed, in {seconds} s: this machine is too slow to be limited");
    // Sessions are renewed, and versions asked for, as often as it takes.
    let (passed, _) = passing(80, || world.ask("POST", "/access", &[("X-Forwarded-For", "198.51.100.7")]));
    assert_eq!(passed, 80);
    let (passed, _) = passing(80, || world.ask("GET", "/api-version", &[("X-Forwarded-For", "198.51.100.7")]));
    assert_eq!(passed, 80);
}

#[test]
fn so_many_requests_may_be_under_way_at_the_same_time() {
    let world = World::start();
    for (service, pod) in [("brig", 10), ("spar", 11)] {
        world.service(service, &[pod])[0].behave(Manner::IsSilent);
    }
    let bearer = format!("Bearer {}", world.token(UserId::random(), None));
    let of_user = [("Authorization", bearer.as_str())];
    let of_address = [("X-Forwarded-For", "198.51.100.7")];
    // Slowly enough that no rate is met.
    for (path, headers, most, pause) in [
        ("/self", &of_user, 75, Duration::from_millis(40)),
        ("/sso/settings", &of_address, 20, Duration::from_millis(25)),
    ] {
        let begin = || http::begin(&world.rest(), "GET", path, headers, b"");
        let under_way: Vec<_> = (0..most).map(|_| (begin(), std::thread::sleep(pause))).collect();
        world.ask("GET", path, headers).refused(420, "too-many-requests");
        drop(under_way);
    }
    let refused = world.log().iter().filter(|line| line["status"] == 420).count();
    assert_eq!(refused, 2, "one more than may be, of each");
}

#[test]
fn bodies_may_be_as_large_as_their_kind() {
    let world = World::start();
    world.service("brig", &[10]);
    world.service("galley", &[11]);
    world.service("cargohold", &[12]);
    let bearer = format!("Bearer {}", world.token(UserId::random(), None));
    let send =
        |path: &str, bytes: usize| request(&world.rest(), "POST", path, &[("Authorization", &bearer)], &vec![0; bytes]);
    const MEGABYTE: usize = 1024 * 1024;
    for (path, limit) in [
        ("/handles", MEGABYTE / 2),
        ("/conversations/a/otr/messages", 40 * MEGABYTE),
        ("/conversations/a/b/proteus/messages", 40 * MEGABYTE),
        ("/mls/commit-bundles", 70 * MEGABYTE),
    ] {
        let reply = send(path, limit);
        assert_eq!((reply.status, reply.json()["body"].as_u64()), (200, Some(limit as u64)), "{path}");
        send(path, limit + 1).refused(413, "request-entity-too-large");
    }
    let reply = send("/assets", 100 * MEGABYTE);
    assert_eq!(reply.json()["body"], 100 * MEGABYTE);
    // A body that does not say how long it is, is refused when it is too long.
    let mut chunked = b"100000\r\n".to_vec();
    chunked.extend(vec![0; MEGABYTE]);
    chunked.extend(b"\r\n0\r\n\r\n");
    let headers = [("Authorization", bearer.as_str()), ("Transfer-Encoding", "chunked")];
    let reply = request(&world.rest(), "POST", "/handles", &headers, &chunked);
    reply.refused(413, "request-entity-too-large");
    let reply = request(&world.rest(), "POST", "/assets", &headers, &chunked);
    assert_eq!(reply.json()["body"], MEGABYTE);
}
