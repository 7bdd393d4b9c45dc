//! systemd units: one `systemctl show` for all that are looked at, and a stamp that tells what a running unit was started
//! with, whoever started it.
//!
//! The wanted digest is in a file of the agent's own; a drop-in has systemd copy it under /run before each start. After a
//! boot, a crash or an operator's own restart the copy still tells the truth, and it is gone when the host reboots.

use std::fs;
use std::io::Write as _;
use std::process::Child;

use super::names::Ids;
use super::place::{Place, make_private_folder};
use super::problem::{Doing as _, Problem};
use super::process::Program;
use super::root::Root;
use super::transaction::{FormerUnit, Transaction};
use crate::diff::Action;
use crate::digest::Digest;
use crate::resource::Unit;
use crate::state::{State, UnitState};

/// What the next start of each unit is stamped with.
const NEXT: &str = "/var/lib/wire-deploy/units";
/// What each running unit was started with.
const STARTED: &str = "/run/wire-deploy/started";
/// What the next reload of each unit, or its next start, is stamped with.
const NEXT_RELOAD: &str = "/var/lib/wire-deploy/reloads";
/// What each running unit was started with or reloaded last with.
const RELOADED: &str = "/run/wire-deploy/reloaded";
/// So many lines of a unit's journal explain why it does not start.
const JOURNAL_LINES: u32 = 20;
/// So many times as many lines of it are looked through for complaints.
const LOOKED_BACK: u32 = 10;
/// Seconds beside a unit's own timeout that systemctl may take.
const MARGIN: u32 = 10;

/// An observation that systemd is working on.
pub struct Asked {
    units: Vec<Unit>,
    child: Result<Child, Problem>,
}

impl Asked {
    /// Asks for all of these units at once; the answer is collected later, so that other things can be looked at meanwhile.
    #[must_use]
    pub fn ask(root: &Root, units: Vec<Unit>) -> Self {
        let child = if units.is_empty() {
            Err(Problem::new("no unit was asked for"))
        } else if root.has_systemd() {
            units.iter().try_for_each(|unit| check_name(&unit.name)).and_then(|()| show(&units).start())
        } else {
            Err(Problem::new("systemd does not run this host").hint("hosts need systemd"))
        };
        Self { units, child }
    }

    /// The units' states, in the order in which they were asked for.
    #[must_use]
    pub fn answer(self, root: &Root) -> Vec<State> {
        let blocks = self.child.and_then(|child| {
            let output = child.wait_with_output().doing("run systemctl")?;
            let blocks = parse(&String::from_utf8_lossy(&output.stdout));
            if blocks.len() == self.units.len() {
                return Ok(blocks);
            }
            let lines = String::from_utf8_lossy(&output.stderr).lines().map(str::to_owned).collect();
            Err(Problem::new("systemctl does not answer for the units").log(lines))
        });
        match blocks {
            Ok(blocks) => {
                let states = self.units.iter().zip(blocks);
                states.map(|(unit, block)| State::Unit(block.state(root, unit))).collect()
            }
            Err(problem) => {
                let reason = [vec![problem.message], problem.log].concat().join("; ");
                vec![State::Failed { reason }; self.units.len()]
            }
        }
    }
}

/// What systemd says about a unit.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Properties {
    load: String,
    active: String,
    file: String,
    reload: bool,
}

impl Properties {
    fn state(&self, root: &Root, unit: &Unit) -> UnitState {
        UnitState {
            load: self.load.clone(),
            active: self.active.clone(),
            enabled: match self.file.as_str() {
                "enabled" => true,
                // Nothing can be enabled or disabled, so it is as wanted.
                "static" | "alias" | "indirect" | "generated" | "transient" => unit.enabled,
                _ => false,
            },
            started_with: stamp(root, STARTED, &unit.name),
            next_start_with: stamp(root, NEXT, &unit.name),
            reloaded_with: stamp(root, RELOADED, &unit.name),
            next_reload_with: stamp(root, NEXT_RELOAD, &unit.name),
        }
    }
}

fn show(units: &[Unit]) -> Program {
    let options = ["show", "--property=LoadState,ActiveState,UnitFileState,NeedDaemonReload", "--"];
    Program::new("systemctl", options.into_iter().chain(units.iter().map(|unit| unit.name.as_str())))
}

/// Blocks of `Name=value` lines, one block a unit, an empty line between them.
fn parse(text: &str) -> Vec<Properties> {
    let blocks = text.split("\n\n").filter(|block| !block.trim().is_empty());
    let block = |block: &str| {
        let mut properties = Properties::default();
        for (name, value) in block.lines().filter_map(|line| line.split_once('=')) {
            match name {
                "LoadState" => value.clone_into(&mut properties.load),
                "ActiveState" => value.clone_into(&mut properties.active),
                "UnitFileState" => value.clone_into(&mut properties.file),
                "NeedDaemonReload" => properties.reload = value == "yes",
                _ => {}
            }
        }
        properties
    };
    blocks.map(block).collect()
}

fn properties(root: &Root, unit: &Unit) -> Result<Properties, Problem> {
    if !root.has_systemd() {
        return Err(Problem::new("systemd does not run this host").hint("hosts need systemd"));
    }
    check_name(&unit.name)?;
    let output = show(std::slice::from_ref(unit)).start()?.wait_with_output().doing("run systemctl")?;
    let found = parse(&String::from_utf8_lossy(&output.stdout)).pop();
    found.ok_or_else(|| {
        let lines = String::from_utf8_lossy(&output.stderr).lines().map(str::to_owned).collect();
        Problem::new(format!("systemctl does not answer for {}", unit.name)).log(lines)
    })
}

/// Makes the unit's life what it should be: `action` is what [`crate::diff::diff`] found.
///
/// # Errors
/// When systemd refuses or the unit does not start; then with its last journal lines.
pub fn apply(
    root: &Root,
    wanted: &Unit,
    action: Action,
    transaction: Option<&mut Transaction>,
    on_line: &mut dyn FnMut(&str),
) -> Result<(), Problem> {
    let found = properties(root, wanted)?;
    if found.load == "masked" && wanted.running {
        return Err(Problem::new(format!("{} is masked on this host", wanted.name))
            .hint(format!("someone forbade it to run; `systemctl unmask {}` allows it again", wanted.name)));
    }
    if let Some(transaction) = transaction {
        transaction.keep_unit(FormerUnit {
            unit: wanted.name.clone(),
            running: matches!(found.active.as_str(), "active" | "reloading" | "activating"),
            reload_only: action == Action::Reload,
            started_with: stamp(root, NEXT, &wanted.name),
            reloaded_with: stamp(root, NEXT_RELOAD, &wanted.name),
        })?;
    }
    let stamped = write_next(root, wanted)?;
    if stamped || found.reload || found.load == "not-found" {
        systemctl(&["daemon-reload"], MARGIN * 6, on_line)?;
    }
    let state = found.state(root, wanted);
    if state.enabled != wanted.enabled {
        let verb = if wanted.enabled { "enable" } else { "disable" };
        systemctl(&[verb, &wanted.name], MARGIN * 6, on_line)?;
    }
    match action {
        Action::Start | Action::Restart => {
            if found.active == "failed" {
                // Else a unit that failed too often could not be started at all.
                systemctl(&["reset-failed", &wanted.name], MARGIN, on_line)?;
            }
            let verb = if action == Action::Start { "start" } else { "restart" };
            let mut started = start(root, wanted, verb, on_line);
            for _ in 1..wanted.attempts {
                let Err(problem) = &started else { break };
                problem.log.iter().for_each(|line| on_line(line));
                on_line(&format!("{}; it is tried once more", problem.message));
                started = start(root, wanted, verb, on_line);
            }
            started
        }
        Action::Reload => start(root, wanted, "reload", on_line),
        Action::Stop => systemctl(&["stop", &wanted.name], wanted.timeout_seconds.saturating_add(MARGIN), on_line),
        Action::Create | Action::Update | Action::Replace | Action::Run => Ok(()),
    }
}

/// Starts, restarts or reloads.
fn start(root: &Root, wanted: &Unit, verb: &str, on_line: &mut dyn FnMut(&str)) -> Result<(), Problem> {
    let started = systemctl(&[verb, &wanted.name], wanted.timeout_seconds.saturating_add(MARGIN), on_line);
    started.and_then(|()| still_runs(root, wanted)).map_err(|problem| explain(problem, &wanted.name, verb))
}

/// A program that ends at once has been started well as far as systemctl is concerned.
fn still_runs(root: &Root, wanted: &Unit) -> Result<(), Problem> {
    match properties(root, wanted)?.active.as_str() {
        "active" | "reloading" | "activating" => Ok(()),
        other => Err(Problem::new(format!("it is {other}"))),
    }
}

fn explain(problem: Problem, unit: &str, verb: &str) -> Problem {
    let log = journal(unit, JOURNAL_LINES).ok().filter(|lines| !lines.is_empty()).unwrap_or(problem.log);
    Problem::new(format!("{unit} did not {verb}: {}", problem.message))
        .hint("the unit's last journal lines say why")
        .log(log)
}

/// Makes units again what they were before a transaction, the files being back already. Those that ran are restarted, or
/// reloaded if they were only reloaded before; one that did not run is stopped.
///
/// # Errors
/// When systemd refuses; the other units are put back nevertheless.
pub fn put_back(root: &Root, units: &[FormerUnit], on_line: &mut dyn FnMut(&str)) -> Result<(), Problem> {
    if units.is_empty() {
        return Ok(());
    }
    for former in units {
        for (folder, digest) in [(NEXT, &former.started_with), (NEXT_RELOAD, &former.reloaded_with)] {
            match digest {
                Some(digest) => write_stamp(&Place::make(root, &format!("{folder}/{}", former.unit))?, digest)?,
                None => forget_stamp(root, folder, &former.unit)?,
            }
        }
    }
    systemctl(&["daemon-reload"], MARGIN * 6, on_line)?;
    let mut failed = Ok(());
    for former in units {
        let verb = match former {
            FormerUnit { running: false, .. } => "stop",
            FormerUnit { reload_only: true, .. } => "reload-or-restart",
            FormerUnit { .. } => "restart",
        };
        // What has just failed to start may have used up its attempts.
        let _ = systemctl(&["reset-failed", &former.unit], MARGIN, &mut |_| {});
        let done = systemctl(&[verb, &former.unit], MARGIN * 60, on_line);
        failed = failed.and(done.map_err(|problem| explain(problem, &former.unit, verb)));
    }
    failed
}

/// Stops and disables the unit and forgets what the agent kept of it.
///
/// # Errors
/// When systemd refuses.
pub fn remove(root: &Root, wanted: &Unit, on_line: &mut dyn FnMut(&str)) -> Result<(), Problem> {
    let found = properties(root, wanted)?;
    if found.load != "not-found" {
        systemctl(&["stop", &wanted.name], wanted.timeout_seconds.saturating_add(MARGIN), on_line)?;
        if found.file == "enabled" {
            systemctl(&["disable", &wanted.name], MARGIN * 6, on_line)?;
        }
    }
    if let Some(place) = Place::find(root, &drop_in(&wanted.name))? {
        place.remove()?;
    }
    for folder in [NEXT, STARTED, NEXT_RELOAD, RELOADED] {
        forget_stamp(root, folder, &wanted.name)?;
    }
    if let Some(folder) = Place::find(root, &drop_in_folder(&wanted.name))? {
        folder.remove_empty_folder()?;
    }
    Ok(())
}

/// Forgets what a unit was started with.
///
/// # Errors
/// When the stamp cannot be deleted.
pub fn forget_start(root: &Root, unit: &str) -> Result<(), Problem> {
    check_name(unit)?;
    forget_stamp(root, STARTED, unit)
}

/// Has systemd read its files again.
///
/// # Errors
/// When it refuses.
pub fn reload(root: &Root, on_line: &mut dyn FnMut(&str)) -> Result<(), Problem> {
    if root.has_systemd() { systemctl(&["daemon-reload"], MARGIN * 6, on_line) } else { Ok(()) }
}

/// The last lines of a unit's journal and its last complaints, so many lines together, oldest first.
///
/// # Errors
/// When it cannot be read.
pub fn journal(unit: &str, lines: u32) -> Result<Vec<String>, Problem> {
    check_name(unit)?;
    let wanted = lines.min(1_000);
    let lines = (wanted * LOOKED_BACK).to_string();
    // What has just been said may still be on its way.
    Program::new("journalctl", ["--sync"]).run(&mut |_| {})?.success()?;
    // Not `--unit`: a process that systemd could not even start is gone before the journal finds out whose it was, and
    // then only what it says itself (`UNIT`) tells.
    let (by_process, by_message) = (format!("_SYSTEMD_UNIT={unit}"), format!("UNIT={unit}"));
    let arguments = ["--quiet", "--no-pager", "--output=cat", "--lines", &lines, &by_process, "+", &by_message];
    let mut found = Vec::new();
    Program::new("journalctl", arguments).run(&mut |line| found.push(line.to_owned()))?.success()?;
    Ok(telling(found, wanted as usize))
}

/// The `count` lines that say most: the last ones, half of them given to complaints where those are further back. A program that ends for
/// a reason may say much between that and its end.
fn telling(lines: Vec<String>, count: usize) -> Vec<String> {
    let tail = lines.len().saturating_sub(count);
    let further_back = lines.iter().enumerate().take(tail).filter(|(_, line)| complains(line)).map(|(index, _)| index);
    let mut kept: Vec<usize> = further_back.collect();
    kept.drain(..kept.len().saturating_sub(count / 2));
    let rest = lines.len().saturating_sub(count - kept.len());
    let is_kept = |index: usize| index >= rest || kept.contains(&index);
    lines.into_iter().enumerate().filter(|(index, _)| is_kept(*index)).map(|(_, line)| line).collect()
}

fn complains(line: &str) -> bool {
    const WORDS: [&str; 5] = ["ERROR", "FATAL", "Exception", "error:", "panic"];
    WORDS.iter().any(|word| line.contains(word))
}

fn systemctl(arguments: &[&str], seconds: u32, on_line: &mut dyn FnMut(&str)) -> Result<(), Problem> {
    let program = Program::new("systemctl", ["--no-ask-password"].iter().chain(arguments)).timeout(seconds);
    let ended = program.run(on_line)?.success();
    ended.map_err(|problem| Problem { message: format!("{} ({})", problem.message, arguments.join(" ")), ..problem })
}

/// Writes what the next start and the next reload are stamped with, and the drop-in that does it. Whether the drop-in is new.
fn write_next(root: &Root, wanted: &Unit) -> Result<bool, Problem> {
    let unit = &wanted.name;
    let stamps = [(NEXT, &wanted.started_with), (NEXT_RELOAD, &wanted.reloaded_with)];
    let stamps: Vec<_> = stamps.into_iter().filter_map(|(folder, digest)| Some((folder, digest.as_ref()?))).collect();
    if stamps.is_empty() {
        return Ok(false);
    }
    if !unit.ends_with(".service") {
        return Err(Problem::new(format!("{unit} is no service, so what it was started with cannot be told")));
    }
    for (folder, digest) in stamps {
        make_private_folder(root, folder)?;
        write_stamp(&Place::make(root, &format!("{folder}/{unit}"))?, digest)?;
    }
    let text = drop_in_text(wanted);
    if fs::read_to_string(root.path(&drop_in(unit))).is_ok_and(|there| there == text) {
        return Ok(false);
    }
    let place = Place::make(root, &drop_in(unit))?;
    place.write(Ids::own(), 0o644, |file| file.write_all(text.as_bytes()).doing(format!("write {}", drop_in(unit))))?;
    Ok(true)
}

/// What has systemd copy the stamps. A reload that fails before its last command is not stamped.
fn drop_in_text(wanted: &Unit) -> String {
    // In systemd's files a backslash (of an escaped name) and a percent sign are special.
    let name = wanted.name.replace('\\', "\\\\").replace('%', "%%");
    let copy =
        |when: &str, from: &str, to: &str| format!("{when}=+-/usr/bin/install -D -m 0644 {from}/{name} {to}/{name}\n");
    let mut text = "# Written by wire-deploy: tells what the unit was started with.\n[Service]\n".to_owned();
    if wanted.started_with.is_some() {
        text.push_str(&copy("ExecStartPre", NEXT, STARTED));
    }
    if wanted.reloaded_with.is_some() {
        text.push_str(&copy("ExecStartPre", NEXT_RELOAD, RELOADED));
        text.push_str(&copy("ExecReload", NEXT_RELOAD, RELOADED));
    }
    text
}

fn forget_stamp(root: &Root, folder: &str, unit: &str) -> Result<(), Problem> {
    Place::find(root, &format!("{folder}/{unit}"))?.map_or(Ok(()), |place| place.remove())
}

fn write_stamp(place: &Place, digest: &Digest) -> Result<(), Problem> {
    place.write(Ids::own(), 0o644, |file| {
        file.write_all(format!("{digest}\n").as_bytes()).doing(format!("write {}", place.path()))
    })
}

fn stamp(root: &Root, folder: &str, unit: &str) -> Option<Digest> {
    let text = fs::read_to_string(root.path(&format!("{folder}/{unit}"))).ok()?;
    Digest::try_from(text.trim().to_owned()).ok()
}

fn drop_in_folder(unit: &str) -> String {
    format!("/etc/systemd/system/{unit}.d")
}

fn drop_in(unit: &str) -> String {
    format!("{}/90-wire-deploy-stamp.conf", drop_in_folder(unit))
}

/// A unit's full name, by systemd.unit(5).
fn check_name(unit: &str) -> Result<(), Problem> {
    let valid = unit.len() < 256
        && unit.contains('.')
        && !unit.starts_with(['.', '-'])
        && unit.bytes().all(|byte| byte.is_ascii_alphanumeric() || b":-_.\\@".contains(&byte));
    if valid { Ok(()) } else { Err(Problem::new(format!("expected a unit name such as etcd.service, found {unit:?}"))) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    fn unit(name: &str) -> Unit {
        let (started_with, reloaded_with, name) = (None, None, name.to_owned());
        Unit { name, enabled: true, running: true, started_with, reloaded_with, timeout_seconds: 1, attempts: 1 }
    }

    #[test]
    fn the_last_lines_are_told_and_complaints_that_are_further_back() {
        let lines = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        let said = ["ERROR old", "a", "ERROR first", "Caused by: java.io.IOException: second", "b", "c", "d", "e", "f"];
        let told = telling(lines(&said), 4);
        assert_eq!(told, ["ERROR first", "Caused by: java.io.IOException: second", "e", "f"]);
        assert_eq!(telling(lines(&["a", "b", "c"]), 2), ["b", "c"]);
        assert_eq!(telling(lines(&["a", "ERROR near"]), 4), ["a", "ERROR near"]);
    }

    #[test]
    fn answers_come_in_the_order_of_the_questions() {
        let text = "LoadState=loaded\nActiveState=active\nUnitFileState=enabled\nNeedDaemonReload=no\n\n\
                    UnitFileState=\nLoadState=not-found\nActiveState=inactive\nNeedDaemonReload=yes\n";
        let properties = |load: &str, active: &str, file: &str, reload| Properties {
            load: load.to_owned(),
            active: active.to_owned(),
            file: file.to_owned(),
            reload,
        };
        let expected =
            [properties("loaded", "active", "enabled", false), properties("not-found", "inactive", "", true)];
        assert_eq!(parse(text), expected);
        assert_eq!(parse(""), []);
    }

    #[test]
    fn a_unit_that_cannot_be_enabled_is_as_wanted() {
        let folder = tempfile::tempdir().unwrap();
        let root = Root::new(folder.path());
        let enabled = |file: &str, wanted| {
            let properties = Properties { file: file.to_owned(), ..Properties::default() };
            properties.state(&root, &Unit { enabled: wanted, ..unit("a.service") }).enabled
        };
        assert!(enabled("enabled", false) && enabled("static", true));
        assert!(!enabled("static", false) && !enabled("disabled", true) && !enabled("", true));
    }

    #[test]
    fn stamps_are_written_where_the_drop_in_looks() {
        let folder = tempfile::tempdir().unwrap();
        let root = Root::new(folder.path());
        let digest = Digest::of(b"");
        let wanted = Unit { started_with: Some(digest.clone()), ..unit("a\\x2db.service") };
        assert!(write_next(&root, &wanted).unwrap());
        assert!(!write_next(&root, &wanted).unwrap(), "nothing to reload the second time");
        assert_eq!(stamp(&root, NEXT, "a\\x2db.service"), Some(digest.clone()));
        let text = fs::read_to_string(root.path(&drop_in("a\\x2db.service"))).unwrap();
        assert!(text.contains("/var/lib/wire-deploy/units/a\\\\x2db.service "), "{text}");
        assert!(!text.contains("ExecReload"), "{text}");
        let reloading = Unit { reloaded_with: Some(digest.clone()), ..wanted };
        assert!(write_next(&root, &reloading).unwrap());
        assert_eq!(stamp(&root, NEXT_RELOAD, "a\\x2db.service"), Some(digest.clone()));
        let text = drop_in_text(&reloading);
        assert_eq!(text.matches("ExecStartPre=").count(), 2, "{text}");
        assert!(text.contains("\nExecReload=+-/usr/bin/install -D -m 0644 /var/lib/wire-deploy/reloads/"), "{text}");
        assert!(write_next(&root, &Unit { started_with: Some(digest), ..unit("a.timer") }).is_err());
        assert!(!write_next(&root, &unit("b.timer")).unwrap(), "what is never restarted needs no stamp");
    }

    #[test]
    fn without_systemd_no_unit_is_known() {
        let folder = tempfile::tempdir().unwrap();
        let root = Root::new(folder.path());
        let states = Asked::ask(&root, vec![unit("a.service"), unit("b.service")]).answer(&root);
        assert!(states.len() == 2 && states.iter().all(|state| matches!(state, State::Failed { .. })), "{states:?}");
    }

    #[test]
    fn names_that_are_none_are_refused() {
        for name in ["", "a", "-a.service", "../a.service", "a b.service", "a;b.service"] {
            assert!(check_name(name).is_err(), "{name}");
        }
        check_name("redis@1.service").unwrap();
    }
}
