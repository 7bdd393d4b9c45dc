//! The REST interface of one node, over a stream that its host opened.

use core::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, bail};
use serde_json::Value;

use super::{CLIENTS, Flavor, PORT, SERVICE_USER, USER_PASSWORD};
use crate::desired::{Cluster, Node};
use crate::services::http::{self, Answer, Method, StatusCode};
use crate::services::{Driver, tls, within};

/// How long a node may take to answer. One that has just lost its leader waits for another.
const ANSWER: Duration = Duration::from_secs(15);

/// Opens connections to the nodes of one cluster.
pub(super) struct Connector<'a> {
    driver: &'a Driver<'a>,
    cluster: &'a Cluster,
    flavor: Flavor,
}

/// A connection to one node.
pub(super) struct Connection {
    http: http::Connection,
    address: SocketAddr,
}

impl<'a> Connector<'a> {
    pub(super) fn new(cluster: &'a Cluster, driver: &'a Driver<'a>, flavor: Flavor) -> Self {
        Self { driver, cluster, flavor }
    }

    /// With the certificate that may do everything.
    pub(super) async fn admin(&self, node: &Node) -> anyhow::Result<Connection> {
        let identity = self.driver.identity(self.cluster, CLIENTS)?;
        self.open(node, Some(&identity)).await
    }

    /// As the backend's user.
    pub(super) async fn user(&self, node: &Node) -> anyhow::Result<Connection> {
        let mut connection = self.open(node, None).await?;
        connection.http.log_in(SERVICE_USER, &self.driver.password(self.cluster, USER_PASSWORD))?;
        Ok(connection)
    }

    async fn open(
        &self,
        node: &Node,
        identity: Option<&crate::site::certificates::Issued>,
    ) -> anyhow::Result<Connection> {
        let address = SocketAddr::new(node.address, PORT);
        let connect = async {
            let http = if self.flavor.is_secure() {
                let authority = self.driver.authority(self.cluster, CLIENTS).certificate()?;
                let stream = self.driver.connect(&tls::Client::new(&authority, identity)?, node, PORT).await?;
                http::Connection::new(stream, address.to_string()).await?
            } else {
                http::Connection::new(self.driver.open(node, address).await?, address.to_string()).await?
            };
            Ok(Connection { http, address })
        };
        within(ANSWER, address, connect).await
    }
}

impl Connection {
    /// One exchange, whatever the answer's status.
    pub(super) async fn ask(&mut self, method: Method, path: &str, body: Option<&Value>) -> anyhow::Result<Answer> {
        within(ANSWER, self.address, self.http.json(method, path, body)).await
    }

    /// What is at a path; nothing where there is nothing.
    pub(super) async fn find(&mut self, path: &str) -> anyhow::Result<Option<Value>> {
        let answer = self.ask(Method::GET, path, None).await?;
        if answer.status == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        expect(path, &answer).map(Some)
    }

    /// What is at a path.
    pub(super) async fn get(&mut self, path: &str) -> anyhow::Result<Value> {
        self.find(path).await?.with_context(|| format!("{path} is not there"))
    }

    /// An exchange that has to succeed.
    pub(super) async fn send(&mut self, method: Method, path: &str, body: &Value) -> anyhow::Result<Value> {
        let answer = self.ask(method, path, Some(body)).await?;
        expect(path, &answer)
    }
}

/// The answer, if it is a good one; else the server's own reason.
fn expect(path: &str, answer: &Answer) -> anyhow::Result<Value> {
    let value = answer.json().with_context(|| format!("{path} answered {}", answer.status));
    if answer.status.is_success() {
        return value;
    }
    let value = value.unwrap_or_default();
    let reasons = [&value["error"]["reason"], &value["message"], &value["error"]];
    let reason = reasons.into_iter().find_map(Value::as_str).map_or_else(|| value.to_string(), str::to_owned);
    bail!("{path} answered {}: {reason}", answer.status.as_u16());
}
