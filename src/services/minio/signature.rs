//! Requests signed with a user's secret key: AWS Signature Version 4, in the Authorization header.
//!
//! Source: "Signature Version 4 signing process" in AWS's IAM user guide; MinIO's admin interface wants the same.

use hmac::{Hmac, KeyInit as _, Mac as _};
use hyper::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use jiff::Timestamp;
use sha2::{Digest as _, Sha256};

use crate::site::secrets::SecretText;

/// MinIO's region unless it is told another one.
const REGION: &str = "us-east-1";
const SERVICE: &str = "s3";
const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// Who asks.
#[derive(Clone)]
pub(super) struct Credentials {
    /// Access key: the user's name.
    pub user: String,
    /// Secret key.
    pub secret: SecretText,
}

/// What is signed.
pub(super) struct Request<'a> {
    /// As `GET`.
    pub method: &'a str,
    /// The Host header.
    pub host: &'a str,
    /// Percent-encoded, as it is sent.
    pub path: &'a str,
    /// Names and values as they are meant; they are encoded here.
    pub query: &'a [(&'a str, &'a str)],
    /// What is sent.
    pub body: &'a [u8],
    /// Milliseconds since the epoch; the server's clock may differ by 15 minutes.
    pub time: i64,
}

/// The query in the one form in which it is both sent and signed; empty if there is none.
pub(super) fn query(parts: &[(&str, &str)]) -> String {
    let mut parts: Vec<_> = parts.iter().map(|(name, value)| format!("{}={}", encoded(name), encoded(value))).collect();
    parts.sort();
    parts.join("&")
}

/// The headers that make a request the user's own.
///
/// # Errors
/// When the time is not one, or a value cannot stand in a header.
pub(super) fn sign(request: &Request<'_>, credentials: &Credentials) -> anyhow::Result<HeaderMap> {
    let time = Timestamp::from_millisecond(request.time)?.strftime("%Y%m%dT%H%M%SZ").to_string();
    let body = hex::encode(Sha256::digest(request.body));
    let Request { method, host, path, .. } = request;
    let signed = "host;x-amz-content-sha256;x-amz-date";
    let canonical = format!(
        "{method}\n{path}\n{}\nhost:{host}\nx-amz-content-sha256:{body}\nx-amz-date:{time}\n\n{signed}\n{body}",
        query(request.query)
    );
    let day = &time[..8];
    let scope = format!("{day}/{REGION}/{SERVICE}/aws4_request");
    let text = format!("{ALGORITHM}\n{time}\n{scope}\n{}", hex::encode(Sha256::digest(canonical)));
    let signature = hex::encode(authentication_code(&signing_key(credentials, day, REGION, SERVICE), text.as_bytes()));
    let user = &credentials.user;
    let mut authorization = HeaderValue::from_str(&format!(
        "{ALGORITHM} Credential={user}/{scope}, SignedHeaders={signed}, Signature={signature}"
    ))?;
    authorization.set_sensitive(true);
    Ok([
        (AUTHORIZATION, authorization),
        (HeaderName::from_static("x-amz-content-sha256"), HeaderValue::from_str(&body)?),
        (HeaderName::from_static("x-amz-date"), HeaderValue::from_str(&time)?),
    ]
    .into_iter()
    .collect())
}

fn signing_key(credentials: &Credentials, day: &str, region: &str, service: &str) -> [u8; 32] {
    let first = format!("AWS4{}", credentials.secret.expose());
    let day = authentication_code(first.as_bytes(), day.as_bytes());
    let region = authentication_code(&day, region.as_bytes());
    authentication_code(&authentication_code(&region, service.as_bytes()), b"aws4_request")
}

fn authentication_code(key: &[u8], text: &[u8]) -> [u8; 32] {
    // HMAC takes keys of any length.
    Hmac::<Sha256>::new_from_slice(key)
        .map(|code| code.chain_update(text).finalize().into_bytes().into())
        .unwrap_or_default()
}

/// Everything but letters, digits and `-_.~` as `%XX` (RFC 3986).
fn encoded(text: &str) -> String {
    let byte = |byte: u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(byte).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    /// The example keys of AWS's documentation.
    fn credentials() -> Credentials {
        let secret = SecretText::new("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".to_owned());
        Credentials { user: "AKIDEXAMPLE".to_owned(), secret }
    }

    #[test]
    fn the_key_is_the_one_of_the_documentation() {
        let key = signing_key(&credentials(), "20120215", "us-east-1", "iam");
        assert_eq!(hex::encode(key), "f4780e2d9f65fa895f9c67b32ce1baf0b0d8a43505a000a1a9e090d414db404d");
    }

    #[test]
    fn queries_are_sorted_and_encoded() {
        assert_eq!(query(&[("versioning", ""), ("a", "x y/ü")]), "a=x%20y%2F%C3%BC&versioning=");
    }

    #[test]
    fn each_part_of_a_request_is_signed() {
        let request =
            Request { method: "GET", host: "h", path: "/a", query: &[("b", "c")], body: b"d", time: 1_440_938_160_000 };
        let signature =
            |request: &Request<'_>| sign(request, &credentials()).unwrap()[AUTHORIZATION].to_str().unwrap().to_owned();
        let whole = signature(&request);
        assert!(
            whole.starts_with("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/s3/aws4_request, "),
            "{whole}"
        );
        let others = [
            Request { method: "PUT", ..request },
            Request { host: "i", ..request },
            Request { path: "/b", ..request },
            Request { query: &[], ..request },
            Request { body: b"", ..request },
            Request { time: request.time + 1000, ..request },
        ];
        for other in others {
            assert_ne!(signature(&other), whole);
        }
    }
}
