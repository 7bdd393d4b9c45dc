//! The smoke test: two throw-away users do with a backend what it is for, through its public addresses and nothing else.
//!
//! They register, log in, register devices, find each other, connect, exchange prekeys; a message of one arrives on the
//! other's websocket; a file goes up and down; both are deleted, also when a step before failed. It works against every
//! backend that speaks Wire's client API and activates accounts by itself.

use std::time::Instant;

use reqwest::Url;
use tokio::sync::watch;

use self::backend::Backend;
use self::users::{Account, User};
use crate::plan::StepId;
use crate::report::{EventKind, Reporter, StepOutcome};
use crate::site::names::ServiceName;
use crate::transport::web::Web;

mod assets;
mod backend;
mod message;
mod socket;
mod users;

/// What the events of its steps name as their service.
const SERVICE: &str = "smoke";

/// Where a backend is, and whom to believe.
#[derive(Debug, Clone)]
pub struct Place {
    /// Where its API is, `https://nginz-https.DOMAIN`.
    pub rest: Url,
    /// Where its websockets are, `wss://nginz-ssl.DOMAIN`.
    pub websocket: Url,
    /// The authorities that its certificates are believed from.
    pub web: Web,
}

/// Something else came than was expected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Surprise {
    /// What was expected.
    pub expected: String,
    /// What came.
    pub found: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// The label by which the backend refused, if it did.
    pub label: Option<String>,
    /// Whether nobody answered at all.
    pub unreachable: bool,
}

/// How the smoke test failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SmokeError {
    /// A step did not go as it should.
    #[error("the backend did not pass: cannot {step}")]
    Surprised {
        /// What was to be done.
        step: &'static str,
        /// What was expected and what came.
        surprise: Surprise,
    },
    /// The operator interrupted it.
    #[error("interrupted; what was registered is deleted")]
    Interrupted,
}

impl Surprise {
    fn new(expected: impl Into<String>, found: impl Into<String>) -> Self {
        Self { expected: expected.into(), found: found.into(), hint: None, label: None, unreachable: false }
    }

    fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// Does it all. What was registered is deleted whatever happens; what could not be is told in a warning.
///
/// # Errors
/// The first step that did not go as it should.
pub async fn run(place: &Place, report: &Reporter, mut interrupted: watch::Receiver<bool>) -> Result<(), SmokeError> {
    let steps = Steps { report };
    let backend = steps.take("ask for the API's versions", Backend::find(place)).await?;
    let mut accounts = Vec::new();
    let talked = tokio::select! {
        talked = talk(&backend, &steps, &mut accounts) => talked,
        _ = interrupted.wait_for(|stop| *stop) => Err(SmokeError::Interrupted),
    };
    if accounts.is_empty() {
        return talked;
    }
    let deleted = steps.take("delete the users", users::delete(&backend, &accounts)).await;
    if deleted.is_err() {
        let left: Vec<&str> = accounts.iter().map(|account| account.email.as_str()).collect();
        report.warn(
            format!("throw-away accounts may be left: {}", left.join(", ")),
            Some("delete them by the backend's administration"),
        );
    }
    talked.and(deleted)
}

/// All that is between finding the backend and deleting what was left there.
async fn talk(backend: &Backend<'_>, steps: &Steps<'_>, accounts: &mut Vec<Account>) -> Result<(), SmokeError> {
    steps.take("register two users", users::register(backend, accounts, steps.report)).await?;
    let [one, other] = accounts.as_slice() else { return Ok(()) };
    let [one, other] = steps
        .take("log in", both(users::log_in(backend, one, steps.report), users::log_in(backend, other, steps.report)))
        .await?;
    let [one, other] = steps
        .take("register a device each", both(users::add_device(backend, one), users::add_device(backend, other)))
        .await?;
    let mut socket = steps.take("open a websocket", socket::Socket::open(backend, &other)).await?;
    steps
        .take("find each other by search", both(users::find(backend, &one, &other), users::find(backend, &other, &one)))
        .await?;
    let conversation = steps.take("connect", users::connect(backend, &one, &other, &mut socket)).await?;
    steps
        .take(
            "exchange prekeys",
            both(users::take_prekey(backend, &one, &other), users::take_prekey(backend, &other, &one)),
        )
        .await?;
    steps
        .take("send a message that arrives on the websocket", send(backend, &one, &other, &conversation, &mut socket))
        .await?;
    steps.take("upload a file and fetch it", assets::up_and_down(backend, &one, &other)).await
}

/// A message of `one` for `other`, which must come out of the websocket as it went in.
async fn send(
    backend: &Backend<'_>,
    one: &User,
    other: &User,
    conversation: &backend::QualifiedId,
    socket: &mut socket::Socket,
) -> Result<(), Surprise> {
    let text = random::<96>()?;
    users::send(backend, one, other, conversation, &text).await?;
    socket.message(backend, one, &text).await
}

/// Two of the same kind at once.
async fn both<T>(
    one: impl Future<Output = Result<T, Surprise>>,
    other: impl Future<Output = Result<T, Surprise>>,
) -> Result<[T; 2], Surprise> {
    tokio::try_join!(one, other).map(Into::into)
}

/// Reports the steps.
struct Steps<'a> {
    report: &'a Reporter,
}

impl Steps<'_> {
    /// Does a step and reports how it went.
    async fn take<T>(
        &self,
        title: &'static str,
        work: impl Future<Output = Result<T, Surprise>>,
    ) -> Result<T, SmokeError> {
        let (step, service) = (StepId(title.to_owned()), ServiceName::from(SERVICE));
        let begun = Instant::now();
        self.report.send(EventKind::StepStarted { step: step.clone(), service, host: None, title: title.to_owned() });
        let result = work.await;
        let milliseconds = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        let outcome = match &result {
            Ok(_) => StepOutcome::Done { changed: Vec::new() },
            Err(surprise) => StepOutcome::Failed {
                reason: format!("expected {}; {}", surprise.expected, surprise.found),
                hint: surprise.hint.clone(),
                log: Vec::new(),
            },
        };
        self.report.send(EventKind::StepFinished { step, outcome, milliseconds });
        result.map_err(|surprise| SmokeError::Surprised { step: title, surprise })
    }
}

/// Random bytes: names, passwords, contents.
fn random<const N: usize>() -> Result<[u8; N], Surprise> {
    let mut bytes = [0; N];
    fill(&mut bytes)?;
    Ok(bytes)
}

fn fill(bytes: &mut [u8]) -> Result<(), Surprise> {
    getrandom::fill(bytes)
        .map_err(|error| Surprise::new("random bytes from this machine", format!("it gave none: {error}")))
}
