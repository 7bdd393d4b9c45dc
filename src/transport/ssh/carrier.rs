//! One channel of a session and its bridge: the end of a socket pair whose other end the channel's user has.

use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::PollFlags;
use tokio::sync::oneshot;

use super::pump::{describe, has_room, is_stuck};
use crate::transport::link::{Diagnostics, Ended};

/// Bytes written to a channel at once: what one SSH packet holds, below libssh2's own limit of 32,700.
const TO_HOST: usize = 32_000;
/// Bytes read from a channel at once.
const FROM_HOST: usize = 128 * 1024;
/// How long a channel whose data has ended is waited for to say how its program ended.
const FAREWELL: Duration = Duration::from_secs(2);
/// libssh2's code for "call again".
const AGAIN: i32 = -37;

/// What a channel is to lead to.
pub(super) enum Target {
    /// A command, given to the login shell.
    Command(String),
    /// A TCP connection opened by the host, which looks the name up.
    Tcp {
        /// Name or address.
        address: String,
        /// Port.
        port: u16,
    },
}

/// A channel that is asked for.
pub(super) struct Opening {
    /// Where to.
    pub(super) target: Target,
    /// What carries its bytes; not blocking.
    pub(super) bridge: UnixStream,
    /// Where what the command writes to its standard error goes.
    pub(super) diagnostics: Arc<Diagnostics>,
    /// Told once it is open, or why it cannot be.
    pub(super) opened: oneshot::Sender<Result<(), String>>,
    /// Told how its command ended; dropped when that cannot be known.
    pub(super) ended: oneshot::Sender<Ended>,
}

/// Whether a step moved anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    Progress,
    Nothing,
}

enum Stage {
    /// To be opened.
    Open(Target, oneshot::Sender<Result<(), String>>),
    /// Open; the command is to be started.
    Start(String, oneshot::Sender<Result<(), String>>),
    /// Bytes flow.
    Flow,
    /// The host has no more data; it may yet say how the program ended.
    Farewell(Instant),
    /// To be closed; the host's own close ends it.
    Close {
        sent: bool,
    },
    Done,
}

/// An open channel.
pub(super) struct Carrier {
    stage: Stage,
    channel: Option<ssh2::Channel>,
    bridge: UnixStream,
    diagnostics: Arc<Diagnostics>,
    ended: Option<oneshot::Sender<Ended>>,
    to_host: Buffer,
    from_host: Buffer,
    /// The user has no more data, or is gone.
    user_ended: bool,
    /// The user is gone: what comes has no taker.
    user_gone: bool,
    end_sent: bool,
    host_ended: bool,
}

/// Bytes that stay where they are until all of them are gone.
struct Buffer {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
}

impl Buffer {
    fn new(size: usize) -> Self {
        Self { bytes: vec![0; size], start: 0, end: 0 }
    }

    fn is_empty(&self) -> bool {
        self.start == self.end
    }

    fn waiting(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    fn taken(&mut self, count: usize) {
        self.start += count;
    }

    /// Fills the empty buffer with one read: how much came, `None` if nothing did yet.
    fn fill(&mut self, reader: &mut impl Read) -> std::io::Result<Option<usize>> {
        match reader.read(&mut self.bytes) {
            Ok(count) => {
                (self.start, self.end) = (0, count);
                Ok(Some(count))
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl Carrier {
    pub(super) fn new(opening: Opening) -> Self {
        Self {
            stage: Stage::Open(opening.target, opening.opened),
            channel: None,
            bridge: opening.bridge,
            diagnostics: opening.diagnostics,
            ended: Some(opening.ended),
            to_host: Buffer::new(TO_HOST),
            from_host: Buffer::new(FROM_HOST),
            user_ended: false,
            user_gone: false,
            end_sent: false,
            host_ended: false,
        }
    }

    pub(super) fn is_opening(&self) -> bool {
        matches!(self.stage, Stage::Open(..) | Stage::Start(..))
    }

    pub(super) fn is_done(&self) -> bool {
        matches!(self.stage, Stage::Done)
    }

    /// Whether the next step would read from the session.
    pub(super) fn takes(&self) -> bool {
        !matches!(self.stage, Stage::Flow) || self.from_host.is_empty()
    }

    /// Whether a small packet waits for room in the socket.
    pub(super) fn wants_room(&self) -> bool {
        match self.stage {
            Stage::Flow => self.user_ended && self.to_host.is_empty() && !self.end_sent,
            Stage::Close { sent } => !sent,
            _ => false,
        }
    }

    pub(super) fn bridge(&self) -> &UnixStream {
        &self.bridge
    }

    /// What the bridge is waited for.
    pub(super) fn bridge_wants(&self) -> PollFlags {
        let mut wanted = PollFlags::empty();
        if matches!(self.stage, Stage::Flow) && !self.user_gone {
            if self.to_host.is_empty() && !self.user_ended {
                wanted |= PollFlags::IN;
            }
            if !self.from_host.is_empty() {
                wanted |= PollFlags::OUT;
            }
        }
        wanted
    }

    /// Does what can be done now. An error is the session's end.
    pub(super) fn step(&mut self, session: &ssh2::Session, socket: &OwnedFd) -> Result<Step, String> {
        match std::mem::replace(&mut self.stage, Stage::Done) {
            Stage::Open(target, opened) => self.open(session, target, opened),
            Stage::Start(command, opened) => self.start(command, opened),
            Stage::Flow => {
                self.stage = Stage::Flow;
                self.flow(session, socket)
            }
            Stage::Farewell(since) => self.farewell(since),
            Stage::Close { sent } => self.close(session, socket, sent),
            Stage::Done => Ok(Step::Nothing),
        }
    }

    fn open(
        &mut self,
        session: &ssh2::Session,
        target: Target,
        opened: oneshot::Sender<Result<(), String>>,
    ) -> Result<Step, String> {
        let channel = match &target {
            Target::Command(_) => session.channel_session(),
            Target::Tcp { address, port } => session.channel_direct_tcpip(address, *port, None),
        };
        match channel {
            Ok(channel) => {
                self.channel = Some(channel);
                match target {
                    Target::Command(command) => self.stage = Stage::Start(command, opened),
                    Target::Tcp { .. } => {
                        let _ = opened.send(Ok(()));
                        self.stage = Stage::Flow;
                    }
                }
                Ok(Step::Progress)
            }
            Err(error) if again(&error) => {
                self.stage = Stage::Open(target, opened);
                Ok(Step::Nothing)
            }
            Err(error) if refused(&error) => {
                let _ = opened.send(Err(error.message().to_owned()));
                Ok(Step::Progress)
            }
            Err(error) => {
                let _ = opened.send(Err(describe(&error)));
                Err(describe(&error))
            }
        }
    }

    fn start(&mut self, command: String, opened: oneshot::Sender<Result<(), String>>) -> Result<Step, String> {
        let Some(channel) = &mut self.channel else { return Ok(Step::Nothing) };
        match channel.exec(&command) {
            Ok(()) => {
                let _ = opened.send(Ok(()));
                self.stage = Stage::Flow;
                Ok(Step::Progress)
            }
            Err(error) if again(&error) => {
                self.stage = Stage::Start(command, opened);
                Ok(Step::Nothing)
            }
            Err(error) if refused(&error) => {
                let _ = opened.send(Err(format!("the host refuses to run a command: {}", error.message())));
                self.stage = Stage::Close { sent: false };
                Ok(Step::Progress)
            }
            Err(error) => Err(describe(&error)),
        }
    }

    fn flow(&mut self, session: &ssh2::Session, socket: &OwnedFd) -> Result<Step, String> {
        let Some(channel) = &mut self.channel else { return Ok(Step::Nothing) };
        let mut progress = false;
        // What is partly sent goes first, with the same bytes.
        if self.to_host.is_empty() && !self.user_ended && !is_stuck(session) {
            match self.to_host.fill(&mut self.bridge) {
                Ok(Some(0)) | Err(_) => self.user_ended = true,
                Ok(Some(_)) => progress = true,
                Ok(None) => {}
            }
        }
        if !self.to_host.is_empty() {
            match moved(channel.write(self.to_host.waiting()))? {
                Some(count) => {
                    self.to_host.taken(count);
                    progress = true;
                }
                // Nobody will ever take it.
                None if self.host_ended => self.to_host.taken(self.to_host.waiting().len()),
                None => {}
            }
        }
        if self.user_ended && self.to_host.is_empty() && !self.end_sent && has_room(session, socket) {
            channel.send_eof().or_else(|error| if again(&error) { Ok(()) } else { Err(describe(&error)) })?;
            self.end_sent = true;
            progress = true;
        }
        if self.from_host.is_empty() && !self.host_ended {
            match self.from_host.fill(channel).map_err(|error| broken(&error))? {
                Some(0) if channel.eof() => self.host_ended = true,
                Some(0) | None => {}
                Some(_) => progress = true,
            }
            let mut text = [0; 4096];
            if let Some(count) = moved(channel.stderr().read(&mut text))? {
                self.diagnostics.add(&text[..count]);
                progress = true;
            }
        }
        if !self.from_host.is_empty() && !self.user_gone {
            match self.bridge.write(self.from_host.waiting()) {
                Ok(count) => {
                    self.from_host.taken(count);
                    progress = true;
                }
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
                Err(_) => self.user_gone = true,
            }
        }
        if self.host_ended && (self.from_host.is_empty() || self.user_gone) {
            let _ = self.bridge.shutdown(Shutdown::Write);
            self.stage = Stage::Farewell(Instant::now());
            progress = true;
        } else if self.user_gone {
            self.stage = Stage::Close { sent: false };
            progress = true;
        }
        Ok(if progress { Step::Progress } else { Step::Nothing })
    }

    fn farewell(&mut self, since: Instant) -> Result<Step, String> {
        let Some(channel) = &mut self.channel else { return Ok(Step::Nothing) };
        match channel.wait_close() {
            Err(error) if again(&error) && since.elapsed() < FAREWELL => {
                self.stage = Stage::Farewell(since);
                return Ok(Step::Nothing);
            }
            Err(error) if again(&error) => {}
            Err(error) => return Err(describe(&error)),
            Ok(()) => self.report(),
        }
        self.stage = Stage::Close { sent: false };
        Ok(Step::Progress)
    }

    /// Says how the channel's program ended, once it is known.
    fn report(&mut self) {
        let (Some(channel), Some(ended)) = (&self.channel, self.ended.take()) else { return };
        let signal = channel.exit_signal().ok().and_then(|signal| signal.exit_signal);
        let _ = ended.send(match signal {
            Some(signal) => Ended { code: None, reason: format!("it was ended by signal {signal}") },
            None => {
                let code = channel.exit_status().unwrap_or_default();
                Ended { code: Some(code), reason: format!("it ended with exit code {code}") }
            }
        });
    }

    fn close(&mut self, session: &ssh2::Session, socket: &OwnedFd, sent: bool) -> Result<Step, String> {
        let Some(channel) = &mut self.channel else { return Ok(Step::Nothing) };
        if !sent && !has_room(session, socket) {
            self.stage = Stage::Close { sent: false };
            return Ok(Step::Nothing);
        }
        match channel.close() {
            Err(error) if again(&error) => {
                self.stage = Stage::Close { sent: true };
                Ok(Step::Nothing)
            }
            Err(error) if !refused(&error) => Err(describe(&error)),
            _ => {
                self.channel = None;
                Ok(Step::Progress)
            }
        }
    }
}

fn again(error: &ssh2::Error) -> bool {
    error.code() == ssh2::ErrorCode::Session(AGAIN)
}

/// Whether an error concerns one channel alone: libssh2.h's codes for channels, -20 to -29.
fn refused(error: &ssh2::Error) -> bool {
    matches!(error.code(), ssh2::ErrorCode::Session(-29..=-20))
}

/// What a read or a write moved; `None` when it has to be called again.
fn moved(result: std::io::Result<usize>) -> Result<Option<usize>, String> {
    match result {
        Ok(0) => Ok(None),
        Ok(count) => Ok(Some(count)),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(broken(&error)),
    }
}

/// An error of a read or a write: ssh2 leaves only libssh2's text of it. These are all it says when the other end is gone.
fn broken(error: &std::io::Error) -> String {
    const GONE: [&str; 3] = ["transport read", "Failure while draining incoming flow", "Unable to send channel data"];
    let text = error.to_string();
    if GONE.contains(&text.as_str()) { "the host closed the connection".to_owned() } else { text }
}
