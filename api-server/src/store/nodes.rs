//! The servers of one cluster over HTTP: whichever answers is good.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use reqwest::{Client, RequestBuilder, Response, StatusCode, Url};

use super::{Result, StoreError};
use crate::tls;

/// A server that takes no connection within this time is passed over.
const CONNECT: Duration = Duration::from_secs(1);
/// A server that failed is asked last for so long.
const AVOIDED: Duration = Duration::from_secs(10);
/// Idle connections are kept for so long, and so many to each server.
const IDLE: Duration = Duration::from_secs(30);
const IDLE_CONNECTIONS: usize = 8;

/// The servers of one cluster, each with what requests to it are made from.
pub(super) struct Nodes<T> {
    client: Client,
    nodes: Vec<Node<T>>,
    next: AtomicUsize,
}

struct Node<T> {
    target: T,
    failed: Mutex<Option<Instant>>,
}

impl<T> Nodes<T> {
    /// Servers by address, trusted by an authority.
    ///
    /// # Errors
    /// No server, an address that is none, a file of authorities that is none.
    pub fn new(
        endpoints: &[String],
        authority: Option<&Path>,
        target: impl Fn(Url) -> anyhow::Result<T>,
    ) -> anyhow::Result<Self> {
        anyhow::ensure!(!endpoints.is_empty(), "there are no endpoints");
        let node = |endpoint: &String| {
            let address = Url::parse(endpoint).with_context(|| format!("{endpoint:?} is no address"))?;
            anyhow::ensure!(
                address.has_host() && matches!(address.scheme(), "http" | "https"),
                "{endpoint:?} is no address such as https://host:9000"
            );
            Ok(Node { target: target(address)?, failed: Mutex::new(None) })
        };
        let client = Client::builder()
            .tls_backend_preconfigured(tls::client(authority)?)
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT)
            // A server that fell silent on a connection that is kept is noticed while a request is written.
            .tcp_user_timeout(Duration::from_secs(5))
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(IDLE_CONNECTIONS)
            .build()
            .context("no HTTP client can be made")?;
        let nodes = endpoints.iter().map(node).collect::<anyhow::Result<Vec<_>>>()?;
        // Not all processes begin with the same server.
        let first = usize::try_from(getrandom::u32()?)?;
        Ok(Self { client, nodes, next: AtomicUsize::new(first) })
    }

    /// Asks one server after the other until one answers, for `limit` each. An answer that another server may do better (502, 503,
    /// 504) counts only when it is the last.
    ///
    /// # Errors
    /// None answered; with what the last one failed.
    pub async fn ask(&self, limit: Duration, request: impl Fn(&Client, &T) -> RequestBuilder) -> Result<Response> {
        let mut last = Err(StoreError::Unavailable("there is no server".to_owned()));
        for node in self.in_order() {
            let answer = tokio::time::timeout(limit, request(&self.client, &node.target).send()).await;
            last = match answer {
                Ok(Ok(response)) if is_away(response.status()) => Ok(response),
                Ok(Ok(response)) => {
                    *node.failed() = None;
                    return Ok(response);
                }
                Ok(Err(error)) => Err(StoreError::Unavailable(told(error))),
                Err(_) => Err(StoreError::Unavailable(format!("no answer within {} s", limit.as_secs()))),
            };
            *node.failed() = Some(Instant::now());
        }
        last
    }

    /// Each server once: in turn, but those that failed a moment ago last.
    fn in_order(&self) -> Vec<&Node<T>> {
        let first = self.next.fetch_add(1, Ordering::Relaxed) % self.nodes.len();
        let mut order: Vec<_> = self.nodes[first..].iter().chain(&self.nodes[..first]).collect();
        order.sort_by_key(|node| node.failed().is_some_and(|failed| failed.elapsed() < AVOIDED));
        order
    }
}

impl<T> Node<T> {
    fn failed(&self) -> std::sync::MutexGuard<'_, Option<Instant>> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_away(status: StatusCode) -> bool {
    matches!(status, StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT)
}

/// What went wrong and why, as one line. Addresses are left out, as their queries hold signatures.
pub(super) fn told(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(error) = cause {
        let reason = error.to_string();
        if !text.contains(&reason) {
            text.push_str(": ");
            text.push_str(&reason);
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    /// A server that gives every connection one answer.
    async fn server(answer: &'static str) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let _ = stream.read(&mut [0; 1024]).await;
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        });
        address
    }

    async fn status(nodes: &Nodes<Url>) -> Result<u16> {
        let asked = nodes.ask(Duration::from_millis(500), |client, address| client.get(address.clone()));
        asked.await.map(|response| response.status().as_u16())
    }

    #[tokio::test]
    async fn whichever_server_answers_is_good() {
        let good = server("HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").await;
        let away = server("HTTP/1.1 503 Away\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").await;
        let broken = server("").await;
        // Takes connections and says nothing.
        let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let silent = format!("http://{}", silent.local_addr().unwrap());
        let nodes = Nodes::new(&[away.clone(), broken, silent, good], None, Ok).unwrap();
        for _ in 0..8 {
            assert_eq!(status(&nodes).await.unwrap(), 200);
        }
        assert_eq!(status(&Nodes::new(&[away], None, Ok).unwrap()).await.unwrap(), 503);
        let closed = "http://127.0.0.1:1/secret?signature".to_owned();
        let error = status(&Nodes::new(&[closed], None, Ok).unwrap()).await.unwrap_err().to_string();
        assert!(!error.contains("secret"), "{error}");
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for wrong in [&[][..], &["host:9000".to_owned()], &["ftp://host".to_owned()]] {
            assert!(Nodes::new(wrong, None, Ok).is_err(), "{wrong:?}");
        }
    }
}
