//! Judging a certificate that was found by what it says, so that one that still fits is never replaced.

use std::collections::BTreeSet;
use std::fmt::Debug;

use core::net::IpAddr;
use p256::ecdsa::Signature;
use p256::ecdsa::signature::Verifier as _;
use x509_parser::certificate::X509Certificate;
use x509_parser::der_parser::oid::Oid;
use x509_parser::extensions::GeneralName;
use x509_parser::oid_registry::{OID_X509_COMMON_NAME, OID_X509_ORGANIZATION_NAME};
use x509_parser::pem::parse_x509_pem;
use x509_parser::x509::X509Name;

use super::{Authority, CertificateError, Found, Request};
use crate::site::names::HostName;

const SECONDS_A_DAY: i64 = 86_400;

/// When the first certificate of a PEM text begins and ends to be valid, milliseconds since the epoch, whoever issued it.
#[must_use]
pub fn validity(text: &str) -> Option<(i64, i64)> {
    let (_, block) = parse_x509_pem(text.as_bytes()).ok()?;
    let certificate = block.parse_x509().ok()?;
    let milliseconds = |time: x509_parser::time::ASN1Time| time.timestamp().saturating_mul(1000);
    Some((milliseconds(certificate.validity().not_before), milliseconds(certificate.validity().not_after)))
}

impl Authority<'_> {
    /// Judges a certificate found on a host by what it says, not by its bytes.
    #[must_use]
    pub fn judge(&self, host: Option<&HostName>, request: &Request, found: &str, time: i64) -> Found {
        let refused = |reason: String| Found { fits: false, ends: 0, due: true, mismatch: Some(reason) };
        let block = match parse_x509_pem(found.as_bytes()) {
            Ok((_, block)) => block,
            Err(error) => return refused(format!("it is not PEM: {error}")),
        };
        let certificate = match block.parse_x509() {
            Ok(certificate) => certificate,
            Err(error) => return refused(format!("it is not a certificate: {error}")),
        };
        let seconds = time.div_euclid(1000);
        let validity = certificate.validity();
        let (begins, ends) = (validity.not_before.timestamp(), validity.not_after.timestamp());
        let mismatch = match self.mismatch(host, request, &certificate) {
            Err(error) => Some(error.to_string()),
            Ok(Some(reason)) => Some(reason),
            Ok(None) if begins > seconds => Some("it is not valid yet".to_owned()),
            Ok(None) => None,
        };
        Found {
            fits: mismatch.is_none(),
            ends: ends.saturating_mul(1000),
            due: ends.saturating_sub(seconds).saturating_mul(3) <= ends.saturating_sub(begins),
            mismatch,
        }
    }

    /// The first thing that a certificate says otherwise than it should; how much of its life is left does not count here.
    fn mismatch(
        &self,
        host: Option<&HostName>,
        request: &Request,
        found: &X509Certificate<'_>,
    ) -> Result<Option<String>, CertificateError> {
        let (is, should) = (Said::of(found), Said::wanted(request, self.common_name()));
        if let Some(difference) = is.difference(&should) {
            return Ok(Some(difference));
        }
        let validity = found.validity();
        let days = (validity.not_after.timestamp() - validity.not_before.timestamp()) / SECONDS_A_DAY;
        if days > i64::from(request.days) {
            return Ok(Some(format!("it is valid for {days} days instead of {}", request.days)));
        }
        let key = self.leaf_key(host, &request.common_name)?;
        if key.public != found.public_key().subject_public_key.data.as_ref() {
            return Ok(Some("it is for another key".to_owned()));
        }
        let authority_key = self.authority_key()?;
        let genuine = Signature::from_der(found.signature_value.data.as_ref()).is_ok_and(|signature| {
            authority_key.signing.verifying_key().verify(found.tbs_certificate.as_ref(), &signature).is_ok()
        });
        Ok((!genuine).then(|| "it is not signed by this authority".to_owned()))
    }
}

/// What a certificate says, without an order where the order means nothing.
struct Said {
    issuer: Vec<String>,
    common_name: Vec<String>,
    organization: Vec<String>,
    names: BTreeSet<String>,
    addresses: BTreeSet<IpAddr>,
    purposes: BTreeSet<&'static str>,
    authority: bool,
}

impl Said {
    fn wanted(request: &Request, issuer: String) -> Self {
        let purposes = [(request.server, "server"), (request.client, "client")];
        Self {
            issuer: vec![issuer],
            common_name: vec![request.common_name.clone()],
            organization: request.organization.iter().cloned().collect(),
            names: request.names.iter().cloned().collect(),
            addresses: request.addresses.iter().copied().collect(),
            purposes: purposes.into_iter().filter(|(wanted, _)| *wanted).map(|(_, purpose)| purpose).collect(),
            authority: false,
        }
    }

    fn of(certificate: &X509Certificate<'_>) -> Self {
        let mut said = Self {
            issuer: attributes(certificate.issuer(), &OID_X509_COMMON_NAME),
            common_name: attributes(certificate.subject(), &OID_X509_COMMON_NAME),
            organization: attributes(certificate.subject(), &OID_X509_ORGANIZATION_NAME),
            names: BTreeSet::new(),
            addresses: BTreeSet::new(),
            purposes: BTreeSet::new(),
            authority: certificate.is_ca(),
        };
        if let Ok(Some(names)) = certificate.subject_alternative_name() {
            for name in &names.value.general_names {
                match name {
                    GeneralName::DNSName(name) => said.names.extend([(*name).to_owned()]),
                    GeneralName::IPAddress(bytes) => said.addresses.extend(address(bytes)),
                    // Anything else was never asked for, so it must count as a difference.
                    other => said.names.extend([format!("{other:?}")]),
                }
            }
        }
        if let Ok(Some(purposes)) = certificate.extended_key_usage() {
            said.purposes.extend(purposes.value.server_auth.then_some("server"));
            said.purposes.extend(purposes.value.client_auth.then_some("client"));
            said.purposes.extend(purposes.value.any.then_some("any"));
        }
        said
    }

    fn difference(&self, should: &Self) -> Option<String> {
        let pairs: [(&str, &dyn Debug, &dyn Debug); 7] = [
            ("its issuer", &self.issuer, &should.issuer),
            ("its common name", &self.common_name, &should.common_name),
            ("its organisation", &self.organization, &should.organization),
            ("its list of names", &self.names, &should.names),
            ("its list of addresses", &self.addresses, &should.addresses),
            ("its list of purposes", &self.purposes, &should.purposes),
            ("its being an authority", &self.authority, &should.authority),
        ];
        pairs.into_iter().find_map(|(what, is, should)| {
            let (is, should) = (format!("{is:?}"), format!("{should:?}"));
            (is != should).then(|| format!("{what} is {is} instead of {should}"))
        })
    }
}

fn attributes(name: &X509Name<'_>, kind: &Oid<'_>) -> Vec<String> {
    name.iter_by_oid(kind).map(|attribute| attribute.as_str().unwrap_or_default().to_owned()).collect()
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    let four = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    four.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from)).ok()
}
