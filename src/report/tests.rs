//! The whole way of events: through the writer into every sink.
#![allow(clippy::unwrap_used)]

use serde_json::{Value, json};
use wire_deploy_agent::diff::{Action, Change, Reason, TextChange};
use wire_deploy_agent::digest::Digest;
use wire_deploy_agent::resource::ResourceId;

use super::plan::{Layout, render, summary};
use super::*;
use crate::desired::{Object, Operation};
use crate::plan::{FORMAT, Impact, ObjectChange, Plan, Step, StepId, Work};
use crate::site::names::HostName;

fn change(action: Action, resource: &str) -> Change {
    Change { resource: ResourceId(resource.to_owned()), action, reasons: Vec::new(), text: None }
}

fn reason(field: &str, from: &str, to: &str) -> Reason {
    Reason { field: field.to_owned(), from: from.to_owned(), to: to.to_owned() }
}

fn step(id: &str, host: Option<&str>, work: Work) -> Step {
    let service = id.split('/').next().unwrap_or_default().into();
    Step {
        id: StepId(id.to_owned()),
        service,
        host: host.map(Into::into),
        work,
        needs: Vec::new(),
        impact: Impact::default(),
    }
}

fn configure(host: &str, changes: Vec<Change>, roll: bool) -> Step {
    let work = Work::Configure { changes, roll, founding: false, contents: Digest::of(host.as_bytes()) };
    step(&format!("redis/{host}/configure"), Some(host), work)
}

/// A plan with a step of every kind: etcd is new, redis changes.
fn example() -> Plan {
    let mut steps = Vec::new();
    for host in ["db1", "db2", "db3"] {
        let mut packages = change(Action::Create, "packages etcd");
        packages.reasons = vec![reason("version of etcd-server", "", "3.6.4")];
        let mut file = change(Action::Create, "file /etc/etcd/etcd.yaml");
        file.text = Some(TextChange { from: String::new(), to: format!("name: {host}\n") });
        let mut unit = change(Action::Start, "unit etcd.service");
        unit.reasons = vec![reason("next start with", "", Digest::of(host.as_bytes()).short())];
        let changes = vec![packages, file, unit];
        let mut new = configure(host, changes, false);
        new.id = StepId(format!("etcd/{host}/configure"));
        new.service = "etcd".into();
        steps.push(new);
    }
    steps.push(step("etcd/gate", None, Work::Gate { guards: None, timeout_seconds: 120 }));
    let object = |id: &str, wanted: Value| Object { id: id.to_owned(), wanted };
    let deferred = vec![object("user/root", json!({"roles": ["root"]})), object("auth", json!(true))];
    steps.push(step("etcd/objects", None, Work::Deferred { objects: deferred }));

    let operation = Operation {
        name: "hand-over".to_owned(),
        description: "hand the primary's role over from db1".to_owned(),
        arguments: json!({"from": "db1"}),
    };
    steps.push(step("redis/db1/hand-over", Some("db1"), Work::Operate { operation }));
    for host in ["db2", "db1"] {
        let mut file = change(Action::Update, "file /etc/redis/wire-deploy.conf");
        let digest = |text: &str| Digest::of(text.as_bytes()).to_string();
        file.reasons = vec![reason("content", &digest("a"), &digest("b")), reason("mode", "0644", "0640")];
        file.text = Some(TextChange {
            from: "# redis\nappendonly yes\nmaxmemory 100mb\nport 0\ntls-port 6379\n".to_owned(),
            to: "# redis\nappendonly yes\nmaxmemory 200mb\nport 0\ntls-port 6379\n".to_owned(),
        });
        let mut unit = change(Action::Restart, "unit redis-server.service");
        unit.reasons = vec![reason("started with", &digest("a")[..12], &digest("b")[..12])];
        let mut roll = configure(host, vec![file, unit], true);
        roll.impact = Impact {
            restarts: vec!["redis-server.service".to_owned()],
            spare: Some(1),
            notice: "clients of this node connect again; writes pause for about a second".to_owned(),
        };
        steps.push(roll);
        let guards = Some(StepId(format!("redis/{host}/configure")));
        steps.push(step(&format!("redis/{host}/gate"), None, Work::Gate { guards, timeout_seconds: 60 }));
    }
    let changed = ObjectChange {
        object: object("sentinel", json!({"down-after-milliseconds": "5000", "quorum": 2})),
        from: json!({"down-after-milliseconds": "30000", "quorum": 2}),
    };
    steps.push(step("redis/objects", None, Work::Objects { changes: vec![changed] }));
    Plan { format: FORMAT, version: "0.1.0".to_owned(), site: "lab".to_owned(), time: 0, steps }
}

fn uncolored(text: &str) -> String {
    anstream::adapter::strip_str(text).to_string()
}

#[test]
fn a_plan_reads_well_at_80_columns() {
    let text = uncolored(&render(&example(), &Layout { width: 80, verbose: false }));
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    insta::assert_snapshot!(text);
}

#[test]
fn a_verbose_plan_shows_new_files_too() {
    let text = uncolored(&render(&example(), &Layout { width: 80, verbose: true }));
    assert!(text.contains("+name: db1"), "{text}");
}

#[test]
fn an_empty_plan_says_so() {
    let empty = Plan { steps: Vec::new(), ..example() };
    assert_eq!(summary(&empty), "No changes: everything is as the site says.");
}

#[test]
fn what_a_host_says_cannot_move_the_cursor() {
    let mut plan = example();
    if let Work::Configure { changes, .. } = &mut plan.steps[0].work {
        changes[0].reasons = vec![reason("version of x", "1\u{1b}[2J", "2")];
        changes[0].action = Action::Update;
    }
    assert!(!uncolored(&render(&plan, &Layout { width: 80, verbose: false })).contains('\u{1b}'));
}

const SECRET: &str = "correct-horse-battery-staple";

/// A run with something of everything, a secret in many places among it; gives the folder.
fn recorded(runs: &std::path::Path) -> PathBuf {
    let junit = runs.join("junit.xml");
    let options = Options { output: Output::Plain, verbosity: Verbosity::Quiet, junit: Some(junit) };
    let (reporter, writer) = start(options);
    let folder = RunFolder::create(runs, "2026-11-24T11:25:03Z".parse().unwrap()).unwrap();
    let path = folder.path().to_owned();
    reporter.record(folder.clone());
    reporter.conceal(vec![SecretText::new(SECRET.to_owned())]);
    let run = Some(folder.name().to_owned());
    reporter.send(EventKind::RunStarted { command: "apply".into(), site: "<lab>".into(), run });
    reporter.send(EventKind::Planned { plan: Box::new(example()) });
    let host = Some(HostName::from("db1"));
    let configure = StepId("redis/db1/configure".into());
    let title = "configure".to_owned();
    let started =
        EventKind::StepStarted { step: configure.clone(), service: "redis".into(), host: host.clone(), title };
    reporter.send(started);
    for done in 0..1000 {
        let (step, message) = (configure.clone(), "send files".to_owned());
        reporter.send(EventKind::StepProgress { step, message, done: Some(done), total: Some(100_000) });
    }
    reporter.send(EventKind::StepLog { step: configure.clone(), line: format!("login with {SECRET}") });
    let outcome = StepOutcome::Failed {
        reason: format!("<script>alert('{SECRET}')</script>"),
        hint: Some("see its journal".into()),
        log: vec![format!("requirepass {SECRET}")],
    };
    reporter.send(EventKind::StepFinished { step: configure, outcome, milliseconds: 1200 });
    let gate = StepId("redis/db1/gate".into());
    let skipped = StepOutcome::Skipped { reason: "redis/db1/configure failed".into() };
    reporter.send(EventKind::StepFinished { step: gate, outcome: skipped, milliseconds: 0 });
    reporter.send(EventKind::Health {
        service: "redis".into(),
        host: "db1".into(),
        version: Some("7.0.15".into()),
        role: None,
        healthy: false,
        problem: Some(format!("NOAUTH {SECRET}")),
    });
    let complaint = Complaint { message: format!("cannot apply with {SECRET}"), ..Complaint::default() };
    assert!(writer.finish(1, Some(complaint)));
    path
}

#[test]
fn a_run_leaves_events_logs_plan_and_reports_and_no_secret() {
    let runs = tempfile::tempdir().unwrap();
    let folder = recorded(runs.path());
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();

    let events = read("events.jsonl");
    let kinds: Vec<String> = events
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .inspect(|event| assert_eq!(event["format"], 1))
        .map(|event| event["event"].as_str().unwrap().to_owned())
        .collect();
    let expected =
        "run_started planned step_started step_progress step_log step_finished step_finished health run_finished";
    assert_eq!(kinds.join(" "), expected);
    assert_eq!(serde_json::from_str::<Plan>(&read("plan.json")).unwrap(), example());

    let log = read("hosts/db1.log");
    assert!(log.contains("redis/db1/configure: | login with ••••••"), "{log}");
    assert!(log.contains("requirepass"), "{log}");

    let report = read("report.html");
    assert!(report.contains("apply &lt;lab&gt;"), "{report}");
    assert!(!report.contains("<script"), "{report}");
    assert!(report.contains("maxmemory 200mb") && report.contains("skipped"), "{report}");
    assert!(!report.contains("http://") && !report.contains("https://") && !report.contains("src="), "{report}");

    let junit = std::fs::read_to_string(runs.path().join("junit.xml")).unwrap();
    assert!(junit.contains(r#"tests="3" skipped="1" errors="0" failures="2""#), "{junit}");
    for text in [&events, &log, &report, &junit, &read("plan.json")] {
        assert!(!text.contains(SECRET), "{text}");
    }
}

#[test]
fn a_run_that_wrote_no_events_leaves_no_reports() {
    let runs = tempfile::tempdir().unwrap();
    let junit = runs.path().join("junit.xml");
    let options = Options { output: Output::Plain, verbosity: Verbosity::Quiet, junit: Some(junit.clone()) };
    let (reporter, writer) = start(options);
    drop(reporter);
    assert!(writer.finish(0, None));
    assert!(!junit.exists());
}

#[test]
fn a_report_that_cannot_be_written_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let junit = Some(folder.path().join("missing/junit.xml"));
    let (reporter, writer) = start(Options { output: Output::Plain, verbosity: Verbosity::Quiet, junit });
    reporter.send(EventKind::RunStarted { command: "verify".into(), site: "lab".into(), run: None });
    assert!(!writer.finish(0, None));
}

/// A healthy service has its own version in `version`: the envelope's is called `format`.
#[test]
fn health_as_json_has_the_services_own_version() {
    let kind = EventKind::Health {
        service: "redis".into(),
        host: "db1".into(),
        version: Some("7.0.15".into()),
        role: Some("primary".into()),
        healthy: true,
        problem: None,
    };
    let event = Event { format: event::FORMAT, time: jiff::Timestamp::UNIX_EPOCH, kind };
    let expected = json!({
        "format": 1, "time": "1970-01-01T00:00:00Z", "event": "health", "service": "redis", "host": "db1",
        "version": "7.0.15", "role": "primary", "healthy": true, "problem": null,
    });
    assert_eq!(serde_json::to_value(event).unwrap(), expected);
}
