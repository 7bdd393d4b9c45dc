//! The API, over streams that the control planes' hosts open, with a client certificate of this run.

use core::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, bail};
use futures_util::future::try_join_all;
use serde_json::Value;

use super::{API_PORT, AUTHORITY, FIELD_MANAGER, manifest};
use crate::desired::{Cluster, Node};
use crate::services::http::{self, HeaderMap, Method, StatusCode};
use crate::services::wait::until_with_back_off;
use crate::services::{ANSWER, Driver, tls, within};

/// An answer may wait for what the API server itself asks.
const PATIENCE: Duration = Duration::from_secs(15);

/// How long an API that does not answer is waited for.
const REACHED: Duration = Duration::from_secs(60);
/// Between two attempts: at first, and at the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(4));

/// What will not be otherwise if the API is asked again, in words.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Refused(pub String);

/// Opens connections to the API servers of one cluster.
pub(super) struct Connector<'a> {
    driver: &'a Driver<'a>,
    tls: tls::Client,
}

/// A connection to one API server.
pub(super) struct Connection {
    http: http::Connection,
    address: SocketAddr,
}

/// How the operator's own connections trust the API servers, and show that they may do everything.
///
/// # Errors
/// When a certificate cannot be made.
pub fn operators_tls(cluster: &Cluster, driver: &Driver<'_>) -> anyhow::Result<tls::Client> {
    // The group is there before any right was given, and what it may do cannot be taken away.
    let identity = driver.identity_in_group(cluster, AUTHORITY, Some("system:masters"))?;
    let authority = driver.authority(cluster, AUTHORITY).certificate()?;
    tls::Client::new(&authority, Some(&identity))
}

/// The nodes that have an API server.
pub fn api_servers(cluster: &Cluster) -> impl Iterator<Item = &Node> {
    cluster.nodes.iter().filter(|node| super::is_control_plane(node))
}

impl<'a> Connector<'a> {
    pub(super) fn new(cluster: &Cluster, driver: &'a Driver<'a>) -> anyhow::Result<Self> {
        Ok(Self { driver, tls: operators_tls(cluster, driver)? })
    }

    /// The API server of a control plane's host.
    pub(super) async fn server(&self, node: &Node) -> anyhow::Result<Connection> {
        self.connect(node, SocketAddr::new(node.address, API_PORT)).await
    }

    /// The API at an address, over a stream that a node's host opens.
    async fn connect(&self, node: &Node, address: SocketAddr) -> anyhow::Result<Connection> {
        let connect = async {
            let stream = self.driver.connect_to(&self.tls, node, address).await?;
            let http = http::Connection::new(stream, address.to_string()).await?;
            anyhow::Ok(Connection { http, address })
        };
        within(ANSWER, address, connect).await
    }

    /// Waits until the API answers where nodes reach it, asked from a node's host.
    pub(super) async fn reach(&self, node: &Node, endpoint: &str) -> anyhow::Result<()> {
        let address: SocketAddr = endpoint.parse().context("the operation names no endpoint")?;
        let reached =
            until_with_back_off(REACHED, PAUSES, || async { self.connect(node, address).await?.ready().await });
        reached.await.with_context(|| format!("the API does not answer at {endpoint}, where nodes reach it"))
    }

    /// The first API server that is ready. One that is away for a moment is waited for.
    pub(super) async fn patiently(&self, cluster: &Cluster) -> anyhow::Result<Connection> {
        until_with_back_off(REACHED, PAUSES, || self.any(cluster)).await
    }

    /// Does what may be done twice, over a connection of its own, and again where that breaks or the API has no time for it, until the API says no.
    pub(super) async fn persistently<T, F: Future<Output = anyhow::Result<T>>>(
        &self,
        cluster: &Cluster,
        work: impl Fn(Connection) -> F,
    ) -> anyhow::Result<T> {
        let attempt = || async {
            match work(self.any(cluster).await?).await {
                Err(error) if error.is::<Refused>() => Ok(Err(error)),
                other => other.map(Ok),
            }
        };
        until_with_back_off(REACHED, PAUSES, attempt).await?
    }

    /// What is at each path, of one API server: all is asked at once, so that it takes no longer than one answer does.
    pub(super) async fn get_all(&self, node: &Node, paths: &[String]) -> anyhow::Result<Vec<Option<Value>>> {
        try_join_all(paths.iter().map(|path| async move { self.server(node).await?.get(path).await })).await
    }

    /// The first API server that is ready.
    pub(super) async fn any(&self, cluster: &Cluster) -> anyhow::Result<Connection> {
        let mut last = anyhow::anyhow!("no node is a control plane");
        for node in api_servers(cluster) {
            let attempt = async {
                let mut connection = self.server(node).await?;
                connection.ready().await?;
                anyhow::Ok(connection)
            };
            match attempt.await {
                Ok(connection) => return Ok(connection),
                Err(error) => last = error,
            }
        }
        Err(last.context("no API server is ready"))
    }
}

impl Connection {
    /// Whether the server says that it is ready.
    pub(super) async fn ready(&mut self) -> anyhow::Result<()> {
        let answer = within(ANSWER, self.address, self.http.json(Method::GET, "/readyz", None)).await?;
        if answer.status == StatusCode::OK {
            return Ok(());
        }
        bail!("the API server is not ready: {}", String::from_utf8_lossy(&answer.body).trim())
    }

    /// What is at a path; nothing if there is nothing.
    pub(super) async fn get(&mut self, path: &str) -> anyhow::Result<Option<Value>> {
        let answer = within(PATIENCE, self.address, self.http.json(Method::GET, path, None)).await?;
        if answer.status == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        accept(&answer, path).map(Some)
    }

    /// Makes an object as its manifest says, whoever else has a say in it (server-side apply).
    pub(super) async fn apply(&mut self, manifest: &Value) -> anyhow::Result<()> {
        let path = manifest::path(manifest)?;
        self.apply_at(&path, manifest).await.map(drop)
    }

    /// As [`Self::apply`], at a path that is known; what is there then.
    pub(super) async fn apply_at(&mut self, path: &str, manifest: &Value) -> anyhow::Result<Value> {
        let path = format!("{path}?fieldManager={FIELD_MANAGER}&force=true");
        self.patch(&path, "application/apply-patch+yaml", manifest).await
    }

    /// Changes some fields of what is at a path (RFC 7386).
    pub(super) async fn merge(&mut self, path: &str, change: &Value) -> anyhow::Result<()> {
        self.patch(path, "application/merge-patch+json", change).await.map(drop)
    }

    async fn patch(&mut self, path: &str, content_type: &'static str, body: &Value) -> anyhow::Result<Value> {
        let mut headers = HeaderMap::new();
        headers.insert("content-type", http::HeaderValue::from_static(content_type));
        let exchange = self.http.exchange(Method::PATCH, path, headers, serde_json::to_vec(body)?);
        accept(&within(PATIENCE, self.address, exchange).await?, path)
    }

    /// Deletes what is at a path, if it is there.
    pub(super) async fn delete(&mut self, path: &str) -> anyhow::Result<()> {
        let answer = within(PATIENCE, self.address, self.http.json(Method::DELETE, path, None)).await?;
        if answer.status == StatusCode::NOT_FOUND {
            return Ok(());
        }
        accept(&answer, path).map(drop)
    }

    /// Posts, whatever the answer is.
    pub(super) async fn post(&mut self, path: &str, body: &Value) -> anyhow::Result<(StatusCode, Value)> {
        let answer = within(PATIENCE, self.address, self.http.json(Method::POST, path, Some(body))).await?;
        Ok((answer.status, answer.json().unwrap_or_default()))
    }
}

/// The body of an answer that is a success. The API's own words say what is wrong otherwise.
fn accept(answer: &http::Answer, path: &str) -> anyhow::Result<Value> {
    let body = answer.json().with_context(|| format!("{path} answered {}", answer.status))?;
    if answer.status.is_success() {
        return Ok(body);
    }
    let reason = body["message"].as_str().unwrap_or("no reason given");
    let said = format!("{path} answered {}: {reason}", answer.status.as_u16());
    // Who has too much to do, or saw another be quicker, may be asked again.
    let passes = answer.status.is_server_error()
        || matches!(answer.status, StatusCode::CONFLICT | StatusCode::TOO_MANY_REQUESTS);
    if passes { bail!(said) } else { Err(Refused(said).into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_passes_is_asked_for_again() {
        let is_refused = |status: StatusCode| {
            let answer = http::Answer { status, body: r#"{"message": "no"}"#.into() };
            accept(&answer, "/api").err().map(|error| (error.is::<Refused>(), format!("{error:#}")))
        };
        assert_eq!(is_refused(StatusCode::OK), None);
        assert_eq!(is_refused(StatusCode::FORBIDDEN), Some((true, "/api answered 403: no".to_owned())));
        for status in [StatusCode::CONFLICT, StatusCode::TOO_MANY_REQUESTS, StatusCode::INTERNAL_SERVER_ERROR] {
            assert!(is_refused(status).is_some_and(|(refused, _)| !refused), "{status}");
        }
    }
}
