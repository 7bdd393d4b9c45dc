//! Credit: how much data one direction of an exchange may carry. Counting only; each end keeps one of each per exchange.

use super::codec::FrameError;
use super::{INITIAL_CREDIT, MAX_DATA};

/// What this end may still send.
#[derive(Debug, Clone)]
pub struct SendWindow {
    credit: u32,
}

impl Default for SendWindow {
    fn default() -> Self {
        Self { credit: INITIAL_CREDIT }
    }
}

impl SendWindow {
    /// How many bytes the next data frame may hold; 0 until the peer grants more.
    #[must_use]
    pub fn available(&self) -> usize {
        MAX_DATA.min(self.credit as usize)
    }

    /// So many bytes were sent, at most what is [`Self::available`].
    pub fn sent(&mut self, bytes: usize) {
        self.credit = self.credit.saturating_sub(u32::try_from(bytes).unwrap_or(u32::MAX));
    }

    /// The peer grants more.
    ///
    /// # Errors
    /// When the sum cannot be counted.
    pub fn grant(&mut self, bytes: u32) -> Result<(), FrameError> {
        self.credit = self.credit.checked_add(bytes).ok_or(FrameError::Credit("credit"))?;
        Ok(())
    }
}

/// What the peer may still send, and what of it was consumed but not yet granted again.
#[derive(Debug, Clone)]
pub struct ReceiveWindow {
    open: u32,
    consumed: u32,
}

impl Default for ReceiveWindow {
    fn default() -> Self {
        Self { open: INITIAL_CREDIT, consumed: 0 }
    }
}

impl ReceiveWindow {
    /// A data frame of so many bytes came.
    ///
    /// # Errors
    /// When the peer had not been granted that much.
    pub fn received(&mut self, bytes: usize) -> Result<(), FrameError> {
        let bytes = u32::try_from(bytes).map_err(|_| FrameError::Credit("data"))?;
        self.open = self.open.checked_sub(bytes).ok_or(FrameError::Credit("data"))?;
        Ok(())
    }

    /// So many received bytes are out of this end's memory. What is to be granted now, if anything: grants are gathered
    /// until they are a good part of the window, so that small reads do not cost a frame each.
    #[must_use = "the credit must be sent"]
    pub fn consumed(&mut self, bytes: usize) -> Option<u32> {
        self.consumed = self.consumed.saturating_add(u32::try_from(bytes).unwrap_or(u32::MAX));
        if self.consumed < INITIAL_CREDIT / 4 {
            return None;
        }
        let granted = std::mem::take(&mut self.consumed);
        self.open = self.open.saturating_add(granted);
        Some(granted)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn a_sender_that_keeps_to_its_window_never_breaks_the_receivers() {
        let (mut sender, mut receiver) = (SendWindow::default(), ReceiveWindow::default());
        let (mut sent, mut pending) = (0_u64, 0_usize);
        while sent < 10 * u64::from(INITIAL_CREDIT) {
            let bytes = sender.available().min(30_001);
            if bytes > 0 {
                sender.sent(bytes);
                receiver.received(bytes).unwrap();
                pending += bytes;
                sent += bytes as u64;
            } else {
                let granted = receiver.consumed(std::mem::take(&mut pending)).expect("a full window is granted again");
                sender.grant(granted).unwrap();
            }
        }
    }

    #[test]
    fn more_than_granted_is_refused() {
        let mut receiver = ReceiveWindow::default();
        receiver.received(INITIAL_CREDIT as usize).unwrap();
        assert_eq!(receiver.received(1), Err(FrameError::Credit("data")));
        let mut sender = SendWindow::default();
        assert_eq!(sender.grant(u32::MAX), Err(FrameError::Credit("credit")));
    }
}
