//! A plan for people: by service, what changes on which hosts, why, and what users notice. Readable at 80 columns.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use anstyle::Style;
use serde_json::Value;
use similar::{ChangeTag, TextDiff};
use wire_deploy_agent::diff::{Action, Change, Reason, TextChange};
use wire_deploy_agent::resource::ResourceId;

use super::hosts::ranges;
use super::style::{ASIDE, BAD, CAUTION, FAINT, GOOD, HEADING, count, harmless, paint, shorten, wrap};
use crate::plan::{Impact, ObjectChange, Plan, Step, Work};
use crate::site::names::HostName;
use crate::workloads::found::{FieldProblem, Found, ObjectFound};

/// How a plan is laid out.
#[derive(Debug, Clone, Copy)]
pub struct Layout {
    /// Columns.
    pub width: usize,
    /// Whole diffs, and the text of new files.
    pub verbose: bool,
}

/// Lines of a diff that are shown unless all are wanted.
const DIFF_LINES: usize = 40;
/// Reasons of a change that are shown unless all are wanted.
const REASONS: usize = 6;

/// The whole plan as text, ending in a line's end.
#[must_use]
pub fn render(plan: &Plan, layout: &Layout) -> String {
    let mut text = String::new();
    let mut services = Vec::new();
    for step in &plan.steps {
        if !services.contains(&&step.service) {
            services.push(&step.service);
        }
    }
    for service in services {
        let _ = writeln!(text, "{}", paint(HEADING, service.as_str()));
        let steps: Vec<&Step> = plan.steps.iter().filter(|step| &step.service == service).collect();
        text.push_str(&service_text(&steps, layout));
        text.push('\n');
    }
    let _ = writeln!(text, "{}", wrap(&summary(plan), layout.width, ""));
    text
}

/// The plan in a line: `Plan: 12 to create, 3 to change, 2 restarts on 3 hosts`.
#[must_use]
pub fn summary(plan: &Plan) -> String {
    if plan.is_empty() {
        return "No changes: everything is as the site says.".to_owned();
    }
    let mut tally = Tally::default();
    let mut hosts = BTreeSet::new();
    for step in &plan.steps {
        match &step.work {
            Work::Configure { changes, .. } => {
                hosts.extend(&step.host);
                changes.iter().for_each(|change| tally.add(change.action));
            }
            Work::Operate { .. } => tally.operations += 1,
            Work::Objects { changes } => changes.iter().for_each(|change| tally.add(object_action(change))),
            Work::Deferred { objects } => tally.deferred += objects.len(),
            Work::DeferredRollOut { objects, .. } => tally.deferred += objects.len(),
            Work::RollOut { found, .. } => found.objects.iter().for_each(|object| match &object.found {
                Found::Missing | Found::Deferred { .. } => tally.create += 1,
                Found::Differs { .. } => tally.change += 1,
                Found::Replaced { .. } => tally.replace += 1,
                Found::Unwanted => tally.delete += 1,
                _ => {}
            }),
            Work::Gate { .. } => {}
        }
    }
    let on = if hosts.is_empty() { String::new() } else { format!(" on {}", count(hosts.len(), "host")) };
    format!("Plan: {}{on}.", tally.text())
}

#[derive(Default)]
struct Tally {
    create: usize,
    change: usize,
    replace: usize,
    delete: usize,
    run: usize,
    starts: usize,
    restarts: usize,
    reloads: usize,
    stops: usize,
    operations: usize,
    deferred: usize,
}

impl Tally {
    fn add(&mut self, action: Action) {
        *match action {
            Action::Create => &mut self.create,
            Action::Update => &mut self.change,
            Action::Replace => &mut self.replace,
            Action::Start => &mut self.starts,
            Action::Restart => &mut self.restarts,
            Action::Reload => &mut self.reloads,
            Action::Stop => &mut self.stops,
            Action::Run => &mut self.run,
        } += 1;
    }

    fn text(&self) -> String {
        let mut parts = Vec::new();
        let to = [
            (self.create, "create"),
            (self.change, "change"),
            (self.replace, "replace"),
            (self.delete, "delete"),
            (self.run, "run"),
        ];
        parts.extend(to.iter().filter(|(number, _)| *number > 0).map(|(number, what)| format!("{number} to {what}")));
        let counted = [
            (self.starts, "start"),
            (self.restarts, "restart"),
            (self.reloads, "reload"),
            (self.stops, "stop"),
            (self.operations, "operation"),
        ];
        parts.extend(counted.iter().filter(|(number, _)| *number > 0).map(|(number, what)| count(*number, what)));
        if self.deferred > 0 {
            parts.push(format!("{} deferred", self.deferred));
        }
        if parts.is_empty() { "the clusters' health only".to_owned() } else { parts.join(", ") }
    }
}

/// A part of a service's plan; steps that say the same of several hosts become one.
struct Block<'a> {
    hosts: Vec<&'a HostName>,
    title: String,
    body: String,
}

fn service_text(steps: &[&Step], layout: &Layout) -> String {
    let mut blocks: Vec<Block<'_>> = Vec::new();
    let mut gates = Vec::new();
    for step in steps {
        let (title, body) = match &step.work {
            Work::Gate { guards, timeout_seconds } => {
                gates.push((guards.is_some(), *timeout_seconds));
                continue;
            }
            Work::Configure { changes, roll, .. } => {
                let title = if *roll { "change, one host at a time" } else { "configure" };
                let changes = changes.iter().map(|change| change_text(change, layout));
                (title.to_owned(), changes.collect::<String>())
            }
            Work::Operate { operation } => (harmless(&operation.description), String::new()),
            Work::Objects { changes } => {
                ("cluster objects".to_owned(), changes.iter().map(|change| object_text(change, layout)).collect())
            }
            Work::Deferred { objects } => {
                let lines = objects.iter().map(|object| {
                    let wanted = compact(&object.wanted);
                    let line = format!("    {} {}  {wanted}\n", word("later", FAINT), object.id);
                    if layout.verbose { line } else { format!("{}\n", shorten_painted(&line, layout.width)) }
                });
                let title = "cluster objects, planned again once the cluster answers".to_owned();
                (title, lines.collect::<String>())
            }
            Work::RollOut { found, .. } => {
                let objects = found.objects.iter().map(|object| found_text(object, layout));
                ("objects in Kubernetes".to_owned(), objects.collect::<String>())
            }
            Work::DeferredRollOut { objects, .. } => {
                let lines = objects.iter().map(|id| format!("    {} {id}\n", word("later", FAINT)));
                ("objects in Kubernetes, planned again once it answers".to_owned(), lines.collect::<String>())
            }
        };
        let body = body + &impact_text(&step.impact, layout);
        let same = blocks
            .iter_mut()
            .find(|block| !block.hosts.is_empty() && step.host.is_some() && block.title == title && block.body == body);
        match same {
            Some(block) => block.hosts.extend(&step.host),
            None => blocks.push(Block { hosts: step.host.iter().collect(), title, body }),
        }
    }
    let mut text = String::new();
    for block in blocks {
        let hosts = if block.hosts.is_empty() || block.body.is_empty() {
            String::new()
        } else {
            format!("{}: ", ranges(&block.hosts))
        };
        let _ = writeln!(text, "{}", wrap(&format!("{hosts}{}", block.title), layout.width, "  "));
        text.push_str(&block.body);
    }
    if let Some(longest) = gates.iter().map(|(_, seconds)| *seconds).max() {
        let back = if gates.iter().any(|(guards, _)| *guards) {
            "; if one does not pass, the changed host's former configuration is put back and the run stops"
        } else {
            ""
        };
        let said = format!("{}, at most {longest} s each{back}", count(gates.len(), "health gate"));
        let _ = writeln!(text, "{}", paint(FAINT, &wrap(&said, layout.width, "  ")));
    }
    text
}

fn change_text(change: &Change, layout: &Layout) -> String {
    let (verb, style) = action_word(change.action);
    let line = format!("    {} {}", word(verb, style), harmless(&change.resource.0));
    let mut text = format!("{}\n", shorten_painted(&line, layout.width));
    // What is new differs in everything; that needs no reasons.
    let fresh = matches!(change.action, Action::Create | Action::Start);
    let reasons: Vec<&Reason> = change
        .reasons
        .iter()
        .filter(|reason| !(reason.field == "content" && change.text.is_some()))
        .filter(|reason| layout.verbose || !fresh || reason.field.starts_with("version"))
        .collect();
    let shown = if layout.verbose { reasons.len() } else { reasons.len().min(REASONS) };
    for reason in &reasons[..shown] {
        let _ = writeln!(text, "{}", reason_text(&reason.field, &reason.from, &reason.to, layout));
    }
    if shown < reasons.len() {
        let _ = writeln!(text, "             {}", paint(FAINT, &format!("and {} more", reasons.len() - shown)));
    }
    if let Some(change) = change.text.as_ref().filter(|_| layout.verbose || !fresh) {
        text.push_str(&diff_text(change, layout));
    }
    text
}

/// What is done to an object of a workload; nothing is said of one that stays as it is.
fn found_text(object: &ObjectFound, layout: &Layout) -> String {
    let change = |action, reasons: &[Reason], text: Option<&TextChange>| Change {
        resource: ResourceId(object.id.to_string()),
        action,
        reasons: reasons.to_vec(),
        text: text.cloned(),
    };
    let line = |verb, style, rest: &str| {
        let line = format!("    {} {}{rest}", word(verb, style), harmless(&object.id.to_string()));
        format!("{}\n", shorten_painted(&line, layout.width))
    };
    match &object.found {
        Found::Missing | Found::Deferred { .. } => change_text(&change(Action::Create, &[], None), layout),
        Found::Differs { difference, taken } => {
            let mut reasons = difference.reasons.clone();
            reasons.extend(taken.iter().map(|taken| {
                let field = format!("{} was set", taken.field);
                Reason { field, from: String::new(), to: format!("by {}", taken.manager) }
            }));
            change_text(&change(Action::Update, &reasons, Some(&difference.text)), layout)
        }
        Found::Replaced { fields } => {
            let reason = |field: &FieldProblem| Reason {
                field: field.field.clone(),
                from: String::new(),
                to: field.problem.clone(),
            };
            change_text(&change(Action::Replace, &fields.iter().map(reason).collect::<Vec<_>>(), None), layout)
        }
        Found::Unwanted => line("delete", BAD, ""),
        Found::Kept { because } => line("leave", FAINT, &format!(": {because}")),
        _ => String::new(),
    }
}

/// Whether a text is a digest, whole or shortened.
fn is_digest(text: &str) -> bool {
    matches!(text.len(), 12 | 64) && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// `mode: 0644 → 0640`. Digests say nothing to a person and are left out.
fn reason_text(field: &str, from: &str, to: &str, layout: &Layout) -> String {
    let said = match (from, to) {
        (from, to) if is_digest(from) || is_digest(to) => format!("{field} differs"),
        ("", to) => format!("{field}: {to}"),
        (from, "") => format!("{field}: {from} → none"),
        (from, to) => format!("{field}: {from} → {to}"),
    };
    let said = harmless(&said);
    let said = if layout.verbose { said } else { shorten(&said, layout.width.saturating_sub(13)) };
    format!("             {said}")
}

fn diff_text(change: &TextChange, layout: &Layout) -> String {
    let diff = TextDiff::from_lines(change.from.as_str(), change.to.as_str());
    let mut lines = Vec::new();
    for hunk in diff.unified_diff().context_radius(2).iter_hunks() {
        lines.push(paint(ASIDE, &hunk.header().to_string()));
        for line in hunk.iter_changes() {
            let (sign, style) = match line.tag() {
                ChangeTag::Delete => ('-', BAD),
                ChangeTag::Insert => ('+', GOOD),
                ChangeTag::Equal => (' ', Style::new()),
            };
            let said = harmless(line.value().trim_end_matches(['\n', '\r']));
            let said = if layout.verbose { said } else { shorten(&said, layout.width.saturating_sub(14)) };
            lines.push(paint(style, &format!("{sign}{said}")));
        }
    }
    let shown = if layout.verbose { lines.len() } else { lines.len().min(DIFF_LINES) };
    let mut text = String::new();
    for line in &lines[..shown] {
        let _ = writeln!(text, "             {line}");
    }
    if shown < lines.len() {
        let more = format!("{} more lines; -v shows all", lines.len() - shown);
        let _ = writeln!(text, "             {}", paint(FAINT, &more));
    }
    text
}

fn object_action(change: &ObjectChange) -> Action {
    if change.from.is_null() { Action::Create } else { Action::Update }
}

fn object_text(change: &ObjectChange, layout: &Layout) -> String {
    let (verb, style) = action_word(object_action(change));
    let mut text = format!("    {} {}\n", word(verb, style), harmless(&change.object.id));
    if let (Value::Object(from), Value::Object(to)) = (&change.from, &change.object.wanted) {
        let fields: BTreeSet<&String> = from.keys().chain(to.keys()).collect();
        for field in fields {
            let (before, after) = (from.get(field), to.get(field));
            if before != after {
                let said = |value: Option<&Value>| value.map(compact).unwrap_or_default();
                let _ = writeln!(text, "{}", reason_text(field, &said(before), &said(after), layout));
            }
        }
    } else {
        let before = if change.from.is_null() { String::new() } else { compact(&change.from) };
        let _ = writeln!(text, "{}", reason_text("value", &before, &compact(&change.object.wanted), layout));
    }
    text
}

/// A JSON value on one line, strings without quotes.
fn compact(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn impact_text(impact: &Impact, layout: &Layout) -> String {
    let mut parts = Vec::new();
    if !impact.restarts.is_empty() {
        parts.push(format!("restarts {}", impact.restarts.join(", ")));
    }
    match impact.spare {
        Some(0) => parts.push("no further host may die meanwhile".to_owned()),
        Some(spare @ 1..) => {
            parts.push(format!("{} may die meanwhile", count(usize::try_from(spare).unwrap_or_default(), "more host")));
        }
        Some(_) => parts.push("users lose the service meanwhile".to_owned()),
        None => {}
    }
    if !impact.notice.is_empty() {
        parts.push(harmless(&impact.notice));
    }
    if parts.is_empty() {
        return String::new();
    }
    let wrapped = wrap(&parts.join("; "), layout.width, "             ");
    format!("    {} {}\n", word("impact", CAUTION), wrapped.trim_start())
}

fn action_word(action: Action) -> (&'static str, Style) {
    match action {
        Action::Create => ("create", GOOD),
        Action::Update => ("change", CAUTION),
        Action::Replace => ("replace", CAUTION),
        Action::Start => ("start", GOOD),
        Action::Restart => ("restart", CAUTION),
        Action::Reload => ("reload", CAUTION),
        Action::Stop => ("stop", BAD),
        Action::Run => ("run", CAUTION),
    }
}

fn word(text: &str, style: Style) -> String {
    format!("{}{:padding$}", paint(style, text), "", padding = 8_usize.saturating_sub(text.len()))
}

/// Cuts a line that begins with painted text; only what is not painted is cut.
fn shorten_painted(line: &str, width: usize) -> String {
    let line = line.trim_end();
    let invisible = line.chars().count() - anstream::adapter::strip_str(line).to_string().chars().count();
    shorten(line, width + invisible)
}
