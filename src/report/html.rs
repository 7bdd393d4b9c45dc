//! The run's report as one HTML file with nothing outside it: timeline, changes, health. Everything that comes from elsewhere is escaped.

use jiff::Timestamp;
use serde::Serialize;

use super::event::StepOutcome;
use super::lines::title;
use super::plan::{Layout, render as render_plan};
use super::style::duration;
use super::view::View;

const NAME: &str = "report/report.html";

#[derive(Serialize)]
struct Page {
    command: String,
    site: String,
    run: String,
    version: &'static str,
    started: String,
    duration: String,
    succeeded: bool,
    exit_code: u8,
    error: String,
    steps: Vec<Bar>,
    plan: String,
    health: Vec<Row>,
    warnings: Vec<Warned>,
}

/// A step in the timeline; offsets and widths in percent of the run.
#[derive(Serialize)]
struct Bar {
    title: String,
    outcome: &'static str,
    left: f64,
    width: f64,
    duration: String,
    detail: String,
}

#[derive(Serialize)]
struct Row {
    service: String,
    host: String,
    version: String,
    role: String,
    healthy: bool,
    problem: String,
}

#[derive(Serialize)]
struct Warned {
    message: String,
    hint: String,
}

/// The page of a run that has ended.
///
/// # Errors
/// When the embedded template does not render.
pub fn render(view: &View) -> Result<String, tera::Error> {
    let template = crate::templates::EMBEDDED.iter().find(|(name, _)| *name == NAME).map_or("", |(_, text)| *text);
    let mut engine = tera::Tera::default();
    engine.autoescape_on(vec![".html"]);
    engine.add_raw_template(NAME, template)?;
    engine.render(NAME, &tera::Context::from_serialize(&page(view))?)
}

fn page(view: &View) -> Page {
    let start = view.started.unwrap_or(Timestamp::UNIX_EPOCH);
    let milliseconds = view.end.as_ref().map_or(0, |end| end.milliseconds);
    let exit_code = view.end.as_ref().map_or(1, |end| end.exit_code);
    let optional = |text: &Option<String>| text.clone().unwrap_or_default();
    Page {
        command: view.command.clone(),
        site: view.site.clone(),
        run: optional(&view.run),
        version: env!("CARGO_PKG_VERSION"),
        started: start.strftime("%Y-%m-%d %H:%M:%S UTC").to_string(),
        duration: duration(milliseconds),
        succeeded: exit_code == 0,
        exit_code,
        error: view.end.as_ref().map(|end| optional(&end.error)).unwrap_or_default(),
        steps: bars(view, start, milliseconds),
        plan: view.plan.as_ref().map_or_else(String::new, |plan| {
            let text = render_plan(plan, &Layout { width: 120, verbose: true });
            anstream::adapter::strip_str(&text).to_string()
        }),
        health: view
            .health
            .iter()
            .map(|((service, host), health)| Row {
                service: service.to_string(),
                host: host.to_string(),
                version: optional(&health.version),
                role: optional(&health.role),
                healthy: health.healthy,
                problem: optional(&health.problem),
            })
            .collect(),
        warnings: view
            .warnings
            .iter()
            .map(|(message, hint)| Warned { message: message.clone(), hint: optional(hint) })
            .collect(),
    }
}

fn bars(view: &View, start: Timestamp, milliseconds: u64) -> Vec<Bar> {
    let whole = milliseconds.max(1) as f64;
    let bar = |step: &super::view::StepView| {
        let after = step.started.duration_since(start).as_millis().max(0) as f64;
        let (outcome, took, detail) = match &step.end {
            Some((StepOutcome::Done { changed }, took)) => ("done", *took, changed.join("\n")),
            Some((StepOutcome::Failed { reason, hint, log }, took)) => {
                let hint = hint.iter().map(|hint| format!("hint: {hint}"));
                let lines: Vec<String> = std::iter::once(reason.clone()).chain(hint).chain(log.clone()).collect();
                ("failed", *took, lines.join("\n"))
            }
            Some((StepOutcome::PutBack { reason, log }, took)) => {
                ("put-back", *took, [std::slice::from_ref(reason), log.as_slice()].concat().join("\n"))
            }
            Some((StepOutcome::Skipped { reason }, took)) => ("skipped", *took, reason.clone()),
            None => ("unfinished", milliseconds, "the run ended first".to_owned()),
        };
        let left = (after / whole * 100.0).clamp(0.0, 99.5);
        let width = (took as f64 / whole * 100.0).clamp(0.5, 100.0 - left);
        Bar { title: title(step), outcome, left, width, duration: duration(took), detail }
    };
    view.steps.iter().map(bar).collect()
}
