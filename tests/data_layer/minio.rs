//! MinIO: who is refused, and objects that stay while servers come and go.

use std::fs;
use std::sync::Mutex;
use std::time::Duration;

use crate::common::phases::Phases;
use crate::common::world::{HOSTS, World, await_that};
use crate::traffic::{Work, at_any};

pub const UNIT: &str = "minio.service";
/// A client that a server leaves alone asks another one, for so long.
const PATIENCE: Duration = Duration::from_secs(20);

pub fn phases(phases: &mut Phases, world: &World) {
    phases.run("minio: strangers are refused, and the user outside its buckets", || refusals(world));
    phases.run("minio: a bucket more, and a shorter time for old versions", || buckets(world));
    phases.run("minio: the number of drives is not changed", || drives_changed(world));
}

/// The backend's own client, which writes and reads through whichever server answers.
pub fn client<'a>(world: &'a World, occasion: &'static str) -> Work<'a> {
    let backend = Client::backend(world);
    let former = Mutex::new(None);
    Box::new(move |number| {
        // More than MinIO keeps beside an object's description, so that it is spread.
        let content = format!("{occasion} {number} ").repeat(20_000);
        let mut attempt = 0;
        let path = at_any(&HOSTS, PATIENCE, |host| {
            attempt += 1;
            // As the backend does: an upload that is tried again is another object. The one that a server left half-written
            // when it died stays locked for a minute.
            let path = format!("/assets/{occasion}/{number}-{attempt}");
            backend.write(host, &path, &content).map(|()| path)
        })?;
        let object = (path, content);
        let former = former.lock().unwrap().replace(object.clone());
        for (path, content) in former.iter().chain([&object]) {
            at_any(&HOSTS, PATIENCE, |host| backend.read(host, path, content))?;
        }
        Ok(())
    })
}

/// Writes an object that [`expect_kept`] looks for.
pub fn keep(world: &World) {
    Client::backend(world).write("host1", "/assets/outlived", &"outlived ".repeat(20_000)).unwrap();
}

/// A host's drives hold the object.
pub fn expect_kept(world: &World, host: &str) {
    for drive in ["drive1", "drive2"] {
        let object = format!("/var/lib/minio/{drive}/assets/outlived/xl.meta");
        await_that("the object is on the new drives", 60, || world.succeeds(host, &["test", "-e", &object]));
    }
}

/// The lifecycle rule that will delete an object.
pub fn lifecycle_rule(world: &World, path: &str) -> Option<String> {
    let headers = Client::backend(world).expect("host1", path, &["--head"], "200");
    let headers = String::from_utf8(headers).unwrap().to_lowercase();
    let expiration = headers.lines().find_map(|line| line.strip_prefix("x-amz-expiration:"))?;
    let (_, rule) = expiration.split_once("rule-id=\"").unwrap();
    Some(rule.trim_end().trim_end_matches('"').to_owned())
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
    let settings =
        "minio: {buckets: {assets: {old_versions_days: 3, expire_days: {drafts/: 1}}, exports: {versioning: false}}}";
    let before = world.invocations();
    world.set_services(&[settings]);
    let plan = world.run(&["plan", "--detailed-exitcode"]).expect_code(2);
    plan.expect_said("bucket/exports").expect_said("old_versions_days");
    world.run(&["apply", "--yes"]).expect_code(0);
    assert_eq!(world.invocations(), before, "a server was restarted for a bucket");
    let backend = Client::backend(world);
    backend.write("host2", "/exports/one", "one").unwrap();
    backend.write("host2", "/assets/drafts/one", "one").unwrap();
    assert_eq!(lifecycle_rule(world, "/assets/drafts/one").as_deref(), Some("expire drafts/"));
    world.expect_settled();
    // What a site no longer names is left alone, but the user may not use it any more.
    world.set_services(&[]);
    world.run(&["apply", "--yes"]).expect_code(0);
    backend.expect("host1", "/exports/one", &[], "403");
    assert_eq!(lifecycle_rule(world, "/assets/drafts/one"), None);
    world.expect_settled();
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
