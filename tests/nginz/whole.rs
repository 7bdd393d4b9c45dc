//! A whole backend behind the gateway: users who log in, websockets, and what `wire-deploy smoke` does.

use std::time::Duration;

use assert_cmd::Command;
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

use crate::http::{Reply, request};
use crate::world::World;

const PASSWORD: &str = "correct horse battery";

/// What a log-in gives.
struct Session {
    token: String,
    cookie: String,
}

fn post(world: &World, path: &str, headers: &[(&str, &str)], body: &Value) -> Reply {
    let json = [("Content-Type", "application/json")];
    request(&world.rest(), "POST", path, &[&json[..], headers].concat(), body.to_string().as_bytes())
}

/// Registers a user and logs in.
fn log_in(world: &World) -> Session {
    let email = format!("{}@wire.example", uuid::Uuid::new_v4());
    let user = json!({"name": "Somebody", "email": email, "password": PASSWORD});
    assert_eq!(post(world, "/v13/register", &[], &user).status, 201);
    let reply = post(world, "/v13/login?persist=true", &[], &json!({"email": email, "password": PASSWORD}));
    assert_eq!(reply.status, 200, "{reply:?}");
    let token = reply.json()["access_token"].as_str().unwrap().to_owned();
    let cookie = reply.header("set-cookie").unwrap().split(';').next().unwrap().to_owned();
    world.keeps_secret(&token);
    world.keeps_secret(cookie.trim_start_matches("zuid="));
    Session { token, cookie }
}

#[test]
fn the_smoke_test_passes_through_the_gateway() {
    let world = World::start();
    world.start_backend();
    let folder = tempfile::tempdir().unwrap();
    let (rest, websocket) = (format!("http://{}", world.rest()), format!("ws://{}", world.websocket()));
    let mut smoke = Command::cargo_bin("wire-deploy").unwrap();
    smoke.current_dir(folder.path()).args(["smoke", "--rest", &rest, "--websocket", &websocket]);
    let output = smoke.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    for step in ["log in", "send a message that arrives on the websocket", "upload a file and fetch it"] {
        assert!(said.contains(&format!("{step}: done")), "{said}");
    }
    // Not a single request went astray; the last two try whether the users are gone.
    let log = world.log();
    assert!(log.len() > 20);
    for line in &log {
        let status = line["status"].as_u64().unwrap();
        assert!(line["route"] != "-" && (status < 400 || (status == 403 && line["route"] == "/login")), "{line}");
    }
}

#[test]
fn a_session_is_renewed_by_its_cookie_and_ends() {
    let world = World::start();
    world.start_backend();
    let session = log_in(&world);
    let own = |token: &str| world.ask("GET", "/v13/self", &[("Authorization", &format!("Bearer {token}"))]);
    assert_eq!(own(&session.token).json()["name"], "Somebody");
    let cookie = session.cookie.as_str();
    let renewed = post(&world, "/access", &[("Cookie", cookie)], &Value::Null);
    assert_eq!(renewed.status, 200, "{renewed:?}");
    let token = renewed.json()["access_token"].as_str().unwrap().to_owned();
    world.keeps_secret(&token);
    assert_eq!(own(&token).status, 200);
    // The cookie's own token is no access token.
    own(cookie.trim_start_matches("zuid=")).refused(403, "access-denied");
    let bearer = format!("Bearer {token}");
    let both = [("Cookie", cookie), ("Authorization", bearer.as_str())];
    assert_eq!(post(&world, "/access/logout", &both, &Value::Null).status, 200);
    assert_eq!(post(&world, "/access", &[("Cookie", cookie)], &Value::Null).status, 403);
}

/// Opens a websocket as browsers do, with the token in the query.
async fn open(world: &World, session: &Session) -> WebSocketStream<TcpStream> {
    let address = world.websocket();
    let stream = TcpStream::connect(&address).await.unwrap();
    let token = session.token.replace('=', "%3D");
    let url = format!("ws://{address}/await?access_token={token}");
    tokio_tungstenite::client_async(url, stream).await.unwrap().0
}

/// Whether a websocket still answers.
async fn answers(socket: &mut WebSocketStream<TcpStream>) -> bool {
    if socket.send(Message::text("ping")).await.is_err() {
        return false;
    }
    let answer = async {
        while let Some(Ok(frame)) = socket.next().await {
            if !frame.is_ping() && !frame.is_pong() {
                return frame.into_data() == "pong";
            }
        }
        false
    };
    timeout(Duration::from_secs(20), answer).await.unwrap_or(false)
}

#[tokio::test]
async fn a_websocket_outlives_a_reload_and_the_check_of_tokens() {
    let world = World::start();
    world.start_backend();
    let session = log_in(&world);
    let mut before = open(&world, &session).await;
    assert!(answers(&mut before).await);
    world.reload();
    crate::world::wait_for("the former workers to leave", || world.is_reloaded());
    let mut after = open(&world, &session).await;
    world.kill_auth();
    for _ in 0..3 {
        assert!(answers(&mut before).await, "the one from before the reload ended");
        assert!(answers(&mut after).await, "the one from after the reload ended");
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}
