//! A JUnit report: one suite per service, one case per step and per health row, so that a CI server shows what failed where.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;
use std::time::Duration;

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

use super::Complaint;
use super::event::{Level, StepOutcome};
use super::lines::title;
use super::view::View;

/// Writes the report of a run that has ended.
///
/// # Errors
/// When the file cannot be written.
pub fn write(path: &Path, view: &View) -> Result<(), Complaint> {
    let failed = |cause: String| Complaint {
        message: format!("cannot write the JUnit report {}", path.display()),
        causes: vec![cause],
        ..Complaint::default()
    };
    let file = File::create(path).map_err(|error| failed(error.to_string()))?;
    report(view).serialize(file).map_err(|error| failed(error.to_string()))
}

fn report(view: &View) -> Report {
    let mut suites: BTreeMap<&str, TestSuite> = BTreeMap::new();
    let mut add = |suite, case: TestCase| {
        suites.entry(suite).or_insert_with(|| TestSuite::new(suite)).add_test_case(case);
    };
    for step in &view.steps {
        let (status, milliseconds) = match &step.end {
            Some((StepOutcome::Done { .. }, milliseconds)) => (TestCaseStatus::success(), *milliseconds),
            Some((StepOutcome::Failed { reason, hint, log }, milliseconds)) => {
                let mut description = log.join("\n");
                description.extend(hint.iter().map(|hint| format!("\nhint: {hint}")));
                (failure(reason, &description), *milliseconds)
            }
            Some((StepOutcome::PutBack { reason, log }, milliseconds)) => {
                let description = format!("the former configuration was put back\n{}", log.join("\n"));
                (failure(reason, description.trim_end()), *milliseconds)
            }
            Some((StepOutcome::Skipped { reason }, milliseconds)) => {
                let mut status = TestCaseStatus::skipped();
                status.set_message(reason.as_str());
                (status, *milliseconds)
            }
            None => (failure("the run ended first", ""), 0),
        };
        let mut case = TestCase::new(title(step), status);
        case.set_classname(step.id.0.as_str()).set_time(Duration::from_millis(milliseconds));
        add(step.service.as_str(), case);
    }
    for ((service, host), health) in &view.health {
        let status = if health.healthy {
            TestCaseStatus::success()
        } else {
            failure(health.problem.as_deref().unwrap_or("no answer"), "")
        };
        let mut case = TestCase::new(format!("{host} {service}: healthy"), status);
        case.set_classname("health");
        add(service.as_str(), case);
    }
    for finding in &view.findings {
        let status = match finding.level {
            Level::Good | Level::Warning => TestCaseStatus::success(),
            Level::Bad => failure(&finding.message, finding.hint.as_deref().unwrap_or_default()),
        };
        let host = finding.host.as_ref().map_or("site", |host| host.as_str());
        let mut case = TestCase::new(format!("{host}: {}", finding.message), status);
        case.set_classname("check");
        add("check", case);
    }
    let mut report = Report::new(format!("wire-deploy {} {}", view.command, view.site));
    if let Some(end) = &view.end {
        report.set_time(Duration::from_millis(end.milliseconds));
    }
    report.add_test_suites(suites.into_values());
    report
}

fn failure(message: &str, description: &str) -> TestCaseStatus {
    let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
    status.set_message(message);
    if !description.is_empty() {
        status.set_description(description);
    }
    status
}
