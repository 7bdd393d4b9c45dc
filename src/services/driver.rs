//! What a live conversation with a cluster is given: streams that hosts open, the site's credentials, the time.

use core::net::SocketAddr;
use std::time::Duration;

use anyhow::Context as _;
use futures_util::future::BoxFuture;
use tokio_rustls::client::TlsStream;

use super::tls;
use crate::desired::{Cluster, Node};
use crate::site::certificates::{Authority, CertificateError, Issued, Request};
use crate::site::names::HostName;
use crate::site::secrets::{Purpose, SecretText, Secrets};

/// The name in wire-deploy's own client certificates, and of its own user where a service has users.
pub const OPERATOR: &str = "wire-deploy";
/// How long one node may take to answer an ordinary question.
pub const ANSWER: Duration = Duration::from_secs(5);
/// Longer than any run, shorter than anyone could make use of a certificate found later.
const CERTIFICATE_DAYS: u32 = 2;

/// What a live conversation needs: streams, and the credentials of the site.
pub struct Driver<'a> {
    /// Opens TCP streams from the hosts.
    pub network: &'a dyn Network,
    /// Where passwords and client certificates come from.
    pub secrets: &'a Secrets,
    /// Milliseconds since the epoch: client certificates are issued for a short time from now.
    pub time: i64,
}

/// A byte stream to a cluster's node.
pub trait Stream: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin {}

impl<T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin> Stream for T {}

/// Opens streams to where only the hosts reach.
pub trait Network: Send + Sync {
    /// A TCP connection opened by the agent on `host` to `address`.
    fn open<'a>(&'a self, host: &'a HostName, address: SocketAddr) -> BoxFuture<'a, std::io::Result<Box<dyn Stream>>>;

    /// Datagrams (UDP) between `host` and `address`, each behind its length in bytes: a number of two bytes, the higher first.
    fn datagrams<'a>(
        &'a self,
        _host: &'a HostName,
        _address: SocketAddr,
    ) -> BoxFuture<'a, std::io::Result<Box<dyn Stream>>> {
        Box::pin(async { Err(std::io::ErrorKind::Unsupported.into()) })
    }
}

impl Driver<'_> {
    /// The authority of a trust domain of the cluster's service.
    #[must_use]
    pub fn authority(&self, cluster: &Cluster, domain: &str) -> Authority<'_> {
        Authority::new(self.secrets, &cluster.service, domain)
    }

    /// A client certificate of this run, and its key.
    ///
    /// # Errors
    /// When it cannot be issued.
    pub fn identity(&self, cluster: &Cluster, domain: &str) -> Result<Issued, CertificateError> {
        self.identity_in_group(cluster, domain, None)
    }

    /// As [`Self::identity`], for a service that gives rights to groups: the certificate's organisation.
    ///
    /// # Errors
    /// As there.
    pub fn identity_in_group(
        &self,
        cluster: &Cluster,
        domain: &str,
        group: Option<&str>,
    ) -> Result<Issued, CertificateError> {
        let request = Request {
            common_name: OPERATOR.to_owned(),
            organization: group.map(str::to_owned),
            names: Vec::new(),
            addresses: Vec::new(),
            server: false,
            client: true,
            days: CERTIFICATE_DAYS,
        };
        self.authority(cluster, domain).issue(None, &request, self.time)
    }

    /// The site's password for a purpose of the cluster's service.
    #[must_use]
    pub fn password(&self, cluster: &Cluster, name: &str) -> SecretText {
        self.secrets.password(&Purpose { service: &cluster.service, host: None, name })
    }

    /// Likewise with former ones after it: nodes that are still to be changed know only those.
    #[must_use]
    pub fn passwords(&self, cluster: &Cluster, name: &str) -> Vec<SecretText> {
        self.secrets.passwords(&Purpose { service: &cluster.service, host: None, name })
    }

    /// A connection to an address, without TLS, opened by a node's host.
    ///
    /// # Errors
    /// When nothing listens there.
    pub async fn open(&self, node: &Node, address: SocketAddr) -> anyhow::Result<Box<dyn Stream>> {
        let stream = self.network.open(&node.host, address).await;
        stream.with_context(|| format!("cannot connect to {address}"))
    }

    /// A TLS connection to a port of a node, opened by the node's own host.
    ///
    /// # Errors
    /// When nothing listens there, or it is not trusted.
    pub async fn connect(
        &self,
        client: &tls::Client,
        node: &Node,
        port: u16,
    ) -> anyhow::Result<TlsStream<Box<dyn Stream>>> {
        self.connect_to(client, node, SocketAddr::new(node.address, port)).await
    }

    /// A TLS connection to an address on a node's host, as loopback, opened by that host.
    ///
    /// # Errors
    /// When nothing listens there, or it is not trusted.
    pub async fn connect_to(
        &self,
        client: &tls::Client,
        node: &Node,
        address: SocketAddr,
    ) -> anyhow::Result<TlsStream<Box<dyn Stream>>> {
        let stream = client.connect(self.open(node, address).await?, address.ip()).await;
        stream.with_context(|| format!("no TLS connection with {address}"))
    }
}

/// What comes out of `work`, unless it takes longer than `patience`.
///
/// # Errors
/// Those of `work`; and that `who` did not answer in time.
pub async fn within<T>(
    patience: Duration,
    who: impl std::fmt::Display,
    work: impl Future<Output = anyhow::Result<T>>,
) -> anyhow::Result<T> {
    tokio::time::timeout(patience, work)
        .await
        .map_err(|_| anyhow::anyhow!("{who} did not answer within {} s", patience.as_secs()))?
}
