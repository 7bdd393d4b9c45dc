//! TLS over a stream that was opened by a host: the site's own authority is the only one trusted.

use core::net::IpAddr;
use std::sync::Arc;

use anyhow::Context as _;
use rustls::ClientConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::Stream;
use crate::site::certificates::Issued;

/// What connections of one kind share: whom to believe and what to show.
#[derive(Clone)]
pub struct Client {
    connector: TlsConnector,
}

impl Client {
    /// Trusts the authority whose certificate (PEM) is given, and shows `identity` to servers that ask.
    ///
    /// # Errors
    /// When a certificate or key cannot be read.
    pub fn new(authority: &str, identity: Option<&Issued>) -> anyhow::Result<Self> {
        let mut roots = rustls::RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(authority.as_bytes()) {
            roots.add(certificate.context("the authority's certificate is not PEM")?)?;
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots);
        let configuration = match identity {
            None => builder.with_no_client_auth(),
            Some(identity) => {
                let chain =
                    CertificateDer::pem_slice_iter(identity.certificate.as_bytes()).collect::<Result<Vec<_>, _>>();
                let key = PrivateKeyDer::from_pem_slice(identity.key.expose().as_bytes());
                builder.with_client_auth_cert(
                    chain.context("the client's certificate is not PEM")?,
                    key.context("the client's key is not PEM")?,
                )?
            }
        };
        Ok(Self { connector: TlsConnector::from(Arc::new(configuration)) })
    }

    /// Shakes hands with the server at the other end, whose certificate must be for `address`.
    ///
    /// # Errors
    /// When the server is not trusted, does not trust us, or speaks no TLS.
    pub async fn connect(
        &self,
        stream: Box<dyn Stream>,
        address: IpAddr,
    ) -> std::io::Result<TlsStream<Box<dyn Stream>>> {
        self.connector.connect(ServerName::IpAddress(address.into()), stream).await
    }

    /// As [`Self::connect`], with a server whose certificate must be for a DNS name.
    ///
    /// # Errors
    /// As there, and when `name` is no DNS name.
    pub async fn connect_to(&self, stream: Box<dyn Stream>, name: &str) -> std::io::Result<TlsStream<Box<dyn Stream>>> {
        let name = ServerName::try_from(name.to_owned()).map_err(std::io::Error::other)?;
        self.connector.connect(name, stream).await
    }
}
