//! The API server's configuration file, for the site's own clusters.

use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use crate::common::world::{HOSTS, World};

/// Writes it; every process that reads the same one takes the others' tokens.
pub fn write(world: &World) -> PathBuf {
    // A stranger before the right one, as while an authority takes another's place.
    let stranger = world.on("host1", &["cat", "/etc/etcd/clients/ca.pem"]);
    let authority = |service: &str, path: &str| {
        let file = world.file(&format!("{service}-authority.pem"));
        std::fs::write(&file, format!("{stranger}{}", world.on("host1", &["cat", path]))).unwrap();
        file
    };
    let at = |scheme: &str, port: u16| HOSTS.map(|host| format!("{scheme}{}:{port}", world.address(host)));
    let login = |user: &str| json!({"user": user, "password": world.secret(&format!("cassandra/user/{user}"))});
    let identity = world.copy("host1", "/etc/cassandra/clients/keystore.pem", "cassandra-identity.pem");
    let mut token_key = [0; 32];
    getrandom::fill(&mut token_key).unwrap();
    let configuration = json!({
        "domain": "wire.example",
        // All the world comes from one address here.
        "limits": {"user_rate": null, "address_rate": null, "drain_seconds": 1},
        "tokens": {"private_keys": [STANDARD.encode(token_key)]},
        "cassandra": {
            "hosts": HOSTS.map(|host| world.address(host)),
            "tls": {
                "authority": authority("cassandra", "/etc/cassandra/clients/ca.pem"), "certificate": identity, "key": identity,
            },
            "brig": login("brig"), "galley": login("galley"), "gundeck": login("gundeck"),
        },
        "search": {
            "endpoints": at("https://", 9200), "user": "brig", "password": world.secret("search/user/brig"),
            "authority": authority("search", "/etc/opensearch/clients/ca.pem"),
        },
        "s3": {
            "endpoints": at("https://", 9000), "access_key": "cargohold", "secret_key": world.secret("minio/user/cargohold"),
            "authority": authority("minio", "/etc/minio/certs/ca.pem"),
        },
        "redis": {
            "sentinels": at("", 26379), "user": "wire", "password": world.secret("redis/user/wire"),
            "authority": authority("redis", "/etc/redis/wire-deploy/tls/ca.pem"),
        },
    });
    let path = world.file("wire-api.yaml");
    // JSON is YAML.
    let file = File::options().create(true).truncate(true).write(true).mode(0o600).open(&path);
    file.unwrap().write_all(configuration.to_string().as_bytes()).unwrap();
    path
}
