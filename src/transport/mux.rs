//! The command line's end of the agent's protocol, over any pair of byte streams: requests side by side, blobs, tunnels.
//!
//! Two tasks serve a connection: one writes frames, one reads and sorts them by exchange. Memory is bounded: data by
//! credit, messages by a short queue per exchange, frames by their own limits; a peer that breaks a bound is hung up on.

mod flow;
mod tunnel;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::{mpsc, watch};
use wire_deploy_agent::digest::Digest;
use wire_deploy_agent::protocol::{Decoder, Event, Failure, Frame, FrameError, FrameKind, MAX_DATA, Request, Response};

use self::flow::Flow;
use super::AgentError;
use crate::services::Stream;
use crate::site::names::HostName;

/// Frames that wait to be written; senders of more wait their turn.
const WRITE_QUEUE: usize = 8;
/// Bytes gathered into one write.
const WRITE_BATCH: usize = 128 * 1024;
/// Bytes read at once.
const READ_BUFFER: usize = 64 * 1024;
/// Messages of an exchange that wait for its caller.
const MESSAGE_QUEUE: usize = 64;

/// A connection to an agent. Clones share it; it ends when the last clone and the last tunnel are gone.
#[derive(Clone)]
pub(super) struct Mux {
    host: HostName,
    exchanges: Arc<Exchanges>,
    /// Requests, data and ends: in order, and a sender waits while the queue is full.
    frames: mpsc::Sender<Frame>,
    /// Credit overtakes data. It is never much: it is only given for what came.
    credit: mpsc::UnboundedSender<Frame>,
    over: watch::Receiver<bool>,
}

/// What ended a connection.
#[derive(Debug, Clone)]
enum Ending {
    Broken(String),
    Protocol(String),
}

/// The open exchanges of a connection.
struct Exchanges {
    state: Mutex<State>,
}

struct State {
    next: u32,
    open: HashMap<u32, Exchange>,
    ending: Option<Ending>,
}

#[derive(Clone)]
struct Exchange {
    messages: mpsc::Sender<Message>,
    flow: Option<Arc<Flow>>,
}

enum Message {
    Event(Event),
    Response(Response),
}

/// An exchange that is open until this is dropped.
struct Open {
    id: u32,
    messages: mpsc::Receiver<Message>,
    exchanges: Arc<Exchanges>,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.exchanges.lock().open.remove(&self.id);
    }
}

impl Mux {
    /// Speaks the protocol over these streams. `why` is asked, once the streams end, what ended them.
    pub(super) fn start<R, W>(host: HostName, reader: R, writer: W, why: BoxFuture<'static, String>) -> Self
    where
        R: AsyncRead + Send + Unpin + 'static,
        W: AsyncWrite + Send + Unpin + 'static,
    {
        let exchanges =
            Arc::new(Exchanges { state: Mutex::new(State { next: 1, open: HashMap::new(), ending: None }) });
        let (frames, frame_queue) = mpsc::channel(WRITE_QUEUE);
        let (credit, credit_queue) = mpsc::unbounded_channel();
        let (ended, over) = watch::channel(false);
        let writing = tokio::spawn(write_frames(writer, frame_queue, credit_queue));
        let sorted = Arc::clone(&exchanges);
        tokio::spawn(async move {
            let ending = match read_frames(reader, &sorted).await {
                Ok(()) => Ending::Broken(why.await),
                Err(error) => Ending::Protocol(error.to_string()),
            };
            sorted.end(ending);
            writing.abort();
            let _ = ended.send(true);
        });
        Self { host, exchanges, frames, credit, over }
    }

    /// Whether the connection has ended.
    pub(super) fn is_over(&self) -> bool {
        self.exchanges.lock().ending.is_some()
    }

    /// Waits until the connection has ended, which it does once no clone but those waiting here use it.
    pub(super) async fn closed(self) {
        let mut over = self.over.clone();
        drop(self);
        let _ = over.wait_for(|over| *over).await;
    }

    /// One exchange; events go to `on_event` as they come.
    pub(super) async fn request(
        &self,
        request: &Request,
        on_event: &mut (dyn FnMut(Event) + Send),
    ) -> Result<Response, AgentError> {
        let mut exchange = self.open(None)?;
        self.send(self.frame(exchange.id, request)?).await?;
        self.response(&mut exchange, on_event).await
    }

    /// Sends a blob; `progress` gets the bytes sent so far.
    pub(super) async fn put_blob(
        &self,
        blob: &Digest,
        size: u64,
        content: &mut (dyn AsyncRead + Send + Unpin),
        progress: &mut (dyn FnMut(u64) + Send),
    ) -> Result<(), AgentError> {
        let flow = Arc::new(Flow::default());
        let mut exchange = self.open(Some(&flow))?;
        let id = exchange.id;
        self.send(self.frame(id, &Request::PutBlob { blob: blob.clone(), size })?).await?;
        let mut sent = 0_u64;
        while sent < size {
            let room = tokio::select! {
                biased;
                // Before the end only a refusal can come.
                message = exchange.messages.recv() => return self.early(message),
                room = flow.room() => room.ok_or_else(|| self.ending())?,
            };
            let wanted = room.min(usize::try_from(size - sent).unwrap_or(usize::MAX));
            let mut bytes = vec![0; wanted];
            let read = content.read(&mut bytes).await.and_then(|read| match read {
                0 => Err(std::io::ErrorKind::UnexpectedEof.into()),
                read => Ok(read),
            });
            let read = match read {
                Ok(read) => read,
                Err(error) => {
                    self.send(Frame::reset(id)).await?;
                    return Err(failure(format!(
                        "reading blob {} after {sent} of {size} bytes: {error}",
                        blob.short()
                    )));
                }
            };
            bytes.truncate(read);
            flow.sent(read);
            self.send(Frame::data(id, bytes)).await?;
            sent += read as u64;
            progress(sent);
        }
        self.send(Frame::end(id)).await?;
        self.response(&mut exchange, &mut |_| {}).await.map(drop)
    }

    /// What [`Request::Connect`] or [`Request::Datagrams`] opens from the host.
    pub(super) async fn stream(&self, request: Request) -> Result<Box<dyn Stream>, AgentError> {
        let flow = Arc::new(Flow::default());
        let mut exchange = self.open(Some(&flow))?;
        self.send(self.frame(exchange.id, &request)?).await?;
        self.response(&mut exchange, &mut |_| {}).await?;
        Ok(Box::new(tunnel::open(self.clone(), exchange, flow)))
    }

    fn open(&self, flow: Option<&Arc<Flow>>) -> Result<Open, AgentError> {
        let (sender, messages) = mpsc::channel(MESSAGE_QUEUE);
        let mut state = self.exchanges.lock();
        if state.ending.is_some() {
            drop(state);
            return Err(self.ending());
        }
        let id = state.next;
        state.next = id.checked_add(1).ok_or_else(|| failure("this connection has run out of exchanges".to_owned()))?;
        state.open.insert(id, Exchange { messages: sender, flow: flow.cloned() });
        Ok(Open { id, messages, exchanges: Arc::clone(&self.exchanges) })
    }

    fn frame(&self, id: u32, request: &Request) -> Result<Frame, AgentError> {
        Frame::request(id, request).map_err(|error| failure(error.to_string()))
    }

    async fn send(&self, frame: Frame) -> Result<(), AgentError> {
        if self.frames.send(frame).await.is_err() {
            // The writer only stops when the connection does; the reader knows why.
            let mut over = self.over.clone();
            let _ = over.wait_for(|over| *over).await;
            return Err(self.ending());
        }
        Ok(())
    }

    async fn response(
        &self,
        exchange: &mut Open,
        on_event: &mut (dyn FnMut(Event) + Send),
    ) -> Result<Response, AgentError> {
        loop {
            match exchange.messages.recv().await {
                Some(Message::Event(event)) => on_event(event),
                Some(Message::Response(Response::Error(failure))) => return Err(failure.into()),
                Some(Message::Response(response)) => return Ok(response),
                None => return Err(self.ending()),
            }
        }
    }

    fn early(&self, message: Option<Message>) -> Result<(), AgentError> {
        match message {
            Some(Message::Response(Response::Error(failure))) => Err(failure.into()),
            // The host has it already: someone else sent it meanwhile.
            Some(Message::Response(Response::Ok)) => Ok(()),
            Some(_) => Err(AgentError::Protocol {
                host: self.host.clone(),
                reason: "an answer of the wrong kind while a blob is sent".to_owned(),
            }),
            None => Err(self.ending()),
        }
    }

    fn ending(&self) -> AgentError {
        let host = self.host.clone();
        match self.exchanges.lock().ending.clone() {
            Some(Ending::Protocol(reason)) => AgentError::Protocol { host, reason },
            Some(Ending::Broken(reason)) => AgentError::Broken { host, reason },
            None => AgentError::Broken { host, reason: "it was closed".to_owned() },
        }
    }
}

fn failure(message: String) -> AgentError {
    AgentError::Failed(Failure { resource: None, message, hint: None, log: Vec::new() })
}

impl Exchanges {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends every exchange.
    fn end(&self, ending: Ending) {
        let mut state = self.lock();
        state.ending = Some(ending);
        for exchange in state.open.drain().map(|(_, exchange)| exchange) {
            if let Some(flow) = exchange.flow {
                flow.reset();
            }
        }
    }

    /// The exchange that a frame belongs to; `None` if it has just ended.
    fn find(&self, frame: &Frame) -> Result<Option<Exchange>, Violation> {
        let state = self.lock();
        if frame.id == 0 || frame.id >= state.next {
            return Err(Violation::Unopened(frame.id));
        }
        Ok(state.open.get(&frame.id).cloned())
    }

    async fn sort(&self, frame: Frame) -> Result<(), Violation> {
        let Some(exchange) = self.find(&frame)? else { return Ok(()) };
        let flow = exchange.flow.as_ref().ok_or(Violation::Unexpected(frame.kind));
        match frame.kind {
            // A caller that is gone wants to know nothing more.
            FrameKind::Event => drop(exchange.messages.send(Message::Event(frame.message()?)).await),
            FrameKind::Response => drop(exchange.messages.send(Message::Response(frame.message()?)).await),
            FrameKind::Data => flow?.received(&frame.payload)?,
            FrameKind::Credit => flow?.granted(frame.credit_granted()?)?,
            FrameKind::End => flow?.ended(),
            FrameKind::Reset => flow?.reset(),
            FrameKind::Request => return Err(Violation::Unexpected(frame.kind)),
        }
        Ok(())
    }
}

/// How a host breaks the protocol.
#[derive(Debug, thiserror::Error)]
enum Violation {
    #[error(transparent)]
    Frame(#[from] FrameError),
    #[error("a frame of exchange {0}, which was never opened")]
    Unopened(u32),
    #[error("a frame of kind {0:?} where none may be")]
    Unexpected(FrameKind),
}

async fn read_frames<R: AsyncRead + Unpin>(mut reader: R, exchanges: &Exchanges) -> Result<(), Violation> {
    let mut decoder = Decoder::new();
    let mut buffer = vec![0; READ_BUFFER];
    loop {
        match reader.read(&mut buffer).await {
            // An error of the streams themselves is explained by whoever made them.
            Ok(0) | Err(_) => return Ok(()),
            Ok(read) => decoder.push(&buffer[..read]),
        }
        while let Some(frame) = decoder.next_frame()? {
            exchanges.sort(frame).await?;
        }
    }
}

async fn write_frames<W: AsyncWrite + Unpin>(
    mut writer: W,
    mut frames: mpsc::Receiver<Frame>,
    mut credit: mpsc::UnboundedReceiver<Frame>,
) {
    let mut batch = Vec::with_capacity(WRITE_BATCH + MAX_DATA);
    loop {
        let first = tokio::select! {
            biased;
            Some(frame) = credit.recv() => frame,
            frame = frames.recv() => match frame {
                Some(frame) => frame,
                None => break,
            },
        };
        batch.clear();
        let mut next = Some(first);
        while let Some(frame) = next {
            if frame.encode(&mut batch).is_err() {
                return;
            }
            next = if batch.len() < WRITE_BATCH {
                credit.try_recv().ok().or_else(|| frames.try_recv().ok())
            } else {
                None
            };
        }
        if writer.write_all(&batch).await.is_err() || writer.flush().await.is_err() {
            return;
        }
    }
    let _ = writer.shutdown().await;
}

#[cfg(test)]
mod tests;
