//! The program itself, as a process of its own.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::StreamExt as _;
use serde_json::{Value, json};
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Message;

use super::mail::Post;
use super::world::PASSWORD;

/// The program, until dropped.
struct Program {
    process: Child,
    /// Where it listens: for clients, then for probes.
    addresses: [String; 2],
    /// What it says after that.
    log: Arc<Mutex<Vec<Value>>>,
    _folder: tempfile::TempDir,
}

fn command(folder: &Path, store: &str, configuration: &str) -> Command {
    let file = folder.join("config.yaml");
    std::fs::write(&file, configuration).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_wire-api"));
    command
        .args(["--store", store, "--listen", "127.0.0.1:0", "--internal-listen", "127.0.0.1:0", "--config"])
        .arg(&file);
    command
}

impl Program {
    fn start(store: &str, configuration: &str) -> Self {
        Self::with(&[], store, configuration)
    }

    fn with(further: &[&str], store: &str, configuration: &str) -> Self {
        // The one provider of these tests, too; whoever comes first sets it.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let folder = tempfile::tempdir().unwrap();
        let mut process =
            command(folder.path(), store, configuration).args(further).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let mut listening = || {
            lines.find_map(|line| {
                let line: Value = serde_json::from_str(&line.unwrap()).unwrap();
                (line["message"] == "listening").then(|| line["address"].as_str().unwrap().to_owned())
            })
        };
        let addresses = [listening().unwrap(), listening().unwrap()];
        let log = Arc::<Mutex<Vec<Value>>>::default();
        let kept = log.clone();
        // It is read to its end, so that the pipe is never full.
        std::thread::spawn(move || {
            lines
                .map_while(Result::ok)
                .for_each(|line| kept.lock().unwrap().push(serde_json::from_str(&line).unwrap()));
        });
        Self { process, addresses, log, _folder: folder }
    }

    /// The first line of its log that says this; it may be under way.
    async fn said(&self, message: &str) -> Value {
        for _ in 0..100 {
            let found = self.log.lock().unwrap().iter().find(|line| line["message"] == message).cloned();
            if let Some(line) = found {
                return line;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("{message:?} is not in {:?}", self.log.lock().unwrap())
    }

    async fn status(&self, path: &str) -> u16 {
        reqwest::get(format!("http://{}{path}", self.addresses[1])).await.unwrap().status().as_u16()
    }

    /// A token of somebody who has just registered.
    async fn token(&self) -> String {
        let client = reqwest::Client::new();
        let body = json!({"name": "Ann", "email": "ann@example.com", "password": PASSWORD});
        let register = client.post(format!("http://{}/register", self.addresses[0])).json(&body);
        let registered = register.send().await.unwrap().error_for_status().unwrap();
        let cookie = registered.headers()["set-cookie"].to_str().unwrap().split(';').next().unwrap().to_owned();
        let access = client.post(format!("http://{}/access", self.addresses[0])).header("cookie", cookie);
        let access: Value = access.send().await.unwrap().json().await.unwrap();
        access["access_token"].as_str().unwrap().to_owned()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[tokio::test]
async fn a_program_that_is_told_to_end_says_good_bye_to_each_websocket_first() {
    let mut program = Program::start("memory", "limits: {drain_seconds: 2}\n");
    let token = program.token().await;
    let mut sockets = Vec::new();
    for _ in 0..3 {
        let url = format!("ws://{}/await?access_token={token}", program.addresses[0]);
        sockets.push(connect_async(url).await.unwrap().0);
    }
    let told = Command::new("kill").args(["-TERM", &program.process.id().to_string()]).status().unwrap();
    assert!(told.success());
    for socket in &mut sockets {
        let end = async {
            while let Some(frame) = socket.next().await {
                if let Ok(Message::Close(Some(frame))) = frame {
                    return Some(u16::from(frame.code));
                }
            }
            None
        };
        assert_eq!(tokio::time::timeout(Duration::from_secs(5), end).await.expect("an end"), Some(1001));
    }
    drop(sockets);
    assert!(program.process.wait().unwrap().success());
}

/// Everything at a port where nobody listens.
fn nowhere(tls: &str) -> String {
    let login = |name: &str| format!("{name}: {{user: {name}, password: secret}}");
    let logins = ["brig", "galley", "gundeck"].map(login).join(", ");
    let nobody = "127.0.0.1:1";
    format!(
        "cassandra: {{hosts: ['{nobody}'], {logins}{tls}}}\n\
         search: {{endpoints: ['http://{nobody}']}}\n\
         s3: {{endpoints: ['http://{nobody}'], region: here, bucket: assets, access_key: a, secret_key: b}}\n\
         redis: {{sentinels: ['{nobody}'], user: wire, password: secret}}\n"
    )
}

#[tokio::test]
async fn a_program_whose_stores_are_away_waits_for_them() {
    let mut program = Program::start("cassandra", &nowhere(""));
    assert_eq!(program.status("/i/metrics").await, 200, "it lives");
    assert_eq!(program.status("/i/status").await, 503, "it is not ready");
    let register = json!({"name": "Ann", "email": "ann@example.com", "password": PASSWORD});
    let asked = reqwest::Client::new().post(format!("http://{}/register", program.addresses[0])).json(&register);
    assert_eq!(asked.send().await.unwrap().status().as_u16(), 503);
    assert_eq!(program.process.try_wait().unwrap(), None, "it goes on waiting");

    // Each service waits for what it needs, and for nothing else.
    for (services, status) in [("auth,spar", 200), ("cargohold", 503), ("spar,gundeck", 503)] {
        let some = Program::with(&["--services", services], "cassandra", &nowhere(""));
        assert_eq!(some.status("/i/status").await, status, "{services}");
    }

    // What waiting does not mend ends it.
    let folder = tempfile::tempdir().unwrap();
    let tls = ", tls: {authority: /nowhere/ca.pem}";
    let output = command(folder.path(), "cassandra", &nowhere(tls)).output().unwrap();
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stdout).contains("/nowhere/ca.pem"));
}

#[tokio::test]
async fn what_a_mail_server_says_of_an_address_is_in_no_log_and_what_is_names_its_request() {
    let (_post, port) = Post::start().await;
    let mail = format!("mail: {{host: 127.0.0.1, port: {port}, security: none, sender: wire@wire.example}}\n");
    let program = Program::start("memory", &format!("activation: mail\n{mail}"));
    let send = reqwest::Client::new().post(format!("http://{}/activate/send", program.addresses[0]));
    let send = send.header("request-id", "a-request").json(&json!({"email": "nobody@example.com"}));
    assert_eq!(send.send().await.unwrap().status().as_u16(), 500);
    let failed = program.said("internal error").await;
    assert_eq!(failed["cause"], "the mail server answered 550");
    assert_eq!(failed["span"]["request"], "a-request");
    let answered = program.said("answered").await;
    assert_eq!((&answered["status"], &answered["request"]), (&json!(500), &json!("a-request")));
    let log = json!(*program.log.lock().unwrap()).to_string();
    assert!(!log.contains("nobody@"), "{log}");
}
