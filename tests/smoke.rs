//! The smoke test against what is no backend: which step, what was expected, what came, and the exit code.
#![allow(clippy::unwrap_used)]

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::process::Output;

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
