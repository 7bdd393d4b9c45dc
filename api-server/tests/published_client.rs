//! The published Wire client, driven through its whole life against the program: see `tests/client/`.
//!
//! Needs Node.js 18 or newer and npm; `scripts/prerequisites test` installs them.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "client/installed.rs"]
mod installed;

use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::Value;

/// One version at a time: each run has five processes of its own.
static TURN: Mutex<()> = Mutex::new(());

/// The program on a port of its own, until dropped.
struct Server {
    process: Child,
    address: String,
    /// Where it sends mails; the client's side listens there.
    mail_port: u16,
    log: Option<JoinHandle<Vec<String>>>,
    _folder: tempfile::TempDir,
}

impl Server {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("config.yaml");
        let mail_port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        // All the world comes from one address here.
        let text = format!(
            "limits: {{user_rate: null, address_rate: null, drain_seconds: 1}}\nactivation: auto\n\
             mail: {{host: 127.0.0.1, port: {mail_port}, security: none, sender: wire@wire.example}}\n"
        );
        std::fs::write(&config, text).unwrap();
        let mut process = Command::new(env!("CARGO_BIN_EXE_wire-api"))
            .args(["--store", "memory", "--listen", "127.0.0.1:0", "--config"])
            .arg(&config)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let first: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
        assert_eq!(first["message"], "listening");
        let address = first["address"].as_str().unwrap().to_owned();
        // The log is read to its end, so that the program is never kept waiting.
        let log = std::thread::spawn(move || lines.map_while(Result::ok).collect());
        Self { process, address, mail_port, log: Some(log), _folder: folder }
    }

    /// Asks it to end, which it does in order and soon, and looks through its log for what must not be in it.
    fn finish(mut self) {
        installed::run(Command::new("kill").args(["-TERM", &self.process.id().to_string()]));
        let asked = Instant::now();
        assert!(self.process.wait().unwrap().success());
        assert!(asked.elapsed() < Duration::from_secs(30), "{:?}", asked.elapsed());
        let log = self.log.take().unwrap().join().unwrap();
        assert!(log.len() > 100, "every request is logged");
        for line in log {
            let secret =
                ["correct horse", "@example.com", ".t=a.", ".t=u."].into_iter().find(|secret| line.contains(secret));
            assert_eq!(secret, None, "{line}");
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn drive(version: u32) {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = installed::client(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/client"));
    let server = Server::start();
    let url = format!("http://{}", server.address);
    let mut client = Command::new("node");
    client.args(["--no-warnings", "main.js", &url, &version.to_string()]).current_dir(folder);
    installed::run(client.env("MAIL_PORT", server.mail_port.to_string()));
    server.finish();
}

#[test]
fn the_newest_version_with_real_encryption() {
    drive(15);
}

#[test]
fn the_oldest_version_that_the_core_library_takes() {
    drive(5);
}

#[test]
fn the_oldest_version_that_the_client_takes() {
    drive(1);
}
