//! stdout and stderr: data to the one, everything else to the other. A reader that went away is not an error.

use std::io::{self, IsTerminal as _, Write as _};

use anstream::AutoStream;

use super::bars::Bars;
use super::event::{Event, EventKind};
use super::style::{ASIDE, BAD, harmless, paint};
use super::view::View;
use super::{Complaint, Output, Verbosity, lines, plan, table};

/// Both streams, and the bars if there are any.
pub struct Console {
    stdout: AutoStream<io::Stdout>,
    stderr: AutoStream<io::Stderr>,
    bars: Option<Bars>,
    json: bool,
    verbosity: Verbosity,
    problem: Option<io::Error>,
}

impl Console {
    /// A console for a run.
    pub fn new(output: Output, verbosity: Verbosity) -> Self {
        let stderr = anstream::stderr();
        let live = output == Output::Auto && verbosity > Verbosity::Quiet && Bars::possible();
        let colored = stderr.current_choice() != anstream::ColorChoice::Never;
        Self {
            stdout: anstream::stdout(),
            stderr,
            bars: live.then(|| Bars::new(colored)),
            json: output == Output::Json,
            verbosity,
            problem: None,
        }
    }

    /// Shows an event.
    pub fn show(&mut self, event: &Event, view: &View) {
        if self.json {
            self.show_json(event, view);
            return;
        }
        match &event.kind {
            EventKind::Planned { plan } => self.show_plan(plan, view),
            EventKind::RunFinished { .. } => self.show_end(view),
            EventKind::RunStarted { .. } if is_data(view) => {}
            _ => {
                if let Some(line) = lines::told(event, view, self.verbosity, self.bars.is_some()) {
                    self.tell(&line);
                }
            }
        }
        if let Some(bars) = &mut self.bars {
            bars.take(event, view);
        }
    }

    /// Prints data.
    pub fn print(&mut self, text: &str) {
        let stdout = &mut self.stdout;
        let written =
            without_bars(self.bars.as_ref(), || stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()));
        // A reader that has seen enough (`| head`) has closed its end; that is no failure of ours.
        let failed = written.err().filter(|error| error.kind() != io::ErrorKind::BrokenPipe);
        self.problem = self.problem.take().or(failed);
    }

    /// What could not be printed.
    pub fn problem(&mut self) -> Option<Complaint> {
        self.problem.take().map(|error| Complaint {
            message: "cannot write to stdout".to_owned(),
            causes: vec![error.to_string()],
            ..Complaint::default()
        })
    }

    /// Shows a question, and keeps bars off the line where it is answered until [`Self::answered`].
    pub fn ask(&mut self, question: &str) {
        if let Some(bars) = &self.bars {
            bars.hide();
        }
        // Without stderr nobody can be asked, and nobody answers.
        let _ = write!(self.stderr, "{question} ").and_then(|()| self.stderr.flush());
    }

    /// A question was answered.
    pub fn answered(&mut self) {
        if let Some(bars) = &self.bars {
            bars.show();
        }
    }

    /// Takes the bars away for good.
    pub fn close(&mut self) {
        if let Some(bars) = self.bars.take() {
            bars.clear();
        }
    }

    /// Shows an error.
    pub fn complain(&mut self, complaint: &Complaint) {
        let mut text = format!("{} {}", paint(BAD, "error:"), harmless(&complaint.message));
        for cause in &complaint.causes {
            text.push_str(&format!("\n  {} {}", paint(BAD, "because:"), harmless(cause)));
        }
        for detail in &complaint.details {
            text.push('\n');
            text.push_str(detail.trim_end());
        }
        for hint in &complaint.hints {
            text.push_str(&format!("\n  {} {}", paint(ASIDE, "hint:"), harmless(hint)));
        }
        self.tell(&text);
    }

    fn tell(&mut self, line: &str) {
        let stderr = &mut self.stderr;
        without_bars(self.bars.as_ref(), || {
            let _ = writeln!(stderr, "{line}");
        });
    }

    fn show_json(&mut self, event: &Event, view: &View) {
        let wanted = match view.command.as_str() {
            // What these print is one object per service and host, and nothing between.
            "status" | "verify" => matches!(event.kind, EventKind::Health { .. }),
            _ => true,
        };
        if let Some(line) = serde_json::to_string(event).ok().filter(|_| wanted) {
            self.print(&format!("{line}\n"));
        }
    }

    fn show_plan(&mut self, wanted: &crate::plan::Plan, view: &View) {
        let text =
            plan::render(wanted, &plan::Layout { width: width(), verbose: self.verbosity == Verbosity::Verbose });
        if is_data(view) {
            self.print(&text);
        } else if self.verbosity > Verbosity::Quiet {
            self.tell(text.trim_end());
        }
    }

    fn show_end(&mut self, view: &View) {
        self.close();
        let tables = [table::findings(view, self.verbosity == Verbosity::Verbose), table::health(view)].concat();
        if is_data(view) {
            self.print(&tables);
            return;
        }
        if self.verbosity > Verbosity::Quiet {
            if !tables.is_empty() {
                self.tell(tables.trim_end());
            }
            if let Some(line) = lines::conclusion(view) {
                self.tell(&line);
            }
        }
    }
}

/// Whether what the command shows is what it was asked for, rather than a tale of what it does.
fn is_data(view: &View) -> bool {
    matches!(view.command.as_str(), "plan" | "drift" | "check" | "status" | "verify")
}

/// Columns to fill: the terminal's, within reason, or 80.
fn width() -> usize {
    let columns = rustix::termios::tcgetwinsize(io::stderr()).map_or(80, |size| usize::from(size.ws_col));
    if io::stderr().is_terminal() { columns.clamp(60, 120) } else { 80 }
}

fn without_bars<T>(bars: Option<&Bars>, action: impl FnOnce() -> T) -> T {
    match bars {
        Some(bars) => bars.suspend(action),
        None => action(),
    }
}
