//! `wire-api`'s stores besides Cassandra and files, on the clusters: the directory, and hints between processes.

use std::thread::sleep;
use std::time::{Duration, Instant};

use tokio::sync::broadcast::Receiver;
use wire_api::config::Config;
use wire_api::domain::{ClientId, UserId};
use wire_api::push::{Hint, Hints as _, RedisHints};
use wire_api::store::search::{Document, SearchQuery};
use wire_api::store::{Store, memory};

use crate::api_processes::configuration;
use crate::common::phases::Phases;
use crate::common::world::{HOSTS, World, await_that};
use crate::suite;
use crate::traffic::{Work, during};

pub fn phases(phases: &mut Phases, world: &World) {
    phases.run("api server: the directory keeps its promises, also while a node is down", || directory(world));
    phases.run("api server: hints between processes, also when Redis's primary dies", || hints(world));
}

/// As the configuration file says it.
pub fn config(world: &World) -> Config {
    Config::read(&configuration::write(world)).unwrap()
}

/// A store whose directory and files are on the clusters.
pub fn store(config: &Config) -> Store {
    memory::store(std::env::temp_dir()).with_parts(config).unwrap()
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

/// A client's work, while a host's unit is killed, away, and back.
pub fn without(world: &World, unit: &str, name: &str, client: Work<'_>) {
    during(&[(name, client)], || {
        sleep(Duration::from_secs(5));
        world.on("host2", &["systemctl", "kill", "--signal=KILL", unit]);
        world.on("host2", &["systemctl", "stop", unit]);
        sleep(Duration::from_secs(5));
        world.on("host2", &["systemctl", "start", unit]);
        await_that("all is well", 180, || world.run(&["status"]).code == Some(0));
    });
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
