//! Bodies that are too large, packed, broken or made to do harm. No input makes a handler panic.

use std::io::Write as _;

use axum::body::Body;
use axum::extract::Request;
use axum::http::Method;
use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;
use serde_json::json;
use wire_api::http::Payload;
use wire_api::services::galley::messages::{read_qualified, read_unqualified};

use super::world::{DOMAIN, PASSWORD, Reply, World};

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

async fn register(world: &World, encoding: &str, body: Vec<u8>) -> Reply {
    let request = Request::builder().method(Method::POST).uri("/register").header("content-encoding", encoding);
    world.send(request.body(Body::from(body)).unwrap()).await
}

#[tokio::test]
async fn bodies_may_be_packed_but_not_bombs() {
    let world = World::new();
    let body = json!({"name": "Packed", "email": "packed@example.com", "password": PASSWORD}).to_string();
    register(&world, "gzip", gzip(body.as_bytes())).await.expect(201);
    register(&world, "gzip", body.into_bytes()).await.refused(400, "bad-request");
    register(&world, "br", vec![1]).await.refused(415, "unsupported-media-type");
    // 100 MB of spaces in 100 KB.
    register(&world, "gzip", gzip(&vec![b' '; 100_000_000])).await.refused(413, "request-entity-too-large");
    register(&world, "identity", vec![b' '; 600_000]).await.refused(413, "request-entity-too-large");
}

#[tokio::test]
async fn deep_and_broken_json_is_refused() {
    let world = World::new();
    for body in ["", "{", "[1,2", "\u{0}", &"[".repeat(100_000), "{\"name\": 7}"] {
        register(&world, "identity", body.as_bytes().to_vec()).await.refused(400, "bad-request");
    }
}

proptest! {
    #[test]
    fn no_bytes_make_the_decoders_of_messages_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        for is_protobuf in [true, false] {
            let payload = Payload { bytes: bytes.clone().into(), is_protobuf };
            let _ = read_qualified(&payload, DOMAIN);
            let _ = read_unqualified(&payload, &Default::default());
        }
    }

    #[test]
    fn no_text_makes_the_token_parser_panic(text in "[A-Za-z0-9_=.-]{0,200}") {
        let (_, verifier) = wire_api::token::Signer::random().unwrap();
        prop_assert!(verifier.verify_ended(&text).is_err());
    }
}
