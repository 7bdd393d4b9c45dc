//! The data side of an exchange: what may be sent, and what came and is not yet consumed.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use wire_deploy_agent::protocol::{FrameError, ReceiveWindow, SendWindow};

/// Both directions of an exchange's data. One task sends, one receives.
#[derive(Default)]
pub(super) struct Flow {
    state: Mutex<State>,
    /// There is room to send, or none will ever be.
    sendable: Notify,
    /// Something came, or nothing more will.
    receivable: Notify,
    /// It was reset.
    over: Notify,
}

#[derive(Default)]
struct State {
    send: SendWindow,
    receive: ReceiveWindow,
    incoming: Vec<u8>,
    ended: bool,
    reset: bool,
}

/// What a receiver gets.
pub(super) enum Received {
    /// Bytes, at most a window of them.
    Bytes(Vec<u8>),
    /// The peer has no more.
    End,
}

impl Flow {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until something may be sent: how much. `None` when the exchange is over.
    pub(super) async fn room(&self) -> Option<usize> {
        loop {
            {
                let state = self.lock();
                if state.reset {
                    return None;
                }
                let room = state.send.available();
                if room > 0 {
                    return Some(room);
                }
            }
            self.sendable.notified().await;
        }
    }

    /// So much of the room was used.
    pub(super) fn sent(&self, bytes: usize) {
        self.lock().send.sent(bytes);
    }

    /// The peer grants more.
    pub(super) fn granted(&self, bytes: u32) -> Result<(), FrameError> {
        self.lock().send.grant(bytes)?;
        self.sendable.notify_one();
        Ok(())
    }

    /// Data came.
    pub(super) fn received(&self, bytes: &[u8]) -> Result<(), FrameError> {
        let mut state = self.lock();
        state.receive.received(bytes.len())?;
        state.incoming.extend_from_slice(bytes);
        self.receivable.notify_one();
        Ok(())
    }

    /// The peer has no more data.
    pub(super) fn ended(&self) {
        self.lock().ended = true;
        self.receivable.notify_one();
    }

    /// The exchange is over at once.
    pub(super) fn reset(&self) {
        self.lock().reset = true;
        self.sendable.notify_one();
        self.receivable.notify_one();
        self.over.notify_one();
    }

    /// Waits for the next bytes. `None` when the exchange was reset and all that came before is consumed.
    pub(super) async fn receive(&self) -> Option<Received> {
        loop {
            {
                let mut state = self.lock();
                if !state.incoming.is_empty() {
                    return Some(Received::Bytes(std::mem::take(&mut state.incoming)));
                }
                if state.ended {
                    return Some(Received::End);
                }
                if state.reset {
                    return None;
                }
            }
            self.receivable.notified().await;
        }
    }

    /// So many bytes are out of this end's memory: what is to be granted to the peer now, if anything.
    pub(super) fn consumed(&self, bytes: usize) -> Option<u32> {
        self.lock().receive.consumed(bytes)
    }

    /// Whether the exchange was reset.
    pub(super) fn is_reset(&self) -> bool {
        self.lock().reset
    }

    /// Waits until the exchange is reset.
    pub(super) async fn until_reset(&self) {
        while !self.is_reset() {
            self.over.notified().await;
        }
    }
}
