//! Live bars: one for the run and one for each host (or cluster) that something is done to now.

use std::collections::BTreeMap;
use std::io::IsTerminal as _;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::event::{Event, EventKind};
use super::lines::{share, title};
use super::style::{HEADING, count, harmless, paint};
use super::view::View;
use crate::plan::StepId;

/// The bars on stderr.
pub struct Bars {
    all: MultiProgress,
    total: ProgressBar,
    colored: bool,
    style: ProgressStyle,
    working: BTreeMap<String, Working>,
    steps: BTreeMap<StepId, String>,
    shown: usize,
    begun: bool,
}

/// Someone that something is done to: a host, a cluster, a preparation.
struct Working {
    bar: Option<ProgressBar>,
    steps: usize,
    text: String,
}

impl Bars {
    /// Whether stderr can show bars.
    pub fn possible() -> bool {
        std::io::stderr().is_terminal() && std::env::var_os("TERM").is_none_or(|terminal| terminal != "dumb")
    }

    /// Bars without anything going on yet.
    pub fn new(colored: bool) -> Self {
        let all = MultiProgress::with_draw_target(ProgressDrawTarget::stderr());
        let total = all.add(ProgressBar::new_spinner());
        // The templates are fixed texts; if one did not parse, indicatif's own would do.
        let spinner = ProgressStyle::with_template("{spinner} {wide_msg}");
        let line = ProgressStyle::with_template("  {wide_msg}");
        total.set_style(spinner.unwrap_or_else(|_| ProgressStyle::default_spinner()));
        let style = line.unwrap_or_else(|_| ProgressStyle::default_spinner());
        let rows = rustix::termios::tcgetwinsize(std::io::stderr()).map_or(24, |size| usize::from(size.ws_row));
        let (working, steps) = (BTreeMap::new(), BTreeMap::new());
        Self { all, total, colored, style, working, steps, shown: rows.saturating_sub(4).max(1), begun: false }
    }

    /// Runs something that writes to the terminal itself.
    pub fn suspend<T>(&self, action: impl FnOnce() -> T) -> T {
        self.all.suspend(action)
    }

    /// Draws nothing for now.
    pub fn hide(&self) {
        // A terminal that is gone needs no clearing.
        let _ = self.all.clear();
        self.all.set_draw_target(ProgressDrawTarget::hidden());
    }

    /// Draws again.
    pub fn show(&self) {
        self.all.set_draw_target(ProgressDrawTarget::stderr());
    }

    /// Removes all bars.
    pub fn clear(self) {
        self.total.finish_and_clear();
        self.working.into_values().filter_map(|working| working.bar).for_each(|bar| bar.finish_and_clear());
        // A terminal that is gone needs no clearing.
        let _ = self.all.clear();
    }

    /// Follows an event.
    pub fn take(&mut self, event: &Event, view: &View) {
        match &event.kind {
            EventKind::RunStarted { .. } => self.start(),
            EventKind::Preparing { what } => {
                self.start();
                self.begin(what, what);
            }
            EventKind::PreparingLog { what, line } => self.go_on(what, &format!("{what}: {}", harmless(line))),
            EventKind::Prepared { what, .. } => self.end(what),
            EventKind::StepStarted { step, service, host, .. } => {
                let worker = host.as_ref().map_or_else(|| service.to_string(), ToString::to_string);
                self.steps.insert(step.clone(), worker.clone());
                self.begin(&worker, &view.step(step).map(title).unwrap_or_default());
            }
            EventKind::StepProgress { step, message, done, total } => {
                let text = view.step(step).map(title).unwrap_or_default();
                let text = format!("{text}: {}{}", harmless(message), share(*done, *total));
                if let Some(worker) = self.steps.get(step).cloned() {
                    self.go_on(&worker, &text);
                }
            }
            EventKind::StepFinished { step, .. } => {
                if let Some(worker) = self.steps.remove(step) {
                    self.end(&worker);
                }
            }
            _ => {}
        }
        if self.begun {
            self.total.set_message(self.summary(view));
        }
    }

    /// Draws from now on; what prints a list and ends has nothing to draw.
    fn start(&mut self) {
        if !self.begun {
            self.begun = true;
            self.total.enable_steady_tick(Duration::from_millis(100));
        }
    }

    fn summary(&self, view: &View) -> String {
        let mut parts = vec![paint(HEADING, format!("{} {}", view.command, view.site).trim())];
        match &view.plan {
            Some(plan) if !plan.steps.is_empty() => {
                let ended = view.steps.iter().filter(|step| step.end.is_some()).count();
                parts.push(format!("{ended} of {}", count(plan.steps.len(), "step")));
            }
            _ if view.observed > 0 => parts.push(format!("{} observed", count(view.observed, "host"))),
            _ => {}
        }
        let hidden = self.working.values().filter(|working| working.bar.is_none()).count();
        if hidden > 0 {
            parts.push(format!("{hidden} more at work"));
        }
        self.colors(&parts.join(", "))
    }

    fn colors(&self, text: &str) -> String {
        if self.colored { text.to_owned() } else { anstream::adapter::strip_str(text).to_string() }
    }

    fn begin(&mut self, worker: &str, text: &str) {
        let working =
            self.working.entry(worker.to_owned()).or_insert(Working { bar: None, steps: 0, text: String::new() });
        working.steps += 1;
        self.go_on(worker, text);
    }

    fn go_on(&mut self, worker: &str, text: &str) {
        if let Some(working) = self.working.get_mut(worker) {
            text.clone_into(&mut working.text);
        }
        self.fill(worker);
    }

    fn end(&mut self, worker: &str) {
        let Some(working) = self.working.get_mut(worker) else { return };
        working.steps -= 1;
        if working.steps > 0 {
            return;
        }
        if let Some(bar) = self.working.remove(worker).and_then(|working| working.bar) {
            bar.finish_and_clear();
            self.all.remove(&bar);
            let waiting = self.working.iter().find(|(_, working)| working.bar.is_none()).map(|(name, _)| name.clone());
            if let Some(waiting) = waiting {
                self.fill(&waiting);
            }
        }
    }

    /// Shows what a worker does, in a bar of its own while there is room on the screen.
    fn fill(&mut self, worker: &str) {
        let shown = self.working.values().filter(|working| working.bar.is_some()).count();
        let Some(working) = self.working.get_mut(worker) else { return };
        if working.bar.is_none() && shown < self.shown {
            let bar = self.all.add(ProgressBar::new_spinner());
            bar.set_style(self.style.clone());
            working.bar = Some(bar);
        }
        if let Some(bar) = &working.bar {
            bar.set_message(working.text.clone());
        }
    }
}
