//! Messages over the wire formats of old and new clients.

use axum::body::Body;
use axum::extract::Request;
use axum::http::{Method, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use prost::Message as _;
use serde_json::{Value, json};
use wire_api::domain::message::{
    ClientEntry, ClientIdNumber, Empty, MismatchStrategy, QualifiedNewOtrMessage, QualifiedUserEntry,
    QualifiedUserIdText, UserEntry, UserIdBytes, UserIds,
};

use super::world::{DOMAIN, Person, Reply, World};

type Recipients<'a> = &'a [(&'a Person, &'a str)];

fn message(
    sender: &str,
    recipients: Recipients<'_>,
    strategy: Option<MismatchStrategy>,
    transient: bool,
) -> QualifiedNewOtrMessage {
    let number = |client: &str| ClientIdNumber { client: u64::from_str_radix(client, 16).unwrap() };
    let entries = recipients.iter().map(|(person, client)| UserEntry {
        user: UserIdBytes { uuid: person.id.parse::<uuid::Uuid>().unwrap().as_bytes().to_vec() },
        clients: vec![ClientEntry { client: number(client), text: format!("for {client}").into_bytes().into() }],
    });
    QualifiedNewOtrMessage {
        sender: number(sender),
        recipients: vec![QualifiedUserEntry { domain: DOMAIN.to_owned(), entries: entries.collect() }],
        native_push: None,
        blob: Some(b"blob".as_slice().into()),
        native_priority: None,
        transient: Some(transient),
        client_mismatch_strategy: strategy,
    }
}

async fn send(world: &World, from: &Person, conversation: &str, message: &QualifiedNewOtrMessage) -> Reply {
    let request = Request::builder()
        .method(Method::POST)
        .uri(format!("/v8/conversations/{DOMAIN}/{conversation}/proteus/messages"))
        .header(header::AUTHORIZATION, format!("Bearer {}", from.token))
        .header(header::CONTENT_TYPE, "application/x-protobuf");
    world.send(request.body(Body::from(message.encode_to_vec())).unwrap()).await
}

fn texts(events: &[Value]) -> Vec<String> {
    let messages = events.iter().filter(|event| event["type"] == "conversation.otr-message-add");
    messages
        .map(|event| String::from_utf8(STANDARD.decode(event["data"]["text"].as_str().unwrap()).unwrap()).unwrap())
        .collect()
}

#[tokio::test]
async fn each_device_gets_its_own_text_and_the_sender_none() {
    let world = World::new();
    let (ann, bob) = (world.person().await, world.person().await);
    let second = world.device(&bob).await;
    let conversation = world.connect(&ann, &bob).await;
    let whole = message(&ann.client, &[(&bob, &bob.client), (&bob, &second)], None, false);
    let sent = send(&world, &ann, &conversation, &whole).await.expect(201);
    assert_eq!((&sent["missing"], &sent["redundant"], &sent["deleted"]), (&json!({}), &json!({}), &json!({})));
    let events = world.events(&bob).await;
    assert_eq!(texts(&events), [format!("for {}", bob.client)]);
    let event = events.last().unwrap();
    assert_eq!(event["data"]["data"], STANDARD.encode("blob"));
    assert_eq!(event["data"]["sender"], ann.client.as_str());
    assert_eq!(event["qualified_from"]["id"], ann.id.as_str());
    assert_eq!(texts(&world.events(&ann).await), Vec::<String>::new());
}

#[tokio::test]
async fn missing_devices_are_reported_as_the_strategy_says_and_nothing_is_sent() {
    let world = World::new();
    let (ann, bob, carol) = (world.person().await, world.person().await, world.person().await);
    world.connect(&ann, &bob).await;
    world.connect(&ann, &carol).await;
    let group = world.group(&ann, &[&bob, &carol], json!({})).await;
    let only = |person: &Person| UserIds {
        user_ids: vec![QualifiedUserIdText { id: person.id.clone(), domain: DOMAIN.to_owned() }],
    };
    let missing = json!({DOMAIN: {(carol.id.as_str()): [carol.client]}});
    let cases = [
        (None, 412),
        (Some(MismatchStrategy::ReportAll(Empty {})), 412),
        (Some(MismatchStrategy::ReportOnly(only(&carol))), 412),
        (Some(MismatchStrategy::IgnoreOnly(only(&bob))), 412),
        (Some(MismatchStrategy::ReportOnly(only(&bob))), 201),
        (Some(MismatchStrategy::IgnoreOnly(only(&carol))), 201),
        (Some(MismatchStrategy::IgnoreAll(Empty {})), 201),
    ];
    let mut delivered = 0;
    for (strategy, status) in cases {
        let reply =
            send(&world, &ann, &group, &message(&ann.client, &[(&bob, &bob.client)], strategy.clone(), false)).await;
        let body = reply.expect(status);
        assert!(body.get("label").is_none() && body.get("code").is_none());
        assert_eq!(body["missing"], if status == 412 { missing.clone() } else { json!({}) }, "{strategy:?}");
        delivered += usize::from(status == 201);
        assert_eq!(texts(&world.events(&bob).await).len(), delivered, "{strategy:?}");
    }
}

#[tokio::test]
async fn a_device_that_is_not_the_senders_sends_nothing() {
    let world = World::new();
    let (ann, bob) = (world.person().await, world.person().await);
    let conversation = world.connect(&ann, &bob).await;
    for sender in [bob.client.as_str(), "abc"] {
        let forged = message(sender, &[(&bob, &bob.client)], None, false);
        send(&world, &ann, &conversation, &forged).await.refused(403, "unknown-client");
    }
    let broken = Request::builder()
        .method(Method::POST)
        .uri(format!("/conversations/{DOMAIN}/{conversation}/proteus/messages"))
        .header(header::AUTHORIZATION, format!("Bearer {}", ann.token))
        .header(header::CONTENT_TYPE, "application/x-protobuf");
    world.send(broken.body(Body::from("no protobuf")).unwrap()).await.refused(400, "bad-request");
}

#[tokio::test]
async fn transient_messages_are_in_no_log() {
    let world = World::new();
    let (ann, bob) = (world.person().await, world.person().await);
    let conversation = world.connect(&ann, &bob).await;
    let before = world.events(&bob).await.len();
    send(&world, &ann, &conversation, &message(&ann.client, &[(&bob, &bob.client)], None, true)).await.expect(201);
    assert_eq!(world.events(&bob).await.len(), before);
}

#[tokio::test]
async fn the_first_versions_json_still_works() {
    let world = World::new();
    let (ann, bob) = (world.person().await, world.person().await);
    let conversation = world.connect(&ann, &bob).await;
    let path = format!("/conversations/{conversation}/otr/messages");
    let body = |recipients: Value| json!({"sender": ann.client, "recipients": recipients, "native_push": true});
    let reply = world.post(&ann, &path, body(json!({}))).await.expect(412);
    assert_eq!(reply["missing"], json!({(bob.id.as_str()): [bob.client]}));
    let whole = json!({(bob.id.as_str()): {(bob.client.as_str()): STANDARD.encode("old text")}});
    world.post(&ann, &path, body(whole)).await.expect(201);
    assert_eq!(texts(&world.events(&bob).await), ["old text"]);
    world.post(&ann, &format!("{path}?ignore_missing=true"), body(json!({}))).await.expect(201);
    world.post(&ann, &format!("{path}?report_missing={}", ann.id), body(json!({}))).await.expect(201);
}

#[tokio::test]
async fn a_broadcast_reaches_whom_one_is_connected_with() {
    let world = World::new();
    let (ann, bob) = (world.person().await, world.person().await);
    world.connect(&ann, &bob).await;
    let request = |message: &QualifiedNewOtrMessage| {
        Request::builder()
            .method(Method::POST)
            .uri("/broadcast/proteus/messages")
            .header(header::AUTHORIZATION, format!("Bearer {}", ann.token))
            .header(header::CONTENT_TYPE, "application/x-protobuf")
            .body(Body::from(message.encode_to_vec()))
            .unwrap()
    };
    assert_eq!(world.send(request(&message(&ann.client, &[], None, false))).await.status, 412);
    world.send(request(&message(&ann.client, &[(&bob, &bob.client)], None, false))).await.expect(201);
    assert_eq!(texts(&world.events(&bob).await).len(), 1);
}

#[tokio::test]
async fn prekeys_are_given_once_and_the_last_for_ever() {
    let world = World::new();
    let (ann, bob) = (world.person().await, world.person().await);
    let wanted = json!({DOMAIN: {(bob.id.as_str()): [bob.client]}});
    let mut ids = Vec::new();
    for _ in 0..7 {
        let reply = world.post(&ann, "/users/list-prekeys", wanted.clone()).await.expect(200);
        let prekey = &reply["qualified_user_client_prekeys"][DOMAIN][&bob.id][&bob.client];
        ids.push(prekey["id"].as_u64().unwrap());
    }
    assert_eq!(ids, [1, 2, 3, 4, 5, 65535, 65535]);
    let left = world.get(&bob, &format!("/clients/{}/prekeys", bob.client)).await.expect(200);
    assert_eq!(left, json!([65535]));
    let unknown = json!({DOMAIN: {(bob.id.as_str()): ["abc"]}});
    let reply = world.post(&ann, "/users/list-prekeys", unknown).await.expect(200);
    assert_eq!(reply["qualified_user_client_prekeys"][DOMAIN][&bob.id]["abc"], Value::Null);
}

#[tokio::test]
async fn the_log_is_read_in_pages_from_where_one_stopped() {
    let world = World::new();
    let (ann, bob) = (world.person().await, world.person().await);
    let conversation = world.connect(&ann, &bob).await;
    for _ in 0..150 {
        send(&world, &ann, &conversation, &message(&ann.client, &[(&bob, &bob.client)], None, false)).await.expect(201);
    }
    let page = |since: String| format!("/notifications?client={}&size=100{since}", bob.client);
    let first = world.get(&bob, &page(String::new())).await.expect(200);
    assert_eq!(first["has_more"], true);
    let last = first["notifications"].as_array().unwrap().last().unwrap()["id"].as_str().unwrap().to_owned();
    let second = world.get(&bob, &page(format!("&since={last}"))).await.expect(200);
    assert_eq!(second["has_more"], false);
    let ids = |page: &Value| {
        page["notifications"].as_array().unwrap().iter().map(|entry| entry["id"].to_string()).collect::<Vec<_>>()
    };
    let mut all = [ids(&first), ids(&second)].concat();
    let count = all.len();
    all.sort();
    all.dedup();
    assert_eq!(all.len(), count, "nothing comes twice");
    let unknown = "00000000-0000-1000-8000-000000000007";
    world.get(&bob, &page(format!("&since={unknown}"))).await.refused(404, "not-found");
    world.get(&bob, &page("&since=nonsense".to_owned())).await.refused(400, "bad-request");
}

#[tokio::test]
async fn no_device_is_sent_more_than_its_log_takes() {
    let world = World::new();
    let (ann, bob) = (world.person().await, world.person().await);
    let conversation = world.connect(&ann, &bob).await;
    let mut large = message(&ann.client, &[(&bob, &bob.client)], None, false);
    large.blob = Some(vec![0; 2 * 1024 * 1024].into());
    send(&world, &ann, &conversation, &large).await.refused(413, "request-entity-too-large");
    large.blob = Some(vec![0; 1024 * 1024 - 100].into());
    send(&world, &ann, &conversation, &large).await.expect(201);
    assert_eq!(texts(&world.events(&bob).await).len(), 1);
}
