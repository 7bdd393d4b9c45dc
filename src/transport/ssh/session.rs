//! Connecting, knowing the host, logging in; then a session that opens channels until it ends.

use std::net::{SocketAddr, TcpStream, ToSocketAddrs as _};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant};

use ssh2::MethodType;
use tokio::sync::{oneshot, watch};

use super::carrier::{Opening, Target};
use super::host_key::{Policy, Refusal};
use super::pump::Liveness;
use super::{key_file, pump};
use crate::transport::Problem;
use crate::transport::link::{Diagnostics, Ended, Link};

/// libssh2's code for a peer that does not answer in time.
const TIMEOUT: i32 = -9;

/// Where and as whom to log in.
#[derive(Debug, Clone)]
pub(in crate::transport) struct Login {
    /// User.
    pub(in crate::transport) user: String,
    /// Private key file.
    pub(in crate::transport) key: Option<PathBuf>,
    /// Whether keys of the SSH agent are tried.
    pub(in crate::transport) agent: bool,
    /// Where the SSH agent listens, if one runs.
    pub(in crate::transport) agent_socket: Option<PathBuf>,
    /// The host's address and how its key is judged.
    pub(in crate::transport) policy: Policy,
    /// How long all of it may take.
    pub(in crate::transport) timeout: Duration,
    /// When the host counts as lost afterwards.
    pub(in crate::transport) liveness: Liveness,
}

/// A session; it ends once this and the last of its channels are gone.
pub(in crate::transport) struct Session {
    requests: mpsc::Sender<Opening>,
    wake: Arc<OwnedFd>,
    ending: watch::Receiver<Option<String>>,
    /// The session whose channel carries this one.
    carrier: Option<Arc<Session>>,
}

/// A session that is logged in.
struct Ready {
    session: Session,
    notice: Option<String>,
}

enum Failure {
    /// Its key is not the pinned one; it may have more keys.
    NotPinned(String, Problem),
    Final(Problem),
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        Self::Final(problem)
    }
}

impl Session {
    /// Logs in, straight or through a session with a host in between. Also returns what the operator should know.
    pub(in crate::transport) async fn connect(
        login: Login,
        through: Option<Arc<Self>>,
    ) -> Result<(Self, Option<String>), Problem> {
        let mut without = Vec::new();
        let mut first_problem = None;
        loop {
            match attempt(&login, through.clone().map_or(Way::Direct, Way::Through), without.clone()).await {
                Ok(ready) => return Ok((ready.session, ready.notice)),
                // The pin may be of another of the host's keys: each type is asked for in turn.
                Err(Failure::NotPinned(kind, problem)) => {
                    first_problem.get_or_insert(problem);
                    without.push(kind);
                }
                Err(Failure::Final(problem)) => return Err(first_problem.unwrap_or(problem)),
            }
        }
    }

    /// Logs in over a socket that leads to the host already.
    #[cfg(test)]
    pub(in crate::transport) async fn connect_over(login: Login, socket: OwnedFd) -> Result<Self, Problem> {
        match attempt(&login, Way::Socket(socket), Vec::new()).await {
            Ok(ready) => Ok(ready.session),
            Err(Failure::NotPinned(_, problem) | Failure::Final(problem)) => Err(problem),
        }
    }

    /// Whether it has ended.
    pub(in crate::transport) fn is_over(&self) -> bool {
        self.ending.borrow().is_some()
    }

    /// Runs a command through the login shell.
    pub(in crate::transport) async fn run(self: &Arc<Self>, command: String) -> Result<Link, String> {
        let diagnostics = Arc::new(Diagnostics::default());
        let (stream, ended) = self.open(Target::Command(command), Arc::clone(&diagnostics)).await?;
        let stream = tokio::net::UnixStream::from_std(stream).map_err(|error| error.to_string())?;
        let (reader, writer) = stream.into_split();
        let session = Arc::clone(self);
        let ended = async move {
            match ended.await {
                Ok(ended) => ended,
                Err(_) => Ended { code: None, reason: session.reason().await },
            }
        };
        Ok(Link { reader: Box::new(reader), writer: Box::new(writer), diagnostics, ended: Box::pin(ended) })
    }

    async fn open(
        &self,
        target: Target,
        diagnostics: Arc<Diagnostics>,
    ) -> Result<(UnixStream, oneshot::Receiver<Ended>), String> {
        let pair = || -> std::io::Result<_> {
            let (ours, bridge) = UnixStream::pair()?;
            ours.set_nonblocking(true)?;
            bridge.set_nonblocking(true)?;
            Ok((ours, bridge))
        };
        let (ours, bridge) = pair().map_err(|error| format!("a socket pair: {error}"))?;
        let (opened, answer) = oneshot::channel();
        let (ended, end) = oneshot::channel();
        let opening = Opening { target, bridge, diagnostics, opened, ended };
        if self.requests.send(opening).is_err() {
            return Err(self.reason().await);
        }
        wake(&self.wake);
        match answer.await {
            Ok(answer) => answer.map(|()| (ours, end)),
            Err(_) => Err(self.reason().await),
        }
    }

    /// Why the session has ended, once it has.
    async fn reason(&self) -> String {
        let mut ending = self.ending.clone();
        let reason = ending.wait_for(Option::is_some).await.ok().and_then(|reason| reason.clone());
        let reason = reason.unwrap_or_else(|| "its thread ended".to_owned());
        match &self.carrier {
            Some(carrier) if carrier.is_over() => {
                format!("{reason}, since the host in between went away: {}", Box::pin(carrier.reason()).await)
            }
            _ => reason,
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // The thread looks up and finds the requests' other end gone.
        let (gone, _) = mpsc::channel();
        self.requests = gone;
        wake(&self.wake);
    }
}

fn wake(eventfd: &OwnedFd) {
    let _ = rustix::io::write(eventfd, &1_u64.to_ne_bytes());
}

/// Hangs up on an attempt that is given up, so that its thread ends at once, whatever it waits for.
#[derive(Default, Clone)]
struct HangUp(Arc<Mutex<(bool, Option<OwnedFd>)>>);

impl HangUp {
    /// The attempt's socket; it is shut if the attempt was given up meanwhile.
    fn watch(&self, socket: &OwnedFd) -> Result<(), Problem> {
        let copy = socket.try_clone().map_err(|error| system(&error))?;
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.0 {
            let _ = rustix::net::shutdown(&copy, rustix::net::Shutdown::Both);
        }
        state.1 = Some(copy);
        Ok(())
    }

    /// The attempt is over one way or the other.
    fn disarm(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).1 = None;
    }
}

impl Drop for Armed {
    fn drop(&mut self) {
        let mut state = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.0 = true;
        if let Some(socket) = state.1.take() {
            let _ = rustix::net::shutdown(&socket, rustix::net::Shutdown::Both);
        }
    }
}

/// Hangs up when dropped, unless disarmed.
struct Armed(HangUp);

/// How a host's sshd is reached.
enum Way {
    /// By a connection of our own.
    Direct,
    /// Through a host in between.
    Through(Arc<Session>),
    /// It is already.
    #[cfg(test)]
    Socket(OwnedFd),
}

async fn attempt(login: &Login, way: Way, without: Vec<String>) -> Result<Ready, Failure> {
    let hang_up = HangUp::default();
    let armed = Armed(hang_up.clone());
    let (answer, answered) = oneshot::channel();
    let timeout = login.timeout;
    let connecting = async {
        let (socket, through) = match way {
            Way::Direct => (None, None),
            #[cfg(test)]
            Way::Socket(socket) => (Some(socket), None),
            Way::Through(session) => {
                let (address, port) = (login.policy.address.clone(), login.policy.port);
                let target = Target::Tcp { address, port };
                let opened = session.open(target, Arc::new(Diagnostics::default())).await;
                let (stream, _) = opened.map_err(|reason| {
                    Problem::new(
                        format!("the host in between cannot reach {}: {reason}", shown(login)),
                        "check the address as that host sees it, and that its sshd allows TCP forwarding",
                    )
                })?;
                (Some(OwnedFd::from(stream)), Some(session))
            }
        };
        let login = login.clone();
        std::thread::Builder::new()
            .name(format!("ssh {}", login.policy.address))
            .spawn(move || serve(&login, socket, through, &without, &hang_up, answer))
            .map_err(|error| system(&error))?;
        answered.await.unwrap_or_else(|_| Err(Problem::new("its thread ended", "this is a defect").into()))
    };
    let result = match tokio::time::timeout(timeout, connecting).await {
        Ok(result) => result,
        Err(_) => Err(too_slow(login).into()),
    };
    if result.is_ok() {
        armed.0.disarm();
    }
    result
}

/// The life of a session's thread.
fn serve(
    login: &Login,
    socket: Option<OwnedFd>,
    through: Option<Arc<Session>>,
    without: &[String],
    hang_up: &HangUp,
    answer: oneshot::Sender<Result<Ready, Failure>>,
) {
    let (requests, queue) = mpsc::channel();
    let (ended, ending) = watch::channel(None);
    let prepare = || {
        let (session, socket, notice) = log_in(login, socket, without, hang_up)?;
        let wake =
            rustix::event::eventfd(0, rustix::event::EventfdFlags::CLOEXEC).map_err(|errno| system(&errno.into()))?;
        Ok((session, socket, Arc::new(wake), notice))
    };
    match prepare() {
        Err(failure) => {
            let _ = answer.send(Err(failure));
        }
        Ok((session, socket, wake, notice)) => {
            let ready = Session { requests, wake: Arc::clone(&wake), ending, carrier: through };
            // Nobody waits any more: the session, and with it the requests' other end, is dropped.
            let _ = answer.send(Ok(Ready { session: ready, notice }));
            let pump = pump::Pump { session, socket, wake, requests: queue, liveness: login.liveness };
            pump::run(pump, |reason| drop(ended.send(Some(reason))));
        }
    }
}

type LoggedIn = (ssh2::Session, OwnedFd, Option<String>);

fn log_in(login: &Login, socket: Option<OwnedFd>, without: &[String], hang_up: &HangUp) -> Result<LoggedIn, Failure> {
    let deadline = Instant::now() + login.timeout;
    // What can be found wrong here needs no connection.
    let key = login.key.as_deref().map(key_file::read).transpose()?;
    if key.is_none() && !login.agent {
        return Err(Problem::new(
            format!("there is nothing to log in to {} with", shown(login)),
            "name a private key as ssh.key, or use the SSH agent with ssh.agent: true",
        )
        .into());
    }
    let expectation = login.policy.clone().read()?;
    let algorithms = expectation
        .algorithms(without)
        .ok_or_else(|| Problem::new("the host has no further key", "check the pinned fingerprint"))?;

    let socket = socket.map_or_else(|| dial(login, deadline), Ok)?;
    hang_up.watch(&socket)?;
    let failed = |error: ssh2::Error, doing: &str| match error.code() {
        ssh2::ErrorCode::Session(TIMEOUT) => too_slow(login),
        _ => Problem::new(
            format!("{doing} {} failed: {}", shown(login), pump::describe(&error)),
            "see the log of sshd on the host",
        ),
    };
    let mut session = ssh2::Session::new().map_err(|error| failed(error, "SSH with"))?;
    session.set_tcp_stream(socket.try_clone().map_err(|error| system(&error))?);
    session.method_pref(MethodType::HostKey, &algorithms).map_err(|error| failed(error, "SSH with"))?;
    session.set_timeout(remaining(deadline));
    session.handshake().map_err(|error| not_ssh(login, &session).unwrap_or_else(|| failed(error, "SSH with")))?;

    let key_of_host = session.host_key().map(|(key, _)| key.to_vec()).unwrap_or_default();
    let notice = expectation.check(&key_of_host).map_err(|refusal| match refusal {
        Refusal::NotPinned(kind, problem) => Failure::NotPinned(kind, problem),
        Refusal::Final(problem) => Failure::Final(problem),
    })?;

    session.set_timeout(remaining(deadline));
    let mut tried = Vec::new();
    if let Some(key) = key {
        match session.userauth_pubkey_memory(&login.user, None, &key, None) {
            Ok(()) => {}
            Err(error) if is_refusal(&error) => tried.extend(login.key.iter().map(|path| path.display().to_string())),
            Err(error) => return Err(failed(error, "logging in to").into()),
        }
    }
    if login.agent && !session.authenticated() {
        tried.push(try_agent(&session, login, deadline)?);
    }
    if !session.authenticated() {
        return Err(refused(&session, login, &tried).into());
    }
    session.set_timeout(0);
    session.set_blocking(false);
    // The thread decides when one is due; this is only to have them answered.
    session.set_keepalive(true, 2);
    Ok((session, socket, notice))
}

/// Tries the SSH agent's keys. Returns what was tried.
fn try_agent(session: &ssh2::Session, login: &Login, deadline: Instant) -> Result<String, Problem> {
    let unusable = |reason: &str| {
        Problem::new(
            format!("the SSH agent cannot be used: {reason}"),
            "start one and add the key: eval $(ssh-agent); ssh-add; or name a key file as ssh.key",
        )
    };
    let Some(socket) = &login.agent_socket else { return Err(unusable("SSH_AUTH_SOCK is not set")) };
    let mut agent = session.agent().map_err(|error| unusable(error.message()))?;
    agent.set_identity_path(socket).map_err(|error| unusable(error.message()))?;
    agent.connect().map_err(|error| unusable(error.message()))?;
    agent.list_identities().map_err(|error| unusable(error.message()))?;
    let keys = agent.identities().map_err(|error| unusable(error.message()))?;
    if keys.is_empty() {
        return Err(unusable("it has no key"));
    }
    for key in &keys {
        session.set_timeout(remaining(deadline));
        match agent.userauth(&login.user, key) {
            Ok(()) => break,
            Err(error) if is_refusal(&error) => {}
            // Too many keys: sshd hangs up.
            Err(_) => break,
        }
    }
    Ok(format!("{} keys of the SSH agent", keys.len()))
}

/// Whether the host said no, as against an error: it does not take the key (-18), or not its signature (-19).
fn is_refusal(error: &ssh2::Error) -> bool {
    matches!(error.code(), ssh2::ErrorCode::Session(-18 | -19))
}

fn refused(session: &ssh2::Session, login: &Login, tried: &[String]) -> Problem {
    let methods = session.auth_methods(&login.user).unwrap_or_default();
    let takes = if methods.is_empty() { String::new() } else { format!("; it takes {}", methods.replace(',', ", ")) };
    Problem::new(
        format!("{} refuses to let {} in with {}{takes}", shown(login), login.user, tried.join(" and ")),
        format!(
            "add the public key to ~{}/.ssh/authorized_keys on the host, or correct ssh.user, ssh.key or ssh.agent",
            login.user
        ),
    )
}

/// A peer that said something else than SSH's greeting.
fn not_ssh(login: &Login, session: &ssh2::Session) -> Option<Problem> {
    let said = session.banner_bytes()?;
    if said.starts_with(b"SSH-") {
        return None;
    }
    let said: String = String::from_utf8_lossy(said).chars().filter(|c| !c.is_control()).take(60).collect();
    Some(Problem::new(
        format!("{} does not speak SSH: it says {said:?}", shown(login)),
        "check ssh.port, and that nothing answers in the host's place",
    ))
}

fn dial(login: &Login, deadline: Instant) -> Result<OwnedFd, Problem> {
    let (address, port) = (login.policy.address.as_str(), login.policy.port);
    let addresses: Vec<SocketAddr> = (address, port)
        .to_socket_addrs()
        .map_err(|error| {
            Problem::new(
                format!("the name {address} cannot be looked up: {error}"),
                "correct ssh.address, or write an IP address",
            )
        })?
        .collect();
    let (count, mut last) = (addresses.len(), None);
    for (index, candidate) in addresses.into_iter().enumerate() {
        // An address that leads nowhere leaves the others their share of the time.
        let share = u32::try_from(count - index).unwrap_or(u32::MAX);
        let left = (deadline.saturating_duration_since(Instant::now()) / share).max(Duration::from_millis(1));
        match TcpStream::connect_timeout(&candidate, left) {
            Ok(stream) => {
                let _ = stream.set_nodelay(true);
                return Ok(stream.into());
            }
            Err(error) => last = Some(error),
        }
    }
    Err(match last {
        None => Problem::new(format!("the name {address} has no address"), "correct ssh.address"),
        Some(error) if error.kind() == std::io::ErrorKind::TimedOut => too_slow(login),
        Some(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => Problem::new(
            format!("{} refuses the connection", shown(login)),
            "check that sshd runs on the host and listens on this port",
        ),
        Some(error) => Problem::new(
            format!("{} cannot be reached: {error}", shown(login)),
            "check the address, the route and the firewalls in between",
        ),
    })
}

fn too_slow(login: &Login) -> Problem {
    Problem::new(
        format!("{} has not let us in within {} seconds", shown(login), login.timeout.as_secs()),
        "check the address and the firewalls in between, or raise ssh.connect_timeout_seconds",
    )
}

fn system(error: &std::io::Error) -> Problem {
    Problem::new(format!("this machine is short of something: {error}"), "check the limits on open files and threads")
}

fn shown(login: &Login) -> String {
    format!("{} port {}", login.policy.address, login.policy.port)
}

/// Milliseconds until the deadline; libssh2 takes 0 for "for ever".
fn remaining(deadline: Instant) -> u32 {
    let left = deadline.saturating_duration_since(Instant::now()).as_millis();
    u32::try_from(left).unwrap_or(u32::MAX).max(1)
}
