//! Groups: who comes in, who goes, and how.

use serde_json::json;

use super::world::{DOMAIN, World};

#[tokio::test]
async fn a_link_may_ask_for_a_password_and_can_be_taken_back() {
    let world = World::new();
    let (ann, bob, carol) = (world.person().await, world.person().await, world.person().await);
    let group = world.group(&ann, &[], json!({})).await;
    let path = format!("/conversations/{group}/code");
    let made = world.post(&ann, &path, json!({"password": "open sesame"})).await.expect(201);
    let link = &made["data"];
    assert!(
        link["has_password"].as_bool().unwrap()
            && link["uri"].as_str().unwrap().contains(link["key"].as_str().unwrap())
    );
    world.post(&ann, &path, json!({})).await.refused(409, "create-conv-code-conflict");
    let entry = |password: &str| json!({"key": link["key"], "code": link["code"], "password": password});
    world
        .post(&bob, "/conversations/join", entry("wrong password"))
        .await
        .refused(403, "invalid-conversation-password");
    world.post(&bob, "/conversations/join", entry("open sesame")).await.expect(200);
    world.post(&bob, "/conversations/join", entry("open sesame")).await.expect(204);
    world.post(&bob, &path, json!({})).await.refused(403, "action-denied");
    world.delete(&ann, &path, json!({})).await.expect(200);
    world.post(&carol, "/conversations/join", entry("open sesame")).await.refused(404, "no-conversation-code");
}

#[tokio::test]
async fn closing_a_teams_group_to_guests_sends_them_away() {
    let world = World::new();
    let owner = world.person_with(json!({"team": {"name": "Team", "icon": "default"}})).await;
    let team = world.get(&owner, "/self").await.expect(200)["team"].clone();
    let guest = world.person().await;
    world.connect(&owner, &guest).await;
    let group = world.group(&owner, &[&guest], json!({"team": {"teamid": team, "managed": false}})).await;
    let code = world.post(&owner, &format!("/conversations/{group}/code"), json!({})).await.expect(201);
    let closed = json!({"access": ["invite"], "access_role": ["team_member"]});
    world.put(&owner, &format!("/conversations/{DOMAIN}/{group}/access"), closed).await.expect(200);
    world.get(&guest, &format!("/conversations/{DOMAIN}/{group}")).await.refused(403, "access-denied");
    assert!(world.events(&guest).await.iter().any(|event| event["type"] == "conversation.member-leave"));
    let entry = json!({"key": code["data"]["key"], "code": code["data"]["code"]});
    world.post(&guest, "/conversations/join", entry).await.refused(404, "no-conversation-code");
    let again = json!({"qualified_users": [{"id": guest.id, "domain": DOMAIN}], "conversation_role": "wire_member"});
    world.post(&owner, &format!("/conversations/{DOMAIN}/{group}/members"), again).await.refused(403, "access-denied");
}

#[tokio::test]
async fn groups_have_a_largest_size() {
    let mut config = wire_api::config::Config::default();
    config.limits.user_rate = None;
    config.limits.address_rate = None;
    config.limits.conversation_members = 2;
    let world = World::with(config);
    let (ann, bob, carol) = (world.person().await, world.person().await, world.person().await);
    world.connect(&ann, &bob).await;
    world.connect(&ann, &carol).await;
    let group = world.group(&ann, &[&bob], json!({})).await;
    let more = json!({"qualified_users": [{"id": carol.id, "domain": DOMAIN}], "conversation_role": "wire_member"});
    world.post(&ann, &format!("/conversations/{DOMAIN}/{group}/members"), more).await.refused(403, "too-many-members");
    let code = world.post(&ann, &format!("/conversations/{group}/code"), json!({})).await.expect(201);
    let entry = json!({"key": code["data"]["key"], "code": code["data"]["code"]});
    world.post(&carol, "/conversations/join", entry).await.refused(403, "too-many-members");
}

#[tokio::test]
async fn pairs_and_ones_own_conversation_are_no_groups() {
    let world = World::new();
    let (ann, bob) = (world.person().await, world.person().await);
    let pair = world.connect(&ann, &bob).await;
    let own = world.post(&ann, "/conversations/self", json!({})).await.expect(200);
    assert_eq!((&own["type"], &own["id"]), (&json!(1), &json!(ann.id)));
    for id in [pair.as_str(), own["id"].as_str().unwrap()] {
        let path = format!("/conversations/{DOMAIN}/{id}");
        world.put(&ann, &format!("{path}/name"), json!({"name": "Name"})).await.refused(403, "invalid-op");
        world.delete(&ann, &format!("{path}/members/{DOMAIN}/{}", ann.id), json!({})).await.refused(403, "invalid-op");
        world.post(&ann, &format!("/conversations/{id}/code"), json!({})).await.refused(403, "access-denied");
    }
}
