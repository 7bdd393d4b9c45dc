//! What wire-api costs with its store in memory: a socket's memory, a message's way, a large group's fan-out. Prints, asserts nothing.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};
use wire_api::app::App;
use wire_api::domain::UserId;
use wire_api::domain::notification::NewNotification;
use wire_api::domain::user::{AccountStatus, User};
use wire_api::push::LocalHints;
use wire_api::server;
use wire_api::services::Service;
use wire_api::store::memory;
use wire_api::token::{Token, TokenKind};

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

const SOCKETS: usize = 1000;
const MESSAGES: usize = 300;
const MEMBERS: usize = 500;

#[tokio::main]
async fn main() {
    let began = Instant::now();
    let folder = tempfile::tempdir().unwrap();
    let config = serde_saphyr::from_str("limits: {user_rate: null, address_rate: null}\n").unwrap();
    let app = App::new(config, memory::store(folder.path().to_owned()), Arc::new(LocalHints::default())).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(server::serve(listener, app.clone(), server::public(&Service::ALL), std::future::pending()));
    println!("listening after {:?}, {} KiB resident", began.elapsed(), resident());

    // The clients are in this process, too: their ends are counted.
    let idle = user(&app).await;
    let before = resident();
    let mut sockets = Vec::new();
    for _ in 0..SOCKETS {
        sockets.push(connect(&app, &address, idle).await);
    }
    println!("an idle websocket, both ends: {:.1} KiB", (resident() - before) as f64 / SOCKETS as f64);
    drop(sockets);

    let (mut floor, mut way) = (Vec::new(), Vec::new());
    let (alone, heard) = (user(&app).await, user(&app).await);
    let mut socket = connect(&app, &address, heard).await;
    for _ in 0..MESSAGES {
        let start = Instant::now();
        app.store.notifications.append(notification(alone)).await.unwrap();
        floor.push(start.elapsed());
        let start = Instant::now();
        app.push.send(vec![notification(heard)]).await.unwrap();
        next(&mut socket).await;
        way.push(start.elapsed());
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    println!("the log's own write: {}", spread(floor));
    println!("from its sending to the other's websocket: {}", spread(way));

    let mut members = Vec::new();
    for _ in 0..MEMBERS {
        members.push(user(&app).await);
    }
    let mut socket = connect(&app, &address, members[MEMBERS - 1]).await;
    for count in [MEMBERS / 5, MEMBERS] {
        let start = Instant::now();
        app.push.send(members[MEMBERS - count..].iter().map(|user| notification(*user)).collect()).await.unwrap();
        next(&mut socket).await;
        println!(
            "a message to {count}: {:?}, {:?} each",
            start.elapsed(),
            start.elapsed() / u32::try_from(count).unwrap()
        );
    }
}

async fn user(app: &App) -> UserId {
    let user = User {
        id: UserId::random(),
        name: "Somebody".to_owned(),
        email: None,
        handle: None,
        accent_id: 1,
        assets: Vec::new(),
        locale: "en".to_owned(),
        text_status: None,
        team: None,
        supported_protocols: Vec::new(),
        status: AccountStatus::Active,
        searchable: false,
    };
    app.store.users.insert(&user).await.unwrap();
    user.id
}

async fn connect(app: &App, address: &str, user: UserId) -> Socket {
    let expires = wire_api::domain::Time::now().seconds() + 900;
    let token = Token { expires, user, kind: TokenKind::Access { connection: "1".to_owned() }, client: None };
    let token = app.signer.as_ref().unwrap().sign(&token);
    connect_async(format!("ws://{address}/await?access_token={token}")).await.unwrap().0
}

async fn next(socket: &mut Socket) {
    while !socket.next().await.unwrap().unwrap().is_text() {}
}

fn notification(user: UserId) -> NewNotification {
    NewNotification {
        user,
        clients: None,
        payload: vec![json!({"type": "bench", "data": "x".repeat(500)})],
        origin: None,
    }
}

fn spread(mut times: Vec<Duration>) -> String {
    times.sort();
    format!("median {:?}, 99th percentile {:?}", times[times.len() / 2], times[times.len() * 99 / 100])
}

/// Memory of this process in KiB.
fn resident() -> i64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
