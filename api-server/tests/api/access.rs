//! Goes through the table of routes: who must be let in, who must not.

use axum::http::Method;
use serde_json::json;
use wire_api::domain::conversation::Role;
use wire_api::domain::team::TeamRole;
use wire_api::http::{Access, routes::Route};
use wire_api::server;
use wire_api::services::{Service, internal};

use super::world::{DOMAIN, PASSWORD, Person, World};

fn table() -> Vec<Route> {
    server::public(&Service::ALL).table().to_vec()
}

/// A path with its parameters filled in.
fn path(route: &Route, world: &Fixture, conversation: &str) -> String {
    let fill = [
        ("{domain}", DOMAIN),
        ("{user_domain}", DOMAIN),
        ("{conversation}", conversation),
        ("{team}", &world.team),
        ("{user}", &world.stranger.id),
        ("{client}", "abc"),
        ("{key}", "3-1-00000000-0000-0000-0000-000000000007"),
        ("{handle}", "somebody"),
        ("{notification}", "00000000-0000-1000-8000-000000000007"),
        ("{invitation}", "00000000-0000-4000-8000-000000000007"),
        ("{feature}", "fileSharing"),
        ("{provider}", "00000000-0000-4000-8000-000000000007"),
        ("{token}", "x"),
        ("{name}", "x"),
    ];
    let path = fill.iter().fold(route.path.to_owned(), |path, (name, value)| path.replace(name, value));
    assert!(!path.contains('{'), "{path}: the test knows no value for a parameter");
    path
}

/// People with every standing.
struct Fixture {
    world: World,
    owner: Person,
    member: Person,
    former: Person,
    stranger: Person,
    team: String,
}

impl Fixture {
    async fn new() -> Self {
        let world = World::new();
        let owner = world.person_with(json!({"team": {"name": "Team", "icon": "default"}})).await;
        let team = world.get(&owner, "/self").await.expect(200)["team"].as_str().unwrap().to_owned();
        let id = team.parse().unwrap();
        let invited = json!({"email": "member@example.com", "role": "member"});
        world.post(&owner, &format!("/teams/{team}/invitations"), invited).await.expect(201);
        let code = world.app.store.teams.invitations(id).await.unwrap()[0].code.clone();
        let member = world.person_with(json!({"email": "member@example.com", "team_code": code})).await;
        let (former, stranger) = (world.person().await, world.person().await);
        world.connect(&owner, &former).await;
        Self { world, owner, member, former, stranger, team }
    }

    /// A conversation of the team with an admin, a member and one who has left.
    async fn conversation(&self) -> String {
        let extra = json!({"team": {"teamid": self.team, "managed": false}});
        let id = self.world.group(&self.owner, &[&self.member, &self.former], extra).await;
        let gone = format!("/conversations/{DOMAIN}/{id}/members/{DOMAIN}/{}", self.former.id);
        self.world.delete(&self.owner, &gone, json!({})).await.expect(200);
        id
    }

    async fn label(&self, person: Option<&Person>, route: &Route, path: &str) -> (u16, String) {
        let token = person.map_or("", |person| &person.token);
        let reply = self.world.call(token, route.method.clone(), path, Some(json!({}))).await;
        (reply.status, reply.label())
    }
}

#[tokio::test]
async fn nobody_gets_in_without_a_good_token() {
    let fixture = Fixture::new().await;
    let conversation = fixture.conversation().await;
    for route in table() {
        if matches!(route.access, Access::Public | Access::Cookie) {
            continue;
        }
        let path = path(&route, &fixture, &conversation);
        let cookie = fixture.stranger.cookie.trim_start_matches("zuid=").to_owned();
        for token in ["", "nonsense", &cookie] {
            let reply = fixture.world.call(token, route.method.clone(), &path, Some(json!({}))).await;
            assert_eq!(reply.status, 401, "{} {path}", route.method);
        }
    }
}

#[tokio::test]
async fn conversations_are_their_members() {
    let fixture = Fixture::new().await;
    let mut seen = 0;
    for route in table() {
        let action = match route.access {
            Access::Conversation => None,
            Access::ConversationAction(action) => Some(action),
            _ => continue,
        };
        seen += 1;
        let conversation = fixture.conversation().await;
        let path = path(&route, &fixture, &conversation);
        let denied = (403, "access-denied".to_owned());
        for outsider in [&fixture.stranger, &fixture.former] {
            assert_eq!(fixture.label(Some(outsider), &route, &path).await, denied, "{} {path}", route.method);
        }
        let refused =
            |answer: &(u16, String)| answer.0 == 401 || answer.1 == "access-denied" || answer.1 == "action-denied";
        let allowed = action.is_none_or(|action| Role::WireMember.allows(action));
        // Removing another is checked by the handler: the path says whether it is another.
        let removal = route.method == Method::DELETE && path.contains("/members/");
        let as_member = fixture.label(Some(&fixture.member), &route, &path).await;
        assert_eq!(!refused(&as_member), allowed && !removal, "{} {path} as a member: {as_member:?}", route.method);
        let as_admin = fixture.label(Some(&fixture.owner), &route, &path).await;
        assert!(!refused(&as_admin), "{} {path} as an admin: {as_admin:?}", route.method);
    }
    assert!(seen > 25, "the table has only {seen} routes of conversations");
}

#[tokio::test]
async fn teams_are_their_members() {
    let fixture = Fixture::new().await;
    let mut seen = 0;
    for route in table() {
        let permission = match route.access {
            Access::Team => None,
            Access::TeamPermission(permission) => Some(permission),
            _ => continue,
        };
        seen += 1;
        let conversation = fixture.conversation().await;
        let path = path(&route, &fixture, &conversation);
        for outsider in [&fixture.stranger, &fixture.former] {
            let answer = fixture.label(Some(outsider), &route, &path).await;
            assert_eq!(answer, (403, "no-team-member".to_owned()), "{} {path}", route.method);
        }
        let refused =
            |answer: &(u16, String)| answer.1 == "operation-denied" || answer.1 == "no-team-member" && answer.0 == 403;
        let allowed = permission.is_none_or(|permission| TeamRole::Member.permissions().allows(permission));
        let as_member = fixture.label(Some(&fixture.member), &route, &path).await;
        assert_eq!(!refused(&as_member), allowed, "{} {path} as a member: {as_member:?}", route.method);
        let as_owner = fixture.label(Some(&fixture.owner), &route, &path).await;
        assert!(!refused(&as_owner), "{} {path} as an owner: {as_owner:?}", route.method);
    }
    assert!(seen > 10, "the table has only {seen} routes of teams");
    // The owner's token is worth nothing once the team has gone with its accounts.
    let team = format!("/teams/{}", fixture.team);
    fixture.world.delete(&fixture.owner, &team, json!({"password": PASSWORD})).await.expect(202);
    fixture.world.get(&fixture.owner, &team).await.refused(403, "no-team-member");
    fixture.world.get(&fixture.owner, "/self").await.refused(401, "unauthorized");
    fixture.world.access(&fixture.owner.cookie).await.refused(403, "invalid-credentials");
}

#[tokio::test]
async fn a_removed_device_can_do_nothing() {
    let world = World::new();
    let person = world.person().await;
    let (first, second) = (person.client.clone(), world.device(&person).await);
    // The session is bound to the second device by asking for a token of it.
    let bound = world.send_access(&person, &second).await;
    let token = bound.expect(200)["access_token"].as_str().unwrap().to_owned();
    assert!(token.ends_with(&format!(".i={second}")));
    world.delete(&person, &format!("/clients/{second}"), json!({"password": PASSWORD})).await.expect(200);
    assert_eq!(world.access(&person.cookie).await.status, 403);
    let fixture = Fixture { world, owner: person, ..Fixture::new().await };
    let (world, person) = (&fixture.world, &fixture.owner);
    for route in table().iter().filter(|route| !matches!(route.access, Access::Public | Access::Cookie | Access::Token))
    {
        let path = path(route, &fixture, "00000000-0000-4000-8000-000000000007");
        let reply = world.call(&token, route.method.clone(), &path, Some(json!({}))).await;
        assert_eq!(reply.status, 401, "{} {path}", route.method);
    }
    // What is left of its token opens no socket: no such device is the user's.
    assert!(world.app.store.clients.get(person.id.parse().unwrap(), second.parse().unwrap()).await.unwrap().is_none());
    let clients = world.get(person, "/clients").await.expect(200);
    assert_eq!(clients.as_array().unwrap().len(), 1);
    assert_eq!(clients[0]["id"], first.as_str());
}

#[tokio::test]
async fn internal_routes_are_on_no_public_listener() {
    let world = World::new();
    let person = world.person().await;
    assert!(table().iter().all(|route| route.access != Access::Internal && !route.path.starts_with("/i/")));
    for route in internal::routes(&Service::ALL).table() {
        assert_eq!(route.access, Access::Internal);
        for prefix in ["", "/v8"] {
            let path = format!("{prefix}{}", route.path.replace("{user}", &person.id));
            let reply = world.call(&person.token, route.method.clone(), &path, Some(json!({}))).await;
            assert_eq!(reply.status, 404, "{path}");
        }
    }
}

impl World {
    async fn send_access(&self, person: &Person, client: &str) -> super::world::Reply {
        let request = axum::extract::Request::builder()
            .method(Method::POST)
            .uri(format!("/access?client_id={client}"))
            .header("cookie", &person.cookie);
        self.send(request.body(axum::body::Body::empty()).unwrap()).await
    }
}
