//! What a run leaves in its folder: every event, a log for each host, the plan, the report.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write as _};

use super::event::{Event, EventKind, StepOutcome};
use super::view::View;
use super::{Complaint, html};
use crate::site::names::HostName;
use crate::workspace::runs::RunFolder;

/// Writes a run's folder. A write that fails is told once at the end and does not stop the run.
pub struct FolderSink {
    place: RunFolder,
    events: Option<File>,
    hosts: BTreeMap<HostName, File>,
    problem: Option<io::Error>,
}

impl FolderSink {
    /// A sink for a folder that was just made.
    pub fn new(place: RunFolder) -> Self {
        Self { place, events: None, hosts: BTreeMap::new(), problem: None }
    }

    /// Writes an event.
    pub fn take(&mut self, event: &Event, view: &View) {
        if self.problem.is_none() {
            self.problem = self.write(event, view).err();
        }
    }

    /// Writes the report.
    pub fn finish(&mut self, view: &View) {
        let report = html::render(view).map_err(|error| io::Error::other(error.to_string()));
        let written = report.and_then(|text| self.place.open("report.html")?.write_all(text.as_bytes()));
        self.problem = self.problem.take().or(written.err());
    }

    /// What could not be written.
    pub fn problem(&mut self) -> Option<Complaint> {
        let folder = self.place.path().display();
        self.problem.take().map(|error| Complaint {
            message: format!("the run's record in {folder} is not complete"),
            causes: vec![error.to_string()],
            ..Complaint::default()
        })
    }

    fn write(&mut self, event: &Event, view: &View) -> io::Result<()> {
        let mut line = serde_json::to_vec(event)?;
        line.push(b'\n');
        let events = match &mut self.events {
            Some(events) => events,
            none => none.insert(self.place.open("events.jsonl")?),
        };
        events.write_all(&line)?;
        if let EventKind::Planned { plan } = &event.kind {
            serde_json::to_writer_pretty(self.place.open("plan.json")?, plan)?;
        }
        if let EventKind::Unreachable { hosts, reason, .. } = &event.kind {
            for host in hosts {
                self.log(event, host, &format!("unreachable: {reason}"))?;
            }
        }
        if let Some((host, text)) = host_line(event, view) {
            self.log(event, &host, &text)?;
        }
        Ok(())
    }

    /// Writes a line into a host's log.
    fn log(&mut self, event: &Event, host: &HostName, text: &str) -> io::Result<()> {
        let log = match self.hosts.entry(host.clone()) {
            std::collections::btree_map::Entry::Occupied(entry) => entry.into_mut(),
            std::collections::btree_map::Entry::Vacant(entry) => entry.insert(self.place.host_log(host.as_str())?),
        };
        writeln!(log, "{} {text}", event.time.strftime("%H:%M:%S%.3f"))
    }
}

/// What an event says in a host's log.
fn host_line(event: &Event, view: &View) -> Option<(HostName, String)> {
    let step = match &event.kind {
        EventKind::Observed { host, milliseconds } => {
            return Some((host.clone(), format!("observed in {milliseconds} ms")));
        }
        EventKind::StepStarted { step, .. }
        | EventKind::StepProgress { step, .. }
        | EventKind::StepLog { step, .. }
        | EventKind::StepFinished { step, .. } => step,
        _ => return None,
    };
    let text = match &event.kind {
        EventKind::StepStarted { title, .. } => format!("begun: {title}"),
        EventKind::StepProgress { total: Some(_), .. } => return None,
        EventKind::StepProgress { message, .. } => message.clone(),
        EventKind::StepLog { line, .. } => format!("| {line}"),
        EventKind::StepFinished { outcome, milliseconds, .. } => match outcome {
            StepOutcome::Done { changed } => format!("done in {milliseconds} ms; changed: {}", changed.join(", ")),
            StepOutcome::Failed { reason, log, .. } => {
                [&[format!("failed: {reason}")], log.as_slice()].concat().join("\n    | ")
            }
            StepOutcome::PutBack { reason, log } => {
                [&[format!("put back: {reason}")], log.as_slice()].concat().join("\n    | ")
            }
            StepOutcome::Skipped { reason } => format!("skipped: {reason}"),
        },
        _ => return None,
    };
    let host = view.step(step)?.host.clone()?;
    Some((host, format!("{step}: {text}")))
}
