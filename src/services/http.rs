//! One HTTP/1.1 exchange over a stream: JSON in, JSON out.

use anyhow::{Context as _, bail};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HOST};
use hyper_util::rt::TokioIo;
use serde_json::Value;

use super::Stream;

/// The longest answer that is read, in bytes: a host may be hostile.
const MAX_ANSWER: usize = 4 * 1024 * 1024;

/// A connection to one server. Exchanges follow each other.
pub struct Connection {
    sender: hyper::client::conn::http1::SendRequest<Full<Bytes>>,
    host: String,
}

impl Connection {
    /// Speaks HTTP over `stream`; `host` is the Host header.
    ///
    /// # Errors
    /// When the stream is closed.
    pub async fn new<S: Stream + 'static>(stream: S, host: String) -> anyhow::Result<Self> {
        let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        // Ends when the sender is dropped or the stream breaks; what went wrong then comes out of the exchange.
        tokio::spawn(connection);
        Ok(Self { sender, host })
    }

    /// Posts `body` to `path` and returns the answer.
    ///
    /// # Errors
    /// When the connection breaks, or the server answers with another status than 200: its own message is in the error.
    pub async fn post(&mut self, path: &str, body: &Value) -> anyhow::Result<Value> {
        let request = hyper::Request::post(path)
            .header(HOST, &self.host)
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(serde_json::to_vec(body)?)))?;
        // After an exchange the connection's task needs its turn before it takes the next one.
        self.sender.ready().await?;
        let (head, body) = self.sender.send_request(request).await?.into_parts();
        let answer = Limited::new(body, MAX_ANSWER).collect().await.map_err(|error| anyhow::anyhow!(error))?.to_bytes();
        let answer: Value = serde_json::from_slice(&answer)
            .with_context(|| format!("{path} answered {} with something that is not JSON", head.status))?;
        if head.status != hyper::StatusCode::OK {
            let message = answer.get("message").and_then(Value::as_str).unwrap_or("no reason given");
            bail!("{path} answered {}: {message}", head.status.as_u16());
        }
        Ok(answer)
    }
}
