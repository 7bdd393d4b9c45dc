//! The smoke test against a whole backend, `wire-api` in memory, and against what is none: which step, what was expected, what
//! came, and the exit code.
#![allow(clippy::unwrap_used)]

mod common;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command as Process, Output, Stdio};

use assert_cmd::Command;

/// Runs `wire-deploy smoke` in an empty folder.
fn smoke(rest: &str, websocket: &str, more: &[&str]) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::cargo_bin("wire-deploy").unwrap();
    command.current_dir(folder.path()).env_remove("NO_COLOR");
    command.args(["smoke", "--rest", rest, "--websocket", websocket]).args(more).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// A server that gives every request the same answer; its address.
fn server(answer: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 8192]);
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    format!("http://{address}")
}

#[test]
fn an_address_where_nobody_listens_is_unreachable() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let output = smoke(&format!("http://{address}"), "ws://127.0.0.1:9", &[]);
    let error = text(&output.stderr);
    assert_eq!(output.status.code(), Some(4), "{error}");
    assert!(error.contains("ask for the API's versions: failed: expected GET /api-version to answer 200"), "{error}");
    assert!(error.contains("Connection refused"), "{error}");
}

#[test]
fn what_answers_otherwise_is_told_with_what_was_expected() {
    let cases = [
        ("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", "it answered 404", "is this the address of the API?"),
        ("HTTP/1.1 502 Bad Gateway\r\nContent-Length: 4\r\n\r\nhtml", "it answered 502", "cannot reach the service"),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 41\r\n\r\n{\"supported\":[0,1],\"domain\":\"a.example\"}\n",
            "expected a version of the API from 8 to 15; the backend speaks [0, 1]",
            "",
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
            "expected GET /api-version to answer with what the API documents; missing field `supported`",
            "",
        ),
    ];
    for (answer, found, hint) in cases {
        let output = smoke(&server(answer), "ws://127.0.0.1:9", &[]);
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(7), "{error}");
        assert!(error.contains(found) && error.contains(hint), "{error}");
    }
}

#[test]
fn events_tell_the_step_and_how_it_ended() {
    let answer = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";
    let output = smoke(&server(answer), "ws://127.0.0.1:9", &["--output", "json"]);
    let events: Vec<serde_json::Value> =
        text(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let kinds: Vec<&str> = events.iter().map(|event| event["event"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["run_started", "step_started", "step_finished", "run_finished"]);
    assert_eq!(events[2]["step"], "ask for the API's versions");
    assert_eq!(events[2]["outcome"]["outcome"], "failed");
    assert_eq!(events[3]["exit_code"], 7);
}

#[test]
fn addresses_and_authorities_that_are_none_are_refused() {
    let no_authorities = format!("{}/Cargo.toml", env!("CARGO_MANIFEST_DIR"));
    assert!(Path::new(&no_authorities).exists());
    let cases: [(&str, &str, &[&str], &str); 4] = [
        ("ftp://a.example", "wss://a.example", &[], "--rest ftp://a.example: ftp is not https or http"),
        ("https://a.example", "https://a.example", &[], "https is not wss or ws"),
        ("https://me:pass@a.example", "wss://a.example", &[], "more than a scheme, a host, a port and a path"),
        ("https://a.example", "wss://a.example", &["--ca", &no_authorities], "it holds no certificate"),
    ];
    for (rest, websocket, more, reason) in cases {
        let output = smoke(rest, websocket, more);
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(64), "{error}");
        assert!(error.contains(reason) && error.contains("hint: expected"), "{error}");
    }
}

/// `wire-api` with everything in memory, until this is dropped.
struct Backend {
    process: Child,
    address: String,
    _folder: tempfile::TempDir,
}

impl Backend {
    fn start(configuration: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("wire-api.yaml");
        std::fs::write(&file, configuration).unwrap();
        let mut process = Process::new(common::wire_api());
        process.args(["--store", "memory", "--listen", "127.0.0.1:0", "--config"]).arg(&file);
        let mut process = process.stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let listening = lines.find_map(|line| {
            let line: serde_json::Value = serde_json::from_str(&line.unwrap()).unwrap();
            (line["message"] == "listening").then(|| line["address"].as_str().unwrap().to_owned())
        });
        // What it says further must not fill the pipe.
        std::thread::spawn(move || lines.for_each(drop));
        Self { process, address: listening.unwrap(), _folder: folder }
    }

    fn rest(&self) -> String {
        format!("http://{}", self.address)
    }

    fn websocket(&self) -> String {
        format!("ws://{}", self.address)
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// What the steps said at their ends, without their times.
fn steps(output: &Output) -> Vec<String> {
    let text = text(&output.stderr);
    let steps = text.lines().filter_map(|line| line.strip_prefix("smoke: "));
    steps.map(|line| line.rsplit_once(" (").map_or(line, |(line, _)| line).to_owned()).collect()
}

#[test]
fn two_users_do_with_a_backend_what_it_is_for() {
    let backend = Backend::start("{}");
    let output = smoke(&backend.rest(), &backend.websocket(), &[]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert_eq!(
        steps(&output),
        [
            "ask for the API's versions: done",
            "register two users: done",
            "log in: done",
            "register a device each: done",
            "open a websocket: done",
            "find each other by search: done",
            "connect: done",
            "exchange prekeys: done",
            "send a message that arrives on the websocket: done",
            "upload a file and fetch it: done",
            "delete the users: done",
        ]
    );
    // One of its own: a backend does not let the same machine register users as often as it likes.
    let backend = Backend::start("{}");
    let output = smoke(&backend.rest(), &backend.websocket(), &["--output", "json"]);
    let events = text(&output.stdout);
    assert_eq!(events.lines().filter(|line| line.contains(r#""outcome":"done""#)).count(), 11, "{events}");
}

#[test]
fn users_are_deleted_when_a_step_fails() {
    let backend = Backend::start("{}");
    let output = smoke(&backend.rest(), "ws://127.0.0.1:9", &[]);
    assert_eq!(output.status.code(), Some(4), "{}", text(&output.stderr));
    let steps = steps(&output);
    let [.., failed, deleted] = steps.as_slice() else { panic!("{steps:?}") };
    assert!(failed.starts_with("open a websocket: failed: expected a websocket at ws://127.0.0.1:9/await"), "{failed}");
    assert_eq!(deleted, "delete the users: done");
}

#[test]
fn a_backend_that_activates_by_mail_is_told_as_such() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || listener.incoming().for_each(|stream| mail_server(&stream.unwrap())));
    let backend = Backend::start(&format!(
        "activation: mail\nmail: {{host: 127.0.0.1, port: {port}, security: none, sender: Wire <wire@example.com>}}\n"
    ));
    let output = smoke(&backend.rest(), &backend.websocket(), &[]);
    let error = text(&output.stderr);
    assert_eq!(output.status.code(), Some(7), "{error}");
    assert!(error.contains("expected an account that can be used at once"), "{error}");
    assert!(error.contains("hint: this backend activates accounts by a mail"), "{error}");
    assert!(error.contains("delete the users: done"), "{error}");
}

/// A mail server that takes everything (RFC 5321, as little of it as a client needs).
fn mail_server(stream: &TcpStream) {
    let (mut writer, mut content) = (stream, false);
    let _ = writer.write_all(b"220 mail.example ESMTP\r\n");
    for line in BufReader::new(stream).lines() {
        let Ok(line) = line else { return };
        let answer = match line.as_str() {
            "." if content => "250 taken",
            _ if content => continue,
            "DATA" => "354 go on",
            "QUIT" => "221 bye",
            _ => "250 mail.example",
        };
        content = answer.starts_with("354");
        let _ = writer.write_all(format!("{answer}\r\n").as_bytes());
    }
}
