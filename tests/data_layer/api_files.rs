//! `wire-api`'s files on MinIO: the store's promises, also while a server is down; one as large as may be; and those that expire.

use std::fs;
use std::sync::Arc;

use futures_util::{StreamExt as _, stream};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use wire_api::app::App;
use wire_api::config::{Authentication, Config};
use wire_api::domain::UserId;
use wire_api::domain::asset::{AssetKey, AssetMeta, Retention};
use wire_api::push::LocalHints;
use wire_api::server;
use wire_api::services::Service;

use crate::api_stores::{config, store, without};
use crate::common::phases::Phases;
use crate::common::world::{World, runtime};
use crate::suite;
use crate::traffic::Work;

pub fn phases(phases: &mut Phases, world: &World) {
    phases.run("api server: files keep their promises, also while a server is down", || files(world));
    phases.run("api server: a file of 100 MiB passes through little memory", || large_file(world));
    phases.run("api server: files of limited life expire in MinIO", || expiring(world));
}

fn files(world: &World) {
    let config = config(world);
    // One process, which knows what became of which server.
    let (runtime, store) = (runtime(), store(&config));
    let client: Work<'_> = Box::new(|_| {
        world.inside_on(&runtime, async { suite::assets(&store).await });
        Ok(())
    });
    without(world, crate::minio::UNIT, "files", client);
}

fn expiring(world: &World) {
    let config = config(world);
    for (retention, rule) in
        [(Retention::Volatile, Some("3-3-")), (Retention::Expiring, Some("3-5-")), (Retention::Persistent, None)]
    {
        let key = AssetKey { retention, id: uuid::Uuid::new_v4() };
        let meta = AssetMeta { key, owner: UserId::random(), token: None, expires: None };
        world.inside(async { store(&config).assets.put(&meta, stream::iter([]).boxed()).await.unwrap() });
        for kind in ["files", "about"] {
            let found = crate::minio::lifecycle_rule(world, &format!("/assets/{kind}/{key}"));
            assert_eq!(found, rule.map(|rule| format!("expire {kind}/{rule}")), "{kind}/{key}");
        }
    }
}

/// Bytes of the large file, and of the pieces that it is sent in.
const LARGE: usize = 100 * 1024 * 1024;
const PIECE: usize = 64 * 1024;
/// What an upload and a download may cost.
const GROWTH: u64 = 40 * 1024 * 1024;

fn large_file(world: &World) {
    let config = Config { authentication: Authentication::Headers, ..config(world) };
    world.inside(async {
        let app = App::new(config.clone(), store(&config), Arc::new(LocalHints::default())).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let served = server::serve(listener, app, server::public(&[Service::Cargohold]), std::future::pending());
        let served = tokio::spawn(served);
        let (owner, piece) = (UserId::random(), [7; PIECE]);
        let before = resident();
        let (begin, end) = (
            "--frontier\r\ncontent-type: application/json\r\n\r\n{\"public\": true}\r\n\
             --frontier\r\ncontent-type: application/octet-stream\r\n\r\n",
            "\r\n--frontier--\r\n",
        );
        let length = begin.len() + LARGE + end.len();
        let head = format!(
            "POST /assets HTTP/1.1\r\ncontent-type: multipart/mixed; boundary=frontier\r\ncontent-length: {length}\r\n"
        );
        let mut upload = send(&address, owner, &head).await;
        upload.write_all(begin.as_bytes()).await.unwrap();
        for _ in 0..LARGE / PIECE {
            upload.write_all(&piece).await.unwrap();
        }
        upload.write_all(end.as_bytes()).await.unwrap();
        let mut answer = String::new();
        upload.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
        let (_, rest) = answer.split_once("\"key\":\"").unwrap();
        let key = &rest[..rest.find('"').unwrap()];
        expect_little(before, "an upload");

        let before = resident();
        let mut download = send(&address, owner, &format!("GET /assets/v3/{key} HTTP/1.1\r\n")).await;
        let (mut buffer, mut received) = (vec![0; PIECE], 0);
        loop {
            match download.read(&mut buffer).await.unwrap() {
                0 => break,
                count => received += buffer[..count].iter().filter(|byte| **byte == 7).count(),
            }
        }
        assert_eq!(received, LARGE);
        expect_little(before, "a download");
        served.abort();
    });
}

async fn send(address: &str, user: UserId, head: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let more = format!("host: wire.example\r\nconnection: close\r\nz-user: {user}\r\nz-connection: 1\r\n\r\n");
    stream.write_all(format!("{head}{more}").as_bytes()).await.unwrap();
    stream
}

/// Memory in use, and from now on the most of it is measured.
fn resident() -> u64 {
    fs::write("/proc/self/clear_refs", "5").unwrap();
    memory("VmRSS:")
}

#[track_caller]
fn expect_little(before: u64, what: &str) {
    let most = memory("VmHWM:");
    assert!(most < before + GROWTH, "{what} took {} bytes", most - before);
}

fn memory(name: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}
