//! Websockets against a real listener.

use std::sync::Arc;
use std::time::Duration;

use axum::http::Method;
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};
use wire_api::config::Config;
use wire_api::domain::ClientId;
use wire_api::domain::user::AccountStatus;
use wire_api::server;
use wire_api::services::Service;

use super::world::{PASSWORD, Person, World};

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// The world's backend on a port, until dropped.
struct Listening {
    address: String,
    end: Option<oneshot::Sender<()>>,
    ended: tokio::task::JoinHandle<std::io::Result<()>>,
}

async fn listen(world: &World) -> Listening {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (end, ending) = oneshot::channel();
    let until = async {
        let _ = ending.await;
    };
    let ended = tokio::spawn(server::serve(listener, Arc::clone(&world.app), server::public(&Service::ALL), until));
    Listening { address, end: Some(end), ended }
}

async fn connect(listening: &Listening, path: &str) -> Socket {
    let (socket, _) = connect_async(format!("ws://{}{path}", listening.address)).await.unwrap();
    socket
}

fn await_path(person: &Person) -> String {
    format!("/await?access_token={}&client={}", person.token, person.client)
}

/// The next frame that is no ping of the protocol.
async fn next(socket: &mut Socket) -> Message {
    loop {
        let frame = tokio::time::timeout(Duration::from_secs(10), socket.next())
            .await
            .expect("a frame")
            .expect("an open socket")
            .unwrap();
        if !frame.is_ping() {
            return frame;
        }
    }
}

async fn next_json(socket: &mut Socket) -> Value {
    serde_json::from_str(next(socket).await.to_text().unwrap()).unwrap()
}

#[tokio::test]
async fn notifications_come_as_they_are_in_the_log_and_pings_are_answered() {
    let world = World::new();
    let listening = listen(&world).await;
    let (ann, bob) = (world.person().await, world.person().await);
    let mut socket = connect(&listening, &await_path(&bob)).await;
    socket.send(Message::text("ping")).await.unwrap();
    assert_eq!(next(&mut socket).await, Message::text("pong"));
    world.connect(&ann, &bob).await;
    let first = next_json(&mut socket).await;
    assert_eq!(first["payload"][0]["type"], "user.connection");
    let log = world.get(&bob, &format!("/notifications?client={}", bob.client)).await.expect(200);
    assert!(log["notifications"].as_array().unwrap().iter().any(|entry| entry["id"] == first["id"]));
}

#[tokio::test]
async fn typing_is_told_now_and_kept_nowhere() {
    let world = World::new();
    let listening = listen(&world).await;
    let (ann, bob) = (world.person().await, world.person().await);
    let conversation = world.connect(&ann, &bob).await;
    let mut socket = connect(&listening, &await_path(&bob)).await;
    world.post(&ann, &format!("/conversations/{conversation}/typing"), json!({"status": "started"})).await.expect(200);
    let frame = next_json(&mut socket).await;
    assert_eq!((&frame["transient"], &frame["payload"][0]["data"]["status"]), (&json!(true), &json!("started")));
    assert!(world.events(&bob).await.iter().all(|event| event["type"] != "conversation.typing"));
}

#[tokio::test]
async fn a_bad_token_or_a_device_that_is_not_ones_own_opens_no_socket() {
    let world = World::new();
    let listening = listen(&world).await;
    let (ann, bob) = (world.person().await, world.person().await);
    let foreign = format!("/await?access_token={}&client={}", ann.token, bob.client);
    for (path, status) in [("/await?access_token=nonsense", 401), ("/await", 401), (foreign.as_str(), 403)] {
        let Err(tokio_tungstenite::tungstenite::Error::Http(response)) =
            connect_async(format!("ws://{}{path}", listening.address)).await
        else {
            panic!("{path} opens a socket")
        };
        assert_eq!(response.status(), status, "{path}");
    }
}

#[tokio::test]
async fn the_acknowledged_stream_repeats_what_was_not_acknowledged() {
    let world = World::new();
    let listening = listen(&world).await;
    let (ann, bob) = (world.person().await, world.person().await);
    let path = format!("/v9/events?access_token={}&client={}&sync_marker=here", bob.token, bob.client);
    world.connect(&ann, &bob).await;
    let read = async |socket: &mut Socket| {
        let mut frames = Vec::new();
        loop {
            let frame = next_json(socket).await;
            if frame["type"] == "synchronization" {
                assert_eq!(frame["data"]["marker_id"], "here");
                return frames;
            }
            frames.push(frame);
        }
    };
    let mut socket = connect(&listening, &path).await;
    let first = read(&mut socket).await;
    assert!(first.len() > 1);
    // The first is acknowledged; its tag alone, so the others come again.
    let acknowledge =
        json!({"type": "ack", "data": {"delivery_tag": first[0]["data"]["delivery_tag"], "multiple": false}});
    socket.send(Message::text(acknowledge.to_string())).await.unwrap();
    socket.close(None).await.unwrap();
    while socket.next().await.is_some() {}
    let mut socket = connect(&listening, &path).await;
    let second = read(&mut socket).await;
    let ids =
        |frames: &[Value]| frames.iter().map(|frame| frame["data"]["event"]["id"].to_string()).collect::<Vec<_>>();
    assert_eq!(ids(&second), ids(&first[1..]));
}

#[tokio::test]
async fn a_removed_devices_socket_is_closed() {
    let world = World::new();
    let listening = listen(&world).await;
    let ann = world.person().await;
    let mut socket = connect(&listening, &await_path(&ann)).await;
    world.delete(&ann, &format!("/clients/{}", ann.client), json!({"password": PASSWORD})).await.expect(200);
    expect_removed(&mut socket).await;
}

async fn expect_removed(socket: &mut Socket) {
    loop {
        if let Message::Close(frame) = next(socket).await {
            assert_eq!(u16::from(frame.unwrap().code), 1008);
            return;
        }
    }
}

#[tokio::test]
async fn who_missed_that_a_device_was_removed_finds_out() {
    let world = World::new();
    let listening = listen(&world).await;
    let ann = world.person().await;
    let mut notifications = connect(&listening, &await_path(&ann)).await;
    let mut events = connect(&listening, &format!("/v9/events?access_token={}&client={}", ann.token, ann.client)).await;
    let (user, client) = (ann.id.parse().unwrap(), ann.client.parse().unwrap());
    assert!(world.app.store.clients.delete(user, client).await.unwrap());
    // More than wait for a slow websocket, and none of them about this device.
    for other in 1..100 {
        world.app.push.client_gone(user, ClientId(other));
    }
    expect_removed(&mut notifications).await;
    expect_removed(&mut events).await;
}

#[tokio::test]
async fn a_server_that_ends_lets_its_sockets_go_and_takes_no_more() {
    let mut config = Config::default();
    config.limits.drain_seconds = 1;
    let world = World::with(config);
    let mut listening = listen(&world).await;
    let ann = world.person().await;
    let mut socket = connect(&listening, &await_path(&ann)).await;
    listening.end.take().unwrap().send(()).unwrap();
    let Message::Close(Some(frame)) = next(&mut socket).await else { panic!("no close") };
    assert_eq!(u16::from(frame.code), 1001);
    drop(socket);
    tokio::time::timeout(Duration::from_secs(5), listening.ended).await.expect("the server ends").unwrap().unwrap();
    assert!(world.call(&ann.token, Method::GET, "/self", None).await.status == 200, "what is under way is answered");
}

#[tokio::test]
async fn a_server_that_ends_finishes_what_nobody_waits_for_any_more() {
    let world = World::new();
    let mut listening = listen(&world).await;
    let ann = world.person().await;
    let body = json!({"password": PASSWORD}).to_string();
    let request = format!(
        "DELETE /self HTTP/1.1\r\nhost: wire\r\nauthorization: Bearer {}\r\ncontent-length: {}\r\n\r\n{body}",
        ann.token,
        body.len()
    );
    let mut client = TcpStream::connect(&listening.address).await.unwrap();
    client.write_all(request.as_bytes()).await.unwrap();
    let begun = async {
        while !world.app.metrics.text().contains("wire_api_changes_under_way 1\n") {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), begun).await.expect("the deletion begins");
    drop(client);
    listening.end.take().unwrap().send(()).unwrap();
    tokio::time::timeout(Duration::from_secs(30), listening.ended).await.expect("the server ends").unwrap().unwrap();
    let user = world.app.store.users.get(ann.id.parse().unwrap()).await.unwrap().unwrap();
    assert_eq!((user.status, user.email), (AccountStatus::Deleted, None));
}
