//! What wire-api costs with everything on real clusters, beside the same reads and writes straight through Cassandra's driver: processor
//! time and delays of messages in a conversation of two, the way from POST to the other's websocket, one message to 500. Prints, asserts
//! nothing.
//!
//! `wire_api_clusters FILE`: a configuration as for `--store cassandra`, with a key for tokens and without limits of rates; run where the
//! clusters are reached. The server and the floor each run as a process of their own, by turns.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod client;
mod floor;
mod process;
mod world;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use process::{Process, spread};
use tokio::net::TcpListener;
use tokio::time::interval;
use wire_api::app::App;
use wire_api::config::Config;
use wire_api::push;
use wire_api::server;
use wire_api::services::Service;
use wire_api::store::Part;
use wire_api::store::cassandra::CassandraStore;
use wire_api::store::opensearch::OpenSearch;
use wire_api::store::s3::S3Assets;
use world::World;

/// Messages of one turn, and how many are sent in a second.
const MESSAGES: u32 = 500;
const RATE: u32 = 50;
/// Turns of each side.
const TURNS: usize = 3;
/// Members of the large group.
const MEMBERS: usize = 500;

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        [file] => measure(Path::new(file)).await,
        [file, "server"] => serve(Path::new(file)).await,
        [file, "floor"] => floor::serve(Path::new(file)).await,
        _ => eprintln!("usage: wire_api_clusters CONFIGURATION"),
    }
}

/// As `wire-api --store cassandra` serves; says where on its standard output.
async fn serve(file: &Path) {
    let began = Instant::now();
    let config = Config::read(file).unwrap();
    let (cassandra, search, s3) = config.for_cassandra().unwrap();
    let (search, assets) = (OpenSearch::new(search).unwrap(), S3Assets::new(s3).unwrap());
    let store = CassandraStore::open(cassandra).await.unwrap().with(Arc::new(search), Arc::new(assets));
    let hints = push::hints(&config).unwrap();
    let app = App::new(config, store, hints).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    app.store.ready(&[Part::Tables, Part::Files]).await.unwrap();
    println!("{address} {}", began.elapsed().as_millis());
    server::serve(listener, app, server::public(&Service::ALL), std::future::pending()).await.unwrap();
}

/// One side's turns.
#[derive(Default)]
struct Side {
    processor: Duration,
    messages: u32,
    answered: Vec<Duration>,
}

async fn measure(file: &Path) {
    let program: PathBuf = std::env::current_exe().unwrap();
    let world = World::new(file, MEMBERS).await;
    let mut server = Process::start(&program, file, "server");
    let said = server.line();
    let (address, ready) = said.split_once(' ').unwrap();
    println!("ready {ready} ms after its start; {:.1} MiB resident", server.resident() as f64 / 1024.0);
    tokio::time::sleep(Duration::from_secs(20)).await;
    println!("idle for 20 s: {:.1} MiB resident", server.resident() as f64 / 1024.0);

    let mut floor = Process::start(&program, file, "floor");
    floor.tell(&world.pair.to_string());
    let mut sender = client::Sender::connect(address, &world.token(world.pair.sender)).await;
    let mut heard_at = client::listen(address, &world.token(world.pair.receiver)).await;
    let message = world.pair.message();
    let (mut own, mut least, mut way, mut append) = (Side::default(), Side::default(), Vec::new(), Vec::new());
    for turn in 0..=TURNS {
        let before = server.processor_time();
        let mut clock = interval(Duration::from_secs(1) / RATE);
        let mut answered = Vec::new();
        for _ in 0..MESSAGES {
            clock.tick().await;
            let begun = Instant::now();
            let answer = async {
                sender.post(&world.pair.path, &message).await;
                begun.elapsed()
            };
            let (answer, heard) = tokio::join!(answer, heard_at.recv());
            let heard = heard.expect("the websocket was closed") - begun;
            answered.push(answer);
            // The first turn only warms up.
            if turn > 0 {
                way.push(heard);
            }
        }
        let used = server.processor_time() - before;
        floor.tell(&format!("pair {MESSAGES} {RATE}"));
        let (floor_used, floor_answered, floor_append) = floor::read(&floor.line());
        if turn > 0 {
            own.add(used, answered);
            least.add(floor_used, floor_answered);
            append.extend(floor_append);
        }
    }
    println!("\nA message in a conversation of two, {RATE} a second");
    let (ours, theirs) = (own.each(), least.each());
    println!(
        "  processor time: {ours:?}, of the driver alone {theirs:?}: {:.2}",
        ours.as_secs_f64() / theirs.as_secs_f64()
    );
    println!("  POST answered: {}", spread(own.answered));
    println!("  the same reads and writes: {}", spread(least.answered));
    println!("  POST to the other's websocket: {}", spread(way));
    println!("  the log's own read and write: {}", spread(append));

    println!("\nOne message to {}, three times", MEMBERS - 1);
    let mut sender = client::Sender::connect(address, &world.token(world.group.sender)).await;
    let mut heard_at = client::listen(address, &world.token(world.group.receiver)).await;
    let message = world.group.message();
    floor.tell(&world.group.to_string());
    for _ in 0..3 {
        let before = server.processor_time();
        let begun = Instant::now();
        let answer = async {
            sender.post(&world.group.path, &message).await;
            begun.elapsed()
        };
        let (answered, heard) = tokio::join!(answer, heard_at.recv());
        let heard = heard.expect("the websocket was closed") - begun;
        let used = server.processor_time() - before;
        floor.tell("group");
        let (floor_used, took, _) = floor::read(&floor.line());
        println!(
            "  answered after {answered:?}, heard by the last member after {heard:?}, processor time {used:?}; the driver alone {:?}, \
             {floor_used:?}: {:.2} and {:.2}",
            took[0],
            answered.as_secs_f64() / took[0].as_secs_f64(),
            used.as_secs_f64() / floor_used.as_secs_f64()
        );
    }
    println!("afterwards {:.1} MiB resident", server.resident() as f64 / 1024.0);
}

impl Side {
    fn add(&mut self, used: Duration, answered: Vec<Duration>) {
        self.processor += used;
        self.messages += MESSAGES;
        self.answered.extend(answered);
    }

    fn each(&self) -> Duration {
        self.processor / self.messages
    }
}
