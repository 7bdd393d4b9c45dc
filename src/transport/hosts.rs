//! All hosts of a site: who is reached how, and the connections to them, shared by everything that a run does.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use futures_util::future::{BoxFuture, join_all};
use tokio::io::AsyncRead;
use tokio::sync::{Mutex, Semaphore};
use wire_deploy_agent::digest::Digest;
use wire_deploy_agent::protocol::{Event, Request, Response};

use super::bootstrap::{AgentBinary, Bootstrap, Root};
use super::link::Link;
use super::mux::Mux;
use super::ssh::{Liveness, Login, Policy, Session};
use super::{AgentError, ConnectError, Problem, local};
use crate::services::{Network, Stream};
use crate::site::model::{BecomeRoot, Connection, Host, Site, Ssh};
use crate::site::names::HostName;
use crate::site::secrets::{SecretText, Secrets};

/// Connections to one sshd, or through one host, that are not yet logged in: sshd turns some away beyond ten.
const CONNECTING: usize = 8;
/// How long this machine and sudo on it may take to start the agent.
const LOCAL_PATIENCE: Duration = Duration::from_secs(30);
/// How long a host that could not be connected to is not tried again.
const FAILED_FOR: Duration = Duration::from_secs(3);
/// How long a connection may take to end in good order.
const CLOSING: Duration = Duration::from_secs(2);

/// Told what an operator should know about a host, such as a host key that was accepted.
pub type Notice = Arc<dyn Fn(&HostName, &str) + Send + Sync>;

/// What a run decides about its connections.
#[derive(Clone)]
pub struct Options {
    /// Add the keys of hosts that are not known to the known hosts file.
    pub accept_new_host_keys: bool,
    /// The agent that is run on the hosts.
    pub agent: AgentBinary,
    /// Told what an operator should know.
    pub notice: Notice,
}

/// All hosts of a site. Clones share the connections.
#[derive(Clone)]
pub struct Hosts {
    inner: Arc<Inner>,
}

/// The session of a way, locked while it is made.
type Slot = Arc<Mutex<Option<Arc<Session>>>>;

struct Inner {
    hosts: BTreeMap<HostName, Known>,
    options: Options,
    /// Sessions by their way: the hosts in between, then the host itself.
    sessions: std::sync::Mutex<BTreeMap<Vec<HostName>, Slot>>,
    /// Who may be connecting at once: by address and port, and by host in between.
    gates: std::sync::Mutex<BTreeMap<String, Arc<Semaphore>>>,
}

/// One host.
struct Known {
    connection: Connection,
    /// How root is had, or why that cannot be known.
    root: Result<Root, Problem>,
    agent: Mutex<Attempt>,
}

/// How connecting to a host's agent went last.
#[derive(Default)]
enum Attempt {
    /// It was not tried, or what was had was ended in good order.
    #[default]
    None,
    /// Connected.
    Made(Mux),
    /// It failed then.
    Failed(Instant, Problem),
}

/// The client end of the agent on one host. Clones share the connection; requests run side by side.
#[derive(Clone)]
pub struct Agent {
    host: HostName,
    hosts: Hosts,
}

impl Hosts {
    /// All hosts of `site`; nothing is connected yet.
    #[must_use]
    pub fn new(site: &Site, options: Options, secrets: &Secrets) -> Self {
        let known = |host: &Host| Known {
            connection: host.connection.clone(),
            root: root_of(host, secrets),
            agent: Mutex::default(),
        };
        let hosts = site.hosts.iter().map(|host| (host.name.clone(), known(host))).collect();
        let (sessions, gates) = <(std::sync::Mutex<_>, std::sync::Mutex<_>)>::default();
        Self { inner: Arc::new(Inner { hosts, options, sessions, gates }) }
    }

    /// The agent of a host, connected.
    ///
    /// # Errors
    /// When the host cannot be reached, is not who it should be, does not let us in or cannot run the agent.
    pub async fn agent(&self, host: &HostName) -> Result<Agent, ConnectError> {
        self.inner.mux(host).await?;
        Ok(Agent { host: host.clone(), hosts: self.clone() })
    }

    /// Ends all connections. Agents that are still used connect anew.
    pub async fn close(&self) {
        let mut ending = Vec::new();
        for known in self.inner.hosts.values() {
            if let Attempt::Made(mux) = std::mem::take(&mut *known.agent.lock().await) {
                ending.push(mux.closed());
            }
        }
        let _ = tokio::time::timeout(CLOSING, join_all(ending)).await;
        self.inner.sessions.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

impl Hosts {
    async fn stream(&self, host: &HostName, request: Request) -> std::io::Result<Box<dyn Stream>> {
        let mux = self.inner.mux(host).await.map_err(std::io::Error::other)?;
        mux.stream(request).await.map_err(std::io::Error::other)
    }
}

impl Network for Hosts {
    fn open<'a>(
        &'a self,
        host: &'a HostName,
        address: core::net::SocketAddr,
    ) -> BoxFuture<'a, std::io::Result<Box<dyn Stream>>> {
        Box::pin(self.stream(host, Request::Connect { address }))
    }

    fn datagrams<'a>(
        &'a self,
        host: &'a HostName,
        address: core::net::SocketAddr,
    ) -> BoxFuture<'a, std::io::Result<Box<dyn Stream>>> {
        Box::pin(self.stream(host, Request::Datagrams { address }))
    }
}

impl Agent {
    /// One exchange; events go to `on_event` as they come. When the connection breaks, the request is made once more
    /// over a new one: every request is idempotent, and its events may come twice.
    ///
    /// # Errors
    /// When the connection breaks again or the agent answers with a failure.
    pub async fn request(
        &self,
        request: &Request,
        on_event: &mut (dyn FnMut(Event) + Send),
    ) -> Result<Response, AgentError> {
        match self.mux().await?.request(request, on_event).await {
            Err(AgentError::Broken { .. }) => self.mux().await?.request(request, on_event).await,
            answer => answer,
        }
    }

    /// As [`Agent::request`], of what changes the host: it is done, or not.
    ///
    /// # Errors
    /// As of [`Agent::request`]; and when another run holds the host.
    pub async fn change(&self, request: &Request, on_event: &mut (dyn FnMut(Event) + Send)) -> Result<(), AgentError> {
        match self.request(request, on_event).await? {
            Response::Ok => Ok(()),
            Response::LeaseHeld { lease } => Err(AgentError::TakenOver(Box::new(lease))),
            other => Err(self.unexpected(&other)),
        }
    }

    /// Sends a blob to the host's cache; `progress` gets the bytes sent so far.
    ///
    /// # Errors
    /// When reading it or the connection fails, or the host has no room.
    pub async fn put_blob(
        &self,
        blob: &Digest,
        size: u64,
        content: &mut (dyn AsyncRead + Send + Unpin),
        progress: &mut (dyn FnMut(u64) + Send),
    ) -> Result<(), AgentError> {
        self.mux().await?.put_blob(blob, size, content, progress).await
    }

    /// The agent answered with something that does not belong to the request.
    #[must_use]
    pub fn unexpected(&self, response: &Response) -> AgentError {
        if let Response::Error(failure) = response {
            return AgentError::Failed(failure.clone());
        }
        AgentError::Protocol { host: self.host.clone(), reason: "its answer does not belong to the request".to_owned() }
    }

    async fn mux(&self) -> Result<Mux, AgentError> {
        self.hosts.inner.mux(&self.host).await.map_err(|error| AgentError::Broken {
            host: error.host,
            reason: format!("{} ({})", error.reason, error.hint),
        })
    }
}

impl Inner {
    /// The connection to a host's agent, made if there is none.
    async fn mux(&self, host: &HostName) -> Result<Mux, ConnectError> {
        let known = self.known(host)?;
        let mut agent = known.agent.lock().await;
        match &*agent {
            Attempt::Made(mux) if !mux.is_over() => return Ok(mux.clone()),
            // Whoever waited for that attempt, or comes right after it, would wait as long for the same.
            Attempt::Failed(then, problem) if then.elapsed() < FAILED_FOR => return Err(problem.clone().of(host)),
            _ => {}
        }
        match self.start(host, known).await {
            Ok(mux) => {
                *agent = Attempt::Made(mux.clone());
                Ok(mux)
            }
            Err(problem) => {
                *agent = Attempt::Failed(Instant::now(), problem.clone());
                Err(problem.of(host))
            }
        }
    }

    fn known(&self, host: &HostName) -> Result<&Known, ConnectError> {
        self.hosts.get(host).ok_or_else(|| {
            Problem::new("it is not in the inventory", "add it to hosts.yaml, or correct the name").of(host)
        })
    }

    async fn start(&self, host: &HostName, known: &Known) -> Result<Mux, Problem> {
        let root = known.root.as_ref().map_err(Clone::clone)?;
        let bootstrap = Bootstrap::new(&self.options.agent, root)?;
        let (link, patience) = match &known.connection {
            Connection::Local => (local::run(&bootstrap.program())?, LOCAL_PATIENCE),
            Connection::Ssh(ssh) => {
                let way: Vec<HostName> = ssh.jump.iter().chain([host]).cloned().collect();
                let patience = Duration::from_secs(ssh.connect_timeout_seconds.into());
                let mut session = self.session(&way).await?;
                let mut link = command(&session, &bootstrap, patience).await;
                // A session that nobody used may have ended unnoticed.
                if link.is_err() && session.is_over() {
                    session = self.session(&way).await?;
                    link = command(&session, &bootstrap, patience).await;
                }
                (link?, patience)
            }
        };
        let started = bootstrap.start(link, patience).await?;
        Ok(Mux::start(host.clone(), started.reader, started.writer, started.why))
    }

    /// The session with the last host of a way, made if there is none.
    fn session<'a>(&'a self, way: &'a [HostName]) -> BoxFuture<'a, Result<Arc<Session>, Problem>> {
        Box::pin(async move {
            let Some((host, before)) = way.split_last() else {
                return Err(Problem::new("there is no host to connect to", "this is a defect"));
            };
            let slot = Arc::clone(
                self.sessions.lock().unwrap_or_else(PoisonError::into_inner).entry(way.to_vec()).or_default(),
            );
            let mut slot = slot.lock().await;
            if let Some(session) = slot.as_ref().filter(|session| !session.is_over()) {
                return Ok(Arc::clone(session));
            }
            let Connection::Ssh(ssh) =
                &self.known(host).map_err(|error| jump_problem(host, &error.reason, error.hint))?.connection
            else {
                let hint = "leave it out of ssh.jump: this machine needs no way to itself";
                return Err(jump_problem(host, "it is this machine, which no connection leads through", hint));
            };
            let through = match before.last() {
                None => None,
                Some(between) => Some(
                    self.session(before)
                        .await
                        .map_err(|problem| jump_problem(between, &problem.reason, problem.hint))?,
                ),
            };
            let own = self.gate(format!("{} {}", ssh.address, ssh.port));
            let between = before.last().map(|between| self.gate(format!("through {between}")));
            let _permit = own.acquire().await;
            let _between = match &between {
                None => None,
                Some(gate) => gate.acquire().await.ok(),
            };
            let (session, notice) = Session::connect(self.login(ssh), through).await?;
            if let Some(notice) = notice {
                (self.options.notice)(host, &notice);
            }
            let session = Arc::new(session);
            *slot = Some(Arc::clone(&session));
            Ok(session)
        })
    }

    fn gate(&self, name: String) -> Arc<Semaphore> {
        let mut gates = self.gates.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(gates.entry(name).or_insert_with(|| Arc::new(Semaphore::new(CONNECTING))))
    }

    fn login(&self, ssh: &Ssh) -> Login {
        Login {
            user: ssh.user.clone(),
            key: ssh.key.as_deref().map(PathBuf::from),
            agent: ssh.agent,
            agent_socket: std::env::var_os("SSH_AUTH_SOCK").map(PathBuf::from),
            policy: Policy {
                address: ssh.address.clone(),
                port: ssh.port,
                fingerprint: ssh.fingerprint.clone(),
                file: PathBuf::from(&ssh.known_hosts),
                accept_new: self.options.accept_new_host_keys,
            },
            timeout: Duration::from_secs(ssh.connect_timeout_seconds.into()),
            liveness: Liveness::default(),
        }
    }
}

/// Has the login shell run the bootstrap.
async fn command(session: &Arc<Session>, bootstrap: &Bootstrap<'_>, patience: Duration) -> Result<Link, Problem> {
    let reason = match tokio::time::timeout(patience, session.run(bootstrap.command())).await {
        Ok(Ok(link)) => return Ok(link),
        Ok(Err(reason)) => reason,
        Err(_) => format!("no answer within {} seconds", patience.as_secs()),
    };
    Err(Problem::new(
        format!("the host does not run commands: {reason}"),
        "see whether sshd lets this user run commands (ForceCommand, MaxSessions)",
    ))
}

fn jump_problem(between: &HostName, reason: &str, hint: impl Into<String>) -> Problem {
    Problem::new(format!("on the way, {between}: {reason}"), hint)
}

fn root_of(host: &Host, secrets: &Secrets) -> Result<Root, Problem> {
    match &host.become_root {
        BecomeRoot::No => Ok(Root::Login),
        BecomeRoot::Sudo { password: None } => Ok(Root::Sudo(None)),
        BecomeRoot::Sudo { password: Some(name) } => {
            let password: Option<&SecretText> = secrets.provided(name);
            password.map(|password| Root::Sudo(Some(password.clone()))).ok_or_else(|| {
                Problem::new(
                    format!("the secret {name}, which holds the password for sudo, is not among the provided ones"),
                    format!("add {name} to the secrets file, or correct become.password"),
                )
            })
        }
    }
}
