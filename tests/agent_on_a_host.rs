//! The agent on a real host, for what cannot be shown in a folder: systemd and dpkg, on good days and bad ones.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

#[path = "../agent/tests/client/mod.rs"]
#[allow(dead_code, reason = "the agent's own tests use the rest")]
mod client;
mod common;
#[path = "agent_on_a_host/images.rs"]
mod images;

use std::fs;
use std::io::Read as _;
use std::process::Command;
use std::time::{Duration, Instant};

use client::Agent;
use common::Hosts;
use flate2::read::GzDecoder;
use wire_deploy_agent::diff::diff;
use wire_deploy_agent::digest::{Digest, FingerprintKey};
use wire_deploy_agent::protocol::{Event, Failure, Request, Response};
use wire_deploy_agent::resource::{Content, File, Mode, Owner, Ownership, Package, Packages, Resource, Unit};
use wire_deploy_agent::state::{State, UnitState};

include!(concat!(env!("OUT_DIR"), "/agent.rs"));

const HOST: &str = "one";
const PROGRAM: &str = "/usr/local/bin/wire-deploy-agent";
/// Who asks.
const RUN: &str = "run";

fn apply(resources: &[Resource], transaction: Option<&str>) -> Request {
    let transaction = transaction.map(str::to_owned);
    Request::Apply { run: RUN.to_owned(), resources: resources.to_vec(), key: key(), transaction }
}

/// A host with an agent at work.
struct Bench<'a> {
    hosts: &'a Hosts,
    agent: Agent,
    exchanges: u32,
}

impl<'a> Bench<'a> {
    fn new(hosts: &'a Hosts) -> Self {
        let agent = Agent::start(&mut hosts.sandbox.host_command(HOST, PROGRAM).unwrap());
        Self { hosts, agent, exchanges: 0 }
    }

    /// What a shell command says on the host.
    fn shell(&self, command: &str) -> String {
        let output = self.hosts.sandbox.exec(HOST, &["sh", "-c", command]).unwrap();
        String::from_utf8(output.stdout).unwrap()
    }

    fn ask(&mut self, request: &Request) -> (Response, Vec<Event>) {
        self.exchanges += 1;
        self.agent.request(self.exchanges, request);
        self.agent.response(self.exchanges)
    }

    fn apply(&mut self, resources: &[Resource], transaction: Option<&str>) -> Result<Vec<Event>, Failure> {
        match self.ask(&apply(resources, transaction)) {
            (Response::Ok, events) => Ok(events),
            (Response::Error(failure), _) => Err(failure),
            (other, _) => panic!("{other:?}"),
        }
    }

    fn observe(&mut self, resources: &[Resource]) -> Vec<State> {
        match self.ask(&Request::Observe { resources: resources.to_vec(), key: key() }).0 {
            Response::Observed { states, .. } => states,
            other => panic!("{other:?}"),
        }
    }

    /// Applies, and makes sure that nothing is left to do.
    fn settle(&mut self, resources: &[Resource]) {
        self.apply(resources, None).unwrap();
        for (resource, state) in resources.iter().zip(self.observe(resources)) {
            assert_eq!(diff(resource, &state, &key()), None, "{state:?}");
        }
    }

    fn unit(&mut self) -> UnitState {
        match self.observe(&[unit("", true)]).pop() {
            Some(State::Unit(unit)) => unit,
            other => panic!("{other:?}"),
        }
    }

    fn put_back(&mut self, transaction: &str) {
        let response = self.ask(&Request::PutBack { run: RUN.to_owned(), transaction: transaction.to_owned() }).0;
        assert!(matches!(response, Response::Ok), "{response:?}");
    }

    /// Sends a blob.
    fn put(&mut self, content: &[u8]) -> Digest {
        self.exchanges += 1;
        self.agent.put_blob(self.exchanges, content)
    }

    fn remove(&mut self, resources: &[Resource]) {
        let response = self.ask(&Request::Remove { run: RUN.to_owned(), resources: resources.to_vec() }).0;
        assert!(matches!(response, Response::Ok), "{response:?}");
    }

    /// Builds a package of nothing but this postinst script, sends it, and says what wants it.
    fn package(&mut self, name: &str, version: &str, script: &str, fields: &str) -> Resource {
        let folder = tempfile::tempdir().unwrap();
        let control = folder.path().join("DEBIAN");
        fs::create_dir(&control).unwrap();
        let fields = format!(
            "Package: {name}\nVersion: {version}\nArchitecture: all\nMaintainer: Test <test@example.com>\n\
             Description: test\n{fields}"
        );
        fs::write(control.join("control"), fields).unwrap();
        fs::write(control.join("postinst"), format!("#!/bin/sh\n{script}\n")).unwrap();
        for (path, mode) in [(folder.path(), 0o755), (&control, 0o755), (&control.join("postinst"), 0o755)] {
            fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
        }
        let file = tempfile::NamedTempFile::new().unwrap();
        let build = Command::new("dpkg-deb")
            .args(["--root-owner-group", "--build"])
            .arg(folder.path())
            .arg(file.path())
            .output();
        assert!(build.unwrap().status.success());
        let content = fs::read(file.path()).unwrap();
        let blob = self.put(&content);
        let package = Package {
            name: name.to_owned(),
            version: version.to_owned(),
            architecture: "all".to_owned(),
            blob,
            size: content.len() as u64,
        };
        Resource::Packages(Packages { name: "test".to_owned(), wanted: vec![name.to_owned()], closure: vec![package] })
    }
}

fn key() -> FingerprintKey {
    FingerprintKey(b"key".to_vec())
}

fn digest(text: &str) -> Option<Digest> {
    (!text.is_empty()).then(|| Digest::of(text.as_bytes()))
}

fn unit(started_with: &str, running: bool) -> Resource {
    Resource::Unit(Unit {
        name: "test.service".to_owned(),
        enabled: running,
        running,
        started_with: digest(started_with),
        reloaded_with: None,
        timeout_seconds: 20,
        attempts: 1,
    })
}

fn unit_file(command: &str) -> Resource {
    Resource::File(File {
        path: "/etc/systemd/system/test.service".to_owned(),
        owner: Owner { user: "root".to_owned(), group: "root".to_owned() },
        mode: Mode(0o644),
        content: Content::Text(format!(
            "[Service]\nType=exec\nUser=daemon\nProtectSystem=strict\nExecStart={command}\n[Install]\nWantedBy=multi-user.target\n"
        )),
        sensitive: false,
        ownership: Ownership::Ours,
    })
}

#[test]
fn units_packages_and_images() {
    let hosts = Hosts::boot("agent", &[HOST]);
    let mut binary = Vec::new();
    GzDecoder::new(AGENT_GZ).read_to_end(&mut binary).unwrap();
    assert_eq!((binary.len(), Digest::of(&binary).as_str()), (AGENT_SIZE, AGENT_SHA256));
    assert!(AGENT_SIZE < 2_000_000 && AGENT_GZ.len() < 1_000_000, "{AGENT_SIZE} bytes");
    let mut install = hosts.sandbox.host_command(HOST, "install").unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), &binary).unwrap();
    let status = install.args(["-m", "755", "/dev/stdin", PROGRAM]).stdin(file.reopen().unwrap()).status();
    assert!(status.unwrap().success());

    let mut bench = Bench::new(&hosts);
    a_unit_is_restarted_for_what_it_was_started_with(&mut bench);
    a_unit_is_reloaded_for_what_it_takes_in_while_it_runs(&mut bench);
    a_unit_that_does_not_start_says_why_and_is_put_back(&mut bench);
    a_unit_that_joins_others_is_tried_more_than_once(&mut bench);
    a_removed_unit_leaves_nothing(&mut bench);
    packages_install_without_starting_anything(&mut bench);
    what_dpkg_had_yet_to_note_is_no_hindrance(&mut bench);
    a_package_that_fails_to_configure_is_mended(&mut bench);
    another_package_manager_is_waited_for(&mut bench);
    a_killed_agent_is_recovered_from(&mut bench);
    images::are_imported_once_and_kept(&mut bench);
    let resident = bench.shell("grep VmHWM /proc/$(pgrep -n wire-deploy-age)/status");
    let kilobytes: u32 = resident.split_whitespace().nth(1).unwrap().parse().unwrap();
    assert!(kilobytes < 8 * 1024, "{resident}");
    assert!(matches!(bench.ask(&Request::Uninstall).0, Response::Ok));
    assert_eq!(bench.shell("ls -d /var/lib/wire-deploy /run/wire-deploy 2>/dev/null"), "");
}

fn a_unit_is_restarted_for_what_it_was_started_with(bench: &mut Bench<'_>) {
    let process = |bench: &Bench<'_>| bench.shell("systemctl show --property=MainPID --value test.service");
    bench.settle(&[unit_file("/bin/sleep 1000"), unit("one", true)]);
    let first = process(bench);
    let events = bench.apply(&[unit_file("/bin/sleep 1000"), unit("one", true)], None).unwrap();
    assert!(events.iter().all(|event| !matches!(event, Event::Applied { changed: true, .. })), "{events:?}");
    assert_eq!(process(bench), first);
    // A run that is killed between writing the file and restarting the unit forgets nothing.
    bench.apply(&[unit_file("/bin/sleep 2000")], None).unwrap();
    assert_eq!(process(bench), first);
    bench.settle(&[unit_file("/bin/sleep 2000"), unit("two", true)]);
    assert_ne!(process(bench), first);
    // Whoever else restarts it does not make it forget what it runs with.
    bench.shell("systemctl restart test.service");
    assert_eq!(bench.unit().started_with, digest("two"));
    bench.shell("systemctl stop test.service; systemctl disable test.service");
    bench.settle(&[unit("two", true)]);
}

fn a_unit_is_reloaded_for_what_it_takes_in_while_it_runs(bench: &mut Bench<'_>) {
    let process = |bench: &Bench<'_>| bench.shell("systemctl show --property=MainPID --value test.service");
    let counts = "/bin/sh -c 'trap \"echo >> /run/reloads\" HUP; while :; do sleep 0.1; done'";
    let Resource::File(file) = unit_file(counts) else { unreachable!() };
    let Content::Text(text) = &file.content else { unreachable!() };
    // As a service that checks its configuration before it takes it in.
    let check = "\nUser=root\nProtectSystem=no\nExecReload=/bin/test ! -e /run/bad\nExecReload=/bin/kill -HUP $MAINPID\n[Install]";
    let text = text.replace("\nUser=daemon\nProtectSystem=strict", "").replace("\n[Install]", check);
    let file = Resource::File(File { content: Content::Text(text), ..file });
    let wanted = |started: &str, reloaded: &str| {
        let Resource::Unit(unit) = unit(started, true) else { unreachable!() };
        [file.clone(), Resource::Unit(Unit { reloaded_with: digest(reloaded), ..unit })]
    };
    bench.settle(&wanted("reloading", "one"));
    let first = process(bench);
    bench.settle(&wanted("reloading", "two"));
    assert_eq!(process(bench), first, "a reload restarts nothing");
    assert_eq!(bench.shell("sleep 0.5; wc -l < /run/reloads"), "1\n");
    bench.shell("touch /run/bad");
    let failure = bench.apply(&wanted("reloading", "three"), Some("run-0")).unwrap_err();
    assert_eq!(failure.resource.unwrap().0, "unit test.service");
    assert_eq!(bench.unit().reloaded_with, digest("two"), "what was refused is not stamped");
    bench.shell("rm /run/bad");
    bench.put_back("run-0");
    let state = bench.unit();
    assert_eq!((state.reloaded_with, state.next_reload_with), (digest("two"), digest("two")));
    assert_eq!(process(bench), first);
    // A restart takes it in as well.
    bench.settle(&wanted("restarting", "four"));
    assert_ne!(process(bench), first);
    bench.settle(&[unit_file("/bin/sleep 2000"), unit("two", true)]);
}

fn a_unit_that_does_not_start_says_why_and_is_put_back(bench: &mut Bench<'_>) {
    for (run, command, said) in [
        ("run-1", "/bin/sh -c 'echo the reason; exit 3'", "the reason"),
        ("run-2", "/no/such/program", "No such file or directory"),
    ] {
        let failure = bench.apply(&[unit_file(command), unit("three", true)], Some(run)).unwrap_err();
        assert_eq!(failure.resource.unwrap().0, "unit test.service");
        assert!(failure.log.iter().any(|line| line.contains(said)), "{:?}", failure.log);
        bench.put_back(run);
        let state = bench.unit();
        assert_eq!((state.active.as_str(), state.started_with), ("active", digest("two")));
        assert!(bench.shell("cat /etc/systemd/system/test.service").contains("sleep 2000"));
    }
    bench.shell("ln -s /dev/null /etc/systemd/system/masked.service; systemctl daemon-reload");
    let Resource::Unit(masked) = unit("", true) else { unreachable!() };
    let masked = Resource::Unit(Unit { name: "masked.service".to_owned(), ..masked });
    let failure = bench.apply(&[masked], None).unwrap_err();
    assert!(failure.hint.is_some_and(|hint| hint.contains("unmask")));
}

fn a_unit_that_joins_others_is_tried_more_than_once(bench: &mut Bench<'_>) {
    let file = unit_file(
        "/bin/sleep 3000\nExecStartPre=+/bin/sh -c 'echo once >> /run/attempts; test $(wc -l < /run/attempts) -ge 3 || { echo too busy; exit 1; }'",
    );
    let joining = |attempts| match unit("joins", true) {
        Resource::Unit(unit) => Resource::Unit(Unit { attempts, ..unit }),
        other => other,
    };
    bench.apply(&[file.clone(), joining(2)], None).unwrap_err();
    bench.shell("rm /run/attempts");
    let events = bench.apply(&[file, joining(3)], None).unwrap();
    let told = |said: &str| events.iter().any(|event| matches!(event, Event::Log { line } if line.contains(said)));
    assert!(told("too busy") && told("tried once more"), "{events:?}");
    assert_eq!(bench.shell("wc -l < /run/attempts"), "3\n");
}

fn a_removed_unit_leaves_nothing(bench: &mut Bench<'_>) {
    bench.settle(&[unit_file("/bin/sleep 1000"), unit("one", true)]);
    bench.remove(&[unit_file("/bin/sleep 1000"), unit("one", true)]);
    assert_eq!(bench.unit().load, "not-found");
    assert_eq!(bench.shell("find /etc/systemd /var/lib/wire-deploy /run/wire-deploy -name 'test.service*'"), "");
    bench.settle(&[unit("", false)]);
}

fn packages_install_without_starting_anything(bench: &mut Bench<'_>) {
    bench.shell("printf '#!/bin/sh\\nexit 0\\n' > /usr/sbin/policy-rc.d");
    bench.settle(&[unit_file("/bin/sleep 1000")]);
    // As debhelper writes it into every package that brings a unit.
    let starts = "deb-systemd-helper enable test.service; deb-systemd-invoke start test.service; exit 0";
    let wanted = bench.package("wd-starts", "2", starts, "");
    bench.settle(&[wanted]);
    let state = bench.unit();
    assert_eq!((state.active.as_str(), state.enabled), ("inactive", false), "now and at the next boot");
    assert_eq!(
        bench.shell("cat /usr/sbin/policy-rc.d; ls /usr/sbin/policy-rc.d* /etc/systemd/system-preset"),
        "#!/bin/sh\nexit 0\n/usr/sbin/policy-rc.d\n\n/etc/systemd/system-preset:\n"
    );
    assert_eq!(bench.shell("ls /var/lib/apt/lists"), bench.shell("ls /var/lib/apt/lists -I '*Packages*'"));
    let older = bench.package("wd-starts", "1", starts, "");
    bench.settle(&[older]);
    assert_eq!(bench.shell("dpkg-query -f '${Version}' -W wd-starts"), "2", "nothing is downgraded");
    let lacking = bench.package("wd-needs", "1", "exit 0", "Depends: wd-nowhere\n");
    let failure = bench.apply(&[lacking], None).unwrap_err();
    assert!(failure.message.contains("neither among the artifacts nor on the host"), "{failure}");
    let enemy = bench.package("wd-enemy", "1", "exit 0", "Conflicts: wd-starts\n");
    let failure = bench.apply(&[enemy], None).unwrap_err();
    assert!(failure.message.contains("others would have to be removed"), "{failure}");
    assert_eq!(bench.shell("dpkg-query -f '${Version}' -W wd-starts"), "2", "nothing is removed");
}

/// As a host that loses power leaves it.
fn what_dpkg_had_yet_to_note_is_no_hindrance(bench: &mut Bench<'_>) {
    bench.shell("sed -n '/^Package: hostname$/,/^$/p' /var/lib/dpkg/status > /var/lib/dpkg/updates/0001");
    let wanted = bench.package("wd-after", "1", "exit 0", "");
    bench.settle(&[wanted]);
    assert_eq!(bench.shell("ls /var/lib/dpkg/updates"), "");
}

fn a_package_that_fails_to_configure_is_mended(bench: &mut Bench<'_>) {
    let bad = bench.package("wd-bad", "1", "echo the reason >&2; exit 7", "");
    let failure = bench.apply(std::slice::from_ref(&bad), None).unwrap_err();
    assert!(failure.message.contains("failed to configure") && failure.log.iter().any(|line| line == "the reason"));
    assert!(matches!(&bench.observe(&[bad])[..], [State::Packages { broken, .. }] if broken == &["wd-bad"]));
    let good = bench.package("wd-bad", "2", "exit 0", "");
    bench.settle(&[good]);
}

fn another_package_manager_is_waited_for(bench: &mut Bench<'_>) {
    let wanted = bench.package("wd-waits", "1", "exit 0", "");
    let lock = "use Fcntl; open(F, '>', '/var/lib/dpkg/lock-frontend') or die; \
                my $l = pack('s s l! l! i', F_WRLCK, 0, 0, 0, 0); fcntl(F, F_SETLK, $l) or die; $| = 1; print qq(locked\\n); sleep 3";
    let mut other = bench.hosts.sandbox.host_command(HOST, "perl").unwrap();
    let mut other = other.args(["-e", lock]).stdout(std::process::Stdio::piped()).spawn().unwrap();
    other.stdout.as_mut().unwrap().read_exact(&mut [0; 7]).unwrap();
    let events = bench.apply(&[wanted], None).unwrap();
    assert!(events.iter().any(|event| matches!(event, Event::Log { line } if line.contains("Waiting"))), "{events:?}");
    other.wait().unwrap();
}

/// Killed with apt and dpkg while a package is being configured, as by a host that loses power.
fn a_killed_agent_is_recovered_from(bench: &mut Bench<'_>) {
    let script = "touch /run/configuring; sleep 2; deb-systemd-helper enable slow.service; deb-systemd-invoke start slow.service; exit 0";
    bench.shell("cp /etc/systemd/system/test.service /etc/systemd/system/slow.service; systemctl daemon-reload");
    let wanted = bench.package("wd-slow", "1", script, "");
    bench.exchanges += 1;
    bench.agent.request(bench.exchanges, &apply(std::slice::from_ref(&wanted), None));
    let deadline = Instant::now() + Duration::from_secs(60);
    while bench.shell("ls /run/configuring 2>/dev/null").is_empty() {
        assert!(Instant::now() < deadline, "the package is not being configured");
        std::thread::sleep(Duration::from_millis(50));
    }
    bench.shell("pkill -9 wire-deploy-age; pkill -9 apt-get; pkill -9 dpkg; pkill -9 -f 'wd-slow[.]postinst'");
    assert!(bench.shell("cat /usr/sbin/policy-rc.d").contains("exit 101"));
    *bench = Bench::new(bench.hosts);
    assert!(
        matches!(&bench.observe(std::slice::from_ref(&wanted))[..], [State::Packages { broken, .. }] if !broken.is_empty())
    );
    assert!(bench.shell("cat /usr/sbin/policy-rc.d").contains("exit 0"), "the host's own policy is back");
    bench.settle(&[wanted]);
    let slow = bench.shell("systemctl is-enabled slow.service; systemctl is-active slow.service");
    assert_eq!(slow, "disabled\ninactive\n", "what was left half-way is finished without starting it");
}
