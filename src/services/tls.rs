//! TLS over a stream that was opened by a host. The site's own authority is the only one trusted, but by what tries a service as strangers
//! use it.

use core::net::IpAddr;
use std::sync::Arc;

use anyhow::{Context as _, bail, ensure};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_name;
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::sign::CertifiedKey;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, SignatureScheme};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::Stream;
use crate::site::certificates::Issued;

/// Checks that a private key (PEM) is that of the first certificate of a chain (PEM).
///
/// # Errors
/// When it is not, or one of them cannot be read. Nothing of the key is told.
pub fn check_pair(chain: &str, key: &str) -> anyhow::Result<()> {
    let chain = CertificateDer::pem_slice_iter(chain.as_bytes()).collect::<Result<Vec<_>, _>>();
    let chain = chain.ok().filter(|chain| !chain.is_empty()).context("the chain holds no certificate in PEM")?;
    let Ok(key) = PrivateKeyDer::from_pem_slice(key.as_bytes()) else { bail!("the key is no private key in PEM") };
    match CertifiedKey::from_der(chain, key, &rustls::crypto::ring::default_provider()) {
        Ok(_) => Ok(()),
        Err(rustls::Error::InconsistentKeys(_)) => bail!("the key is not the certificate's"),
        Err(_) => bail!("certificate or key are of a kind that is not known"),
    }
}

/// Checks that the first certificate of a chain (PEM) is good for servers of all these names at a time (milliseconds since the epoch).
///
/// # Errors
/// Names what is missing, or when it is valid.
pub fn check_names(chain: &str, names: &[String], time: i64) -> anyhow::Result<()> {
    let leaf =
        CertificateDer::from_pem_slice(chain.as_bytes()).ok().context("the chain holds no certificate in PEM")?;
    let Ok((_, read)) = x509_parser::parse_x509_certificate(&leaf) else { bail!("the certificate cannot be read") };
    let seconds = time.div_euclid(1000);
    let validity = read.validity();
    ensure!(seconds >= validity.not_before.timestamp(), "the certificate is valid from {} only", validity.not_before);
    ensure!(seconds <= validity.not_after.timestamp(), "the certificate has ended on {}", validity.not_after);
    let parsed = ParsedCertificate::try_from(&leaf).context("the certificate cannot be read")?;
    let is_for = |name: &str| ServerName::try_from(name).is_ok_and(|name| verify_server_name(&parsed, &name).is_ok());
    let missing: Vec<&str> = names.iter().map(String::as_str).filter(|name| !is_for(name)).collect();
    ensure!(missing.is_empty(), "the certificate is not for {}", missing.join(", "));
    Ok(())
}

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

    /// Takes any server that has the key of the certificate which it shows, whoever issued that, as long as it is valid now. For servers
    /// whose clients are not ours, and where nothing is told that others may not hear.
    ///
    /// # Errors
    /// When no version of TLS is at hand.
    pub fn believing_anyone() -> anyhow::Result<Self> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = Arc::new(ValidNow(provider.signature_verification_algorithms));
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
        let configuration = builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth();
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
}

/// Looks at nothing of a certificate but when it is valid.
#[derive(Debug)]
struct ValidNow(WebPkiSupportedAlgorithms);

impl ServerCertVerifier for ValidNow {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let Ok((_, read)) = x509_parser::parse_x509_certificate(certificate) else {
            return Err(CertificateError::BadEncoding.into());
        };
        let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
        match (read.validity().not_before.timestamp(), read.validity().not_after.timestamp()) {
            (begins, _) if now < begins => Err(CertificateError::NotValidYet.into()),
            (_, ends) if ends < now => Err(CertificateError::Expired.into()),
            _ => Ok(ServerCertVerified::assertion()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.0)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::BTreeMap;

    use super::*;
    use crate::site::certificates::{Authority, Request};
    use crate::site::secrets::Secrets;

    fn issued(host: &str) -> Issued {
        let secrets = Secrets::new([1; 32], 0, BTreeMap::new(), BTreeMap::new());
        let request = Request {
            common_name: host.to_owned(),
            organization: None,
            names: Vec::new(),
            addresses: Vec::new(),
            server: true,
            client: false,
            days: 90,
        };
        Authority::new(&secrets, &"turn".into(), "nodes").issue(Some(&host.into()), &request, 0).unwrap()
    }

    #[test]
    fn a_key_must_be_the_certificates_own() {
        let (one, other) = (issued("one"), issued("other"));
        let said = |chain: &str, key: &str| check_pair(chain, key).map_err(|error| error.to_string());
        assert_eq!(said(&one.certificate, one.key.expose()), Ok(()));
        assert_eq!(said(&one.certificate, other.key.expose()), Err("the key is not the certificate's".to_owned()));
        assert_eq!(said(&one.certificate, "a password"), Err("the key is no private key in PEM".to_owned()));
        assert_eq!(said("nothing", one.key.expose()), Err("the chain holds no certificate in PEM".to_owned()));
    }

    #[test]
    fn a_certificate_must_have_all_names_and_be_valid() {
        let secrets = Secrets::new([1; 32], 0, BTreeMap::new(), BTreeMap::new());
        let request = Request {
            common_name: "edge".to_owned(),
            organization: None,
            names: vec!["webapp.example.com".to_owned(), "*.wire.example.com".to_owned()],
            addresses: Vec::new(),
            server: true,
            client: false,
            days: 90,
        };
        let issued = Authority::new(&secrets, &"ingress".into(), "edge").issue(None, &request, 0).unwrap();
        let said = |names: &[&str], days: i64| {
            let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            check_names(&issued.certificate, &names, days * 86_400_000).map_err(|error| error.to_string())
        };
        assert_eq!(said(&["webapp.example.com", "assets.wire.example.com"], 1), Ok(()));
        let missing = said(&["webapp.example.com", "wire.example.com", "teams.example.com"], 1).unwrap_err();
        assert_eq!(missing, "the certificate is not for wire.example.com, teams.example.com");
        assert!(said(&["webapp.example.com"], 91).unwrap_err().contains("has ended"), "it ended");
        assert!(said(&["webapp.example.com"], -1).unwrap_err().contains("valid from"), "it is not valid yet");
    }

    #[test]
    fn whoever_believes_anyone_still_takes_no_certificate_that_has_ended() {
        let verifier = ValidNow(rustls::crypto::ring::default_provider().signature_verification_algorithms);
        let issued = issued("one");
        let certificate = CertificateDer::from_pem_slice(issued.certificate.as_bytes()).unwrap();
        let name = ServerName::try_from("elsewhere.example").unwrap();
        let after = |days: u64| {
            let now = UnixTime::since_unix_epoch(std::time::Duration::from_secs(days * 86_400));
            verifier.verify_server_cert(&certificate, &[], &name, &[], now).err()
        };
        assert_eq!(after(1), None);
        assert_eq!(after(91), Some(CertificateError::Expired.into()));
    }
}
