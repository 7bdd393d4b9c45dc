//! The way to the API over streams that the control planes' hosts open: this machine needs no route to them.

use core::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use futures_util::future::BoxFuture;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::Request;
use hyper::body::Bytes;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{HOST, HeaderValue};
use hyper_util::rt::TokioIo;

use super::Api;
use super::api::{Answer, Broken, MAX_ANSWER, Way};
use crate::desired::{Cluster, Node};
use crate::services::kubernetes::{API_PORT, api_servers, operators_tls};
use crate::services::{Driver, tls, within};

/// How long a connection to one API server may take, before the next one is tried.
const CONNECT: Duration = Duration::from_secs(5);

struct Hosts<'a> {
    driver: &'a Driver<'a>,
    nodes: Vec<&'a Node>,
    tls: tls::Client,
    /// Connections that nobody uses now.
    idle: Mutex<Vec<Open>>,
}

struct Open {
    sender: SendRequest<Full<Bytes>>,
    host: HeaderValue,
}

impl<'a> Api<'a> {
    /// The API of a cluster of the site's own, by whichever control plane answers.
    ///
    /// # Errors
    /// When the certificate of this run cannot be made, or no node is a control plane.
    pub fn over_hosts(cluster: &'a Cluster, driver: &'a Driver<'a>) -> anyhow::Result<Self> {
        let nodes: Vec<&Node> = api_servers(cluster).collect();
        let names: Vec<&str> = nodes.iter().map(|node| node.host.as_str()).collect();
        let place = names.join(", ");
        anyhow::ensure!(!nodes.is_empty(), "no node is a control plane");
        let tls = operators_tls(cluster, driver)?;
        Ok(Self::new(Hosts { driver, nodes, tls, idle: Mutex::default() }, place))
    }
}

impl Way for Hosts<'_> {
    fn exchange(&self, request: Request<Bytes>) -> BoxFuture<'_, Result<Answer, Broken>> {
        Box::pin(async move {
            let broken = |error: anyhow::Error| Broken { message: format!("{error:#}"), passing: true };
            let mut open = self.open().await.map_err(broken)?;
            let (head, body) = request.into_parts();
            let mut request = Request::from_parts(head, Full::new(body));
            request.headers_mut().insert(HOST, open.host.clone());
            let answer = ask(&mut open, request).await.map_err(broken)?;
            self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(open);
            Ok(answer)
        })
    }
}

impl Hosts<'_> {
    /// A connection that is free, or a new one to the first control plane that takes it.
    async fn open(&self) -> anyhow::Result<Open> {
        loop {
            let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let Some(mut open) = idle else { break };
            // A server that restarts closes them.
            if !open.sender.is_closed() && open.sender.ready().await.is_ok() {
                return Ok(open);
            }
        }
        let mut last = anyhow::anyhow!("no node is a control plane");
        for node in &self.nodes {
            match within(CONNECT, &node.host, self.connect(node)).await {
                Ok(open) => return Ok(open),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    async fn connect(&self, node: &Node) -> anyhow::Result<Open> {
        let address = SocketAddr::new(node.address, API_PORT);
        let stream = self.driver.connect_to(&self.tls, node, address).await?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        // Ends when the sender is dropped or the stream breaks; what went wrong then comes out of the exchange.
        tokio::spawn(connection);
        Ok(Open { sender, host: HeaderValue::from_str(&address.to_string())? })
    }
}

async fn ask(open: &mut Open, request: Request<Full<Bytes>>) -> anyhow::Result<Answer> {
    let (head, body) = open.sender.send_request(request).await?.into_parts();
    let body = Limited::new(body, MAX_ANSWER).collect().await.map_err(|error| anyhow::anyhow!(error));
    Ok(Answer { code: head.status.as_u16(), body: body.context("its answer broke off")?.to_bytes() })
}
