//! A session: requests in, answers out, side by side.
//!
//! One thread reads, one writes, and each exchange has one of its own (a tunnel two). The reader waits for the writer only
//! to refuse a peer that asks too much, so two ends that both send much cannot hold each other up.

use std::io::{self, Read as _, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::thread::{self, JoinHandle};

use wire_deploy_agent::host::{Host, Incoming, Problem, Wanted, clock};
use wire_deploy_agent::protocol::{Decoder, Event, Failure, Frame, FrameError, FrameKind, Request, Response};
use wire_deploy_agent::state::Lease;

mod datagrams;
mod exchanges;
mod tunnel;

use exchanges::{Exchange, Exchanges, Inbound};

/// Frames that wait to be written before whoever writes more has to wait.
const WAITING_FRAMES: usize = 16;
/// Bytes that are written at once, about.
const MOST_AT_ONCE: usize = 128 * 1024;
/// Exchanges at the same time; more than any honest peer opens.
const MOST_EXCHANGES: usize = 512;
/// Stack of a thread that works on a request, in bytes.
const STACK: usize = 512 * 1024;

/// Why a session ended before its time.
#[derive(Debug, thiserror::Error)]
pub enum Broken {
    /// The peer breaks the protocol.
    #[error("the other end breaks the protocol: {0}")]
    Protocol(#[from] FrameError),
    /// Standard input cannot be read or a thread cannot be started.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// What the threads of a session share.
struct Session {
    host: Host,
    exchanges: Exchanges,
    out: Out,
    /// The input has ended: nothing more is begun.
    stopping: AtomicBool,
}

/// Where frames go.
struct Out(SyncSender<Queued>);

/// What the writer is given.
enum Queued {
    /// To be written.
    Frame(Frame),
    /// Nothing more comes that matters.
    Last,
}

impl Out {
    fn send(&self, frame: Frame) {
        // The writer ends after all whose frames matter.
        let _ = self.0.send(Queued::Frame(frame));
    }

    fn respond(&self, id: u32, response: &Response) {
        let frame = Frame::response(id, response).or_else(|error| {
            let message = format!("the answer cannot be sent: {error}");
            Frame::response(id, &Response::Error(Failure { resource: None, message, hint: None, log: Vec::new() }))
        });
        if let Ok(frame) = frame {
            self.send(frame);
        }
    }

    fn event(&self, id: u32, event: &Event) {
        if let Ok(frame) = Frame::event(id, event) {
            self.send(frame);
        }
    }
}

/// Serves until standard input ends and the resource in hand is done.
pub fn serve(host: Host, marker: Option<&str>) -> Result<(), Broken> {
    let (sender, queue) = sync_channel(WAITING_FRAMES);
    let marker = marker.map(|marker| format!("{marker}\n")).unwrap_or_default();
    let writer = thread::Builder::new().stack_size(STACK).spawn(move || write(&queue, marker.as_bytes()))?;
    let session =
        Arc::new(Session { host, exchanges: Exchanges::default(), out: Out(sender), stopping: AtomicBool::new(false) });
    let cleared = session.host.begin_session();
    let mut workers = Vec::new();
    let ended = read(&session, cleared.err(), &mut workers);
    session.stopping.store(true, Ordering::Relaxed);
    session.exchanges.close_all();
    for worker in workers {
        // A worker that panicked has ended the process.
        let _ = worker.join();
    }
    session.host.end_session();
    // Tunnels need not end: their sockets die with the process.
    let _ = session.out.0.send(Queued::Last);
    let _ = writer.join();
    ended
}

/// Writes frames as they come. When nobody reads them any more, the rest is dropped, so that no worker is held up.
fn write(queue: &Receiver<Queued>, marker: &[u8]) {
    let mut stdout = io::stdout().lock();
    let mut bytes = marker.to_vec();
    let mut broken = false;
    loop {
        // What is ready goes out together; nothing is held back to wait for more.
        let last = loop {
            match queue.try_recv() {
                // A frame of ours is never out of bounds: its maker has checked it.
                Ok(Queued::Frame(frame)) => drop(frame.encode(&mut bytes)),
                Ok(Queued::Last) | Err(TryRecvError::Disconnected) => break true,
                Err(TryRecvError::Empty) => break false,
            }
            if bytes.len() >= MOST_AT_ONCE {
                break false;
            }
        };
        broken = broken || stdout.write_all(&bytes).and_then(|()| stdout.flush()).is_err();
        bytes.clear();
        bytes.shrink_to(2 * MOST_AT_ONCE);
        if last {
            return;
        }
        match queue.recv() {
            Ok(Queued::Frame(frame)) => drop(frame.encode(&mut bytes)),
            Ok(Queued::Last) | Err(_) => return,
        }
    }
}

fn read(session: &Arc<Session>, mut problem: Option<Problem>, workers: &mut Vec<JoinHandle<()>>) -> Result<(), Broken> {
    let mut stdin = io::stdin().lock();
    let mut decoder = Decoder::new();
    let mut buffer = vec![0; 64 * 1024];
    loop {
        while let Some(frame) = decoder.next_frame()? {
            if frame.kind != FrameKind::Request {
                session.exchanges.take(frame)?;
                continue;
            }
            let request: Request = frame.message()?;
            // What a killed agent left could not be cleared: the first request says so.
            if let Some(problem) = problem.take() {
                session.out.respond(frame.id, &Response::Error(problem.into_failure(None)));
                continue;
            }
            if matches!(request, Request::Uninstall) {
                let done = session.host.uninstall().map(|()| Response::Ok);
                session.out.respond(frame.id, &answer(done));
                return Ok(());
            }
            workers.retain(|worker| !worker.is_finished());
            start(session, frame.id, request, workers)?;
        }
        match stdin.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(length) => decoder.push(&buffer[..length]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Begins an exchange on a thread of its own.
fn start(session: &Arc<Session>, id: u32, request: Request, workers: &mut Vec<JoinHandle<()>>) -> io::Result<()> {
    if workers.len() + session.exchanges.len() > MOST_EXCHANGES {
        let problem = Problem::new("too many requests at the same time").hint("this is a mistake in wire-deploy");
        session.out.respond(id, &Response::Error(problem.into_failure(None)));
        return Ok(());
    }
    let builder = thread::Builder::new().stack_size(STACK);
    let shared = Arc::clone(session);
    match request {
        Request::Connect { address } => {
            let exchange = session.exchanges.open(id);
            builder.spawn(move || tunnel::run(&shared, id, tunnel::connect(address), &exchange))?;
        }
        Request::Datagrams { address } => {
            let exchange = session.exchanges.open(id);
            builder.spawn(move || tunnel::run(&shared, id, datagrams::connect(address), &exchange))?;
        }
        Request::PutBlob { blob, size } => {
            let exchange = session.exchanges.open(id);
            workers.push(builder.spawn(move || {
                // The process's number and the exchange's make a name that no other upload has.
                let name = format!("{}-{id}", std::process::id());
                let incoming = Incoming::begin(shared.host.root(), blob, size, &name);
                let stored = incoming.and_then(|incoming| receive(&shared, id, incoming, &exchange));
                shared.exchanges.remove(id, &exchange);
                shared.out.respond(id, &answer(stored.map(|()| Response::Ok)));
            })?);
        }
        request => workers.push(builder.spawn(move || {
            let response = work(&shared, id, request);
            shared.out.respond(id, &response);
        })?),
    }
    Ok(())
}

fn receive(session: &Session, id: u32, mut incoming: Incoming, exchange: &Exchange) -> Result<(), Problem> {
    loop {
        match exchange.next() {
            Some(Inbound::Data(bytes)) => {
                incoming.write(&bytes)?;
                if let Some(credit) = session.exchanges.consumed(id, bytes.len()) {
                    session.out.send(Frame::credit(id, credit));
                }
            }
            Some(Inbound::End) => return incoming.finish(session.host.root()),
            Some(Inbound::Reset) | None => return Err(Problem::new("the blob was not sent to its end")),
        }
    }
}

fn work(session: &Session, id: u32, request: Request) -> Response {
    let host = &session.host;
    let mut on_event = |event: Event| session.out.event(id, &event);
    let stop = || session.stopping.load(Ordering::Relaxed);
    match other_holder(host, &request) {
        Ok(None) => {}
        Ok(Some(lease)) => return Response::LeaseHeld { lease },
        Err(problem) => return answer(Err(problem)),
    }
    match request {
        Request::Observe { resources, key } => {
            let mut facts = Box::new(host.facts(&resources));
            let states = host.observe(&resources, &key);
            let lease = host.lease();
            facts.answered = clock();
            answer(lease.map(|lease| Response::Observed { facts, states, lease }))
        }
        Request::MissingBlobs { blobs } => Response::Missing { blobs: host.missing_blobs(&blobs) },
        Request::Apply { resources, key, transaction, .. } => {
            let wanted = Wanted { resources: &resources, key: &key, transaction: transaction.as_deref() };
            host.apply(&wanted, &stop, &mut on_event).map_or_else(Response::Error, |()| Response::Ok)
        }
        Request::ForgetStarts { units, .. } => answer(host.forget_starts(&units).map(|()| Response::Ok)),
        Request::PutBack { transaction, .. } => {
            answer(host.put_back(&transaction, &mut on_event).map(|()| Response::Ok))
        }
        Request::Commit { transaction } => answer(host.commit(&transaction).map(|()| Response::Ok)),
        Request::Lease { lease, seconds, force } => answer(
            host.take_lease(lease, seconds, force)
                .map(|other| other.map_or(Response::Ok, |lease| Response::LeaseHeld { lease })),
        ),
        Request::Release { run } => answer(host.release_lease(&run).map(|()| Response::Ok)),
        Request::Remove { resources, .. } => {
            host.remove(&resources, &stop, &mut on_event).map_or_else(Response::Error, |()| Response::Ok)
        }
        Request::Journal { unit, lines } => answer(host.journal(&unit, lines).map(|lines| Response::Journal { lines })),
        Request::PutBlob { .. } | Request::Connect { .. } | Request::Datagrams { .. } | Request::Uninstall => {
            answer(Err(Problem::new("this request is served elsewhere")))
        }
    }
}

/// The lease of another run than the one that wants to change the host: a run that slept, or was cut off, for longer than its lease must
/// not go on beside its successor. A lease that ended while nobody took it hinders nobody.
fn other_holder(host: &Host, request: &Request) -> Result<Option<Lease>, Problem> {
    match request {
        Request::Apply { run, .. }
        | Request::ForgetStarts { run, .. }
        | Request::PutBack { run, .. }
        | Request::Remove { run, .. } => Ok(host.lease()?.filter(|lease| lease.run != *run)),
        _ => Ok(None),
    }
}

fn answer(done: Result<Response, Problem>) -> Response {
    done.unwrap_or_else(|problem| Response::Error(problem.into_failure(None)))
}
