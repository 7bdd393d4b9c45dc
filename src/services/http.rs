//! HTTP/1.1 exchanges over a stream that a host opened.

use anyhow::{Context as _, bail};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Bytes;
pub use hyper::header::HeaderMap;
pub use hyper::header::HeaderValue;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
pub use hyper::{Method, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::Value;

use super::Stream;
use crate::site::secrets::SecretText;

/// The longest answer that is read, in bytes: a host may be hostile.
const MAX_ANSWER: usize = 4 * 1024 * 1024;

/// A connection to one server. Exchanges follow each other.
pub struct Connection {
    sender: hyper::client::conn::http1::SendRequest<Full<Bytes>>,
    host: String,
    login: Option<HeaderValue>,
}

/// What a server answered.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The body.
    pub body: Bytes,
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
        Ok(Self { sender, host, login: None })
    }

    /// Shows a name and a password with every request (RFC 7617).
    ///
    /// # Errors
    /// Never with what this program derives: base64 fits a header.
    pub fn log_in(&mut self, user: &str, password: &SecretText) -> anyhow::Result<()> {
        use base64::Engine as _;
        let text = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{}", password.expose()));
        let mut login = HeaderValue::from_str(&format!("Basic {text}"))?;
        login.set_sensitive(true);
        self.login = Some(login);
        Ok(())
    }

    /// One exchange, whatever the answer's status.
    ///
    /// # Errors
    /// When the connection breaks or the answer is too long.
    pub async fn exchange(
        &mut self,
        method: Method,
        path: &str,
        headers: HeaderMap,
        body: impl Into<Bytes>,
    ) -> anyhow::Result<Answer> {
        let mut request = hyper::Request::builder().method(method).uri(path).body(Full::new(body.into()))?;
        *request.headers_mut() = headers;
        request.headers_mut().insert(HOST, HeaderValue::from_str(&self.host)?);
        if let Some(login) = &self.login {
            request.headers_mut().insert(AUTHORIZATION, login.clone());
        }
        // After an exchange the connection's task needs its turn before it takes the next one.
        self.sender.ready().await?;
        let (head, body) = self.sender.send_request(request).await?.into_parts();
        let body = Limited::new(body, MAX_ANSWER).collect().await.map_err(|error| anyhow::anyhow!(error))?.to_bytes();
        Ok(Answer { status: head.status, body })
    }

    /// One exchange of JSON. Without a body it is a question, as `GET` is.
    ///
    /// # Errors
    /// As [`Self::exchange`].
    pub async fn json(&mut self, method: Method, path: &str, body: Option<&Value>) -> anyhow::Result<Answer> {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let body = body.map(serde_json::to_vec).transpose()?.unwrap_or_default();
        self.exchange(method, path, headers, body).await
    }

    /// Posts `body` to `path` and returns the answer.
    ///
    /// # Errors
    /// When the connection breaks, or the server answers with another status than 200: its own message is in the error.
    pub async fn post(&mut self, path: &str, body: &Value) -> anyhow::Result<Value> {
        let answer = self.json(Method::POST, path, Some(body)).await?;
        let value = answer.json().with_context(|| format!("{path} answered {}", answer.status))?;
        if answer.status != StatusCode::OK {
            let message = value.get("message").and_then(Value::as_str).unwrap_or("no reason given");
            bail!("{path} answered {}: {message}", answer.status.as_u16());
        }
        Ok(value)
    }
}

impl Answer {
    /// The body as JSON.
    ///
    /// # Errors
    /// When it is none.
    pub fn json(&self) -> anyhow::Result<Value> {
        serde_json::from_slice(&self.body).context("something that is not JSON")
    }
}
