//! The sandbox, the site in it, and the program run as an operator runs it.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread::{JoinHandle, spawn};
use std::time::{Duration, Instant};

use rustix::fd::AsFd as _;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use serde_json::Value;
use tokio::runtime::Runtime;
use wire_deploy::sandbox::{Sandbox, site};
use wire_deploy::site::init::SITE_FILE;

use super::Hosts;

pub const HOSTS: [&str; 3] = ["host1", "host2", "host3"];

const PROGRAM: &str = env!("CARGO_BIN_EXE_wire-deploy");
/// No run may take longer; it would hang.
const RUN_LIMIT_SECONDS: u64 = 1200;

pub struct World {
    hosts: Hosts,
    /// The units that the site's services run as.
    units: &'static [&'static str],
    /// Where the site is.
    pub folder: PathBuf,
}

/// A run that ended.
pub struct Ended {
    what: String,
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl World {
    /// Boots the hosts of a test of this name and writes their site: all hosts are in all groups, and run these units.
    pub fn boot(test: &str, groups: &[&str], units: &'static [&'static str]) -> Self {
        let hosts = Hosts::boot(test, &HOSTS);
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(test);
        if folder.exists() {
            fs::remove_dir_all(&folder).unwrap();
        }
        site::write(&hosts.sandbox, &folder, groups).unwrap();
        Self { hosts, units, folder }
    }

    pub fn sandbox(&self) -> &Sandbox {
        &self.hosts.sandbox
    }

    /// The hosts reach no package registry and neither does their network, so this runs outside it.
    pub fn prepare_artifacts(&self) {
        self.run_outside(&["artifacts", "fetch"]).expect_code(0);
    }

    /// Runs the program outside the sandbox's network, to its end.
    pub fn run_outside(&self, arguments: &[&str]) -> Ended {
        let mut command = Command::new(PROGRAM);
        command.args(arguments);
        self.finish(command, &arguments.join(" "))
    }

    /// Runs the program inside the sandbox's network, to its end.
    pub fn run(&self, arguments: &[&str]) -> Ended {
        let mut command = self.sandbox().command("timeout");
        command.args(["--kill-after=5", &RUN_LIMIT_SECONDS.to_string(), PROGRAM]).args(arguments);
        self.finish(command, &arguments.join(" "))
    }

    fn finish(&self, mut command: Command, what: &str) -> Ended {
        self.place(&mut command);
        let output = command.stdin(Stdio::null()).output().unwrap();
        Ended {
            what: what.to_owned(),
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Starts the program inside the sandbox's network, with its events.
    pub fn start(&self, arguments: &[&str]) -> Running {
        let mut command = self.sandbox().command(PROGRAM);
        command.args(["--output", "json"]).args(arguments);
        self.place(&mut command);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let mut stderr = child.stderr.take().unwrap();
        let (sender, events) = channel();
        let lines = spawn(move || {
            let mut text = String::new();
            for line in stdout.lines().map_while(Result::ok) {
                text.push_str(&line);
                text.push('\n');
                let _ = sender.send(serde_json::from_str(&line).unwrap_or(Value::Null));
            }
            text
        });
        let complaints = spawn(move || {
            let mut bytes = Vec::new();
            stderr.read_to_end(&mut bytes).unwrap();
            String::from_utf8_lossy(&bytes).into_owned()
        });
        Running { what: arguments.join(" "), child, events, lines, complaints }
    }

    fn place(&self, command: &mut Command) {
        command.current_dir(&self.folder).env_remove("WIRE_DEPLOY_CONFIG").env("NO_COLOR", "1");
    }

    /// Runs what opens connections on a thread of the sandbox's network.
    pub fn inside<T: Send>(&self, work: impl Future<Output = T> + Send) -> T {
        self.inside_on(&runtime(), work)
    }

    /// The same on a runtime that is used again, with the connections that are kept there.
    pub fn inside_on<T: Send>(&self, runtime: &Runtime, work: impl Future<Output = T> + Send) -> T {
        let command = self.sandbox().command("true");
        let network = command.get_args().find_map(|argument| argument.to_str()?.strip_prefix("--net=")).unwrap();
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                let network = File::open(network).unwrap();
                move_into_link_name_space(network.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
                runtime.block_on(work)
            });
            thread.join().unwrap()
        })
    }

    /// A site file beside the site's own, made from its text.
    pub fn variant(&self, name: &str, change: impl FnOnce(String) -> String) {
        let text = fs::read_to_string(self.folder.join(SITE_FILE)).unwrap();
        fs::write(self.folder.join(name), change(text)).unwrap();
    }

    /// Changes the site's settings of services to these, each a line of YAML below `services:`.
    pub fn set_services(&self, lines: &[&str]) {
        let path = self.folder.join(SITE_FILE);
        let text = fs::read_to_string(&path).unwrap();
        let (rest, _) = text.split_once("services:\n").unwrap_or((&text, ""));
        let services: String = lines.iter().map(|line| format!("  {line}\n")).collect();
        let services = if lines.is_empty() { services } else { format!("services:\n{services}") };
        fs::write(&path, format!("{rest}{services}")).unwrap();
    }

    pub fn secret(&self, name: &str) -> String {
        self.run(&["secrets", "show", name, "--yes"]).expect_code(0).stdout.trim_end().to_owned()
    }

    /// What a program on a host says; it must succeed.
    pub fn on(&self, host: &str, arguments: &[&str]) -> String {
        let output = self.sandbox().exec(host, arguments).unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?} on {host} failed: {error}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Whether a program on a host succeeds.
    pub fn succeeds(&self, host: &str, arguments: &[&str]) -> bool {
        self.sandbox().exec(host, arguments).unwrap().status.success()
    }

    pub fn unit_property(&self, host: &str, unit: &str, property: &str) -> String {
        self.on(host, &["systemctl", "show", "--value", "--property", property, unit]).trim_end().to_owned()
    }

    /// Systemd's id of each unit's present run, by host and unit: another one after each start.
    pub fn invocations(&self) -> BTreeMap<(&'static str, &'static str), String> {
        let mut found = BTreeMap::new();
        for host in HOSTS {
            for unit in self.units {
                found.insert((host, *unit), self.unit_property(host, unit, "InvocationID"));
            }
        }
        found
    }

    /// Another `apply` changes nothing and restarts nothing.
    pub fn expect_nothing_to_do(&self) {
        let before = self.invocations();
        let applied = self.run(&["--output", "json", "apply", "--yes"]).expect_code(0);
        let finished = &applied.events("run_finished")[0];
        assert_eq!(finished["changed"], 0, "{finished}");
        assert!(applied.events("step_started").is_empty());
        assert_eq!(self.invocations(), before, "a unit was restarted");
        self.run(&["plan", "--detailed-exitcode"]).expect_code(0);
        self.run(&["drift"]).expect_code(0);
    }

    /// A unit has been started again on every host since.
    #[track_caller]
    pub fn expect_restarted(&self, unit: &'static str, before: &BTreeMap<(&'static str, &'static str), String>) {
        let after = self.invocations();
        assert!(
            HOSTS.iter().all(|host| before[&(*host, unit)] != after[&(*host, unit)]),
            "{unit} did not restart everywhere"
        );
    }

    /// The text of a file on a host, as a file of the test's own.
    pub fn copy(&self, host: &str, path: &str, name: &str) -> PathBuf {
        let copy = self.file(name);
        fs::write(&copy, self.on(host, &["cat", path])).unwrap();
        copy
    }

    /// The site and the hosts agree, the clusters are well.
    pub fn expect_settled(&self) {
        self.run(&["drift"]).expect_code(0);
        self.run(&["verify"]).expect_code(0);
    }

    pub fn address(&self, host: &str) -> String {
        self.sandbox().host(host).unwrap().address.to_string()
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}

impl Ended {
    #[track_caller]
    pub fn expect_code(self, code: i32) -> Self {
        assert!(self.code == Some(code), "expected exit code {code}\n{}", self.describe());
        self
    }

    #[track_caller]
    pub fn expect_said(self, text: &str) -> Self {
        let said = self.stdout.contains(text) || self.stderr.contains(text);
        assert!(said, "expected {text:?} to be said\n{}", self.describe());
        self
    }

    #[track_caller]
    pub fn expect_not_said(self, text: &str) -> Self {
        let said = self.stdout.contains(text) || self.stderr.contains(text);
        assert!(!said, "expected {text:?} not to be said\n{}", self.describe());
        self
    }

    /// The JSON lines of stdout.
    pub fn objects(&self) -> Vec<Value> {
        self.stdout
            .lines()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}\n{}", self.describe())))
            .collect()
    }

    /// The events of a kind.
    pub fn events(&self, kind: &str) -> Vec<Value> {
        self.objects().into_iter().filter(|event| event["event"] == kind).collect()
    }

    fn describe(&self) -> String {
        let tail = |text: &str| {
            let lines: Vec<&str> = text.lines().collect();
            lines[lines.len().saturating_sub(150)..].join("\n")
        };
        format!(
            "wire-deploy {} ended with {:?}\n--- stdout\n{}\n--- stderr\n{}",
            self.what,
            self.code,
            tail(&self.stdout),
            tail(&self.stderr)
        )
    }
}

/// A run that goes on.
pub struct Running {
    what: String,
    child: Child,
    events: Receiver<Value>,
    lines: JoinHandle<String>,
    complaints: JoinHandle<String>,
}

impl Running {
    /// Waits for an event; false if the run ends without it.
    pub fn saw(&self, mut is_it: impl FnMut(&Value) -> bool) -> bool {
        let until = Instant::now() + Duration::from_secs(RUN_LIMIT_SECONDS);
        while let Ok(event) = self.events.recv_timeout(until.saturating_duration_since(Instant::now())) {
            if is_it(&event) {
                return true;
            }
        }
        false
    }

    /// Waits until so many steps have begun.
    #[track_caller]
    pub fn await_steps(&self, mut count: usize) {
        let saw = self.saw(|event| {
            count -= usize::from(event["event"] == "step_started");
            count == 0
        });
        assert!(saw, "{} ended with {count} steps fewer than expected", self.what);
    }

    pub fn is_over(&self) -> bool {
        self.lines.is_finished()
    }

    pub fn signal(&self, signal: rustix::process::Signal) {
        let process = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(process, signal).unwrap();
    }

    pub fn wait(mut self) -> Ended {
        let until = Instant::now() + Duration::from_secs(RUN_LIMIT_SECONDS);
        while self.child.try_wait().unwrap().is_none() {
            if Instant::now() > until {
                self.child.kill().unwrap();
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let code = self.child.wait().unwrap().code();
        Ended { what: self.what, code, stdout: self.lines.join().unwrap(), stderr: self.complaints.join().unwrap() }
    }

    pub fn kill(self) -> Ended {
        self.signal(rustix::process::Signal::KILL);
        self.wait()
    }
}

/// For [`World::inside_on`].
pub fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// Waits until something holds.
#[track_caller]
pub fn await_that(what: &str, seconds: u64, mut holds: impl FnMut() -> bool) {
    let until = Instant::now() + Duration::from_secs(seconds);
    while !holds() {
        assert!(Instant::now() < until, "waited {seconds} s in vain: {what}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// All files below a folder.
pub fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files_below(&path)) } else { found.push(path) }
    }
    found
}
