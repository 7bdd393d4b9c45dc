//! A device's websocket: `/await`, on which notifications come as they happen.

use std::time::Duration;

use futures_util::StreamExt as _;
use rustls::pki_types::ServerName;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::TlsConnector;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::{self, Message};

use super::Surprise;
use super::backend::Backend;
use super::users::{self, User};
use crate::transport::web::CONNECT_PATIENCE;

/// How long what was sent may take to arrive.
const PATIENCE: Duration = Duration::from_secs(15);

/// A stream of bytes, with TLS or without.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// An open websocket of a user's device.
pub struct Socket {
    stream: WebSocketStream<Box<dyn Stream>>,
    token: String,
    device: String,
}

impl Socket {
    /// Opens it.
    pub async fn open(backend: &Backend<'_>, user: &User) -> Result<Self, Surprise> {
        let mut url = backend.place.websocket.clone();
        url.set_path(&format!("{}/await", url.path().trim_end_matches('/')));
        let shown = url.to_string();
        url.query_pairs_mut().append_pair("access_token", user.token.expose()).append_pair("client", &user.device);
        let expected = format!("a websocket at {shown}");
        let stream = timeout(CONNECT_PATIENCE, connect(backend)).await;
        let stream = stream.unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into())).map_err(|error| {
            let mut surprise = Surprise::new(&expected, error.to_string());
            surprise.unreachable = true;
            surprise
        })?;
        let opened = timeout(CONNECT_PATIENCE, tokio_tungstenite::client_async(url.as_str(), stream)).await;
        match opened {
            Ok(Ok((stream, _))) => {
                Ok(Self { stream, token: user.token.expose().to_owned(), device: user.device.clone() })
            }
            Ok(Err(error)) => Err(Surprise::new(expected, refused(&error))),
            Err(_) => Err(Surprise::new(expected, format!("no answer within {} s", CONNECT_PATIENCE.as_secs()))),
        }
    }

    /// Waits for the news that `one` wants to connect. Whoever is told is the one that a connection is *from*.
    pub async fn connection_of(&mut self, backend: &Backend<'_>, one: &User) -> Result<(), Surprise> {
        let fits =
            |event: &Value| event["type"] == "user.connection" && event["connection"]["to"] == one.id.id.as_str();
        self.wait_for(backend, "the event user.connection", fits).await.map(drop)
    }

    /// Waits for the message of `one` that has this text.
    pub async fn message(&mut self, backend: &Backend<'_>, one: &User, text: &[u8]) -> Result<(), Surprise> {
        let fits = |event: &Value| {
            event["type"] == "conversation.otr-message-add" && event["data"]["sender"] == one.device.as_str()
        };
        let event = self.wait_for(backend, "the event conversation.otr-message-add", fits).await?;
        if event["data"]["text"] == users::as_told(text) {
            return Ok(());
        }
        Err(Surprise::new("the message as it was sent", "it arrived with another text"))
    }

    /// The next event that fits; what else comes is dropped.
    async fn wait_for(
        &mut self,
        backend: &Backend<'_>,
        what: &str,
        fits: impl Fn(&Value) -> bool,
    ) -> Result<Value, Surprise> {
        let expected = format!("{what} on the websocket within {} s", PATIENCE.as_secs());
        let end = Instant::now() + PATIENCE;
        loop {
            let frame = match timeout_at(end, self.stream.next()).await {
                Ok(Some(Ok(frame))) => frame,
                Ok(Some(Err(error))) => return Err(Surprise::new(expected, format!("it broke: {error}"))),
                Ok(None) => return Err(Surprise::new(expected, "it was closed")),
                Err(_) => return Err(self.late(backend, expected, fits).await),
            };
            let bytes = match frame {
                Message::Text(text) => text.as_bytes().to_vec(),
                Message::Binary(bytes) => bytes.to_vec(),
                Message::Close(reason) => {
                    let reason = reason.map(|frame| format!(": {} {}", frame.code, frame.reason)).unwrap_or_default();
                    return Err(Surprise::new(expected, format!("it was closed{reason}")));
                }
                Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => continue,
            };
            if let Some(event) = events(&bytes).into_iter().find(|event| fits(event)) {
                return Ok(event);
            }
        }
    }

    /// What to say of an event that did not come: whether the backend knows of it at all.
    async fn late(&self, backend: &Backend<'_>, expected: String, fits: impl Fn(&Value) -> bool) -> Surprise {
        let path = format!("/notifications?client={}&size=1000", self.device);
        let answer = backend.exchange(backend.get(&path).bearer_auth(&self.token), &[200]).await;
        let log = answer.and_then(|answer| answer.read::<Value>());
        let notifications = log.ok().and_then(|log| log["notifications"].as_array().cloned()).unwrap_or_default();
        let logged =
            notifications.iter().flat_map(|notification| notification["payload"].as_array().into_iter().flatten());
        if logged.into_iter().any(fits) {
            return Surprise::new(expected, "it is in the log of notifications only")
                .hint("what tells websockets of news is broken: look at cannon, gundeck and Redis");
        }
        Surprise::new(expected, "it is not in the log of notifications either").hint("look at gundeck and Cassandra")
    }
}

/// The events of a notification; none if it is no notification.
fn events(bytes: &[u8]) -> Vec<Value> {
    let notification: Value = serde_json::from_slice(bytes).unwrap_or_default();
    notification["payload"].as_array().cloned().unwrap_or_default()
}

/// The stream that a websocket is opened on.
async fn connect(backend: &Backend<'_>) -> std::io::Result<Box<dyn Stream>> {
    let url = &backend.place.websocket;
    let host = url.host_str().unwrap_or_default();
    let port = url.port_or_known_default().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']');
    let stream = match backend.place.web.address {
        Some(elsewhere) => TcpStream::connect((elsewhere, port)).await?,
        None => TcpStream::connect((address, port)).await?,
    };
    // Frames are small, and wait for nothing.
    stream.set_nodelay(true)?;
    if url.scheme() != "wss" {
        return Ok(Box::new(stream));
    }
    let name = ServerName::try_from(address.to_owned()).map_err(std::io::Error::other)?;
    Ok(Box::new(TlsConnector::from(backend.place.web.tls.clone()).connect(name, stream).await?))
}

/// Why a websocket was not opened; the address is left out, as it holds the token.
fn refused(error: &tungstenite::Error) -> String {
    match error {
        tungstenite::Error::Http(response) => format!("it answered {}", response.status().as_u16()),
        tungstenite::Error::Protocol(error) => format!("it speaks no websocket: {error}"),
        tungstenite::Error::Io(error) => format!("the connection broke: {error}"),
        other => other.to_string(),
    }
}
