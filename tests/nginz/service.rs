//! Services that say which one they are and what they were sent, or fail as they are told to.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};

use serde_json::json;

/// Where every service listens.
pub const PORT: u16 = 28084;

/// What a service does with a request instead of answering what it was sent.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Manner {
    /// Reads it and ends the connection.
    BreaksOff = 1,
    /// Says 503, as while it is ending.
    IsEnding,
    /// Reads it and says nothing.
    IsSilent,
}

/// A pod of a service.
pub struct Service {
    pub address: Ipv4Addr,
    manner: Arc<AtomicU8>,
    taken: Arc<AtomicUsize>,
}

impl Service {
    pub fn start(name: &'static str, address: Ipv4Addr) -> Self {
        let listener = TcpListener::bind((address, PORT)).unwrap();
        let service = Self { address, manner: Arc::default(), taken: Arc::default() };
        let (manner, taken) = (Arc::clone(&service.manner), Arc::clone(&service.taken));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (manner, taken) = (Arc::clone(&manner), Arc::clone(&taken));
                std::thread::spawn(move || answer(name, &stream.unwrap(), &manner, &taken));
            }
        });
        service
    }

    pub fn behave(&self, manner: Manner) {
        self.manner.store(manner as u8, Ordering::SeqCst);
    }

    /// Requests that it has read so far.
    pub fn taken(&self) -> usize {
        self.taken.load(Ordering::SeqCst)
    }
}

fn answer(name: &str, mut stream: &TcpStream, manner: &AtomicU8, taken: &AtomicUsize) -> Option<()> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut words = line.split(' ').map(str::to_owned);
    let (method, path) = (words.next()?, words.next()?);
    let mut headers = serde_json::Map::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((header, value)) = line.trim_end().split_once(": ") else { break };
        let header = header.to_ascii_lowercase();
        assert!(!headers.contains_key(&header), "{header} twice");
        headers.insert(header, json!(value));
    }
    let length = match headers.get("content-length") {
        Some(length) => {
            let mut body = vec![0; length.as_str()?.parse().ok()?];
            reader.read_exact(&mut body).ok()?;
            body.len()
        }
        None if headers.contains_key("transfer-encoding") => chunks(&mut reader)?,
        None => 0,
    };
    taken.fetch_add(1, Ordering::SeqCst);
    let status = match manner.load(Ordering::SeqCst) {
        manner if manner == Manner::BreaksOff as u8 => return None,
        manner if manner == Manner::IsSilent as u8 => loop {
            std::thread::park();
        },
        manner if manner == Manner::IsEnding as u8 => "503 Service Unavailable",
        _ => "200 OK",
    };
    let body = json!({"service": name, "path": path, "headers": headers, "body": length}).to_string();
    let head = format!(
        "HTTP/1.1 {status}\r\nServed-By: {name}\r\nRequest-Id: its-own\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    let body = if method == "HEAD" { "" } else { &body };
    stream.write_all(format!("{head}{body}").as_bytes()).ok()
}

/// Reads a body in chunks; its length.
fn chunks(reader: &mut BufReader<&TcpStream>) -> Option<usize> {
    let mut whole = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let length = usize::from_str_radix(line.trim_end(), 16).ok()?;
        reader.read_exact(&mut vec![0; length + 2]).ok()?;
        if length == 0 {
            return Some(whole);
        }
        whole += length;
    }
}
