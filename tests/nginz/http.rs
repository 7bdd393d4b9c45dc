//! A client that sends exactly what it is told to: paths that no library would send, headers twice.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

/// An answer.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Reply {
    /// A header's value, by its name in small letters.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub fn json(&self) -> serde_json::Value {
        let text = String::from_utf8_lossy(&self.body);
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}: {text:?}", self.status))
    }

    /// That it is an error of this status and label, as clients read it.
    #[track_caller]
    pub fn refused(&self, status: u16, label: &str) {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(self.header("content-type"), Some("application/json"), "{self:?}");
        let body = self.json();
        assert_eq!((body["code"].as_u64(), body["label"].as_str()), (Some(status.into()), Some(label)));
        assert!(body["message"].as_str().is_some_and(|message| !message.is_empty()), "{body}");
    }
}

/// Sends a request and reads the answer to its end.
pub fn request(address: &str, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Reply {
    let mut stream = begin(address, method, path, headers, body);
    let mut answer = Vec::new();
    let mut part = [0; 65536];
    while let Ok(length @ 1..) = stream.read(&mut part) {
        answer.extend_from_slice(&part[..length]);
    }
    parse(&answer)
}

/// Sends a request, which is under way until its answer is read or the connection ends.
pub fn begin(address: &str, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> TcpStream {
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: nginz-https.wire.example\r\nConnection: close\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    let is_chunked = headers.iter().any(|(name, _)| *name == "Transfer-Encoding");
    if !is_chunked && (!body.is_empty() || ["POST", "PUT"].contains(&method)) {
        head.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    stream.write_all(format!("{head}\r\n").as_bytes()).unwrap();
    // A body that is refused is not read to its end.
    let _ = stream.write_all(body);
    stream
}

fn parse(answer: &[u8]) -> Reply {
    let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n");
    let end = end.unwrap_or_else(|| panic!("no answer: {:?}", String::from_utf8_lossy(answer)));
    let head = std::str::from_utf8(&answer[..end]).unwrap();
    let mut lines = head.split("\r\n");
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let headers = lines.map(|line| line.split_once(": ").unwrap());
    let headers = headers.map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned())).collect();
    Reply { status, headers, body: answer[end + 4..].to_vec() }
}
