//! Teams, from their founding to their end.

use axum::http::Method;
use serde_json::{Value, json};
use wire_api::config::Config;
use wire_api::domain::user::{AccountStatus, UserChange};

use super::world::{DOMAIN, PASSWORD, Person, World};

async fn team_of(world: &World, owner: &Person) -> String {
    world.get(owner, "/self").await.expect(200)["team"].as_str().unwrap().to_owned()
}

/// The code that a mail would bring.
async fn code_for(world: &World, owner: &Person, team: &str, email: &str, role: &str) -> String {
    world.post(owner, &format!("/teams/{team}/invitations"), json!({"email": email, "role": role})).await.expect(201);
    let invitations = world.app.store.teams.invitations(team.parse().unwrap()).await.unwrap();
    invitations.into_iter().find(|invitation| invitation.email == email).unwrap().code
}

async fn founded(world: &World) -> (Person, String) {
    let owner = world.person_with(json!({"team": {"name": "Team", "icon": "default"}})).await;
    let team = team_of(world, &owner).await;
    (owner, team)
}

async fn joined(world: &World, owner: &Person, team: &str, email: &str, role: &str) -> Person {
    let code = code_for(world, owner, team, email, role).await;
    world.person_with(json!({"email": email, "team_code": code})).await
}

fn permissions(bits: u64) -> Value {
    json!({"self": bits, "copy": bits})
}

const OWNER: u64 = 8191;
const ADMIN: u64 = 5951;
const MEMBER: u64 = 1587;

#[tokio::test]
async fn an_invitation_is_for_one_address_and_one_time() {
    let world = World::new();
    let (owner, team) = founded(&world).await;
    let code = code_for(&world, &owner, &team, "new@example.com", "member").await;
    let info = world.call("", Method::GET, &format!("/teams/invitations/info?code={code}"), None).await.expect(200);
    assert_eq!((&info["team_name"], &info["email"]), (&json!("Team"), &json!("new@example.com")));
    assert!(info.get("code").is_none());
    let register = |email: &str| json!({"name": "New", "email": email, "password": PASSWORD, "team_code": code});
    world.public("/register", register("other@example.com")).await.refused(400, "invalid-invitation-code");
    let joined = world.public("/register", register("new@example.com")).await.expect(201);
    assert_eq!(joined["team"], team.as_str());
    world.public("/register", register("new@example.com")).await.refused(400, "invalid-invitation-code");
    let events = world.events(&owner).await;
    assert!(events.iter().any(|event| event["type"] == "team.member-join" && event["data"]["user"] == joined["id"]));
    let taken = json!({"email": "new@example.com"});
    world.post(&owner, &format!("/teams/{team}/invitations"), taken).await.refused(409, "email-exists");
}

#[tokio::test]
async fn whoever_has_an_account_joins_with_it() {
    let world = World::new();
    let (owner, team) = founded(&world).await;
    let (person, other) = (world.person().await, world.person().await);
    let code = code_for(&world, &owner, &team, &person.email, "partner").await;
    let accept = json!({"code": code, "password": PASSWORD});
    world.post(&other, "/teams/invitations/accept", accept.clone()).await.refused(400, "invalid-invitation-code");
    let wrong = json!({"code": code, "password": "wrong password"});
    world.post(&person, "/teams/invitations/accept", wrong).await.refused(403, "invalid-credentials");
    world.post(&person, "/teams/invitations/accept", accept).await.expect(200);
    assert_eq!(team_of(&world, &person).await, team);
    let member = world.get(&owner, &format!("/teams/{team}/members/{}", person.id)).await.expect(200);
    assert_eq!(member["permissions"], permissions(1025));
    assert_eq!(member["created_by"], owner.id.as_str());
    // A user's own account becomes a team only when it is in none.
    world
        .post(&person, "/upgrade-personal-to-team", json!({"name": "Mine"}))
        .await
        .refused(403, "user-already-in-a-team");
    world.post(&other, "/upgrade-personal-to-team", json!({"name": "Mine"})).await.expect(200);
    assert_ne!(team_of(&world, &other).await, team);
}

#[tokio::test]
async fn nobody_gives_or_takes_more_than_they_have() {
    let world = World::new();
    let (owner, team) = founded(&world).await;
    let admin = joined(&world, &owner, &team, "admin@example.com", "admin").await;
    let member = joined(&world, &owner, &team, "member@example.com", "member").await;
    let path = format!("/teams/{team}/members");
    let set = |user: &Person, bits| json!({"member": {"user": user.id, "permissions": permissions(bits)}});
    world.put(&admin, &path, set(&member, OWNER)).await.refused(403, "operation-denied");
    world.put(&admin, &path, set(&admin, OWNER)).await.refused(403, "operation-denied");
    world.put(&admin, &path, set(&owner, MEMBER)).await.refused(403, "operation-denied");
    world.put(&owner, &path, set(&member, 1 << 40)).await.refused(400, "invalid-permissions");
    world.put(&owner, &path, set(&owner, ADMIN)).await.refused(403, "no-other-owner");
    world
        .post(&admin, &format!("/teams/{team}/invitations"), json!({"email": "x@example.com", "role": "owner"}))
        .await
        .refused(403, "operation-denied");
    world.put(&admin, &path, set(&member, ADMIN)).await.expect(200);
    assert!(world.events(&member).await.iter().any(|event| event["type"] == "team.member-update"));
    // Permissions are shown to those who may see them: a partner sees only their own.
    let partner = joined(&world, &owner, &team, "partner@example.com", "partner").await;
    let seen = world.get(&partner, &path).await.expect(200);
    for shown in seen["members"].as_array().unwrap() {
        assert_eq!(shown.get("permissions").is_some(), shown["user"] == partner.id.as_str());
    }
}

#[tokio::test]
async fn a_removed_members_account_goes_with_the_team() {
    let world = World::new();
    let (owner, team) = founded(&world).await;
    let member = joined(&world, &owner, &team, "member@example.com", "member").await;
    let extra = json!({"team": {"teamid": team, "managed": false}});
    let conversation = world.group(&owner, &[&member], extra).await;
    let path = format!("/teams/{team}/members/{}", member.id);
    world.delete(&owner, &path, json!({})).await.refused(403, "missing-auth");
    world.delete(&owner, &path, json!({"password": PASSWORD})).await.expect(202);
    world.access(&member.cookie).await.refused(403, "invalid-credentials");
    let left = world.get(&owner, &format!("/conversations/{DOMAIN}/{conversation}")).await.expect(200);
    assert_eq!(left["members"]["others"], json!([]));
    let last =
        world.delete(&owner, &format!("/teams/{team}/members/{}", owner.id), json!({"password": PASSWORD})).await;
    last.refused(403, "no-other-owner");
    world.delete(&owner, "/self", json!({"password": PASSWORD})).await.refused(403, "no-other-owner");
}

#[tokio::test]
async fn team_mates_need_no_connection() {
    let world = World::new();
    let (owner, team) = founded(&world).await;
    let member = joined(&world, &owner, &team, "member@example.com", "member").await;
    let stranger = world.person().await;
    let with = |user: &Person| json!({"qualified_users": [{"id": user.id, "domain": DOMAIN}], "team": {"teamid": team, "managed": false}});
    let first = world.post(&owner, "/one2one-conversations", with(&member)).await.expect(201);
    let second = world.post(&member, "/one2one-conversations", with(&owner)).await.expect(200);
    assert_eq!((&first["id"], &first["type"]), (&second["id"], &json!(2)));
    world.post(&owner, "/one2one-conversations", with(&stranger)).await.refused(403, "no-team-member");
}

#[tokio::test]
async fn features_are_set_within_what_is_free() {
    let world = World::new();
    let (owner, team) = founded(&world).await;
    let path = |name: &str| format!("/teams/{team}/features/{name}");
    let strict = json!({"status": "enabled", "config": {"enforceAppLock": true, "inactivityTimeoutSecs": 90}});
    world.put(&owner, &path("appLock"), strict).await.expect(200);
    let configs = world.get(&owner, "/feature-configs").await.expect(200);
    assert_eq!(configs["appLock"]["config"]["enforceAppLock"], true);
    assert!(
        world
            .events(&owner)
            .await
            .iter()
            .any(|event| event["type"] == "feature-config.update" && event["name"] == "appLock")
    );
    let wrong = json!({"status": "enabled", "config": {"enforceAppLock": "yes", "inactivityTimeoutSecs": 90}});
    world.put(&owner, &path("appLock"), wrong).await.refused(400, "bad-request");
    world.put(&owner, &path("mls"), json!({"status": "enabled"})).await.refused(409, "feature-locked");
    world.put(&owner, &path("nothing"), json!({"status": "enabled"})).await.refused(404, "not-found");
    world.get(&world.person().await, "/feature-configs").await.expect(200);
}

#[tokio::test]
async fn a_team_that_is_deleted_goes_with_everything_and_tells_each_once() {
    let world = World::new();
    let (owner, team) = founded(&world).await;
    let mut members = Vec::new();
    for number in 0..5 {
        members.push(joined(&world, &owner, &team, &format!("member{number}@example.com"), "member").await);
    }
    let guest = world.person().await;
    world.connect(&owner, &guest).await;
    let extra = json!({"team": {"teamid": team, "managed": false}});
    let conversation = world.group(&owner, &[&members[0], &members[1], &guest], extra).await;
    // One whose deletion broke off before.
    let begun = UserChange { status: Some(AccountStatus::Deleted), ..UserChange::default() };
    world.app.store.users.update(members[4].id.parse().unwrap(), begun).await.unwrap();

    let before = world.app.store.notifications.position(members[0].id.parse().unwrap()).await.unwrap();
    assert!(before.is_some());
    world.delete(&owner, &format!("/teams/{team}"), json!({"password": PASSWORD})).await.expect(202);
    for person in members.iter().chain([&owner]) {
        world.get(person, "/self").await.refused(401, "unauthorized");
        let again = json!({"name": "Again", "email": person.email, "password": PASSWORD});
        world.public("/register", again).await.expect(201);
    }
    let told: Vec<_> = world.events(&guest).await.iter().map(|event| event["type"].to_string()).collect();
    let count = |kind: &str| told.iter().filter(|told| told.contains(kind)).count();
    assert_eq!((count("conversation.delete"), count("user.delete"), count("team.")), (1, 1, 0), "{told:?}");
    world.get(&guest, &format!("/conversations/{DOMAIN}/{conversation}")).await.refused(404, "no-conversation");
}

#[tokio::test]
async fn addresses_of_members_are_shown_to_those_who_manage_them() {
    let world = World::new();
    let (owner, team) = founded(&world).await;
    let member = joined(&world, &owner, &team, "member@example.com", "member").await;
    let path = format!("/teams/{team}/search?q=member");
    world.get(&member, &path).await.refused(403, "operation-denied");
    let found = world.get(&owner, &path).await.expect(200);
    assert_eq!(found["documents"][0]["email"], "member@example.com");
}

#[tokio::test]
async fn whoever_finds_a_team_full_is_not_registered() {
    let mut config = Config::default();
    config.limits.user_rate = None;
    config.limits.address_rate = None;
    config.limits.team_members = 1;
    let world = World::with(config);
    let (owner, team) = founded(&world).await;
    let code = code_for(&world, &owner, &team, "new@example.com", "member").await;
    let new = json!({"name": "New", "email": "new@example.com", "password": PASSWORD});
    let mut into_team = new.clone();
    into_team["team_code"] = json!(code);
    world.public("/register", into_team).await.refused(403, "too-many-team-members");
    world.public("/register", new).await.expect(201);
}

#[tokio::test]
async fn a_team_without_guest_links_has_none() {
    let world = World::new();
    let (owner, team) = founded(&world).await;
    let guest = world.person().await;
    let extra = json!({"team": {"teamid": team, "managed": false}});
    let path = format!("/conversations/{}/code", world.group(&owner, &[], extra).await);
    let link = world.post(&owner, &path, json!({})).await.expect(201)["data"].clone();
    let enter = json!({"key": link["key"], "code": link["code"]});
    let feature = format!("/teams/{team}/features/conversationGuestLinks");
    world.put(&owner, &feature, json!({"status": "disabled"})).await.expect(200);
    for refused in [
        world.get(&owner, &path).await,
        world.post(&owner, &path, json!({})).await,
        world.public("/conversations/code-check", enter.clone()).await,
        world.post(&guest, "/conversations/join", enter.clone()).await,
    ] {
        refused.refused(409, "guest-links-disabled");
    }
    world.put(&owner, &feature, json!({"status": "enabled"})).await.expect(200);
    world.post(&guest, "/conversations/join", enter).await.expect(200);
}
