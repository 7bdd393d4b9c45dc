//! The exchanges that carry data, and their credit.

use std::collections::HashMap;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use wire_deploy_agent::protocol::{Frame, FrameError, FrameKind, ReceiveWindow, SendWindow};

/// What comes in on an exchange.
pub enum Inbound {
    /// Bytes, within the credit that this end has granted.
    Data(Vec<u8>),
    /// No more bytes.
    End,
    /// The exchange is over in both directions.
    Reset,
}

/// A worker's end of an exchange.
pub struct Exchange {
    inbox: Mutex<Receiver<Inbound>>,
    /// What may be sent.
    pub outgoing: Arc<Outgoing>,
}

/// The reader's end of an exchange.
struct Entry {
    inbox: Sender<Inbound>,
    receive: ReceiveWindow,
    outgoing: Arc<Outgoing>,
}

/// The credit of the direction away from here, which a worker waits for.
#[derive(Default)]
pub struct Outgoing {
    /// `None` once the exchange is over.
    window: Mutex<Option<SendWindow>>,
    changed: Condvar,
}

/// All exchanges that carry data.
#[derive(Default)]
pub struct Exchanges(Mutex<HashMap<u32, Entry>>);

impl Exchanges {
    /// Opens an exchange. Before its request is answered, so that data that comes right after the answer finds it.
    pub fn open(&self, id: u32) -> Arc<Exchange> {
        let (sender, receiver) = channel();
        let outgoing = Arc::new(Outgoing { window: Mutex::new(Some(SendWindow::default())), changed: Condvar::new() });
        let entry = Entry { inbox: sender, receive: ReceiveWindow::default(), outgoing: Arc::clone(&outgoing) };
        lock(&self.0).insert(id, entry);
        Arc::new(Exchange { inbox: Mutex::new(receiver), outgoing })
    }

    /// Forgets an exchange, unless its number has been given to another since.
    pub fn remove(&self, id: u32, exchange: &Exchange) {
        let mut entries = lock(&self.0);
        if entries.get(&id).is_some_and(|entry| Arc::ptr_eq(&entry.outgoing, &exchange.outgoing)) {
            entries.remove(&id);
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        lock(&self.0).len()
    }

    /// Passes a frame on to its exchange. One of an exchange that is over has crossed its end on the way.
    ///
    /// # Errors
    /// When it breaks the protocol.
    pub fn take(&self, frame: Frame) -> Result<(), FrameError> {
        let mut entries = lock(&self.0);
        let Some(entry) = entries.get_mut(&frame.id) else { return Ok(()) };
        let inbound = match frame.kind {
            FrameKind::Credit => return entry.outgoing.grant(frame.credit_granted()?),
            FrameKind::Data => {
                entry.receive.received(frame.payload.len())?;
                Inbound::Data(frame.payload)
            }
            FrameKind::End => Inbound::End,
            FrameKind::Reset => {
                entry.outgoing.close();
                Inbound::Reset
            }
            kind @ (FrameKind::Request | FrameKind::Response | FrameKind::Event) => {
                return Err(FrameError::UnknownKind(kind as u8));
            }
        };
        // A worker that has ended meanwhile needs nothing more.
        let _ = entry.inbox.send(inbound);
        Ok(())
    }

    /// So many bytes were consumed; the credit to be granted for it, if any.
    pub fn consumed(&self, id: u32, bytes: usize) -> Option<u32> {
        lock(&self.0).get_mut(&id)?.receive.consumed(bytes)
    }

    /// Ends all exchanges: their workers get no more data and no more credit.
    pub fn close_all(&self) {
        for (_, entry) in lock(&self.0).drain() {
            entry.outgoing.close();
        }
    }
}

impl Exchange {
    /// What comes next; `None` once the session ends.
    pub fn next(&self) -> Option<Inbound> {
        lock(&self.inbox).recv().ok()
    }
}

impl Outgoing {
    /// How many bytes may be sent now, at least one; waits for it. `None` once the exchange is over.
    pub fn wait(&self) -> Option<usize> {
        let mut window = lock(&self.window);
        loop {
            match window.as_ref()?.available() {
                0 => window = self.changed.wait(window).unwrap_or_else(PoisonError::into_inner),
                available => return Some(available),
            }
        }
    }

    /// So many bytes were sent.
    pub fn sent(&self, bytes: usize) {
        if let Some(window) = lock(&self.window).as_mut() {
            window.sent(bytes);
        }
    }

    /// The exchange is over; whoever waits is woken.
    pub fn close(&self) {
        *lock(&self.window) = None;
        self.changed.notify_all();
    }

    fn grant(&self, bytes: u32) -> Result<(), FrameError> {
        if let Some(window) = lock(&self.window).as_mut() {
            window.grant(bytes)?;
        }
        self.changed.notify_all();
        Ok(())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
