//! What the user sees: one event type in; live bars, plain lines, JSON, JUnit and HTML out. The only writers to stdout and stderr.

pub mod event;

pub use event::{Event, EventKind, StepOutcome};

/// The handle through which every room reports. Clones are cheap; sending never blocks and never fails.
#[derive(Clone)]
pub struct Reporter {
    sender: std::sync::mpsc::Sender<Event>,
}

impl Reporter {
    /// Reports something as of now.
    pub fn send(&self, kind: EventKind) {
        let event = Event { version: event::VERSION, time: jiff::Timestamp::now(), kind };
        // The writer outlives every reporter; if it is gone the program is ending and nobody is left to tell.
        let _ = self.sender.send(event);
    }
}
