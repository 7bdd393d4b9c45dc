//! The floor: what a message has Cassandra do, straight through the driver, with the same statements, consistency and connections.

use std::io::{BufRead as _, Write as _};
use std::num::NonZeroUsize;
use std::path::Path;
use std::time::{Duration, Instant};

use futures_util::{StreamExt as _, stream};
use openssl::ssl::{SslConnector, SslFiletype, SslMethod};
use scylla::client::PoolSize;
use scylla::client::execution_profile::ExecutionProfile;
use scylla::client::session::{OpenSsl010Config, Session};
use scylla::client::session_builder::SessionBuilder;
use scylla::serialize::row::SerializeRow;
use scylla::statement::prepared::PreparedStatement;
use scylla::statement::{Consistency, SerialConsistency};
use scylla::value::Row;
use tokio::time::interval;
use uuid::Uuid;
use wire_api::config::{Cassandra, CassandraLogin, Config};

use super::process::processor_time;
use super::world::DEVICE;

const CONVERSATION: &str = "SELECT DISTINCT id, created, kind, creator, access, access_role, name, team, message_timer, receipt_mode, \
                            last_event_time, group_kind FROM conversations WHERE id = ?";
const MEMBERS: &str = "SELECT user, joined, role, settings FROM conversations WHERE id = ?";
const CLIENTS: &str = "SELECT user, id, kind, class, time, cookie, label, model, capabilities, mls_public_keys, last_active \
                       FROM clients WHERE user = ?";
const HEAD: &str = "SELECT DISTINCT user, head FROM notifications WHERE user = ?";
const APPEND: &str = "UPDATE notifications USING TTL ? SET head = ?, previous = ?, writer = ?, clients = ?, payload = ?, origin = ? \
                      WHERE user = ? AND id = ? IF head = ?";
const FOLLOWING: &str =
    "SELECT id, previous, clients, payload, origin FROM notifications WHERE user = ? AND id > ? LIMIT ?";

/// As the server has them under way at once.
const READS: usize = 32;
const WRITES: usize = 64;
/// As long as an event with a text of [`super::world`]'s length.
const PAYLOAD: usize = 900;
const MONTH: i32 = 28 * 86_400;

struct Keyspace {
    session: Session,
}

struct Floor {
    galley: Keyspace,
    brig: Keyspace,
    gundeck: Keyspace,
    statements: Statements,
    payload: String,
}

struct Statements {
    conversation: PreparedStatement,
    members: PreparedStatement,
    clients: PreparedStatement,
    head: PreparedStatement,
    append: PreparedStatement,
    following: PreparedStatement,
}

/// Reads a conversation with its users, then is told what to do, a line each; answers what [`read`] understands.
pub async fn serve(file: &Path) {
    let config = Config::read(file).unwrap().cassandra.unwrap();
    let floor = Floor::open(&config).await;
    // Logs of its own, which no websocket reads.
    let (mut conversation, mut users, mut logs) = (Uuid::nil(), Vec::new(), Vec::new());
    for line in std::io::stdin().lock().lines() {
        let line = line.unwrap();
        let words: Vec<&str> = line.split(' ').collect();
        let before = processor_time("self");
        let (mut took, mut append) = (Vec::new(), Vec::new());
        match words[..] {
            ["pair", messages, rate] => {
                let mut clock = interval(Duration::from_secs(1) / rate.parse().unwrap());
                for _ in 0..messages.parse::<u32>().unwrap() {
                    clock.tick().await;
                    let begun = Instant::now();
                    append.push(floor.message(conversation, &users, &logs).await);
                    took.push(begun.elapsed());
                }
            }
            ["group"] => {
                let begun = Instant::now();
                floor.message(conversation, &users, &logs).await;
                took.push(begun.elapsed());
            }
            _ => {
                let mut ids = words.iter().map(|word| word.parse::<Uuid>().unwrap());
                conversation = ids.next().unwrap();
                users = ids.collect();
                logs = users.iter().skip(1).map(|_| Uuid::new_v4()).collect();
                continue;
            }
        }
        let used = processor_time("self") - before;
        let list =
            |times: &[Duration]| times.iter().map(|time| time.as_nanos().to_string()).collect::<Vec<_>>().join(",");
        println!("{} {} {}", used.as_nanos(), list(&took), list(&append));
        std::io::stdout().flush().unwrap();
    }
}

/// Processor time, how long each message took, and each's write to the log.
pub fn read(line: &str) -> (Duration, Vec<Duration>, Vec<Duration>) {
    let times = |text: &str| {
        let parts = text.split(',').filter(|part| !part.is_empty());
        parts.map(|part| Duration::from_nanos(part.parse().unwrap())).collect::<Vec<_>>()
    };
    let mut parts = line.split(' ');
    let mut part = || parts.next().unwrap_or_default();
    (times(part())[0], times(part()), times(part()))
}

impl Floor {
    async fn open(config: &Cassandra) -> Self {
        let galley = Keyspace::open(config, &config.galley).await;
        let brig = Keyspace::open(config, &config.brig).await;
        let gundeck = Keyspace::open(config, &config.gundeck).await;
        let statements = Statements {
            conversation: galley.prepare(CONVERSATION).await,
            members: galley.prepare(MEMBERS).await,
            clients: brig.prepare(CLIENTS).await,
            head: gundeck.prepare(HEAD).await,
            append: gundeck.prepare(APPEND).await,
            following: gundeck.prepare(FOLLOWING).await,
        };
        Self { galley, brig, gundeck, statements, payload: "x".repeat(PAYLOAD) }
    }

    /// What the server reads and writes for one message, in its order; gives how long the last write to a log took.
    async fn message(&self, conversation: Uuid, users: &[Uuid], logs: &[Uuid]) -> Duration {
        let statements = &self.statements;
        tokio::join!(
            self.galley.rows(&statements.conversation, (conversation,)),
            self.galley.rows(&statements.members, (conversation,)),
        );
        stream::iter(users)
            .for_each_concurrent(READS, |user| async move {
                self.brig.rows(&statements.clients, (user,)).await;
            })
            .await;
        let writes = stream::iter(logs).map(|user| self.append(user)).buffer_unordered(WRITES);
        let written = writes.collect::<Vec<_>>().await;
        let (id, took) = written[written.len() - 1];
        // The websocket's read.
        self.gundeck.rows(&statements.following, (logs[logs.len() - 1], id - 1, 101_i32)).await;
        took
    }

    async fn append(&self, user: &Uuid) -> (i64, Duration) {
        let begun = Instant::now();
        let head = self.gundeck.rows(&self.statements.head, (user,)).await;
        let head = head.first().and_then(|row| row.columns[1].as_ref()?.as_bigint());
        let now = i64::try_from(jiff::Timestamp::now().as_nanosecond() / 100).unwrap();
        let id = head.map_or(now, |head| now.max(head + 1));
        let clients = format!("[\"{:x}\"]", DEVICE.0);
        let values = (MONTH, id, head, Uuid::new_v4(), clients, self.payload.as_str(), None::<String>, user, id, head);
        self.gundeck.rows(&self.statements.append, values).await;
        (id, begun.elapsed())
    }
}

impl Keyspace {
    async fn open(config: &Cassandra, login: &CassandraLogin) -> Self {
        let profile = ExecutionProfile::builder()
            .consistency(Consistency::LocalQuorum)
            .serial_consistency(Some(SerialConsistency::Serial))
            .build();
        let files = config.tls.as_ref().unwrap();
        let mut tls = SslConnector::builder(SslMethod::tls_client()).unwrap();
        tls.set_ca_file(&files.authority).unwrap();
        if let (Some(certificate), Some(key)) = (&files.certificate, &files.key) {
            tls.set_certificate_chain_file(certificate).unwrap();
            tls.set_private_key_file(key, SslFiletype::PEM).unwrap();
        }
        let session = SessionBuilder::new()
            .known_nodes(&config.hosts)
            .user(&login.user, login.password.0.expose())
            .default_execution_profile_handle(profile.into_handle())
            .pool_size(PoolSize::PerHost(NonZeroUsize::MIN))
            .fetch_full_schema_metadata(false)
            .tcp_nodelay(true)
            .tls_context(Some(OpenSsl010Config::new(tls)))
            .use_keyspace(login.keyspace(), true);
        Self { session: session.build().await.unwrap() }
    }

    async fn prepare(&self, statement: &str) -> PreparedStatement {
        self.session.prepare(statement).await.unwrap()
    }

    async fn rows(&self, statement: &PreparedStatement, values: impl SerializeRow) -> Vec<Row> {
        let result = self.session.execute_unpaged(statement, values).await.unwrap().into_rows_result().unwrap();
        result.rows::<Row>().unwrap().collect::<Result<_, _>>().unwrap()
    }
}
