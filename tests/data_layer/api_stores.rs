//! `wire-api`'s stores besides Cassandra, on the clusters: the directory, files, and hints between processes.

use std::fs;
use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::broadcast::Receiver;
use wire_api::app::App;
use wire_api::config::{Authentication, Config};
use wire_api::domain::{ClientId, UserId};
use wire_api::push::{Hint, Hints as _, LocalHints, RedisHints};
use wire_api::server;
use wire_api::services::Service;
use wire_api::store::search::{Document, SearchQuery};
use wire_api::store::{Store, memory};

use crate::api_processes::configuration;
use crate::common::phases::Phases;
use crate::common::world::{HOSTS, World, await_that};
use crate::suite;
use crate::traffic::{Work, during};

pub fn phases(phases: &mut Phases, world: &World) {
    phases.run("api server: the directory keeps its promises, also while a node is down", || directory(world));
    phases.run("api server: files keep their promises, also while a server is down", || files(world));
    phases.run("api server: a file of 100 MiB passes through little memory", || large_file(world));
    phases.run("api server: hints between processes, also when Redis's primary dies", || hints(world));
}

/// As the configuration file says it.
fn config(world: &World) -> Config {
    Config::read(&configuration::write(world)).unwrap()
}

/// A store whose directory and files are on the clusters.
pub fn store(config: &Config) -> Store {
    memory::store(std::env::temp_dir()).with_parts(config).unwrap()
}

/// A client's work, while a host's unit is killed, away, and back.
fn without(world: &World, unit: &str, name: &str, client: Work<'_>) {
    during(&[(name, client)], || {
        sleep(Duration::from_secs(5));
        world.on("host2", &["systemctl", "kill", "--signal=KILL", unit]);
        world.on("host2", &["systemctl", "stop", unit]);
        sleep(Duration::from_secs(5));
        world.on("host2", &["systemctl", "start", unit]);
        await_that("all is well", 180, || world.run(&["status"]).code == Some(0));
    });
}

fn directory(world: &World) {
    let config = config(world);
    world.inside(async { suite::search(&store(&config)).await });
    // Writes that no node takes at once follow later.
    let client: Work<'_> = Box::new(|number| {
        world.inside(async {
            let store = store(&config);
            let name = format!("w{}", uuid::Uuid::new_v4().simple());
            let document = Document { id: UserId::random(), name, handle: None, accent_id: 1, team: None };
            store.search.put(&document).await.map_err(|error| error.to_string())?;
            let query = SearchQuery {
                searcher: UserId::random(),
                team: None,
                team_only: false,
                text: document.name.clone(),
                size: 1,
            };
            let until = Instant::now() + HEARD;
            loop {
                let found = store.search.find(&query).await.map_err(|error| error.to_string())?;
                if found == [document.clone()] {
                    return store.search.delete(document.id).await.map_err(|error| error.to_string());
                }
                if Instant::now() > until {
                    return Err(format!("user {number} was entered and is not found: {found:?}"));
                }
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        })
    });
    without(world, crate::search::UNIT, "the directory", client);
}

fn files(world: &World) {
    let config = config(world);
    world.inside(async { suite::assets(&store(&config)).await });
    let client: Work<'_> = Box::new(|_| {
        world.inside(async { suite::assets(&store(&config)).await });
        Ok(())
    });
    without(world, crate::minio::UNIT, "files", client);
}

/// Bytes of the large file, and of the pieces that it is sent in.
const LARGE: usize = 100 * 1024 * 1024;
const PIECE: usize = 64 * 1024;
/// What an upload and a download may cost.
const GROWTH: u64 = 40 * 1024 * 1024;

fn large_file(world: &World) {
    let config = Config { authentication: Authentication::Headers, ..config(world) };
    world.inside(async {
        let store = store(&config);
        let app = App::new(config.clone(), store, Arc::new(LocalHints::default())).unwrap();
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

/// Nobody waits longer for a hint; Sentinel takes seconds to choose another primary.
const HEARD: Duration = Duration::from_secs(60);

fn hints(world: &World) {
    let config = config(world);
    let redis = config.redis.as_ref().unwrap();
    world.inside(async {
        let processes = [RedisHints::start(redis).unwrap(), RedisHints::start(redis).unwrap()];
        let user = UserId::random();
        let mut listening = [processes[0].subscribe(user), processes[1].subscribe(user)];
        for listener in &mut listening {
            // Only once its channel is subscribed to it may rely on hints.
            hear(listener, "subscribed", |hint| matches!(hint, Hint::Missed)).await;
        }
        let mut number = 0;
        let mut both_ways = async |listening: &mut [Receiver<Hint>; 2]| {
            for sender in &processes {
                number += 1;
                sender.publish(user, Hint::ClientGone(ClientId(number)));
                for listener in listening.iter_mut() {
                    let it = |hint: &Hint| matches!(hint, Hint::ClientGone(client) if client.0 == number);
                    hear(listener, "a hint", it).await;
                }
            }
        };
        both_ways(&mut listening).await;
        let stranger = processes[0].subscribe(UserId::random());

        let primary = primary(world);
        let began = Instant::now();
        world.on(&primary, &["systemctl", "kill", "--signal=KILL", "redis-server.service"]);
        world.on(&primary, &["systemctl", "stop", "redis-server.service"]);
        for number in 0..10_000 {
            processes[0].publish(user, Hint::ClientGone(ClientId(1_000_000 + number)));
        }
        assert!(began.elapsed() < HEARD, "nobody who publishes waits");
        for listener in &mut listening {
            hear(listener, "that hints were missed", |hint| matches!(hint, Hint::Missed)).await;
        }
        // Until both have found the new primary.
        tokio::time::sleep(Duration::from_secs(5)).await;
        listening = [processes[0].subscribe(user), processes[1].subscribe(user)];
        both_ways(&mut listening).await;
        assert!(!stranger.is_empty(), "everybody is told that hints were missed");
        world.on(&primary, &["systemctl", "start", "redis-server.service"]);
    });
    await_that("all is well", 120, || world.run(&["status"]).code == Some(0));
}

/// What a websocket hears, until it is what is waited for.
async fn hear(listener: &mut Receiver<Hint>, what: &str, is_it: impl Fn(&Hint) -> bool) {
    let until = Instant::now() + HEARD;
    loop {
        let hint = tokio::time::timeout(HEARD, listener.recv()).await;
        // One that lags has missed hints.
        let hint = hint.unwrap_or_else(|_| panic!("waited in vain: {what}")).unwrap_or(Hint::Missed);
        if is_it(&hint) {
            return;
        }
        assert!(Instant::now() < until, "waited in vain: {what}");
    }
}

/// The host whose Redis takes the writes, as Sentinel says.
fn primary(world: &World) -> String {
    let line = world.on("host1", &["grep", "^sentinel monitor ", "/var/lib/redis/sentinel.conf"]);
    let address = line.split_whitespace().nth(3).unwrap();
    HOSTS.into_iter().find(|host| world.address(host) == address).unwrap().to_owned()
}
