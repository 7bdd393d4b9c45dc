//! The API's services' configuration, read by the program that it is for.

use std::fs;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use wire_api::config::{Activation, Authentication, Config};
use wire_api::domain::{Time, UserId};
use wire_api::token::{Signer, Token, TokenKind, Verifier};

use super::{World, cases};
use crate::workloads::api::ROWS;

/// A service's files in a folder, as in its pods, read back.
fn read(world: &World, workload: &str) -> (Config, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().to_str().unwrap();
    for (name, text) in world.object(workload, "ConfigMap", workload)["data"].as_object().unwrap() {
        fs::write(folder.path().join(name), text.as_str().unwrap().replace("/etc/wire-api", place)).unwrap();
    }
    for (name, text) in world.object(workload, "Secret", workload)["data"].as_object().into_iter().flatten() {
        fs::write(folder.path().join(name), STANDARD.decode(text.as_str().unwrap()).unwrap()).unwrap();
    }
    let config = Config::read(&folder.path().join("wire-api.yaml")).unwrap();
    config.check().unwrap();
    (config, folder)
}

#[test]
fn every_service_reads_what_it_is_given() {
    let world = World::of_case(cases().iter().find(|case| case.ends_with("whole")).unwrap());
    for row in &ROWS {
        let (config, folder) = read(&world, row.name);
        assert_eq!(config.domain, world.site.domain);
        assert_eq!(config.authentication, Authentication::Headers);
        assert_eq!(config.tokens.private_keys.len(), usize::from(row.signs_tokens), "{}", row.name);
        assert_eq!(config.for_cassandra().is_ok(), row.stores, "{}", row.name);
        assert_eq!(config.calls.turn_servers.len(), if row.offers_calls { 9 } else { 0 }, "{}", row.name);
        assert_eq!(config.activation == Activation::Mail, row.name == "brig");
        let Some(cassandra) = config.cassandra else { continue };
        let tls = cassandra.tls.unwrap();
        let text = |path: &std::path::Path| fs::read_to_string(path).unwrap();
        let identity = text(&tls.certificate.unwrap());
        crate::services::tls::check_pair(&identity, &text(&tls.key.unwrap())).unwrap();
        assert!(text(&tls.authority).contains("BEGIN CERTIFICATE") && folder.path().is_dir());
        assert_eq!(cassandra.hosts.len(), 3);
        assert_eq!(config.s3.unwrap().assets_host.as_deref(), Some("https://assets.example.com"));
    }
    let (config, _folder) = read(&world, "migration");
    assert!(config.cassandra.is_some() && config.s3.is_none() && config.tokens.private_keys.is_empty());
}

#[test]
fn tokens_that_brig_signs_are_good_everywhere() {
    let world = World::of_case(cases().iter().find(|case| case.ends_with("whole")).unwrap());
    let (brig, _one) = read(&world, "brig");
    let (galley, _other) = read(&world, "galley");
    let (signer, _) = Signer::from_seeds(&brig.tokens.private_keys).unwrap().unwrap();
    let verifier = Verifier::from_public_keys(&galley.tokens.public_keys).unwrap();
    let kind = TokenKind::Access { connection: "1".to_owned() };
    let token = Token { expires: Time::now().seconds() + 60, user: UserId::random(), kind, client: None };
    assert_eq!(verifier.verify(&signer.sign(&token), Time::now()), Ok(token));
}
