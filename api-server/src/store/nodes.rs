//! The servers of one cluster over HTTP: whichever answers is good.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use reqwest::{Client, RequestBuilder, Response, StatusCode, Url};

use super::{Result, StoreError};
use crate::tls;

/// A server that takes no connection within this time is passed over.
const CONNECT: Duration = Duration::from_secs(1);
/// A server that failed is tried this often, so that it is known when it is back.
const TRIED: Duration = Duration::from_secs(1);
/// A server that is back is asked last for so long: until all servers see each other again, it may miss what the others hold.
const PROBATION: Duration = Duration::from_secs(20);
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
    address: Url,
    health: Arc<Mutex<Health>>,
}

/// What is known of a server.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Health {
    Well,
    /// It failed, and was tried last at this time.
    Failed(Instant),
    /// It failed and answers again since this time.
    Back(Instant),
}

impl Health {
    fn after(self, answered: bool, now: Instant) -> Self {
        match self {
            _ if !answered => Self::Failed(now),
            Self::Failed(_) => Self::Back(now),
            Self::Back(since) if now.duration_since(since) >= PROBATION => Self::Well,
            same => same,
        }
    }

    /// The lower, the sooner it is asked.
    fn rank(self, now: Instant) -> u8 {
        match self {
            Self::Failed(_) => 2,
            Self::Back(since) if now.duration_since(since) < PROBATION => 1,
            Self::Back(_) | Self::Well => 0,
        }
    }
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
            Ok(Node { target: target(address.clone())?, address, health: Arc::new(Mutex::new(Health::Well)) })
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

    /// Asks one server after the other until one answers, for `limit` each. An answer that another server may do better (500, 502,
    /// 503, 504) counts only when it is the last.
    ///
    /// # Errors
    /// None answered; with what the last one failed.
    pub async fn ask(&self, limit: Duration, request: impl Fn(&Client, &T) -> RequestBuilder) -> Result<Response> {
        self.try_again();
        let mut last = Err(StoreError::Unavailable("there is no server".to_owned()));
        for (_, node) in self.in_order() {
            last = self.ask_one(node, limit, &request).await;
            if last.as_ref().is_ok_and(|response| !is_away(response.status())) {
                break;
            }
        }
        last
    }

    /// The same for a thing that may not be there. A server that has just come back may say so (404) of what only the others hold, which
    /// it does not see yet. It is believed when no server has the thing and most have said so. Those that failed a while ago are asked
    /// only when the others are too few: they may still have what is gone.
    ///
    /// # Errors
    /// As of [`Nodes::ask`].
    pub async fn find(
        &self,
        limit: Duration,
        request: impl Fn(&Client, &T) -> RequestBuilder,
    ) -> Result<Option<Response>> {
        self.try_again();
        let (mut without, mut last) = (0, Err(StoreError::Unavailable("there is no server".to_owned())));
        for (rank, node) in self.in_order() {
            if rank > 0 && without > self.nodes.len() / 2 {
                break;
            }
            match self.ask_one(node, limit, &request).await {
                Ok(response) if response.status() == StatusCode::NOT_FOUND => without += 1,
                Ok(response) if !is_away(response.status()) => return Ok(Some(response)),
                failed => last = failed,
            }
        }
        if without > self.nodes.len() / 2 { Ok(None) } else { last.map(Some) }
    }

    async fn ask_one(
        &self,
        node: &Node<T>,
        limit: Duration,
        request: impl Fn(&Client, &T) -> RequestBuilder,
    ) -> Result<Response> {
        let answer = tokio::time::timeout(limit, request(&self.client, &node.target).send()).await;
        let answer = match answer {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) => Err(StoreError::Unavailable(told(error))),
            Err(_) => Err(StoreError::Unavailable(format!("no answer within {} s", limit.as_secs()))),
        };
        note(&node.health, answer.as_ref().is_ok_and(|response| !is_away(response.status())));
        answer
    }

    /// Each server once: in turn, but those that are just back after the others, and those that failed last.
    fn in_order(&self) -> Vec<(u8, &Node<T>)> {
        let first = self.next.fetch_add(1, Ordering::Relaxed) % self.nodes.len();
        let now = Instant::now();
        let in_turn = self.nodes[first..].iter().chain(&self.nodes[..first]);
        let mut order: Vec<_> = in_turn.map(|node| (lock(&node.health).rank(now), node)).collect();
        order.sort_by_key(|(rank, _)| *rank);
        order
    }

    /// Finds out whether servers that failed answer again. Nobody waits for that.
    fn try_again(&self) {
        let now = Instant::now();
        for node in &self.nodes {
            let mut health = lock(&node.health);
            if !matches!(*health, Health::Failed(tried) if now.duration_since(tried) >= TRIED) {
                continue;
            }
            *health = Health::Failed(now);
            let (request, health) = (self.client.get(node.address.clone()).timeout(CONNECT), Arc::clone(&node.health));
            tokio::spawn(async move {
                let answer = request.send().await;
                note(&health, answer.is_ok_and(|response| !is_away(response.status())));
            });
        }
    }
}

fn lock(health: &Mutex<Health>) -> std::sync::MutexGuard<'_, Health> {
    health.lock().unwrap_or_else(PoisonError::into_inner)
}

fn note(health: &Mutex<Health>, answered: bool) {
    let mut health = lock(health);
    *health = health.after(answered, Instant::now());
}

fn is_away(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::INTERNAL_SERVER_ERROR
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT
    )
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
    fn a_server_that_failed_is_asked_last_until_it_has_been_back_for_a_while() {
        let now = Instant::now();
        let later = now + PROBATION / 2;
        assert_eq!(Health::Well.after(true, now), Health::Well);
        let failed = Health::Well.after(false, now);
        let back = failed.after(true, now);
        assert_eq!((failed, back), (Health::Failed(now), Health::Back(now)));
        assert_eq!(back.after(true, later), back, "its time runs from when it came back");
        assert_eq!(back.after(false, later), Health::Failed(later));
        assert_eq!(back.after(true, now + PROBATION), Health::Well);
        assert!(Health::Well.rank(later) < back.rank(later) && back.rank(later) < failed.rank(later));
        assert_eq!(back.rank(now + PROBATION), Health::Well.rank(now));
    }

    #[tokio::test]
    async fn a_server_is_seen_to_be_back_although_nobody_needs_it() {
        let answer = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
        let nodes = Nodes::new(&[server(answer).await, server(answer).await], None, Ok).unwrap();
        note(&nodes.nodes[1].health, false);
        let seen = async {
            while matches!(*lock(&nodes.nodes[1].health), Health::Failed(_)) {
                assert_eq!(nodes.in_order()[0].1.address, nodes.nodes[0].address);
                nodes.try_again();
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(TRIED * 10, seen).await.unwrap();
        assert_eq!(nodes.in_order()[0].1.address, nodes.nodes[0].address, "it is on probation");
    }

    #[tokio::test]
    async fn a_thing_is_not_there_when_most_servers_say_so_and_none_has_it() {
        let has = server("HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").await;
        let has_not = server("HTTP/1.1 404 None\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").await;
        let away = server("HTTP/1.1 503 Away\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").await;
        let find = async |nodes: [&String; 3]| {
            let nodes = Nodes::new(&nodes.map(Clone::clone), None, Ok).unwrap();
            let found =
                nodes.find(Duration::from_millis(500), |client, address: &Url| client.get(address.clone())).await;
            found.unwrap().map(|response| response.status().as_u16())
        };
        // Whichever is asked first.
        for _ in 0..3 {
            assert_eq!(find([&has_not, &has_not, &has]).await, Some(200));
        }
        assert_eq!(find([&has_not, &has_not, &has_not]).await, None);
        assert_eq!(find([&has_not, &away, &has_not]).await, None);
        assert_eq!(find([&has_not, &away, &away]).await, Some(503), "too few know");
        let nodes = Nodes::new(&[has_not.clone(), has.clone(), has_not.clone()], None, Ok).unwrap();
        note(&nodes.nodes[1].health, false);
        let found = nodes.find(Duration::from_millis(500), |client, address: &Url| client.get(address.clone())).await;
        assert!(found.unwrap().is_none(), "who has been away may have what is gone");
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for wrong in [&[][..], &["host:9000".to_owned()], &["ftp://host".to_owned()]] {
            assert!(Nodes::new(wrong, None, Ok).is_err(), "{wrong:?}");
        }
    }
}
