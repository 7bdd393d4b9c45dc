//! What the user sees: one event type in; live bars, plain lines, JSON, JUnit and HTML out. The only writers to stdout and stderr.
//!
//! Rooms report through a [`Reporter`]. One thread, started by [`start`], takes everything in order, masks what must not be
//! seen and hands it to the sinks. stdout is data, stderr is everything else.

use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread::JoinHandle;

use crate::site::secrets::SecretText;
use crate::workspace::runs::RunFolder;

mod bars;
mod console;
pub mod event;
mod folder;
mod hosts;
mod html;
mod junit;
mod lines;
pub mod plan;
pub mod redact;
mod style;
pub mod table;
mod view;

pub use event::{Event, EventKind, Level, StepOutcome};
pub use hosts::ranges;
pub use style::{Colors, choose_colors, count, harmless};

/// What the console shows and what else is written.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// How it is shown.
    pub output: Output,
    /// How much is shown.
    pub verbosity: Verbosity,
    /// Where a JUnit report goes when the run ends.
    pub junit: Option<PathBuf>,
}

/// How a run is shown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Output {
    /// Bars where stderr is a terminal, else lines.
    #[default]
    Auto,
    /// Lines.
    Plain,
    /// Events as JSON on stdout, one a line.
    Json,
}

/// How much a run shows on stderr.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verbosity {
    /// Warnings and failures.
    Quiet,
    /// What changes, too.
    #[default]
    Normal,
    /// Every step, progress and log line.
    Verbose,
}

/// What travels to the writer.
enum Message {
    Event(Box<Event>),
    Conceal(Vec<SecretText>),
    Record(RunFolder),
    Print(String),
    Ask { question: String, asked: SyncSender<()> },
    Answered,
    Finish { exit_code: u8, error: Option<Complaint> },
}

/// An error as it is shown: what, because of what, and what to do about it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Complaint {
    /// What went wrong.
    pub message: String,
    /// Its causes, outermost first.
    pub causes: Vec<String>,
    /// Text shown as it is below, such as the lines of a file that are wrong or the end of a log.
    pub details: Vec<String>,
    /// What to do about it.
    pub hints: Vec<String>,
}

/// The handle through which every room reports. Clones are cheap; sending never blocks and never fails.
#[derive(Clone)]
pub struct Reporter {
    sender: Sender<Message>,
}

impl Reporter {
    /// Reports something as of now.
    pub fn send(&self, kind: EventKind) {
        self.pass(Message::Event(Box::new(Event { format: event::FORMAT, time: jiff::Timestamp::now(), kind })));
    }

    /// Says something worth saying.
    pub fn note(&self, message: impl Into<String>) {
        self.send(EventKind::Note { message: message.into() });
    }

    /// Warns, with what to do about it.
    pub fn warn(&self, message: impl Into<String>, hint: Option<&str>) {
        self.send(EventKind::Warning { message: message.into(), hint: hint.map(str::to_owned) });
    }

    /// Makes secrets known, so that they are masked in everything reported from now on.
    pub fn conceal(&self, secrets: Vec<SecretText>) {
        self.pass(Message::Conceal(secrets));
    }

    /// From now on (and from the run's start) events also go into this folder.
    pub fn record(&self, folder: RunFolder) {
        self.pass(Message::Record(folder));
    }

    /// Prints data to stdout, in every output mode. Secrets are masked but for those that nobody concealed.
    pub fn print(&self, text: impl Into<String>) {
        self.pass(Message::Print(text.into()));
    }

    /// Asks a person and waits for a line; `None` at the end of input. Bars are out of the way meanwhile; events go on. Blocks.
    #[must_use]
    pub fn ask(&self, question: impl Into<String>) -> Option<String> {
        let (sender, receiver) = sync_channel(1);
        self.pass(Message::Ask { question: question.into(), asked: sender });
        receiver.recv().ok()?;
        let mut line = String::new();
        let read = std::io::stdin().read_line(&mut line);
        self.pass(Message::Answered);
        (read.ok()? > 0).then(|| line.trim().to_owned())
    }

    fn pass(&self, message: Message) {
        // The writer outlives every reporter; if it is gone the program is ending and nobody is left to tell.
        let _ = self.sender.send(message);
    }
}

/// The writer's end: its thread, to be waited for before the program ends.
pub struct Writer {
    sender: Sender<Message>,
    thread: JoinHandle<bool>,
}

impl Writer {
    /// Ends the run: shows the error if there is one, writes the reports, waits until all is written. False if something that
    /// was asked for (data on stdout, the run's folder, the JUnit report) could not be written; that was said then.
    #[must_use]
    pub fn finish(self, exit_code: u8, error: Option<Complaint>) -> bool {
        let _ = self.sender.send(Message::Finish { exit_code, error });
        self.thread.join().unwrap_or(false)
    }
}

/// Starts the writer.
#[must_use]
pub fn start(options: Options) -> (Reporter, Writer) {
    let (sender, receiver) = channel();
    let thread = std::thread::spawn(move || write(&receiver, &options));
    (Reporter { sender: sender.clone() }, Writer { sender, thread })
}

/// Takes everything in order; whether all that was asked for could be written.
fn write(messages: &Receiver<Message>, options: &Options) -> bool {
    let mut redactor = redact::Redactor::default();
    let mut view = view::View::default();
    let mut console = console::Console::new(options.output, options.verbosity);
    let mut folder: Option<folder::FolderSink> = None;
    for message in messages {
        match message {
            Message::Conceal(secrets) => redactor.add(&secrets),
            Message::Record(place) => folder = Some(folder::FolderSink::new(place)),
            Message::Print(text) => console.print(&redactor.mask(text)),
            Message::Ask { question, asked } => {
                console.ask(&redactor.mask(question));
                // Whoever asked may have been interrupted.
                let _ = asked.send(());
            }
            Message::Answered => console.answered(),
            Message::Event(event) => {
                if view.repeats(&event) {
                    continue;
                }
                let event = redactor.mask_event(*event);
                view.take(&event);
                console.show(&event, &view);
                if let Some(sink) = &mut folder {
                    sink.take(&event, &view);
                }
            }
            Message::Finish { exit_code, error } => {
                let error = error.map(|complaint| complaint.masked(&redactor));
                let mut problems = Vec::new();
                if let Some(kind) = view.finished(exit_code, error.as_ref()) {
                    let event = Event { format: event::FORMAT, time: jiff::Timestamp::now(), kind };
                    view.take(&event);
                    console.show(&event, &view);
                    if let Some(sink) = &mut folder {
                        sink.take(&event, &view);
                        sink.finish(&view);
                    }
                    problems.extend(options.junit.as_deref().and_then(|path| junit::write(path, &view).err()));
                }
                console.close();
                problems.extend(folder.iter_mut().filter_map(folder::FolderSink::problem));
                problems.extend(console.problem());
                problems.iter().chain(&error).for_each(|complaint| console.complain(complaint));
                return problems.is_empty();
            }
        }
    }
    true
}

impl Complaint {
    fn masked(self, redactor: &redact::Redactor) -> Self {
        let all = |texts: Vec<String>| texts.into_iter().map(|text| redactor.mask(text)).collect();
        Self {
            message: redactor.mask(self.message),
            causes: all(self.causes),
            details: all(self.details),
            hints: all(self.hints),
        }
    }
}

#[cfg(test)]
mod tests;
