//! Files.

use axum::body::Body;
use axum::extract::Request;
use axum::http::Method;
use serde_json::json;
use wire_api::config::Config;

use super::world::{DOMAIN, Person, Reply, World};

async fn upload(world: &World, person: &Person, settings: &str, bytes: &[u8]) -> Reply {
    let mut body = format!(
        "--frontier\r\nContent-Type: application/json; charset=utf-8\r\nContent-length: {}\r\n\r\n{settings}\r\n\
         --frontier\r\nContent-Type: application/octet-stream\r\nContent-length: {}\r\nContent-MD5: x\r\n\r\n",
        settings.len(),
        bytes.len()
    )
    .into_bytes();
    body.extend(bytes);
    body.extend(b"\r\n--frontier--\r\n");
    send(world, person, body).await
}

async fn send(world: &World, person: &Person, body: Vec<u8>) -> Reply {
    let request = Request::builder()
        .method(Method::POST)
        .uri("/v8/assets")
        .header("authorization", format!("Bearer {}", person.token))
        .header("content-type", "multipart/mixed; boundary=frontier");
    world.send(request.body(Body::from(body)).unwrap()).await
}

#[tokio::test]
async fn a_file_is_read_with_its_token_and_deleted_by_its_owner() {
    let world = World::new();
    let (ann, bob) = (world.person().await, world.person().await);
    let asset = upload(&world, &ann, r#"{"public": false, "retention": "volatile"}"#, b"secret").await.expect(201);
    let (key, token) = (asset["key"].as_str().unwrap(), asset["token"].as_str().unwrap());
    assert!(asset["expires"].as_str().unwrap().ends_with('Z'));
    let path = format!("/assets/{DOMAIN}/{key}");
    world.get(&bob, &path).await.refused(404, "not-found");
    world.get(&bob, &format!("{path}?asset_token=wrong")).await.refused(404, "not-found");
    let read = world.get(&bob, &format!("{path}?asset_token={token}")).await;
    assert_eq!((read.status, read.bytes.as_slice()), (200, b"secret".as_slice()));
    world.delete(&bob, &path, json!({})).await.refused(403, "unauthorised");
    world.delete(&ann, &path, json!({})).await.expect(200);
    world.get(&ann, &format!("{path}?asset_token={token}")).await.refused(404, "not-found");
}

#[tokio::test]
async fn uploads_too_large_or_broken_off_are_not_kept() {
    let mut config = Config::default();
    config.limits.asset_bytes = 1000;
    let world = World::with(config);
    let ann = world.person().await;
    upload(&world, &ann, "{}", &[b'x'; 1000]).await.expect(201);
    upload(&world, &ann, "{}", &[b'x'; 1001]).await.refused(413, "client-error");
    upload(&world, &ann, "no json", b"x").await.refused(400, "bad-request");
    send(&world, &ann, b"--frontier\r\n\r\n{}\r\n--frontier\r\n\r\nhalf".to_vec())
        .await
        .refused(400, "incomplete-body");
    send(&world, &ann, b"nothing".to_vec()).await.refused(400, "incomplete-body");
    assert_eq!(std::fs::read_dir(world.folder()).unwrap().count(), 1);
    world.get(&ann, &format!("/assets/{DOMAIN}/..%2F..%2Fetc%2Fpasswd")).await.refused(404, "not-found");
}
