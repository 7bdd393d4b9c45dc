//! HTTP and TLS from this machine itself, to what is reached without a host in between: a backend's public address, an image registry.

use core::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use rustls::ClientConfig;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

/// How long a connection may take to come about.
pub const CONNECT_PATIENCE: Duration = Duration::from_secs(10);

/// Whom to believe, and who this program says it is.
#[derive(Debug, Clone)]
pub struct Web {
    /// The certificate authorities that are believed, and how TLS is spoken.
    pub tls: Arc<ClientConfig>,
    /// Where connections go, if not where names lead.
    pub address: Option<IpAddr>,
}

/// Leads every name to one address.
struct Always(IpAddr);

impl Resolve for Always {
    fn resolve(&self, _name: Name) -> Resolving {
        // The port is that of the URL.
        let addresses: Addrs = Box::new(std::iter::once(SocketAddr::new(self.0, 0)));
        Box::pin(std::future::ready(Ok(addresses)))
    }
}

/// Why nobody can be believed.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct TrustError {
    /// What went wrong.
    pub message: String,
    /// What to do about it.
    pub hint: String,
}

impl Web {
    /// Believes the authorities in a PEM file; without one, those that this machine believes.
    ///
    /// # Errors
    /// When the file cannot be read or holds no certificate.
    pub fn new(authorities: Option<&Path>) -> Result<Self, TrustError> {
        let certificates = match authorities {
            Some(path) => from_file(path)?,
            // What cannot be read there is believed by nobody; whoever needed it is told that the server is not trusted.
            None => rustls_native_certs::load_native_certs().certs,
        };
        Self::of(certificates)
    }

    /// Believes the authorities in a PEM text.
    ///
    /// # Errors
    /// When it holds no certificate.
    pub fn trusting(authorities: &str) -> Result<Self, TrustError> {
        Self::of(certificates(authorities.as_bytes(), "the authority")?)
    }

    fn of(certificates: Vec<CertificateDer<'static>>) -> Result<Self, TrustError> {
        let mut roots = rustls::RootCertStore::empty();
        roots.add_parsable_certificates(certificates);
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let builder = builder.map_err(|error| TrustError {
            message: format!("TLS cannot be set up: {error}"),
            hint: "report this as a bug".to_owned(),
        })?;
        Ok(Self { tls: Arc::new(builder.with_root_certificates(roots).with_no_client_auth()), address: None })
    }

    /// An HTTP client to be; what it is for sets time limits.
    pub fn http(&self) -> reqwest::ClientBuilder {
        let builder = match self.address {
            Some(address) => reqwest::Client::builder().dns_resolver(Arc::new(Always(address))),
            None => reqwest::Client::builder(),
        };
        builder
            .tls_backend_preconfigured(ClientConfig::clone(&self.tls))
            .connect_timeout(CONNECT_PATIENCE)
            .user_agent(concat!("wire-deploy/", env!("CARGO_PKG_VERSION")))
    }
}

fn from_file(path: &Path) -> Result<Vec<CertificateDer<'static>>, TrustError> {
    let shown = path.display().to_string();
    certificates(&std::fs::read(path).map_err(|error| wrong(&shown, &error.to_string()))?, &shown)
}

/// The certificates in a PEM text.
fn certificates(text: &[u8], shown: &str) -> Result<Vec<CertificateDer<'static>>, TrustError> {
    let certificates = CertificateDer::pem_slice_iter(text).collect::<Result<Vec<_>, _>>();
    let certificates = certificates.map_err(|error| wrong(shown, &error.to_string()))?;
    if certificates.is_empty() { Err(wrong(shown, "it holds no certificate")) } else { Ok(certificates) }
}

fn wrong(shown: &str, reason: &str) -> TrustError {
    TrustError {
        message: format!("{shown}: {reason}"),
        hint: "expected a PEM file with the certificates of authorities (-----BEGIN CERTIFICATE-----)".to_owned(),
    }
}

/// What went wrong and why, as one line: HTTP clients tell the reason in their causes only. Addresses are left out, as their
/// queries may hold tokens.
#[must_use]
pub fn told(error: reqwest::Error) -> String {
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
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;

    #[test]
    fn a_file_without_certificates_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ca.pem");
        for (text, reason) in [(None, "No such file"), (Some("nothing"), "it holds no certificate")] {
            if let Some(text) = text {
                std::fs::write(&path, text).unwrap();
            }
            let error = Web::new(Some(&path)).unwrap_err();
            assert!(error.message.contains("ca.pem: ") && error.message.contains(reason), "{error}");
        }
    }

    #[tokio::test]
    async fn a_refused_connection_is_told_with_its_reason_and_without_the_address() {
        let client = Web::new(None).unwrap().http().no_proxy().build().unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let error = client.get(format!("http://{address}/?token=secret")).send().await.unwrap_err();
        let text = told(error);
        assert!(text.contains("refused") && !text.contains("secret"), "{text}");
    }
}
