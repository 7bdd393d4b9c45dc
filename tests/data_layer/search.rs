//! Search: who is refused, and a directory that can be searched and written while nodes come and go.

use std::time::Duration;

use crate::common::phases::Phases;
use crate::common::world::{HOSTS, World};
use crate::strangers;
use crate::traffic::{Work, at_any, during_a_roll};

pub const UNIT: &str = "opensearch.service";
pub const JVM_OPTIONS: &str = "/etc/opensearch/jvm.options";
const FOLDER: &str = "/etc/opensearch";
/// A client that a node leaves alone asks another one, for so long; a silent host is noticed after half a minute.
const PATIENCE: Duration = Duration::from_secs(90);

pub fn phases(phases: &mut Phases, world: &World) {
    phases.run("search: strangers are refused, and the user outside its data", || refusals(world));
    phases.run("search: a name is found by the beginnings of its words", || finds(world));
    phases.run("search: the directory moves to a new index while a client reads and writes", || reindex(world));
}

/// The backend's own client, which writes and reads through whichever node answers.
pub fn client<'a>(world: &'a World, occasion: &'static str) -> Work<'a> {
    let backend = Client::backend(world);
    Box::new(move |number| backend.work(occasion, number))
}

/// A host's node joined a cluster and would found none.
pub fn expect_joined(world: &World, host: &str) {
    assert!(
        world.on(host, &["cat", &format!("{FOLDER}/initial.env")]).contains("INITIAL=\n"),
        "it might found a cluster"
    );
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
    strangers::expect_nodes_alone(
        world,
        9300,
        [&format!("{FOLDER}/peers/node.pem"), &format!("{FOLDER}/peers/node.key")],
    );
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

fn reindex(world: &World) {
    let backend = Client::backend(world);
    backend.good("host1", "PUT", "directory/_doc/moved", Some("{\"handle\": \"moved\"}")).unwrap();
    let before = backend.expect("GET", "directory/_mapping", None, "200");
    during_a_roll(&[("search", client(world, "moving"))], || {
        world.run(&["maintain", "search", "reindex"]).expect_code(0);
    });
    let after = backend.expect("GET", "directory/_mapping", None, "200");
    assert!(
        before.contains("directory_1") && after.contains("directory_2") && !after.contains("directory_1"),
        "{after}"
    );
    backend.expect("GET", "directory/_doc/moved", None, "200");
    backend.expect("GET", "directory/_doc/moving-0", None, "200");
    world.expect_settled();
}

/// The other flavour in the place of this one: on the same hosts and ports, without TLS and without users.
pub fn elasticsearch(world: &World) {
    for host in HOSTS {
        world.on(host, &["systemctl", "disable", "--now", UNIT]);
    }
    world.set_services(&["search: {flavor: elasticsearch}"]);
    world.run(&["validate"]).expect_code(64).expect_said("allow_insecure_search");
    world.set_services(&["search: {flavor: elasticsearch, allow_insecure_search: true}"]);
    world.prepare_artifacts();
    world.run(&["apply", "--yes", "--only", "search"]).expect_code(0);
    world.run(&["verify", "--only", "search"]).expect_code(0).expect_said("7.10.2");
    let ask = |host: &str, arguments: &[&str], path: &str| {
        let url = format!("http://{}:9200/{path}", world.address(host));
        let output =
            world.sandbox().command("curl").args(["--silent", "--fail"]).args(arguments).arg(url).output().unwrap();
        assert!(output.status.success(), "{path} on {host}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let json = ["--header", "content-type: application/json", "--request"];
    let user =
        [&json[..], &["PUT", "--data-binary", "{\"handle\": \"ada\", \"normalized\": \"ada lovelace\"}"]].concat();
    ask("host1", &user, "directory/_doc/ada?refresh=true");
    let query = "{\"query\": {\"match\": {\"normalized.prefix\": \"lov\"}}}";
    let found = ask("host3", &[&json[..], &["POST", "--data-binary", query]].concat(), "directory/_search");
    assert!(found.contains("\"ada\""), "{found}");
    world.run(&["drift", "--only", "search"]).expect_code(0);
}
