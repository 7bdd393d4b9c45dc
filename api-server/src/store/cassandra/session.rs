//! A keyspace as one of its roles sees it: prepared statements at quorum, and votes (light-weight transactions).
//!
//! What may be done twice is: it is asked of another node when the first is slow or gone. A vote is asked for once, and may end
//! without anybody knowing how it went.

use std::ops::ControlFlow;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use scylla::client::PoolSize;
use scylla::client::caching_session::{CachingSession, CachingSessionBuilder};
use scylla::client::execution_profile::ExecutionProfile;
use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;
use scylla::errors::{DbError, ExecutionError, RequestAttemptError};
use scylla::policies::load_balancing::DefaultPolicy;
use scylla::policies::speculative_execution::SimpleSpeculativeExecutionPolicy;
use scylla::policies::timestamp_generator::MonotonicTimestampGenerator;
use scylla::response::PagingState;
use scylla::response::query_result::QueryResult;
use scylla::serialize::row::SerializeRow;
use scylla::statement::batch::{Batch, BatchType};
use scylla::statement::prepared::PreparedStatement;
use scylla::statement::unprepared::Statement;
use scylla::statement::{Consistency, SerialConsistency};
use scylla::value::{CqlValue, Row};

use super::{arrival, tls};
use crate::config::{Cassandra, CassandraLogin};
use crate::store::{Result, StoreError};

/// A node that does not take a connection in this time counts as gone.
const CONNECT: Duration = Duration::from_secs(2);
/// An idle connection is tried this often, and given up when nothing comes back for as long.
const KEEP_ALIVE: Duration = Duration::from_secs(5);
/// A request that may be repeated is sent to another node, too, after this time.
const IMPATIENCE: Duration = Duration::from_millis(250);
/// No request is waited for longer. Nodes give up before.
const REQUEST: Duration = Duration::from_secs(6);
/// Votes and reads of votes that got no majority, as happens when many vote at once, are repeated this long.
pub(super) const CONTENTION: Duration = Duration::from_secs(4);
/// Rows of one page.
const PAGE: i32 = 500;
/// Statements of one piece of work that are under way at once.
const AT_ONCE: usize = 32;

/// A type that a row is read as.
pub(super) trait Readable:
    for<'frame, 'metadata> scylla::deserialize::row::DeserializeRow<'frame, 'metadata>
{
}
impl<R: for<'frame, 'metadata> scylla::deserialize::row::DeserializeRow<'frame, 'metadata>> Readable for R {}

/// The values of one statement among several.
pub(super) type Values = Box<dyn SerializeRow + Send + Sync>;

/// How a vote went.
pub(super) enum Vote {
    /// It was carried.
    Carried,
    /// It was not, because this is there.
    Refused(Present),
    /// Nobody knows.
    Lost(StoreError),
}

/// What was there when a vote was refused.
#[derive(Default)]
pub(super) struct Present(Vec<(String, CqlValue)>);

impl Present {
    /// A column's value.
    pub(super) fn get(&self, column: &str) -> Option<&CqlValue> {
        self.0.iter().find(|(name, _)| name == column).map(|(_, value)| value)
    }
}

/// A keyspace as its role sees it.
pub(super) struct Keyspace {
    /// Nothing until nodes have been reached.
    session: Arc<OnceLock<CachingSession>>,
    name: String,
}

/// A session with nodes, in a keyspace or in none.
pub(super) async fn connect(
    config: &Cassandra,
    login: &CassandraLogin,
    keyspace: Option<&str>,
) -> anyhow::Result<Session> {
    let mut policy = DefaultPolicy::builder().token_aware(true);
    if let Some(datacenter) = &config.datacenter {
        policy = policy.prefer_datacenter(datacenter.clone());
    }
    let profile = ExecutionProfile::builder()
        .consistency(Consistency::LocalQuorum)
        .serial_consistency(Some(SerialConsistency::Serial))
        .request_timeout(Some(REQUEST))
        .load_balancing_policy(policy.build())
        .speculative_execution_policy(Some(Arc::new(SimpleSpeculativeExecutionPolicy {
            max_retry_count: 2,
            retry_interval: IMPATIENCE,
        })))
        .build();
    let mut builder = SessionBuilder::new()
        .known_nodes(&config.hosts)
        .user(&login.user, login.password.0.expose())
        .default_execution_profile_handle(profile.into_handle())
        // A request is small and waits for nobody: one connection to each node is enough, and many processes may have theirs.
        .pool_size(PoolSize::PerHost(std::num::NonZeroUsize::MIN))
        .connection_timeout(CONNECT)
        .keepalive_interval(KEEP_ALIVE)
        .keepalive_timeout(KEEP_ALIVE)
        .hostname_resolution_timeout(Some(CONNECT))
        .metadata_request_serverside_timeout(REQUEST)
        .keyspaces_to_fetch([login.keyspace()])
        .fetch_full_schema_metadata(false)
        // What this process writes later wins, however short after and whichever node it is written at.
        .timestamp_generator(Arc::new(MonotonicTimestampGenerator::new().without_warnings()))
        .tcp_nodelay(true);
    if let Some(files) = &config.tls {
        builder = builder.tls_context(Some(tls::context(files)?));
    }
    if let Some(keyspace) = keyspace {
        builder = builder.use_keyspace(keyspace, true);
    }
    builder.build().await.with_context(|| format!("cannot log in to Cassandra as {}", login.user))
}

impl Keyspace {
    /// Connects.
    pub(super) async fn open(config: &Cassandra, login: &CassandraLogin) -> anyhow::Result<Self> {
        let session = connect(config, login, Some(login.keyspace())).await?;
        Ok(Self::new(session, login.keyspace()))
    }

    /// Connects once nodes can be reached. Until then this keyspace does not answer.
    pub(super) fn open_later(config: &Arc<Cassandra>, login: fn(&Cassandra) -> &CassandraLogin) -> Self {
        let session = Arc::<OnceLock<CachingSession>>::default();
        let (waiting, config, name) = (session.clone(), config.clone(), login(config).keyspace().to_owned());
        tokio::spawn(async move {
            let session = arrival::session(&config, login(&config)).await;
            // Nobody else sets it.
            let _ = waiting.set(caching(session));
        });
        Self { session, name }
    }

    pub(super) fn new(session: Session, name: &str) -> Self {
        Self { session: Arc::new(caching(session).into()), name: name.to_owned() }
    }

    /// The driver's session.
    pub(super) fn session(&self) -> Result<&Session> {
        Ok(self.caching()?.get_session())
    }

    fn caching(&self) -> Result<&CachingSession> {
        let none = || StoreError::Unavailable("no node of Cassandra has been reached yet".to_owned());
        self.session.get().ok_or_else(none)
    }

    /// Its name.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// All rows, page by page. The driver's own way of doing so costs a task and a channel each time, and most results have one page.
    pub(super) async fn rows<R: Readable>(&self, statement: &str, values: impl SerializeRow) -> Result<Vec<R>> {
        let statement = self.reading(statement).await?;
        let (mut found, mut state) = (Vec::new(), PagingState::start());
        loop {
            let answer = self.session()?.execute_single_page(&statement, &values, state).await;
            let (page, next) = answer.map_err(unavailable)?;
            let page = page.into_rows_result().map_err(corrupt)?;
            for row in page.rows::<R>().map_err(corrupt)? {
                found.push(row.map_err(corrupt)?);
            }
            match next.into_paging_control_flow() {
                ControlFlow::Continue(next) => state = next,
                ControlFlow::Break(()) => return Ok(found),
            }
        }
    }

    /// The first row.
    pub(super) async fn row<R: Readable>(&self, statement: &str, values: impl SerializeRow) -> Result<Option<R>> {
        let statement = self.reading(statement).await?;
        first(self.session()?.execute_unpaged(&statement, values).await.map_err(unavailable)?)
    }

    /// A statement that reads, prepared. Its columns are named and their types stay, so nodes need not tell of them each time.
    async fn reading(&self, statement: &str) -> Result<PreparedStatement> {
        let prepared = self.caching()?.add_prepared_statement(&repeatable(statement)).await;
        let mut prepared = prepared.map_err(unavailable)?;
        prepared.set_use_cached_result_metadata(true);
        Ok(prepared)
    }

    /// The rows after all votes that have begun before.
    pub(super) async fn rows_after_votes<R: Readable>(
        &self,
        statement: &str,
        values: impl SerializeRow,
    ) -> Result<Vec<R>> {
        let mut statement = Statement::new(statement);
        statement.set_consistency(Consistency::Serial);
        let begun = Instant::now();
        loop {
            match self.caching()?.execute_unpaged(statement.clone(), &values).await {
                Ok(result) => {
                    let rows = result.into_rows_result().map_err(corrupt)?;
                    let rows: std::result::Result<Vec<R>, _> = rows.rows::<R>().map_err(corrupt)?.collect();
                    return rows.map_err(corrupt);
                }
                Err(error) if begun.elapsed() > CONTENTION || !is_passing(&error) => return Err(unavailable(error)),
                Err(_) => pause().await,
            }
        }
    }

    /// Writes; the same may be written more than once.
    pub(super) async fn write(&self, statement: &str, values: impl SerializeRow) -> Result<()> {
        self.caching()?.execute_unpaged(repeatable(statement), values).await.map(drop).map_err(unavailable)
    }

    /// Writes to many partitions, several at once.
    pub(super) async fn write_each<V: SerializeRow>(
        &self,
        statement: &str,
        values: impl IntoIterator<Item = V>,
    ) -> Result<()> {
        let writes: Vec<_> = values.into_iter().map(|values| self.write(statement, values)).collect();
        stream::iter(writes).buffer_unordered(AT_ONCE).try_collect().await
    }

    /// Has several changes, each of several partitions, made: the changes of one all or not at all, whatever dies meanwhile.
    pub(super) async fn write_together(
        &self,
        groups: impl IntoIterator<Item = Vec<(&'static str, Values)>>,
    ) -> Result<()> {
        let writes: Vec<_> = groups.into_iter().map(|group| self.write_group(group)).collect();
        stream::iter(writes).buffer_unordered(AT_ONCE).try_collect().await
    }

    async fn write_group(&self, group: Vec<(&'static str, Values)>) -> Result<()> {
        let (mut batch, values) = together(BatchType::Logged, group);
        batch.set_is_idempotent(true);
        self.caching()?.batch(&batch, values).await.map(drop).map_err(unavailable)
    }

    /// Reads from many partitions, several at once.
    pub(super) async fn rows_each<R: Readable, V: SerializeRow>(
        &self,
        statement: &str,
        values: impl IntoIterator<Item = V>,
    ) -> Result<Vec<Vec<R>>> {
        let reads: Vec<_> = values.into_iter().map(|values| self.rows(statement, values)).collect();
        stream::iter(reads).buffered(AT_ONCE).try_collect().await
    }

    /// Has a change with a condition voted on, once.
    pub(super) async fn vote(&self, statement: &str, values: impl SerializeRow) -> Result<Vote> {
        outcome(self.caching()?.execute_unpaged(Statement::new(statement), values).await)
    }

    /// Has several changes of one partition, of which some have conditions, voted on together, once.
    pub(super) async fn vote_on_all(&self, changes: Vec<(&str, Values)>) -> Result<Vote> {
        let (batch, values) = together(BatchType::Unlogged, changes);
        outcome(self.caching()?.batch(&batch, values).await)
    }

    /// Has a change voted on until it is known how that went; see [`until_known`].
    pub(super) async fn vote_until_known(&self, statement: &str, values: impl SerializeRow) -> Result<(Vote, bool)> {
        until_known(|| self.vote(statement, &values)).await
    }
}

/// Asks for a vote until it is known how it went, for changes that may be made twice. The flag tells whether an answer was lost before,
/// so that the change may have been made by an earlier attempt.
pub(super) async fn until_known<F: Future<Output = Result<Vote>>>(ask: impl Fn() -> F) -> Result<(Vote, bool)> {
    let begun = Instant::now();
    let mut lost = false;
    loop {
        match ask().await? {
            Vote::Lost(_) if begun.elapsed() < CONTENTION => lost = true,
            known => return Ok((known, lost)),
        }
        pause().await;
    }
}

/// A moment that is not the same for all who wait for each other.
pub(super) async fn pause() {
    let spread = getrandom::u32().unwrap_or(0) % 50;
    tokio::time::sleep(Duration::from_millis(20 + u64::from(spread))).await;
}

/// Statements as one, with their values.
fn together(kind: BatchType, changes: Vec<(&str, Values)>) -> (Batch, Vec<Values>) {
    let (mut batch, mut values) = (Batch::new(kind), Vec::new());
    for (statement, row) in changes {
        batch.append_statement(statement);
        values.push(row);
    }
    (batch, values)
}

fn caching(session: Session) -> CachingSession {
    CachingSessionBuilder::new(session).max_capacity(256).build()
}

fn repeatable(statement: &str) -> Statement {
    let mut statement = Statement::new(statement).with_page_size(PAGE);
    statement.set_is_idempotent(true);
    statement
}

fn first<R: Readable>(result: QueryResult) -> Result<Option<R>> {
    let rows = result.into_rows_result().map_err(corrupt)?;
    rows.maybe_first_row::<R>().map_err(corrupt)
}

fn outcome(answer: std::result::Result<QueryResult, ExecutionError>) -> Result<Vote> {
    let result = match answer {
        Ok(result) => result,
        Err(error) if is_passing(&error) => return Ok(Vote::Lost(unavailable(error))),
        Err(error) => return Err(unavailable(error)),
    };
    let rows = result.into_rows_result().map_err(corrupt)?;
    let names: Vec<_> = rows.column_specs().iter().map(|column| column.name().to_owned()).collect();
    let row = rows.first_row::<Row>().map_err(corrupt)?;
    let columns = names.into_iter().zip(row.columns).filter_map(|(name, value)| Some((name, value?)));
    let present = Present(columns.collect());
    Ok(match present.get("[applied]") {
        Some(CqlValue::Boolean(true)) => Vote::Carried,
        _ => Vote::Refused(present),
    })
}

/// Whether the same may succeed a little later.
fn is_passing(error: &ExecutionError) -> bool {
    match error {
        ExecutionError::RequestTimeout(_) | ExecutionError::ConnectionPoolError(_) => true,
        ExecutionError::LastAttemptError(attempt) => match attempt {
            RequestAttemptError::BrokenConnectionError(_) | RequestAttemptError::UnableToAllocStreamId => true,
            RequestAttemptError::DbError(error, _) => matches!(
                error,
                DbError::WriteTimeout { .. }
                    | DbError::ReadTimeout { .. }
                    | DbError::WriteFailure { .. }
                    | DbError::ReadFailure { .. }
                    | DbError::Unavailable { .. }
                    | DbError::Overloaded
                    | DbError::ServerError
                    | DbError::IsBootstrapping
                    // CAS_WRITE_UNKNOWN: the vote reached some nodes, and nobody knows whether it was carried.
                    | DbError::Other(0x1700)
            ),
            _ => false,
        },
        _ => false,
    }
}

pub(super) fn unavailable(error: impl std::fmt::Display) -> StoreError {
    StoreError::Unavailable(error.to_string())
}

pub(super) fn corrupt(error: impl std::fmt::Display) -> StoreError {
    StoreError::Corrupt(error.to_string())
}
