//! The store in Cassandra: all areas but the directory and files.
//!
//! Three keyspaces, each with a role of its own: brig (users, names, codes, sessions, devices, prekeys, connections, properties),
//! galley (conversations, teams) and gundeck (notifications). Everything is read and written at a quorum of the local data centre, so that
//! what was written is read, and one node may die. What only one may have is voted on (light-weight transactions); tables where that
//! happens are written by votes only, or never twice, because votes and plain writes are timed by different clocks.

use std::sync::Arc;

use crate::config::{Cassandra, CassandraLogin};
use crate::store::assets::Assets;
use crate::store::search::Search;
use crate::store::{Result, Store, StoreError};

mod arrival;
mod clients;
mod codes;
mod connections;
mod conversations;
mod cookies;
mod guest_codes;
mod locks;
mod migrate;
mod notifications;
mod position;
mod prekeys;
mod schema;
mod session;
mod teams;
mod tls;
mod users;
mod values;

pub use migrate::{Migrated, migrate};
pub use notifications::{CassandraNotifications, Clock};

use session::Keyspace;

/// Log-ins and what their keyspaces are to hold.
fn areas(config: &Cassandra) -> [(&CassandraLogin, &'static str); 3] {
    [(&config.brig, schema::BRIG), (&config.galley, schema::GALLEY), (&config.gundeck, schema::GUNDECK)]
}

/// The keyspaces.
struct Keyspaces {
    brig: Keyspace,
    galley: Keyspace,
    gundeck: Keyspace,
}

type Shared = Arc<Keyspaces>;

impl Keyspaces {
    /// Whether a majority of nodes answers in every keyspace, and the tables are there.
    async fn ready(&self) -> Result<()> {
        let check = async |keyspace: &Keyspace, text: &str| {
            let (present, wanted) = (migrate::version(keyspace).await?, schema::newest(text));
            if present >= wanted {
                return Ok(());
            }
            let name = keyspace.name();
            Err(StoreError::Unavailable(format!(
                "keyspace {name} has version {present} of its schema, not {wanted}: run `wire-api migrate`"
            )))
        };
        futures_util::future::try_join3(
            check(&self.brig, schema::BRIG),
            check(&self.galley, schema::GALLEY),
            check(&self.gundeck, schema::GUNDECK),
        )
        .await
        .map(drop)
    }
}

/// The areas that Cassandra holds.
pub struct CassandraStore {
    shared: Shared,
    notifications: Arc<CassandraNotifications>,
}

impl CassandraStore {
    /// Connects to the keyspaces.
    ///
    /// # Errors
    /// No node answers, a log-in is refused, a keyspace is missing.
    pub async fn open(config: &Cassandra) -> anyhow::Result<Self> {
        let (brig, galley, gundeck) = futures_util::future::try_join3(
            Keyspace::open(config, &config.brig),
            Keyspace::open(config, &config.galley),
            Keyspace::open(config, &config.gundeck),
        )
        .await?;
        Ok(Self::of(Keyspaces { brig, galley, gundeck }))
    }

    /// Connects to the keyspaces as soon as nodes can be reached, and says meanwhile that it does not answer.
    ///
    /// # Errors
    /// Files of certificates that are none: what waiting does not mend.
    pub fn open_later(config: &Cassandra) -> anyhow::Result<Self> {
        if let Some(files) = &config.tls {
            tls::context(files)?;
        }
        let config = Arc::new(config.clone());
        Ok(Self::of(Keyspaces {
            brig: Keyspace::open_later(&config, |config| &config.brig),
            galley: Keyspace::open_later(&config, |config| &config.galley),
            gundeck: Keyspace::open_later(&config, |config| &config.gundeck),
        }))
    }

    fn of(keyspaces: Keyspaces) -> Self {
        let shared = Arc::new(keyspaces);
        let notifications = Arc::new(CassandraNotifications::new(shared.clone()));
        Self { shared, notifications }
    }

    /// The notification logs.
    pub fn notifications(&self) -> &CassandraNotifications {
        &self.notifications
    }

    /// A whole store, with a directory and files that are kept elsewhere.
    pub fn with(&self, search: Arc<dyn Search>, assets: Arc<dyn Assets>) -> Store {
        let shared = || self.shared.clone();
        Store {
            users: Arc::new(users::CassandraUsers(shared())),
            codes: Arc::new(codes::CassandraCodes(shared())),
            cookies: Arc::new(cookies::CassandraCookies(shared())),
            clients: Arc::new(clients::CassandraClients(shared())),
            prekeys: Arc::new(prekeys::CassandraPrekeys(shared())),
            connections: Arc::new(connections::CassandraConnections(shared())),
            properties: Arc::new(connections::CassandraProperties(shared())),
            conversations: Arc::new(conversations::CassandraConversations(shared())),
            teams: Arc::new(teams::CassandraTeams(shared())),
            notifications: self.notifications.clone(),
            search,
            assets,
        }
    }
}
