//! Clients, as plain as can be: the server is measured.

use std::time::Instant;

use futures_util::StreamExt as _;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio_tungstenite::connect_async;

/// A connection that is kept, on which messages are sent.
pub struct Sender {
    stream: BufReader<TcpStream>,
    token: String,
}

impl Sender {
    pub async fn connect(address: &str, token: &str) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream: BufReader::new(stream), token: token.to_owned() }
    }

    /// Sends a message; it must be taken.
    pub async fn post(&mut self, path: &str, body: &[u8]) {
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: wire.example\r\nauthorization: Bearer {}\r\ncontent-type: application/x-protobuf\r\n\
             content-length: {}\r\n\r\n",
            self.token,
            body.len()
        );
        self.stream.write_all(&[head.as_bytes(), body].concat()).await.unwrap();
        let (mut length, mut line) = (0, String::new());
        loop {
            line.clear();
            self.stream.read_line(&mut line).await.unwrap();
            if line.starts_with("HTTP/1.1") {
                assert!(line.contains(" 201 "), "{line}");
            }
            match line.to_ascii_lowercase().split_once(':') {
                Some(("content-length", value)) => length = value.trim().parse().unwrap(),
                Some(_) => {}
                None if line.trim().is_empty() => break,
                None => {}
            }
        }
        self.stream.read_exact(&mut vec![0; length]).await.unwrap();
    }
}

/// A websocket; each notification's time comes out of the channel. It is read all the time, so that the server sees that it lives.
pub async fn listen(address: &str, token: &str) -> UnboundedReceiver<Instant> {
    let (mut socket, _) = connect_async(format!("ws://{address}/await?access_token={token}")).await.unwrap();
    let (sender, receiver) = unbounded_channel();
    tokio::spawn(async move {
        while let Some(Ok(frame)) = socket.next().await {
            if (frame.is_text() || frame.is_binary()) && sender.send(Instant::now()).is_err() {
                return;
            }
        }
    });
    receiver
}
