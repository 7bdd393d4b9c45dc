//! The API server's stores on the site's own clusters, as the site's own users: the suite that every store keeps, while all nodes are there
//! and while one is gone.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures_util::future::{join_all, try_join_all};
use futures_util::{StreamExt as _, stream};
use wire_api::config::{Cassandra, CassandraLogin, Config};
use wire_api::domain::client::{LAST_RESORT, Prekey};
use wire_api::domain::{ClientId, UserId};
use wire_api::secret::{ConfiguredSecret, Secret};
use wire_api::store::cassandra::{CassandraStore, migrate};
use wire_api::store::notifications::Notifications;
use wire_api::store::{Part, Store, memory};

use crate::api_processes::configuration;
use crate::common::phases::Phases;
use crate::common::world::{World, await_that};
use crate::suite::{self, Logs};

pub fn phases(phases: &mut Phases, world: &World) {
    phases.run("api server: tables are made twice and by several at once", || tables(world));
    phases.run("api server: keyspaces are made where there are none, and never on more nodes than there are", || {
        keyspaces(world);
    });
    phases.run("api server: the stores keep every promise", || promises(world));
    phases.run("api server: no prekey goes to two of hundreds, also while a node dies", || claimers(world));
    phases.run("api server: the stores keep every promise while a node is gone", || promises_without_a_node(world));
}

/// The whole store of one process. Files and the directory are in memory.
struct Process {
    cassandra: CassandraStore,
    store: Store,
}

impl Process {
    async fn start(config: &Cassandra, world: &World) -> Self {
        let cassandra = CassandraStore::open(config).await.unwrap();
        let others = memory::store(world.file("api-server-files"));
        let store = cassandra.with(others.search, others.assets);
        Self { cassandra, store }
    }
}

impl Logs for Process {
    fn with_clock(&self, ahead: i64) -> Arc<dyn Notifications> {
        let now = || u64::try_from(jiff::Timestamp::now().as_nanosecond() / 100).unwrap();
        let clock = Arc::new(move || now().saturating_add_signed(ahead * 10_000_000));
        Arc::new(self.cassandra.notifications().with_clock(clock))
    }
}

/// As the configuration file of the API server says it.
fn site_config(world: &World) -> Cassandra {
    Config::read(&configuration::write(world)).unwrap().cassandra.unwrap()
}

fn tables(world: &World) {
    let config = site_config(world);
    world.inside(async {
        // Nobody is ready before the tables are there, and who looks is told what to do.
        let process = Process::start(&config, world).await;
        let error = process.store.ready(&[Part::Tables]).await.unwrap_err().to_string();
        assert!(error.contains("wire_api_schema") || error.contains("wire-api migrate"), "{error}");

        let at_once = try_join_all((0..4).map(|_| migrate(&config))).await.unwrap();
        for (number, keyspace) in ["brig", "galley", "gundeck"].into_iter().enumerate() {
            let from_nothing = at_once.iter().filter(|done| done[number].from == 0).count();
            assert_eq!(from_nothing, 1, "{keyspace} was made by one: {at_once:?}");
        }
        for _ in 0..2 {
            for done in migrate(&config).await.unwrap() {
                assert_eq!(done.from, done.to, "{done:?}");
            }
        }
        process.store.ready(&[Part::Tables]).await.unwrap();
    });
}

fn keyspaces(world: &World) {
    let own = site_config(world);
    let password = world.secret("cassandra/user/wire-deploy");
    let login = |name: &str| CassandraLogin {
        keyspace: Some(format!("bare_{name}")),
        user: "wire-deploy".to_owned(),
        password: ConfiguredSecret(Secret::new(password.clone())),
    };
    let bare = Cassandra { brig: login("brig"), galley: login("galley"), gundeck: login("gundeck"), ..own.clone() };
    world.inside(async {
        let tall = Cassandra { replication_factor: 4, ..bare.clone() };
        let error = format!("{:#}", migrate(&tall).await.unwrap_err());
        assert!(error.contains("bare_brig") && error.contains("on 4 nodes"), "{error}");
        try_join_all((0..2).map(|_| migrate(&bare))).await.unwrap();
        Process::start(&bare, world).await.store.ready(&[Part::Tables]).await.unwrap();

        let own = CassandraLogin { keyspace: Some("bare_none".to_owned()), ..own.brig };
        let error = format!("{:#}", migrate(&Cassandra { brig: own, ..bare.clone() }).await.unwrap_err());
        assert!(error.contains("brig cannot make it"), "{error}");
    });
    crate::cassandra::forget_keyspaces(world, &["bare_brig", "bare_galley", "bare_gundeck"]);
}

fn promises(world: &World) {
    let config = site_config(world);
    world.inside(async {
        let process = Process::start(&config, world).await;
        suite::run(&process.store, &process).await;
    });
}

/// Several processes claim one device's prekeys, hundreds at once; a node dies meanwhile.
fn claimers(world: &World) {
    const PROCESSES: usize = 3;
    const CLAIMS: usize = 150;
    const PREKEYS: u16 = 200;
    let config = site_config(world);
    world.inside(async {
        let processes = join_all((0..PROCESSES).map(|_| Process::start(&config, world))).await;
        let (user, client) = (UserId::random(), ClientId(7));
        let prekey = |id: u16| Prekey { id, key: format!("key {id}") };
        let prekeys: Vec<_> = (0..PREKEYS).chain([LAST_RESORT]).map(prekey).collect();
        processes[0].store.prekeys.put(user, client, &prekeys).await.unwrap();
        let claims =
            processes.iter().flat_map(|process| (0..CLAIMS).map(|_| process.store.prekeys.claim(user, client)));
        let mut claims = stream::iter(claims.collect::<Vec<_>>()).buffer_unordered(PROCESSES * CLAIMS);
        let (mut given, mut answers) = (Vec::new(), 0);
        while let Some(claimed) = claims.next().await {
            answers += 1;
            if answers == 20 {
                world.on("host3", &["systemctl", "kill", "--signal=KILL", crate::cassandra::UNIT]);
            }
            // A claim that failed gave nothing to anybody.
            given.extend(claimed.ok().flatten().map(|prekey| prekey.id).filter(|id| *id != LAST_RESORT));
        }
        let different: BTreeSet<_> = given.iter().collect();
        assert_eq!(different.len(), given.len(), "two have the same: {given:?}");
        assert!(given.len() > usize::from(PREKEYS) / 2, "most were lost: {}", given.len());
    });
    await_settled(world);
}

fn promises_without_a_node(world: &World) {
    world.on("host2", &["systemctl", "stop", crate::cassandra::UNIT]);
    promises(world);
    for migrated in world.inside(migrate(&site_config(world))).unwrap() {
        assert_eq!(migrated.from, migrated.to);
    }
    world.on("host2", &["systemctl", "start", "--no-block", crate::cassandra::UNIT]);
    await_settled(world);
}

fn await_settled(world: &World) {
    await_that("all nodes are well again", 300, || world.run(&["verify"]).code == Some(0));
}
