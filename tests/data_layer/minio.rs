//! MinIO: who is refused, and objects that stay while servers come and go.

use std::fs;
use std::time::Duration;

use crate::common::phases::Phases;
use crate::common::world::{HOSTS, World, await_that};
use crate::traffic::{at_any, during};

const UNIT: &str = "minio.service";
/// A client that a server leaves alone asks another one, for so long.
const PATIENCE: Duration = Duration::from_secs(20);

pub fn phases(phases: &mut Phases, world: &World) {
    phases.run("minio: strangers are refused, and the user outside its buckets", || refusals(world));
    phases.run_if_named("minio: a bucket more, and a shorter time for old versions", || buckets(world));
    phases.run_if_named("minio: rolled while a client reads and writes", || roll(world));
    phases.run_if_named("minio: a server is killed while a client reads and writes", || killed(world));
    phases.run_if_named("minio: a host dies and comes back while a client reads and writes", || host_dies(world));
    phases.run_if_named("minio: a host that lost everything is restored by apply", || host_rebuilt(world));
    phases.run_if_named("minio: the number of drives is not changed", || drives_changed(world));
}

/// curl, as a user or as nobody.
struct Client<'a> {
    world: &'a World,
    login: Option<String>,
    authority: String,
}

impl<'a> Client<'a> {
    fn nobody(world: &'a World) -> Self {
        let authority = world.copy("host1", "/etc/minio/certs/ca.pem", "minio-ca.pem");
        Self { world, login: None, authority: authority.display().to_string() }
    }

    fn named(world: &'a World, user: &str, secret: &str) -> Self {
        Self { login: Some(format!("{user}:{secret}")), ..Self::nobody(world) }
    }

    fn backend(world: &'a World) -> Self {
        Self::named(world, "cargohold", &world.secret("minio/user/cargohold"))
    }

    /// The answer's status and its body.
    fn ask(&self, host: &str, path: &str, arguments: &[&str]) -> Result<(String, Vec<u8>), String> {
        let mut command = self.world.sandbox().command("curl");
        command.args(["--silent", "--show-error", "--max-time", "5", "--cacert", &self.authority]);
        if let Some(login) = &self.login {
            command.args(["--aws-sigv4", "aws:amz:us-east-1:s3", "--user", login]);
        }
        command.args(arguments).args(["--write-out", "%{stderr}%{http_code}"]);
        let url = format!("https://{}:9000{path}", self.world.address(host));
        let output = command.arg(url).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        if output.status.success() { Ok((said, output.stdout)) } else { Err(said) }
    }

    #[track_caller]
    fn expect(&self, host: &str, path: &str, arguments: &[&str], status: &str) -> Vec<u8> {
        let (found, body) = self.ask(host, path, arguments).unwrap();
        assert_eq!(found, status, "{arguments:?} {path}: {}", String::from_utf8_lossy(&body));
        body
    }

    fn write(&self, host: &str, path: &str, text: &str) -> Result<(), String> {
        let file = self.world.file(&format!("upload{}", path.replace('/', "-")));
        fs::write(&file, text).unwrap();
        let unsigned = "x-amz-content-sha256: UNSIGNED-PAYLOAD";
        let (status, body) = self.ask(host, path, &["--upload-file", file.to_str().unwrap(), "--header", unsigned])?;
        fs::remove_file(&file).unwrap();
        good(&status, &body)
    }

    fn read(&self, host: &str, path: &str, expected: &str) -> Result<(), String> {
        let (status, body) = self.ask(host, path, &[])?;
        good(&status, &body)?;
        if body == expected.as_bytes() { Ok(()) } else { Err(format!("{path} holds something else")) }
    }

    /// Writes an object and reads it, and the one before it, through whichever server answers.
    fn work(&self, name: &str, number: u64) -> Result<(), String> {
        // More than MinIO keeps beside an object's description, so that it is spread.
        let content = |number: u64| format!("{name} {number} ").repeat(20_000);
        let path = |number: u64| format!("/assets/{name}/{number}");
        at_any(&HOSTS, PATIENCE, |host| self.write(host, &path(number), &content(number)))?;
        for number in number.saturating_sub(1)..=number {
            at_any(&HOSTS, PATIENCE, |host| self.read(host, &path(number), &content(number)))?;
        }
        Ok(())
    }
}

fn good(status: &str, body: &[u8]) -> Result<(), String> {
    if status == "200" { Ok(()) } else { Err(format!("{status}: {}", String::from_utf8_lossy(body))) }
}

fn refusals(world: &World) {
    let (backend, nobody) = (Client::backend(world), Client::nobody(world));
    backend.write("host1", "/assets/kept", "kept").unwrap();
    backend.read("host3", "/assets/kept", "kept").unwrap();

    let plain = format!("http://{}:9000/assets/kept", world.address("host1"));
    let plain = world.sandbox().command("curl").args(["--silent", "--max-time", "5", &plain]).output().unwrap();
    assert!(!String::from_utf8_lossy(&plain.stdout).contains("kept"), "served without TLS");
    nobody.expect("host1", "/assets/kept", &[], "403");
    for (user, secret) in [("minioadmin", "minioadmin"), ("cargohold", "not-the-secret"), ("wire-deploy", "minioadmin")]
    {
        Client::named(world, user, secret).expect("host1", "/assets/kept", &[], "403");
    }

    let root = Client::named(world, "wire-deploy", &world.secret("minio/root"));
    root.expect("host1", "/foreign", &["--request", "PUT"], "200");
    root.write("host1", "/foreign/kept", "kept").unwrap();
    for arguments in [&[][..], &["--request", "DELETE"]] {
        backend.expect("host2", "/foreign/kept", arguments, "403");
    }
    backend.expect("host2", "/mine", &["--request", "PUT"], "403");
    backend.expect("host2", "/minio/admin/v3/info", &[], "403");
    root.expect("host1", "/foreign/kept", &["--request", "DELETE"], "204");
    root.expect("host1", "/foreign", &["--request", "DELETE"], "204");

    // Another cluster's authority vouches for none of these servers.
    let authority = world.copy("host1", "/etc/etcd/clients/ca.pem", "etcd-ca.pem");
    let stranger = Client { authority: authority.display().to_string(), ..Client::backend(world) };
    let refused = stranger.ask("host1", "/assets/kept", &[]).unwrap_err();
    assert!(refused.contains("certificate"), "{refused}");
    let listening = world.on("host1", &["ss", "-Hltn"]);
    assert!(!listening.contains(":9001"), "there is a console: {listening}");
}

fn buckets(world: &World) {
    let settings = "minio: {buckets: {assets: {old_versions_days: 3}, exports: {versioning: false}}}";
    let before = world.invocations();
    world.set_services(&[settings]);
    let plan = world.run(&["plan", "--detailed-exitcode"]).expect_code(2);
    plan.expect_said("bucket/exports").expect_said("old_versions_days");
    world.run(&["apply", "--yes"]).expect_code(0);
    assert_eq!(world.invocations(), before, "a server was restarted for a bucket");
    let backend = Client::backend(world);
    backend.write("host2", "/exports/one", "one").unwrap();
    world.expect_settled();
    // What a site no longer names is left alone, but the user may not use it any more.
    world.set_services(&[]);
    world.run(&["apply", "--yes"]).expect_code(0);
    backend.expect("host1", "/exports/one", &[], "403");
    world.expect_settled();
}

fn roll(world: &World) {
    let templates = world.file("templates/hosts/minio");
    fs::create_dir_all(&templates).unwrap();
    let unit = include_str!("../../templates/hosts/minio/minio.service");
    fs::write(templates.join(UNIT), unit.replace("RestartSec=2", "RestartSec=1")).unwrap();
    let before = world.invocations();
    let backend = Client::backend(world);
    during(
        |number| backend.work("rolled", number),
        || drop(world.run(&["--templates", "templates", "apply", "--yes"]).expect_code(0)),
    );
    world.expect_restarted(UNIT, &before);
    during(|number| backend.work("back", number), || drop(world.run(&["apply", "--yes"]).expect_code(0)));
    world.expect_settled();
}

fn killed(world: &World) {
    let backend = Client::backend(world);
    during(
        |number| backend.work("killed", number),
        || {
            world.on("host2", &["systemctl", "kill", "--signal=KILL", UNIT]);
            await_that("the cluster is well", 60, || world.run(&["status"]).code == Some(0));
        },
    );
    world.expect_nothing_to_do();
}

fn host_dies(world: &World) {
    let backend = Client::backend(world);
    during(
        |number| backend.work("without", number),
        || {
            world.sandbox().power_off("host3").unwrap();
            await_that("the server is missed", 60, || {
                let status = world.run(&["--output", "json", "status", "--only", "minio"]);
                status.code == Some(4) && status.stdout.contains("does not see host3")
            });
            world.sandbox().power_on("host3").unwrap();
            await_that("the cluster is well", 60, || world.run(&["status"]).code == Some(0));
        },
    );
    world.run(&["maintain", "minio", "heal"]).expect_code(0);
    world.expect_nothing_to_do();
}

fn host_rebuilt(world: &World) {
    let backend = Client::backend(world);
    backend.write("host1", "/assets/rebuilt", &"rebuilt ".repeat(20_000)).unwrap();
    let paths = "/etc/minio /opt/minio /var/lib/minio /etc/systemd/system/minio.service*";
    world.lose("host3", &[UNIT], paths, "minio");
    during(|number| backend.work("rebuilding", number), || drop(world.run(&["apply", "--yes"]).expect_code(0)));
    world.expect_settled();
    for drive in ["drive1", "drive2"] {
        let object = format!("/var/lib/minio/{drive}/assets/rebuilt/xl.meta");
        await_that("the object is on the new drives", 60, || world.succeeds("host3", &["test", "-e", &object]));
    }
}

fn drives_changed(world: &World) {
    let drives = [1, 2, 3, 4].map(|number| format!("/var/lib/minio/drive{number}")).join(", ");
    world.set_services(&[&format!("minio: {{drives: [{drives}]}}")]);
    let before = world.invocations();
    for words in [&["check"][..], &["apply", "--yes"]] {
        world.run(words).expect_code(1).expect_said("one of 6 drives that minio was founded with; the site has 12");
    }
    assert_eq!(world.invocations(), before);
    world.set_services(&[]);
    world.expect_settled();
}
