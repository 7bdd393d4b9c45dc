//! Search: who is refused, and a directory that can be searched and written while nodes come and go.

use std::time::Duration;

use crate::common::phases::Phases;
use crate::common::world::{HOSTS, World, await_that};
use crate::traffic::{at_any, during};

const UNIT: &str = "opensearch.service";
const FOLDER: &str = "/etc/opensearch";
/// A client that a node leaves alone asks another one, for so long; a silent host is noticed after half a minute.
const PATIENCE: Duration = Duration::from_secs(90);

pub fn phases(phases: &mut Phases, world: &World) {
    phases.run_if_named("search: strangers are refused, and the user outside its data", || refusals(world));
    phases.run_if_named("search: a name is found by the beginnings of its words", || finds(world));
    phases.run_if_named("search: rolled while a client reads and writes", || roll(world));
    phases
        .run_if_named("search: the directory moves to a new index while a client reads and writes", || reindex(world));
    phases.run_if_named("search: a node is killed while a client reads and writes", || killed(world));
    phases.run_if_named("search: a host dies and comes back while a client reads and writes", || host_dies(world));
    phases.run_if_named("search: a host that lost everything is restored by apply", || host_rebuilt(world));
}

/// curl, as a user or as nobody.
struct Client<'a> {
    world: &'a World,
    flags: Vec<String>,
}

impl<'a> Client<'a> {
    fn nobody(world: &'a World) -> Self {
        let authority = world.copy("host1", &format!("{FOLDER}/clients/ca.pem"), "search-ca.pem");
        Self { world, flags: vec!["--cacert".to_owned(), authority.display().to_string()] }
    }

    fn with(mut self, flags: &[&str]) -> Self {
        self.flags.extend(flags.iter().map(|flag| (*flag).to_owned()));
        self
    }

    fn backend(world: &'a World) -> Self {
        let password = world.secret("search/user/brig");
        Self::nobody(world).with(&["--user", &format!("brig:{password}")])
    }

    /// The answer's status and its body.
    fn ask(&self, host: &str, method: &str, path: &str, body: Option<&str>) -> Result<(String, String), String> {
        let mut command = self.world.sandbox().command("curl");
        command.args(["--silent", "--show-error", "--max-time", "5", "--request", method]).args(&self.flags);
        if let Some(body) = body {
            command.args(["--header", "content-type: application/json", "--data-binary", body]);
        }
        command.args(["--write-out", "%{stderr}%{http_code}"]);
        let output = command.arg(format!("https://{}:9200/{path}", self.world.address(host))).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let body = String::from_utf8_lossy(&output.stdout).into_owned();
        if output.status.success() { Ok((said, body)) } else { Err(said) }
    }

    #[track_caller]
    fn expect(&self, method: &str, path: &str, body: Option<&str>, status: &str) -> String {
        let (found, body) = self.ask("host1", method, path, body).unwrap();
        assert_eq!(found, status, "{method} {path}: {body}");
        body
    }

    fn good(&self, host: &str, method: &str, path: &str, body: Option<&str>) -> Result<String, String> {
        let (status, body) = self.ask(host, method, path, body)?;
        if status.starts_with('2') { Ok(body) } else { Err(format!("{status}: {body}")) }
    }

    /// Writes a user and reads it, and the one before it, through whichever node answers.
    fn work(&self, name: &str, number: u64) -> Result<(), String> {
        let path = |number: u64| format!("directory/_doc/{name}-{number}");
        let user = format!("{{\"handle\": \"{name}-{number}\", \"normalized\": \"{name} number {number}\"}}");
        at_any(&HOSTS, PATIENCE, |host| self.good(host, "PUT", &path(number), Some(&user)))?;
        for number in number.saturating_sub(1)..=number {
            let found = at_any(&HOSTS, PATIENCE, |host| self.good(host, "GET", &path(number), None))?;
            if !found.contains(&format!("\"{name}-{number}\"")) {
                return Err(format!("{name}-{number} is not what was written: {found}"));
            }
        }
        Ok(())
    }
}

fn refusals(world: &World) {
    let (backend, nobody) = (Client::backend(world), Client::nobody(world));
    backend.expect("PUT", "directory/_doc/kept", Some("{\"handle\": \"kept\"}"), "201");
    backend.expect("GET", "directory/_doc/kept", None, "200");

    let plain = format!("http://{}:9200/directory/_doc/kept", world.address("host1"));
    let plain = world.sandbox().command("curl").args(["--silent", "--max-time", "5", &plain]).output().unwrap();
    assert!(!plain.status.success() && plain.stdout.is_empty(), "served without TLS");
    nobody.expect("GET", "directory/_doc/kept", None, "401");
    for login in ["admin:admin", "kibanaserver:kibanaserver", "brig:not-the-password"] {
        Client::nobody(world).with(&["--user", login]).expect("GET", "directory/_doc/kept", None, "401");
    }
    for path in ["/etc/opensearch", "/opt/opensearch/plugins", "/opt/opensearch/config"] {
        let users = world.sandbox().exec("host1", &["grep", "-rlE", "^ *hash:", path]).unwrap();
        assert_eq!(String::from_utf8_lossy(&users.stdout), "", "there are users on disk");
    }
    backend.expect("PUT", "foreign/_doc/1", Some("{}"), "403");
    backend.expect("GET", "_plugins/_security/api/internalusers", None, "403");
    backend.expect("DELETE", "directory", None, "403");

    // A node's own certificate makes nobody an administrator, and another cluster's is not even listened to.
    for name in ["node.pem", "node.key"] {
        world.copy("host1", &format!("{FOLDER}/clients/{name}"), name);
        world.copy("host1", &format!("/etc/etcd/clients/{name}"), &format!("etcd-{name}"));
    }
    let with = |prefix: &str| {
        let [certificate, key] = ["node.pem", "node.key"].map(|name| world.file(&format!("{prefix}{name}")));
        Client::nobody(world).with(&["--cert", certificate.to_str().unwrap(), "--key", key.to_str().unwrap()])
    };
    let as_node = with("").ask("host1", "GET", "_plugins/_security/api/internalusers", None);
    assert!(as_node.as_ref().is_ok_and(|(status, _)| status == "401" || status == "403"), "{as_node:?}");
    let as_stranger = with("etcd-").ask("host1", "GET", "directory/_doc/kept", None);
    assert!(as_stranger.as_ref().map_or(true, |(status, _)| status == "401"), "{as_stranger:?}");
}

fn finds(world: &World) {
    let backend = Client::backend(world);
    for (id, name) in [("ada", "ada lovelace"), ("alan", "alan turing")] {
        let user = format!("{{\"handle\": \"{id}\", \"normalized\": \"{name}\"}}");
        backend.good("host2", "PUT", &format!("directory/_doc/{id}?refresh=true"), Some(&user)).unwrap();
    }
    let query = "{\"query\": {\"match\": {\"normalized.prefix\": \"tur\"}}}";
    let found = backend.expect("POST", "directory/_search", Some(query), "200");
    assert!(found.contains("\"alan\"") && !found.contains("\"ada\""), "{found}");
}

fn roll(world: &World) {
    let before = world.invocations();
    let backend = Client::backend(world);
    world.set_services(&["search: {heap_megabytes: 400}"]);
    during(|number| backend.work("rolled", number), || drop(world.run(&["apply", "--yes"]).expect_code(0)));
    world.expect_restarted(UNIT, &before);
    assert!(world.on("host2", &["cat", &format!("{FOLDER}/jvm.options")]).contains("-Xmx400m"));
    world.expect_settled();
}

fn reindex(world: &World) {
    let backend = Client::backend(world);
    backend.good("host1", "PUT", "directory/_doc/moved", Some("{\"handle\": \"moved\"}")).unwrap();
    let before = backend.expect("GET", "directory/_mapping", None, "200");
    during(
        |number| backend.work("moving", number),
        || drop(world.run(&["maintain", "search", "reindex"]).expect_code(0)),
    );
    let after = backend.expect("GET", "directory/_mapping", None, "200");
    assert!(
        before.contains("directory_1") && after.contains("directory_2") && !after.contains("directory_1"),
        "{after}"
    );
    backend.expect("GET", "directory/_doc/moved", None, "200");
    backend.expect("GET", "directory/_doc/moving-0", None, "200");
    world.expect_settled();
}

fn killed(world: &World) {
    let backend = Client::backend(world);
    during(
        |number| backend.work("killed", number),
        || {
            world.on("host2", &["systemctl", "kill", "--signal=KILL", UNIT]);
            await_that("the node is missed", 60, || world.run(&["status", "--only", "search"]).code != Some(0));
            await_that("the cluster is well", 180, || world.run(&["status"]).code == Some(0));
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
            std::thread::sleep(Duration::from_secs(5));
            world.sandbox().power_on("host3").unwrap();
            await_that("the cluster is well", 240, || world.run(&["status"]).code == Some(0));
        },
    );
    world.expect_nothing_to_do();
}

fn host_rebuilt(world: &World) {
    let backend = Client::backend(world);
    let paths = "/etc/opensearch /opt/opensearch /var/lib/opensearch /etc/systemd/system/opensearch.service*";
    world.lose("host3", &[UNIT], paths, "opensearch");
    during(|number| backend.work("rebuilding", number), || drop(world.run(&["apply", "--yes"]).expect_code(0)));
    assert!(
        world.on("host3", &["cat", &format!("{FOLDER}/initial.env")]).contains("INITIAL=\n"),
        "it might found a cluster"
    );
    world.expect_settled();
}
