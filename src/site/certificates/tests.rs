//! What OpenSSL says about the certificates, and what judging finds.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;
use std::process::Command;

use base64::Engine as _;

use super::*;

/// 2026-01-02T03:04:05Z.
const CREATED: i64 = 1_767_323_045_000;
const DAY: i64 = 86_400_000;

fn secrets(seed: u8) -> Secrets {
    Secrets::new([seed; 32], CREATED, BTreeMap::new(), BTreeMap::new())
}

fn request() -> Request {
    Request {
        common_name: "db1".to_owned(),
        organization: None,
        names: vec!["db1".to_owned(), "db1.etcd.example.com".to_owned()],
        addresses: vec!["10.0.0.1".parse().unwrap(), "fd00::1".parse().unwrap()],
        server: true,
        client: true,
        days: 90,
    }
}

fn etcd() -> ServiceName {
    ServiceName::from("etcd")
}

#[test]
fn openssl_verifies_the_chain_the_names_and_the_key() {
    let (secrets, host) = (secrets(1), HostName::from("db1"));
    let authority = Authority::new(&secrets, &etcd(), "peers");
    let issued = authority.issue(Some(&host), &request(), CREATED).unwrap();
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in [
        ("ca.pem", authority.certificate().unwrap().as_str()),
        ("other.pem", Authority::new(&secrets, &etcd(), "clients").certificate().unwrap().as_str()),
        ("leaf.pem", issued.certificate.as_str()),
        ("key.pem", issued.key.expose()),
    ] {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    let openssl = |arguments: &str| {
        let output = Command::new("openssl")
            .args(arguments.split(' '))
            .current_dir(folder.path())
            .output()
            .expect("openssl is needed by this test: apt-get install openssl");
        (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let at = CREATED / 1000;
    for purpose in ["sslserver", "sslclient"] {
        let verify =
            format!("verify -x509_strict -attime {at} -purpose {purpose} -verify_ip fd00::1 -verify_hostname db1");
        assert!(openssl(&format!("{verify} -CAfile ca.pem leaf.pem")).0);
        assert!(!openssl(&format!("{verify} -CAfile other.pem leaf.pem")).0, "another domain's authority must not do");
    }
    let from_certificate = openssl("x509 -in leaf.pem -noout -pubkey");
    let from_key = openssl("pkey -in key.pem -pubout");
    assert_eq!(from_certificate, from_key);
    let (_, text) = openssl("x509 -in leaf.pem -noout -text");
    for expected in
        ["Not Before: Jan  2 00:00:00 2026", "Not After : Apr  2 00:00:00 2026", "CA:FALSE", "Digital Signature"]
    {
        assert!(text.contains(expected), "{expected} in {text}");
    }
    let (_, text) = openssl("x509 -in ca.pem -noout -text");
    for expected in ["Not After : Jan  2 00:00:00 2046", "CA:TRUE, pathlen:0", "CN = etcd peers authority"] {
        assert!(text.contains(expected), "{expected} in {text}");
    }
}

#[test]
fn the_same_request_on_the_same_day_gives_the_same_bytes() {
    let (secrets, host) = (secrets(1), HostName::from("db1"));
    let issue = |time, request| {
        let authority = Authority::new(&secrets, &etcd(), "peers");
        let issued = authority.issue(Some(&host), &request, time).unwrap();
        (authority.certificate().unwrap(), issued.certificate, issued.key.expose().to_owned())
    };
    let first = issue(CREATED, request());
    assert_eq!(first, issue(CREATED + DAY / 2, request()));
    let next_day = issue(CREATED + DAY, request());
    assert_eq!((&first.0, &first.2), (&next_day.0, &next_day.2));
    assert_ne!(first.1, next_day.1);
    assert_ne!(first.1, issue(CREATED, Request { client: false, ..request() }).1);
}

#[test]
fn what_fits_stays_until_a_third_of_its_life_is_left() {
    let (secrets, host) = (secrets(1), HostName::from("db1"));
    let authority = Authority::new(&secrets, &etcd(), "peers");
    let found = authority.issue(Some(&host), &request(), CREATED).unwrap().certificate;
    let midnight = CREATED - CREATED % DAY;
    let mut reordered = request();
    reordered.names.reverse();
    reordered.addresses.reverse();
    for (time, due) in [
        (CREATED, false),
        (midnight + 60 * DAY - 1000, false),
        (midnight + 60 * DAY, true),
        (midnight + 91 * DAY, true),
    ] {
        let expected = Found { fits: true, ends: midnight + 90 * DAY, due, mismatch: None };
        assert_eq!(authority.judge(Some(&host), &reordered, &found, time), expected, "{time}");
    }
}

#[test]
fn what_says_something_else_does_not_fit() {
    let (secrets, other_secrets, host) = (secrets(1), self::secrets(2), HostName::from("db1"));
    let authority = Authority::new(&secrets, &etcd(), "peers");
    let issue = |authority: &Authority<'_>, request: &Request| {
        authority.issue(Some(&host), request, CREATED).unwrap().certificate
    };
    let wanted = request();
    let fewer = Request { names: vec!["db1".to_owned()], ..request() };
    let cases = [
        ("not PEM", "hello".to_owned()),
        ("not a certificate", "-----BEGIN CERTIFICATE-----\naGVsbG8=\n-----END CERTIFICATE-----\n".to_owned()),
        ("list of names", issue(&authority, &fewer)),
        ("list of addresses", issue(&authority, &Request { addresses: Vec::new(), ..request() })),
        ("list of purposes", issue(&authority, &Request { client: false, ..request() })),
        ("common name", issue(&authority, &Request { common_name: "db2".to_owned(), ..request() })),
        ("organisation", issue(&authority, &Request { organization: Some("x".to_owned()), ..request() })),
        ("365 days instead of 90", issue(&authority, &Request { days: 365, ..request() })),
        ("issuer", issue(&Authority::new(&secrets, &etcd(), "clients"), &wanted)),
        ("another key", issue(&Authority::new(&other_secrets, &etcd(), "peers"), &wanted)),
        ("another key", authority.issue(Some(&HostName::from("db2")), &wanted, CREATED).unwrap().certificate),
        ("not valid yet", authority.issue(Some(&host), &wanted, CREATED + 3 * DAY).unwrap().certificate),
    ];
    for (expected, found) in &cases {
        let judged = authority.judge(Some(&host), &wanted, found, CREATED);
        assert!(!judged.fits, "{expected}");
        let mismatch = judged.mismatch.unwrap();
        assert!(mismatch.contains(expected), "{expected}: {mismatch}");
    }
}

#[test]
fn a_signature_by_someone_else_is_found_out() {
    let (secrets, host) = (secrets(1), HostName::from("db1"));
    let authority = Authority::new(&secrets, &etcd(), "peers");
    let pem = authority.issue(Some(&host), &request(), CREATED).unwrap().certificate;
    let (_, block) = x509_parser::pem::parse_x509_pem(pem.as_bytes()).unwrap();
    let mut bytes = block.contents.clone();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    let encoded = base64::engine::general_purpose::STANDARD.encode(&bytes);
    let forged = format!("-----BEGIN CERTIFICATE-----\n{encoded}\n-----END CERTIFICATE-----\n");
    let mismatch = authority.judge(Some(&host), &request(), &forged, CREATED).mismatch;
    assert_eq!(mismatch.as_deref(), Some("it is not signed by this authority"));
}

#[test]
fn a_name_that_cannot_stand_in_a_certificate_is_an_error() {
    let secrets = secrets(1);
    let authority = Authority::new(&secrets, &etcd(), "peers");
    let error = authority.issue(None, &Request { names: vec!["dé".to_owned()], ..request() }, CREATED).unwrap_err();
    assert!(error.to_string().starts_with("certificate for db1: "), "{error}");
}
