//! Signed requests to one node, over a stream that its host opened.

use core::net::SocketAddr;
use std::time::Instant;

use anyhow::bail;
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};

use super::signature::{self, Credentials};
use super::{PORT, ROOT_PASSWORD, SERVICE_USER, TRUST_DOMAIN, USER_PASSWORD};
use crate::desired::{Cluster, Node};
use crate::services::http::{self, Answer, Method, StatusCode};
use crate::services::{ANSWER, Driver, OPERATOR, tls, within};

/// Opens connections to the nodes of one cluster.
pub(super) struct Connector<'a> {
    driver: &'a Driver<'a>,
    tls: tls::Client,
    root: Credentials,
    user: Credentials,
}

/// A connection to one node.
pub(super) struct Connection {
    http: http::Connection,
    /// The Host header, which is signed.
    host: String,
    /// When it was opened: milliseconds since the epoch, and by this machine's clock that only goes on.
    opened: (i64, Instant),
    /// Who signs.
    pub credentials: Credentials,
}

/// An answer's error, in XML from S3 and in JSON from administration.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Reason {
    code: String,
    message: String,
}

impl<'a> Connector<'a> {
    pub(super) fn new(cluster: &Cluster, driver: &'a Driver<'a>) -> anyhow::Result<Self> {
        let authority = driver.authority(cluster, TRUST_DOMAIN).certificate()?;
        let credentials =
            |user: &str, name: &str| Credentials { user: user.to_owned(), secret: driver.password(cluster, name) };
        let (root, user) = (credentials(OPERATOR, ROOT_PASSWORD), credentials(SERVICE_USER, USER_PASSWORD));
        Ok(Self { driver, tls: tls::Client::new(&authority, None)?, root, user })
    }

    /// As root.
    pub(super) async fn root(&self, node: &Node) -> anyhow::Result<Connection> {
        self.open(node, self.root.clone()).await
    }

    /// As the backend's user.
    pub(super) async fn user(&self, node: &Node) -> anyhow::Result<Connection> {
        self.open(node, self.user.clone()).await
    }

    /// The backend's user.
    pub(super) fn user_credentials(&self) -> &Credentials {
        &self.user
    }

    async fn open(&self, node: &Node, credentials: Credentials) -> anyhow::Result<Connection> {
        let host = host_of(node);
        let connect = async {
            let stream = self.driver.connect(&self.tls, node, PORT).await?;
            let http = http::Connection::new(stream, host.clone()).await?;
            Ok(Connection { http, host: host.clone(), opened: (self.driver.time, Instant::now()), credentials })
        };
        within(ANSWER, &host, connect).await
    }
}

impl Connection {
    /// One signed exchange, whatever the answer's status. `path` is sent as it is.
    pub(super) async fn ask(
        &mut self,
        method: Method,
        path: &str,
        query: &[(&str, &str)],
        body: Vec<u8>,
    ) -> anyhow::Result<Answer> {
        let (opened, since) = self.opened;
        let time = opened.saturating_add(i64::try_from(since.elapsed().as_millis()).unwrap_or_default());
        let request = signature::Request { method: method.as_str(), host: &self.host, path, query, body: &body, time };
        let mut headers = signature::sign(&request, &self.credentials)?;
        if !body.is_empty() {
            headers.extend(checksum(&body)?);
        }
        let target = match signature::query(query) {
            none if none.is_empty() => path.to_owned(),
            query => format!("{path}?{query}"),
        };
        within(ANSWER, &self.host, self.http.exchange(method, &target, headers, body)).await
    }

    /// A JSON answer; nothing where the thing asked for does not exist.
    pub(super) async fn find<T: DeserializeOwned>(
        &mut self,
        method: Method,
        path: &str,
        query: &[(&str, &str)],
        body: Vec<u8>,
    ) -> anyhow::Result<Option<T>> {
        let answer = self.ask(method, path, query, body).await?;
        match answer.status {
            StatusCode::NOT_FOUND => Ok(None),
            _ => Ok(Some(serde_json::from_slice(&expect(path, answer)?.body)?)),
        }
    }

    /// An exchange that has to succeed.
    pub(super) async fn put(&mut self, path: &str, query: &[(&str, &str)], body: Vec<u8>) -> anyhow::Result<()> {
        expect(path, self.ask(Method::PUT, path, query, body).await?).map(drop)
    }
}

/// A node's address and port, as its server is called by itself and by the others.
pub(super) fn host_of(node: &Node) -> String {
    SocketAddr::new(node.address, PORT).to_string()
}

/// The answer, if it is a good one; else the server's own reason.
pub(super) fn expect(path: &str, answer: Answer) -> anyhow::Result<Answer> {
    if answer.status.is_success() {
        return Ok(answer);
    }
    let Reason { code, message } = reason(&answer);
    bail!("{path} answered {} {code}: {message}", answer.status.as_u16());
}

/// The code of an answer's error, as `SignatureDoesNotMatch`.
pub(super) fn error_code(answer: &Answer) -> String {
    reason(answer).code
}

fn reason(answer: &Answer) -> Reason {
    let text = String::from_utf8_lossy(&answer.body);
    let in_xml = |name: &str| element(&text, name).unwrap_or_default().to_owned();
    serde_json::from_str(&text).unwrap_or_else(|_| Reason { code: in_xml("Code"), message: in_xml("Message") })
}

/// The text of the first element of that name. S3's answers have no attributes where this is used, and values that need no
/// decoding.
pub(super) fn element<'a>(xml: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = xml.split_once(&format!("<{name}>"))?;
    rest.split_once(&format!("</{name}>")).map(|(text, _)| text)
}

/// S3 wants one for what changes a bucket.
fn checksum(body: &[u8]) -> anyhow::Result<HeaderMap> {
    use base64::Engine as _;
    let digest = base64::engine::general_purpose::STANDARD.encode(Sha256::digest(body));
    Ok([(HeaderName::from_static("x-amz-checksum-sha256"), HeaderValue::from_str(&digest)?)].into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_servers_own_reason_is_told() {
        let answer = |body: &'static str| Answer { status: StatusCode::FORBIDDEN, body: body.into() };
        let xml = answer(
            "<?xml version=\"1.0\"?>\n<Error><Code>AccessDenied</Code><Message>Access Denied.</Message></Error>",
        );
        assert_eq!(error_code(&xml), "AccessDenied");
        let json = answer("{\"Code\":\"XMinioInvalid\",\"Message\":\"no\",\"Resource\":\"/\"}");
        let told = expect("/a", json).map(|_| ()).map_err(|error| error.to_string());
        assert_eq!(told, Err("/a answered 403 XMinioInvalid: no".to_owned()));
        assert_eq!(error_code(&answer("")), "");
    }
}
