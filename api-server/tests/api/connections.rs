//! Connections and what follows from them.

use serde_json::json;

use super::world::{DOMAIN, World};

#[tokio::test]
async fn blocking_ends_what_the_other_can_send() {
    let world = World::new();
    let (ann, bob) = (world.person().await, world.person().await);
    let conversation = world.connect(&ann, &bob).await;
    let to_bob = format!("/connections/{DOMAIN}/{}", bob.id);
    world.put(&ann, &to_bob, json!({"status": "blocked"})).await.expect(200);
    // Bob is told nothing, and his conversation has no Ann any more.
    let seen = world.get(&bob, &format!("/conversations/{DOMAIN}/{conversation}")).await.expect(200);
    assert_eq!(seen["members"]["others"], json!([]));
    let own = world.get(&bob, &format!("/connections/{DOMAIN}/{}", ann.id)).await.expect(200);
    assert_eq!(own["status"], "accepted");
    world.put(&ann, &to_bob, json!({"status": "accepted"})).await.expect(200);
    let seen = world.get(&bob, &format!("/conversations/{DOMAIN}/{conversation}")).await.expect(200);
    assert_eq!(seen["members"]["others"][0]["id"], ann.id.as_str());
    world.put(&ann, &to_bob, json!({"status": "cancelled"})).await.refused(403, "bad-conn-update");
}

#[tokio::test]
async fn questions_that_cross_make_one_connection() {
    let world = World::new();
    let (ann, bob) = (world.person().await, world.person().await);
    let first = world.post(&ann, &format!("/connections/{DOMAIN}/{}", bob.id), json!({})).await.expect(201);
    let second = world.post(&bob, &format!("/connections/{DOMAIN}/{}", ann.id), json!({})).await.expect(200);
    assert_eq!(first["conversation"], second["conversation"]);
    assert_eq!(second["status"], "accepted");
    world.post(&ann, &format!("/connections/{DOMAIN}/{}", ann.id), json!({})).await.refused(400, "invalid-user");
    let nobody = "00000000-0000-4000-8000-000000000001";
    world.post(&ann, &format!("/connections/{DOMAIN}/{nobody}"), json!({})).await.refused(400, "invalid-user");
    world.post(&ann, &format!("/connections/other.example/{}", bob.id), json!({})).await.refused(422, "invalid-domain");
}

#[tokio::test]
async fn lists_come_in_pages() {
    let world = World::new();
    let ann = world.person().await;
    let mut others = Vec::new();
    for _ in 0..5 {
        let other = world.person().await;
        world.connect(&ann, &other).await;
        others.push(other.id);
    }
    others.sort();
    let (mut listed, mut state) = (Vec::new(), String::new());
    loop {
        let page = world.post(&ann, "/list-connections", json!({"size": 2, "paging_state": state})).await.expect(200);
        let ids = page["connections"]
            .as_array()
            .unwrap()
            .iter()
            .map(|connection| connection["to"].as_str().unwrap().to_owned());
        listed.extend(ids);
        state = page["paging_state"].as_str().unwrap().to_owned();
        if page["has_more"] == false {
            break;
        }
    }
    assert_eq!(listed, others);
    let ids = world.post(&ann, "/conversations/list-ids", json!({"size": 1000})).await.expect(200);
    // Five of two, and her own.
    assert_eq!(ids["qualified_conversations"].as_array().unwrap().len(), 6);
}

#[tokio::test]
async fn the_directory_finds_the_exact_handle_first() {
    let world = World::new();
    let (ann, bob, carol) = (world.person().await, world.person().await, world.person().await);
    world.put(&bob, "/self", json!({"name": "Anna Smith"})).await.expect(200);
    world.put(&carol, "/self", json!({"name": "Zoe"})).await.expect(200);
    world.put(&carol, "/self/handle", json!({"handle": "anna"})).await.expect(200);
    let found = world.get(&ann, "/search/contacts?q=anna").await.expect(200);
    let ids: Vec<_> =
        found["documents"].as_array().unwrap().iter().map(|document| document["id"].as_str().unwrap()).collect();
    assert_eq!(ids, [carol.id.as_str(), bob.id.as_str()]);
    let found = world.get(&ann, "/search/contacts?q=smi").await.expect(200);
    assert_eq!(found["documents"][0]["id"], bob.id.as_str());
    let found = world.get(&bob, "/search/contacts?q=anna%20smith").await.expect(200);
    assert_eq!(found["found"], 0, "nobody finds themself");
}
