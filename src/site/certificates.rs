//! Certificates: one authority per trust domain, keys derived from the seed, signatures deterministic (RFC 6979), so that the same
//! request at the same time gives the same bytes.

use core::net::IpAddr;
use jiff::civil::Date;
use p256::SecretKey;
use p256::ecdsa::signature::Signer as _;
use p256::ecdsa::{Signature, SigningKey};
use p256::elliptic_curve::sec1::ToEncodedPoint as _;
use p256::pkcs8::{EncodePrivateKey as _, EncodePublicKey as _, LineEnding};
use rcgen::string::Ia5String;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyUsagePurpose, SanType, SerialNumber, date_time_ymd,
};
use sha2::{Digest as _, Sha256};

use super::names::{HostName, ServiceName};
use super::secrets::{Purpose, SecretText, Secrets, derive};

pub use judge::validity;

mod judge;
#[cfg(test)]
mod tests;

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

/// A P-256 key derived from the seed; signs deterministically, so that what it signs is the same every time.
struct DerivedKey {
    key: SecretKey,
    signing: SigningKey,
    /// The public key as an uncompressed point (SEC 1).
    public: Vec<u8>,
}

impl DerivedKey {
    /// The key of a purpose. One in four thousand million candidates is not below the curve's order; then the next is taken.
    fn new(secrets: &Secrets, purpose: &Purpose<'_>) -> Option<Self> {
        let secret = secrets.key(purpose);
        let key = (0..=u8::MAX).find_map(|attempt| {
            let candidate = derive(secret.as_ref(), &["p256", &attempt.to_string()]);
            SecretKey::from_slice(candidate.as_ref()).ok()
        })?;
        let public = key.public_key().to_encoded_point(false).as_bytes().to_vec();
        Some(Self { signing: SigningKey::from(&key), key, public })
    }
}

impl rcgen::PublicKeyData for DerivedKey {
    fn der_bytes(&self) -> &[u8] {
        &self.public
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        &rcgen::PKCS_ECDSA_P256_SHA256
    }
}

impl rcgen::SigningKey for DerivedKey {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        let signature: Signature = self.signing.try_sign(message).map_err(|_| rcgen::Error::RemoteKeyError)?;
        Ok(signature.to_der().as_bytes().to_vec())
    }
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
        let key = self.authority_key()?;
        let certificate = self.authority_params(&key)?.self_signed(&key).map_err(|error| self.failed(&error))?;
        Ok(certificate.pem())
    }

    /// The authority's own private key, PEM (PKCS#8): for a service that issues certificates itself.
    ///
    /// # Errors
    /// Never with a derived key.
    pub fn own_key(&self) -> Result<SecretText, CertificateError> {
        let key = self.authority_key()?;
        let pem = key.key.to_pkcs8_pem(LineEnding::LF).map_err(|error| failure(&self.common_name(), error))?;
        Ok(SecretText::new(pem.as_str().to_owned()))
    }

    /// The public half of [`Self::own_key`], PEM (`SubjectPublicKeyInfo`, RFC 5280).
    ///
    /// # Errors
    /// Never with a derived key.
    pub fn own_public_key(&self) -> Result<String, CertificateError> {
        let key = self.authority_key()?.key.public_key();
        key.to_public_key_pem(LineEnding::LF).map_err(|error| failure(&self.common_name(), error))
    }

    /// The SHA-256 digest of the authority's `SubjectPublicKeyInfo`, hexadecimal: by this kubeadm pins an authority.
    ///
    /// # Errors
    /// Never with a derived key.
    pub fn own_public_key_digest(&self) -> Result<String, CertificateError> {
        let key = self.authority_key()?.key.public_key();
        let document = key.to_public_key_der().map_err(|error| failure(&self.common_name(), error))?;
        Ok(hex::encode(Sha256::digest(document.as_bytes())))
    }

    /// The private key that belongs to a request's holder, PEM; derived from the host (or the common name of a client), and of a host's
    /// certificate under another name than its own from that, too.
    ///
    /// # Errors
    /// Never with a derived key.
    pub fn key(&self, host: Option<&HostName>, common_name: &str) -> Result<SecretText, CertificateError> {
        let key = self.leaf_key(host, common_name)?;
        let pem = key.key.to_pkcs8_pem(LineEnding::LF).map_err(|error| failure(common_name, error))?;
        Ok(SecretText::new(pem.as_str().to_owned()))
    }

    /// Issues a certificate valid from the start of `time`'s day (milliseconds since the epoch, UTC).
    ///
    /// # Errors
    /// When a name cannot stand in a certificate.
    pub fn issue(&self, host: Option<&HostName>, request: &Request, time: i64) -> Result<Issued, CertificateError> {
        let common_name = request.common_name.as_str();
        let authority_key = self.authority_key()?;
        let authority = self.authority_params(&authority_key)?;
        let key = self.leaf_key(host, common_name)?;
        // A certificate from before its authority, or one that outlives it, would not be believed.
        let (authority_from, authority_until) = self.authority_validity()?;
        let from = date(time).map_err(|error| failure(common_name, error))?.max(authority_from);
        let until = after(from, request.days).map_err(|error| failure(common_name, error))?.min(authority_until);

        let mut params = CertificateParams::default();
        params.distinguished_name = distinguished_name(common_name, request.organization.as_deref());
        for name in &request.names {
            let name = Ia5String::try_from(name.as_str()).map_err(|error| failure(common_name, error))?;
            params.subject_alt_names.push(SanType::DnsName(name));
        }
        params.subject_alt_names.extend(request.addresses.iter().map(|address| SanType::IpAddress(*address)));
        params.not_before = date_time_ymd(from.year().into(), from.month().unsigned_abs(), from.day().unsigned_abs());
        params.not_after = date_time_ymd(until.year().into(), until.month().unsigned_abs(), until.day().unsigned_abs());
        params.serial_number =
            Some(serial(&[&authority_key.public, &key.public, format!("{from} {until} {request:?}").as_bytes()]));
        params.is_ca = IsCa::ExplicitNoCa;
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        let purposes = [
            (request.server, ExtendedKeyUsagePurpose::ServerAuth),
            (request.client, ExtendedKeyUsagePurpose::ClientAuth),
        ];
        params.extended_key_usages =
            purposes.into_iter().filter(|(wanted, _)| *wanted).map(|(_, purpose)| purpose).collect();
        let certificate = params
            .signed_by(&key, &Issuer::from_params(&authority, &authority_key))
            .map_err(|error| failure(common_name, error))?;
        Ok(Issued { certificate: certificate.pem(), key: self.key(host, common_name)? })
    }

    fn common_name(&self) -> String {
        format!("{} {} authority", self.service, self.domain)
    }

    fn authority_key(&self) -> Result<DerivedKey, CertificateError> {
        let name = format!("ca/{}", self.domain);
        DerivedKey::new(self.secrets, &Purpose { service: &self.service, host: None, name: &name })
            .ok_or_else(|| failure(&self.common_name(), NO_KEY))
    }

    fn leaf_key(&self, host: Option<&HostName>, common_name: &str) -> Result<DerivedKey, CertificateError> {
        let name = match host {
            Some(host) if host.as_str() == common_name => format!("key/{}", self.domain),
            _ => format!("key/{}/{common_name}", self.domain),
        };
        DerivedKey::new(self.secrets, &Purpose { service: &self.service, host, name: &name })
            .ok_or_else(|| failure(common_name, NO_KEY))
    }

    fn authority_validity(&self) -> Result<(Date, Date), CertificateError> {
        let from = date(self.secrets.created).map_err(|error| failure(&self.common_name(), error))?;
        let until = after(from, AUTHORITY_DAYS).map_err(|error| failure(&self.common_name(), error))?;
        Ok((from, until))
    }

    fn authority_params(&self, key: &DerivedKey) -> Result<CertificateParams, CertificateError> {
        let (from, until) = self.authority_validity()?;
        let mut params = CertificateParams::default();
        params.distinguished_name = distinguished_name(&self.common_name(), None);
        params.not_before = date_time_ymd(from.year().into(), from.month().unsigned_abs(), from.day().unsigned_abs());
        params.not_after = date_time_ymd(until.year().into(), until.month().unsigned_abs(), until.day().unsigned_abs());
        params.serial_number = Some(serial(&[&key.public]));
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        Ok(params)
    }

    fn failed(&self, error: &rcgen::Error) -> CertificateError {
        failure(&self.common_name(), error)
    }
}

/// Days an authority is valid: 20 years.
const AUTHORITY_DAYS: u32 = 7305;

const NO_KEY: &str = "no key can be derived from this seed";

fn distinguished_name(common_name: &str, organization: Option<&str>) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    if let Some(organization) = organization {
        name.push(DnType::OrganizationName, organization);
    }
    name.push(DnType::CommonName, common_name);
    name
}

/// A serial number of 127 bits that follows from what is certified (RFC 5280 wants it positive and of at most 20 bytes).
fn serial(parts: &[&[u8]]) -> SerialNumber {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update((part.len() as u64).to_be_bytes());
        hasher.update(part);
    }
    let mut bytes = hasher.finalize()[..16].to_vec();
    bytes[0] = bytes[0] & 0x3f | 0x40;
    SerialNumber::from(bytes)
}

/// The day, in UTC, of a time in milliseconds since the epoch.
fn date(time: i64) -> Result<Date, jiff::Error> {
    Ok(jiff::tz::Offset::UTC.to_datetime(jiff::Timestamp::from_millisecond(time)?).date())
}

fn after(from: Date, days: u32) -> Result<Date, jiff::Error> {
    from.checked_add(jiff::Span::new().try_days(days)?)
}

fn failure(common_name: &str, reason: impl std::fmt::Display) -> CertificateError {
    CertificateError { common_name: common_name.to_owned(), reason: reason.to_string() }
}
