//! The one thread that owns an SSH session: it moves bytes between the session's channels and a socket pair for each.
//!
//! libssh2 keeps one packet that was partly sent. It goes on only when the call that began it is made again with the
//! same bytes, and any call may have begun it, a read too, since reads send window adjustments and key exchanges. So
//! the channel whose call left such a packet goes first in the next pass, and alone until the packet is out; it writes
//! before it reads, and what waits to be written stays the same bytes in the same place. (Of the two calls, the one
//! that does not own the packet sends nothing: the bundled libssh2 tells by the address of the bytes.) libssh2 builds
//! the packets of end-of-data, close and keep-alive on its stack, where no second call would find them again: those are
//! only sent when the socket has room for all of one.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use ssh2::BlockDirections;

use super::carrier::{Carrier, Opening, Step};

/// How a host that is gone without a word is noticed.
#[derive(Debug, Clone, Copy)]
pub(in crate::transport) struct Liveness {
    /// After how long without a word it is asked for one.
    pub(in crate::transport) ask_after: Duration,
    /// After how long without a word it counts as lost.
    pub(in crate::transport) lost_after: Duration,
}

impl Default for Liveness {
    fn default() -> Self {
        Self { ask_after: Duration::from_secs(5), lost_after: Duration::from_secs(20) }
    }
}

/// The thread's state.
pub(super) struct Pump {
    /// The session, logged in and not blocking.
    pub(super) session: ssh2::Session,
    /// The session's socket.
    pub(super) socket: OwnedFd,
    /// Written to when there is a new request; an eventfd.
    pub(super) wake: Arc<OwnedFd>,
    /// Channels to open. When its other end is gone and the last channel is closed, the session ends.
    pub(super) requests: Receiver<Opening>,
    /// When the host counts as lost.
    pub(super) liveness: Liveness,
}

/// Runs the session until nobody uses it any more. `tell` is told why it ended before its channels' users see their ends.
pub(super) fn run(pump: Pump, tell: impl FnOnce(String)) {
    let mut running = Running {
        carriers: Vec::new(),
        waiting: VecDeque::new(),
        first: 0,
        orphaned: false,
        heard: Instant::now(),
        excused: Instant::now(),
        asked: Instant::now(),
        pump,
    };
    let ending = running.run();
    if ending.is_ok() && running.has_room() {
        // Best effort: the host's log then shows an orderly end.
        let _ = running.pump.session.disconnect(None, "done", None);
    }
    // With the socket shut nothing that libssh2 frees can wait for the host.
    let _ = rustix::net::shutdown(&running.pump.socket, rustix::net::Shutdown::Both);
    tell(ending.err().unwrap_or_else(|| "it was closed".to_owned()));
}

struct Running {
    pump: Pump,
    carriers: Vec<Carrier>,
    /// Channels yet to be opened: libssh2 opens one at a time.
    waiting: VecDeque<Opening>,
    /// The carrier that goes first in the next pass.
    first: usize,
    /// Nobody can ask for another channel.
    orphaned: bool,
    /// When the host last said something.
    heard: Instant,
    /// When it was last not listened to.
    excused: Instant,
    /// When it was last asked for a word.
    asked: Instant,
}

impl Running {
    fn run(&mut self) -> Result<(), String> {
        loop {
            self.take_requests();
            let progress = self.pass()?;
            self.carriers.retain(|carrier| !carrier.is_done());
            if self.orphaned && self.carriers.is_empty() && self.waiting.is_empty() {
                return Ok(());
            }
            self.keep_alive()?;
            if !progress {
                self.wait()?;
            }
        }
    }

    fn take_requests(&mut self) {
        loop {
            match self.pump.requests.try_recv() {
                Ok(opening) => self.waiting.push_back(opening),
                Err(TryRecvError::Empty) => return,
                Err(TryRecvError::Disconnected) => {
                    self.orphaned = true;
                    return;
                }
            }
        }
    }

    /// Moves what can be moved. Returns whether anything was.
    fn pass(&mut self) -> Result<bool, String> {
        if !self.carriers.iter().any(Carrier::is_opening)
            && !self.is_stuck()
            && let Some(opening) = self.waiting.pop_front()
        {
            self.carriers.push(Carrier::new(opening));
        }
        let count = self.carriers.len();
        let mut progress = false;
        for offset in 0..count {
            let index = (self.first + offset) % count;
            let step = self.carriers[index].step(&self.pump.session, &self.pump.socket);
            progress |= step? == Step::Progress;
            if self.is_stuck() {
                self.first = index;
                return Ok(progress);
            }
        }
        self.first = if count == 0 { 0 } else { (self.first + 1) % count };
        Ok(progress)
    }

    /// A packet is partly sent.
    fn is_stuck(&self) -> bool {
        is_stuck(&self.pump.session)
    }

    fn has_room(&self) -> bool {
        has_room(&self.pump.session, &self.pump.socket)
    }

    fn keep_alive(&mut self) -> Result<(), String> {
        let (now, Liveness { ask_after, lost_after }) = (Instant::now(), self.pump.liveness);
        if now.duration_since(self.heard.max(self.excused)) > lost_after {
            return Err(format!("the host has not answered for {} seconds", lost_after.as_secs()));
        }
        let quiet = now.duration_since(self.heard.max(self.asked));
        if quiet >= ask_after && self.has_room() {
            self.asked = now;
            self.pump.session.keepalive_send().map_err(|error| describe(&error))?;
        }
        Ok(())
    }

    /// Waits until the socket, a bridge or a request has something to do, or the keep-alive is due.
    fn wait(&mut self) -> Result<(), String> {
        // The socket is only listened to when someone would take what comes: else poll would return for nothing. A
        // session without channels only wants to know when the host hangs up.
        let idle = self.carriers.is_empty();
        let listening = self.carriers.iter().any(Carrier::takes);
        let mut wanted = match (idle, listening) {
            (true, _) => PollFlags::RDHUP,
            (false, true) => PollFlags::IN,
            (false, false) => PollFlags::empty(),
        };
        if self.is_stuck() || self.carriers.iter().any(Carrier::wants_room) {
            wanted |= PollFlags::OUT;
        }
        let mut polled = vec![PollFd::new(&self.pump.socket, wanted), PollFd::new(&self.pump.wake, PollFlags::IN)];
        for carrier in &self.carriers {
            let wanted = carrier.bridge_wants();
            if !wanted.is_empty() {
                polled.push(PollFd::new(carrier.bridge(), wanted));
            }
        }
        // Deadlines are whole seconds; a second is soon enough for each.
        let second = Timespec { tv_sec: 1, tv_nsec: 0 };
        match poll(&mut polled, Some(&second)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(format!("poll: {error}")),
        }
        let (answer, woken) = (polled[0].revents(), !polled[1].revents().is_empty());
        if idle && answer.intersects(PollFlags::RDHUP | PollFlags::HUP | PollFlags::ERR) {
            return Err("the host closed the connection".to_owned());
        }
        if !listening {
            self.excused = Instant::now();
        } else if answer.contains(PollFlags::IN) {
            self.heard = Instant::now();
        }
        if woken {
            let _ = rustix::io::read(&self.pump.wake, &mut [0; 8]);
        }
        Ok(())
    }
}

/// Whether a packet is partly sent.
pub(super) fn is_stuck(session: &ssh2::Session) -> bool {
    matches!(session.block_directions(), BlockDirections::Outbound | BlockDirections::Both)
}

/// Whether the socket takes a whole small packet now: poll(2) calls a socket writable only when a good part of its
/// buffer is free.
pub(super) fn has_room(session: &ssh2::Session, socket: &OwnedFd) -> bool {
    let mut polled = [PollFd::new(socket, PollFlags::OUT)];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    !is_stuck(session) && poll(&mut polled, Some(&now)).is_ok() && polled[0].revents().contains(PollFlags::OUT)
}

/// An error of the session in our words.
pub(super) fn describe(error: &ssh2::Error) -> String {
    // Codes of libssh2.h that mean that the other end is gone.
    const GONE: [i32; 3] = [-13, -43, -7];
    match error.code() {
        ssh2::ErrorCode::Session(code) if GONE.contains(&code) => "the host closed the connection".to_owned(),
        _ => error.message().to_owned(),
    }
}
