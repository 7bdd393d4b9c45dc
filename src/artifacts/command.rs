//! Running the machine's own package managers: their lines are reported as they come, the last ones kept for an error.

use std::collections::VecDeque;
use std::io;
use std::process::Stdio;
use std::sync::Arc;

use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};
use tokio::process::Command;

use crate::report::EventKind;

/// Lines kept for an error.
const LAST_LINES: usize = 20;

/// Takes what is to be reported.
pub type Tell = Arc<dyn Fn(EventKind) + Send + Sync>;

/// What is being prepared, and whom to tell.
pub struct Progress {
    what: String,
    tell: Tell,
}

impl Progress {
    /// Progress of `what`, in a few words.
    pub fn new(what: impl Into<String>, tell: &Tell) -> Self {
        Self { what: what.into(), tell: tell.clone() }
    }

    /// It begins.
    pub fn begin(&self) {
        (self.tell)(EventKind::Preparing { what: self.what.clone() });
    }

    /// A line about it.
    pub fn line(&self, line: impl Into<String>) {
        (self.tell)(EventKind::PreparingLog { what: self.what.clone(), line: line.into() });
    }

    /// It is done.
    pub fn end(&self, milliseconds: u64) {
        (self.tell)(EventKind::Prepared { what: self.what.clone(), milliseconds });
    }
}

/// Why a program did not do what it was run for.
#[derive(Debug)]
pub enum Failed {
    /// It could not be run at all.
    Start(io::Error),
    /// It ended with a failure; its last lines, oldest first.
    Ended(Vec<String>),
}

/// Runs a program to its end and gives what it wrote to stdout. All lines of stderr are reported, those of stdout if `report_stdout`.
/// The program is killed if this is dropped.
pub async fn run(mut command: Command, progress: &Progress, report_stdout: bool) -> Result<String, Failed> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().map_err(Failed::Start)?;
    let (Some(stdout), Some(stderr)) = (child.stdout.take(), child.stderr.take()) else {
        return Err(Failed::Start(io::Error::other("its output cannot be read")));
    };
    let last = std::cell::RefCell::new(VecDeque::with_capacity(LAST_LINES));
    let keep = |line: &str| {
        let mut last = last.borrow_mut();
        if last.len() == LAST_LINES {
            last.pop_front();
        }
        last.push_back(line.to_owned());
    };
    let mut output = String::new();
    let read = tokio::try_join!(
        each_line(stdout, |line| {
            if report_stdout {
                progress.line(line);
                keep(line);
            } else {
                output.push_str(line);
                output.push('\n');
            }
        }),
        each_line(stderr, |line| {
            progress.line(line);
            keep(line);
        }),
    );
    let status = child.wait().await.map_err(Failed::Start)?;
    read.map_err(Failed::Start)?;
    if status.success() { Ok(output) } else { Err(Failed::Ended(last.into_inner().into())) }
}

async fn each_line(stream: impl AsyncRead + Unpin, mut on_line: impl FnMut(&str)) -> io::Result<()> {
    let mut reader = BufReader::new(stream);
    let mut bytes = Vec::new();
    while reader.read_until(b'\n', &mut bytes).await? > 0 {
        // Some clients colour what they say, asked or not.
        let line = anstream::adapter::strip_str(&String::from_utf8_lossy(&bytes)).to_string();
        let line = line.trim_end();
        if !line.is_empty() {
            on_line(line);
        }
        bytes.clear();
    }
    Ok(())
}
