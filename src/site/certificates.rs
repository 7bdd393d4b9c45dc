//! Certificates: one authority per trust domain, keys derived from the seed, signatures deterministic (RFC 6979), so that the same
//! request at the same time gives the same bytes.

use core::net::IpAddr;

use super::names::{HostName, ServiceName};
use super::secrets::{SecretText, Secrets};

/// A certificate authority of one trust domain, as `etcd-peers`.
pub struct Authority<'a> {
    secrets: &'a Secrets,
    service: ServiceName,
    domain: String,
}

/// What a certificate should say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Common name.
    pub common_name: String,
    /// Organisation, if any.
    pub organization: Option<String>,
    /// DNS names.
    pub names: Vec<String>,
    /// Addresses.
    pub addresses: Vec<IpAddr>,
    /// May be shown by a server.
    pub server: bool,
    /// May be shown by a client.
    pub client: bool,
    /// Days it is valid.
    pub days: u32,
}

/// A certificate with its key, both PEM (the key PKCS#8).
#[derive(Debug, Clone)]
pub struct Issued {
    /// The leaf certificate.
    pub certificate: String,
    /// Its private key.
    pub key: SecretText,
}

/// What a certificate that was found says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// It says what the request asks, is signed by this authority, for the derived key.
    pub fits: bool,
    /// When it ends: milliseconds since the epoch.
    pub ends: i64,
    /// A third of its life or less is left.
    pub due: bool,
    /// Why it does not fit.
    pub mismatch: Option<String>,
}

/// Something is wrong with a key or certificate; never the case with derived keys and valid names.
#[derive(Debug, thiserror::Error)]
#[error("certificate for {common_name}: {reason}")]
pub struct CertificateError {
    /// For whom.
    pub common_name: String,
    /// What.
    pub reason: String,
}

impl<'a> Authority<'a> {
    /// The authority of a trust domain of a service.
    #[must_use]
    pub fn new(secrets: &'a Secrets, service: &ServiceName, domain: &str) -> Self {
        Self { secrets, service: service.clone(), domain: domain.to_owned() }
    }

    /// Its own certificate, PEM; the same bytes every time (valid from the day the seed was made, 20 years).
    ///
    /// # Errors
    /// When the domain's name cannot stand in a certificate.
    pub fn certificate(&self) -> Result<String, CertificateError> {
        let _ = (&self.secrets, &self.service, &self.domain);
        todo!()
    }

    /// The private key that belongs to a request's holder, PEM; derived from the host (or the common name of a client).
    ///
    /// # Errors
    /// Never with a derived key.
    pub fn key(&self, host: Option<&HostName>, common_name: &str) -> Result<SecretText, CertificateError> {
        let _ = (host, common_name);
        todo!()
    }

    /// Issues a certificate valid from the start of `time`'s day (milliseconds since the epoch, UTC).
    ///
    /// # Errors
    /// When a name cannot stand in a certificate.
    pub fn issue(&self, host: Option<&HostName>, request: &Request, time: i64) -> Result<Issued, CertificateError> {
        let _ = (host, request, time);
        todo!()
    }

    /// Judges a certificate found on a host by what it says, not by its bytes.
    #[must_use]
    pub fn judge(&self, host: Option<&HostName>, request: &Request, found: &str, time: i64) -> Found {
        let _ = (host, request, found, time);
        todo!()
    }
}
