//! What every store promises, area by area. A store may hold other data: each test makes its own users.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, future, stream};
use serde_json::json;
use wire_api::domain::asset::{AssetKey, AssetMeta, Retention};
use wire_api::domain::client::{Capability, Client, ClientChange, ClientClass, ClientKind, LAST_RESORT, Prekey};
use wire_api::domain::connection::{Connection, ConnectionStatus};
use wire_api::domain::conversation::{
    Access, AccessRole, Conversation, ConversationChange, ConversationKind, GuestCode, Member, MemberSettings, Role,
};
use wire_api::domain::id::InvitationId;
use wire_api::domain::notification::NewNotification;
use wire_api::domain::team::{Invitation, Team, TeamMember, TeamRole};
use wire_api::domain::user::{AccountStatus, Protocol, User, UserChange};
use wire_api::domain::{ClientId, ConversationId, NotificationId, TeamId, Time, UserId};
use wire_api::store::Store;
use wire_api::store::assets::{Content, PutError};
use wire_api::store::codes::{Code, Purpose};
use wire_api::store::cookies::Cookie;
use wire_api::store::notifications::Notifications;
use wire_api::store::search::{Document, SearchQuery};
use wire_api::store::users::Claim;

/// Notification logs as hosts with other clocks write them: the same logs for every clock.
pub trait Logs: Send + Sync {
    /// By a clock that is so many seconds ahead.
    fn with_clock(&self, ahead: i64) -> Arc<dyn Notifications>;
}

/// Every promise.
pub async fn run(store: &Store, logs: &dyn Logs) {
    users(store).await;
    claims(store).await;
    cookies(store).await;
    codes(store).await;
    clients(store).await;
    prekeys(store).await;
    connections(store).await;
    properties(store).await;
    conversations(store).await;
    guest_codes(store).await;
    teams(store).await;
    search(store).await;
    assets(store).await;
    notifications(&*store.notifications).await;
    skewed_clocks(logs).await;
    many_writers(logs).await;
}

fn user() -> User {
    User {
        id: UserId::random(),
        name: "Ann".to_owned(),
        email: Some("ann@example.com".to_owned()),
        handle: None,
        accent_id: 3,
        assets: Vec::new(),
        locale: "en".to_owned(),
        text_status: None,
        team: None,
        supported_protocols: vec![Protocol::Proteus],
        status: AccountStatus::Active,
        searchable: true,
    }
}

async fn users(store: &Store) {
    let (mut ann, bob) = (user(), user());
    store.users.insert(&ann).await.unwrap();
    store.users.insert(&bob).await.unwrap();
    assert_eq!(store.users.get(ann.id).await.unwrap().as_ref(), Some(&ann));
    assert_eq!(store.users.get(UserId::random()).await.unwrap(), None);
    let change = UserChange {
        email: Some(None),
        handle: Some(Some("ann".to_owned())),
        accent_id: Some(5),
        ..UserChange::default()
    };
    store.users.update(ann.id, change.clone()).await.unwrap();
    change.apply(&mut ann);
    assert_eq!(store.users.get(ann.id).await.unwrap().as_ref(), Some(&ann));
    let mut many = store.users.get_many(&[ann.id, UserId::random(), bob.id]).await.unwrap();
    many.sort_by_key(|user| user.id != ann.id);
    assert_eq!(many, [ann.clone(), bob.clone()]);
    assert_eq!(store.users.password(ann.id).await.unwrap(), None);
    store.users.set_password(ann.id, Some("hash")).await.unwrap();
    assert_eq!(store.users.password(ann.id).await.unwrap().as_deref(), Some("hash"));
    store.users.set_password(ann.id, None).await.unwrap();
    assert_eq!(store.users.password(ann.id).await.unwrap(), None);
    let (mut all, mut after) = (BTreeSet::new(), None);
    loop {
        let page = store.users.all(after, 2).await.unwrap();
        assert!(page.entries.len() <= 2);
        after = page.entries.last().map(|user| user.id);
        all.extend(page.entries.iter().map(|user| user.id));
        if !page.has_more {
            break;
        }
    }
    assert!(all.contains(&ann.id) && all.contains(&bob.id));
}

async fn claims(store: &Store) {
    let claim = Claim::Handle(format!("handle{}", uuid::Uuid::new_v4().simple()));
    let wanting: Vec<_> = (0..100).map(|_| UserId::random()).collect();
    let won = future::join_all(wanting.iter().map(|user| store.users.claim(&claim, *user))).await;
    let winners: Vec<_> =
        wanting.iter().zip(won).filter(|(_, won)| *won.as_ref().unwrap()).map(|(user, _)| *user).collect();
    assert_eq!(winners.len(), 1, "a name belongs to one");
    assert_eq!(store.users.owner(&claim).await.unwrap(), Some(winners[0]));
    assert!(store.users.claim(&claim, winners[0]).await.unwrap(), "what is one's own may be claimed again");
    // Nobody takes it over from somebody who may yet come to be, or who bears it; from nobody, at last, one does.
    let (later, earlier) = (Time::now().plus_seconds(60), Time::now().plus_seconds(-60));
    let heir = UserId::random();
    assert!(!store.users.take_over(&claim, heir, earlier).await.unwrap());
    let handle = claim.key().trim_start_matches("handle:").to_owned();
    let bearer = User { id: winners[0], handle: Some(handle.clone()), ..user() };
    store.users.insert(&bearer).await.unwrap();
    assert!(!store.users.take_over(&claim, heir, later).await.unwrap());
    store.users.update(bearer.id, UserChange { handle: Some(None), ..UserChange::default() }).await.unwrap();
    let heirs = [heir, UserId::random(), UserId::random()];
    let taken = future::join_all(heirs.iter().map(|heir| store.users.take_over(&claim, *heir, later))).await;
    let taken =
        taken.into_iter().zip(heirs).filter_map(|(taken, heir)| taken.unwrap().then_some(heir)).collect::<Vec<_>>();
    let owner = store.users.owner(&claim).await.unwrap().unwrap();
    assert!(taken.contains(&owner), "whoever has it was told so");
    let winners = [owner];
    store.users.release(&claim, UserId::random()).await.unwrap();
    assert_eq!(store.users.owner(&claim).await.unwrap(), Some(winners[0]), "others cannot release it");
    store.users.release(&claim, winners[0]).await.unwrap();
    assert_eq!(store.users.owner(&claim).await.unwrap(), None);
    assert!(store.users.claim(&claim, UserId::random()).await.unwrap());
}

async fn cookies(store: &Store) {
    let user = UserId::random();
    let cookie = |id, created, expires| Cookie {
        id,
        session: id % 2 == 0,
        created: Time::now().plus_seconds(created),
        expires: Time::now().plus_seconds(expires),
        label: Some(format!("label {id}")),
        client: None,
        successor: None,
    };
    let cookies = [cookie(3_000_000_000, 0, 100), cookie(2, 1, 100), cookie(5, 2, -1)];
    for cookie in &cookies {
        store.cookies.put(user, cookie).await.unwrap();
    }
    assert_eq!(store.cookies.list(user).await.unwrap(), cookies[..2], "the oldest first, and none that has ended");
    assert_eq!(store.cookies.get(user, 5).await.unwrap(), None);
    let bound = Cookie { client: Some(ClientId(7)), successor: Some(9), ..cookies[1].clone() };
    store.cookies.put(user, &bound).await.unwrap();
    assert_eq!(store.cookies.get(user, 2).await.unwrap(), Some(bound));
    store.cookies.delete(user, &[2]).await.unwrap();
    assert_eq!(store.cookies.list(user).await.unwrap(), cookies[..1]);
    assert_eq!(store.cookies.get(UserId::random(), 3_000_000_000).await.unwrap(), None);
}

async fn codes(store: &Store) {
    let key = UserId::random().to_string();
    let code = |seconds, attempts| Code {
        digest: "digest".to_owned(),
        subject: "subject".to_owned(),
        expires: Time::now().plus_seconds(seconds),
        attempts,
    };
    let purpose = Purpose::Activation;
    let good = code(100, 2);
    store.codes.put(purpose, &key, &good).await.unwrap();
    assert_eq!(store.codes.get(purpose, &key).await.unwrap(), Some(good));
    assert_eq!(store.codes.get(Purpose::PasswordReset, &key).await.unwrap(), None);
    store.codes.fail(purpose, &key).await.unwrap();
    assert_eq!(store.codes.get(purpose, &key).await.unwrap().unwrap().attempts, 1);
    store.codes.fail(purpose, &key).await.unwrap();
    assert_eq!(store.codes.get(purpose, &key).await.unwrap(), None, "no attempt is left");
    store.codes.put(purpose, &key, &code(-1, 3)).await.unwrap();
    assert_eq!(store.codes.get(purpose, &key).await.unwrap(), None, "it has ended");
    store.codes.put(purpose, &key, &code(100, 3)).await.unwrap();
    store.codes.delete(purpose, &key).await.unwrap();
    assert_eq!(store.codes.get(purpose, &key).await.unwrap(), None);
    assert_eq!(store.codes.failures(&key).await.unwrap(), 0);
    for count in 1..4 {
        assert_eq!(store.codes.count_failure(&key, 100).await.unwrap(), count);
    }
    assert_eq!(store.codes.failures(&key).await.unwrap(), 3);
    store.codes.forget_failures(&key).await.unwrap();
    assert_eq!(store.codes.failures(&key).await.unwrap(), 0);
}

fn client(id: u64) -> Client {
    Client {
        id: ClientId(id),
        kind: ClientKind::Permanent,
        class: Some(ClientClass::Desktop),
        time: Time::now(),
        cookie: Some("cookie".to_owned()),
        label: None,
        model: Some("model".to_owned()),
        capabilities: vec![Capability::LegalholdImplicitConsent],
        mls_public_keys: [("ed25519".to_owned(), "a2V5".to_owned())].into(),
        last_active: None,
    }
}

async fn clients(store: &Store) {
    let (ann, bob) = (UserId::random(), UserId::random());
    let same = client(7);
    let added = future::join_all((0..50).map(|_| store.clients.insert(ann, &same))).await;
    assert_eq!(added.iter().filter(|added| *added.as_ref().unwrap()).count(), 1, "an id is taken once");
    assert!(store.clients.insert(bob, &same).await.unwrap(), "another user's ids are other ids");
    let mut other = client(1 << 60);
    assert!(store.clients.insert(ann, &other).await.unwrap());
    let change =
        ClientChange { label: Some("new".to_owned()), last_active: Some(Time::now()), ..ClientChange::default() };
    assert!(store.clients.update(ann, other.id, change.clone()).await.unwrap());
    change.apply(&mut other);
    assert_eq!(store.clients.list(ann).await.unwrap(), [same.clone(), other.clone()]);
    assert_eq!(store.clients.get(ann, other.id).await.unwrap(), Some(other.clone()));
    let many = store.clients.list_many(&[ann, UserId::random(), bob]).await.unwrap();
    assert_eq!((many.len(), many[&ann].len(), many[&bob].len()), (2, 2, 1));
    assert!(!store.clients.update(ann, ClientId(9), ClientChange::default()).await.unwrap());
    assert!(store.clients.delete(ann, same.id).await.unwrap());
    assert!(!store.clients.delete(ann, same.id).await.unwrap());
    assert_eq!(store.clients.list(ann).await.unwrap(), [other.clone()]);
    // A change that comes late does not bring a device back.
    store
        .clients
        .update(ann, same.id, ClientChange { label: Some("late".to_owned()), ..ClientChange::default() })
        .await
        .unwrap();
    assert_eq!(store.clients.list(ann).await.unwrap(), [other]);
}

/// Hundreds claim at once: each prekey goes to one of them, and those who come too late get the one of last resort.
async fn prekeys(store: &Store) {
    let (user, client) = (UserId::random(), ClientId(7));
    assert_eq!(store.prekeys.claim(user, client).await.unwrap(), None);
    let key = |id: u16| Prekey { id, key: format!("key {id}") };
    let keys: Vec<_> = (0..100).map(key).chain([key(LAST_RESORT)]).collect();
    store.prekeys.put(user, client, &keys).await.unwrap();
    let ids: Vec<_> = keys.iter().map(|key| key.id).collect();
    assert_eq!(store.prekeys.ids(user, client).await.unwrap(), ids);
    let claims =
        stream::iter(0..300).map(|_| store.prekeys.claim(user, client)).buffer_unordered(300).try_collect::<Vec<_>>();
    let mut claimed: Vec<_> = claims.await.unwrap().into_iter().map(|prekey| prekey.unwrap()).collect();
    assert!(claimed.iter().all(|prekey| prekey.key == format!("key {}", prekey.id)));
    claimed.retain(|prekey| prekey.id != LAST_RESORT);
    let different: BTreeSet<_> = claimed.iter().map(|prekey| prekey.id).collect();
    assert_eq!(different.len(), claimed.len(), "no two get the same");
    let left = store.prekeys.ids(user, client).await.unwrap();
    assert!(left.contains(&LAST_RESORT) && left.iter().all(|id| !different.contains(id)));
    store.prekeys.put(user, client, &[key(500)]).await.unwrap();
    assert!(store.prekeys.ids(user, client).await.unwrap().contains(&500));
    store.prekeys.delete(user, client).await.unwrap();
    assert_eq!(store.prekeys.claim(user, client).await.unwrap(), None);
}

async fn connections(store: &Store) {
    let ann = UserId::random();
    let mut others: Vec<_> = (0..5).map(|_| UserId::random()).collect();
    others.sort();
    let side = |to: UserId| Connection {
        from: ann,
        to,
        status: ConnectionStatus::Sent,
        conversation: ConversationId::random(),
        last_update: Time::now(),
    };
    for other in &others {
        store.connections.put(&side(*other)).await.unwrap();
    }
    let changed = Connection { status: ConnectionStatus::Accepted, ..side(others[0]) };
    store.connections.put(&changed).await.unwrap();
    assert_eq!(store.connections.get(ann, others[0]).await.unwrap(), Some(changed));
    assert_eq!(store.connections.get(others[0], ann).await.unwrap(), None, "each side is kept by itself");
    let first = store.connections.list(ann, None, 3).await.unwrap();
    let second = store.connections.list(ann, Some(others[2]), 3).await.unwrap();
    assert!(first.has_more && !second.has_more);
    let listed: Vec<_> = first.entries.iter().chain(&second.entries).map(|side| side.to).collect();
    assert_eq!(listed, others);
    store.connections.delete_all(ann).await.unwrap();
    assert!(store.connections.list(ann, None, 3).await.unwrap().entries.is_empty());
}

async fn properties(store: &Store) {
    let user = UserId::random();
    let value = json!({"a": [1, null, "ü"]});
    store.properties.put(user, "one", &json!(1)).await.unwrap();
    store.properties.put(user, "one", &value).await.unwrap();
    store.properties.put(user, "two", &json!(false)).await.unwrap();
    assert_eq!(store.properties.get(user, "one").await.unwrap(), Some(value));
    assert_eq!(store.properties.get(user, "none").await.unwrap(), None);
    assert_eq!(store.properties.list(user).await.unwrap().into_keys().collect::<Vec<_>>(), ["one", "two"]);
    store.properties.delete(user, "one").await.unwrap();
    assert_eq!(store.properties.get(user, "one").await.unwrap(), None);
    store.properties.clear(user).await.unwrap();
    assert!(store.properties.list(user).await.unwrap().is_empty());
}

fn conversation(team: Option<TeamId>) -> Conversation {
    Conversation {
        id: ConversationId::random(),
        kind: ConversationKind::Regular,
        creator: UserId::random(),
        access: vec![Access::Invite, Access::Code],
        access_role: vec![AccessRole::Guest],
        name: Some("Name".to_owned()),
        team,
        message_timer: Some(u64::from(u32::MAX) * 2),
        receipt_mode: None,
        last_event_time: Time::now(),
        group_kind: None,
    }
}

async fn conversations(store: &Store) {
    let team = TeamId::random();
    let mut group = conversation(Some(team));
    let mut people: Vec<_> = (0..4).map(|_| UserId::random()).collect();
    people.sort();
    let member = |user: &UserId| Member::new(*user, Role::WireMember);
    store.conversations.create(&group, &[member(&people[0]), member(&people[1])]).await.unwrap();
    let usurper = Conversation { name: Some("Usurped".to_owned()), ..group.clone() };
    store.conversations.create(&usurper, &[member(&people[3])]).await.unwrap();
    assert_eq!(store.conversations.get(group.id).await.unwrap(), Some(group.clone()), "the first creation holds");
    let change =
        ConversationChange { message_timer: Some(None), receipt_mode: Some(1), ..ConversationChange::default() };
    store.conversations.update(group.id, change.clone()).await.unwrap();
    change.apply(&mut group);
    assert_eq!(store.conversations.get(group.id).await.unwrap(), Some(group.clone()));

    store.conversations.set_role(group.id, people[0], Role::WireAdmin).await.unwrap();
    let settings = MemberSettings { otr_archived: true, otr_muted_status: Some(3), ..MemberSettings::default() };
    store.conversations.set_settings(group.id, people[0], &settings).await.unwrap();
    store.conversations.add_members(group.id, &[member(&people[0]), member(&people[2])]).await.unwrap();
    let first = Member { user: people[0], role: Role::WireAdmin, settings };
    assert_eq!(
        store.conversations.member(group.id, people[0]).await.unwrap(),
        Some(first.clone()),
        "who is in it stays as they are"
    );
    let members = store.conversations.members(group.id).await.unwrap();
    assert_eq!(members, [first, member(&people[1]), member(&people[2])]);
    store.conversations.remove_members(group.id, &people[1..2]).await.unwrap();
    assert_eq!(store.conversations.member(group.id, people[1]).await.unwrap(), None);
    assert!(store.conversations.of_user(people[1], None, 10).await.unwrap().entries.is_empty());
    // Who is gone is not brought back by a change that comes late.
    store.conversations.set_role(group.id, people[1], Role::WireAdmin).await.unwrap();
    store.conversations.set_settings(group.id, people[1], &MemberSettings::default()).await.unwrap();
    assert_eq!(store.conversations.member(group.id, people[1]).await.unwrap(), None);

    let second = conversation(Some(team));
    store.conversations.create(&second, &[member(&people[0])]).await.unwrap();
    let mut both = [group.id, second.id];
    both.sort();
    assert_eq!(store.conversations.of_team(team).await.unwrap(), both);
    let page = store.conversations.of_user(people[0], None, 1).await.unwrap();
    assert_eq!((page.entries.as_slice(), page.has_more), (&both[..1], true));
    let page = store.conversations.of_user(people[0], Some(both[0]), 1).await.unwrap();
    assert_eq!((page.entries.as_slice(), page.has_more), (&both[1..], false));
    store.conversations.delete(group.id).await.unwrap();
    assert_eq!(store.conversations.get(group.id).await.unwrap(), None);
    assert!(store.conversations.members(group.id).await.unwrap().is_empty());
    assert_eq!(store.conversations.of_user(people[0], None, 9).await.unwrap().entries, [second.id]);
    assert_eq!(store.conversations.of_team(team).await.unwrap(), [second.id]);
}

async fn guest_codes(store: &Store) {
    let id = ConversationId::random();
    let code = |key: String| GuestCode { key, code: "code".to_owned(), conversation: id, password_hash: None };
    let (old, new) = (code(UserId::random().to_string()), code(UserId::random().to_string()));
    store.conversations.put_code(&old).await.unwrap();
    assert_eq!(store.conversations.code(&old.key).await.unwrap(), Some(old.clone()));
    store.conversations.put_code(&new).await.unwrap();
    assert_eq!(store.conversations.code(&old.key).await.unwrap(), None);
    assert_eq!(store.conversations.code_of(id).await.unwrap(), Some(new.clone()));
    store.conversations.delete_code(id).await.unwrap();
    assert_eq!(store.conversations.code(&new.key).await.unwrap(), None);
    assert_eq!(store.conversations.code_of(id).await.unwrap(), None);
}

async fn teams(store: &Store) {
    let mut team = Team {
        id: TeamId::random(),
        creator: UserId::random(),
        name: "Team".to_owned(),
        icon: "default".to_owned(),
        icon_key: None,
    };
    store.teams.put(&team).await.unwrap();
    team.icon_key = Some("key".to_owned());
    store.teams.put(&team).await.unwrap();
    assert_eq!(store.teams.get(team.id).await.unwrap(), Some(team.clone()));
    let inviter = UserId::random();
    let mut member = TeamMember {
        user: UserId::random(),
        permissions: TeamRole::Member.permissions(),
        invited: Some((inviter, Time::from_milliseconds(1000))),
    };
    store.teams.put_member(team.id, &member).await.unwrap();
    member.permissions = TeamRole::Admin.permissions();
    store.teams.set_permissions(team.id, member.user, member.permissions).await.unwrap();
    store.teams.set_permissions(team.id, inviter, member.permissions).await.unwrap();
    assert_eq!(store.teams.members(team.id).await.unwrap(), [member.clone()]);
    assert_eq!(store.teams.member(team.id, member.user).await.unwrap(), Some(member.clone()));
    assert_eq!(store.teams.member(team.id, inviter).await.unwrap(), None);

    let invitation = Invitation {
        id: InvitationId::random(),
        team: team.id,
        email: "a@example.com".to_owned(),
        role: TeamRole::Partner,
        name: None,
        created_by: inviter,
        created_at: Time::from_milliseconds(1000),
        code: UserId::random().to_string(),
    };
    store.teams.put_invitation(&invitation).await.unwrap();
    assert_eq!(store.teams.invitations(team.id).await.unwrap(), std::slice::from_ref(&invitation));
    assert_eq!(store.teams.invitation_by_code(&invitation.code).await.unwrap(), Some(invitation.clone()));
    store.teams.delete_invitation(team.id, invitation.id).await.unwrap();
    assert_eq!(store.teams.invitation_by_code(&invitation.code).await.unwrap(), None);
    assert!(store.teams.invitations(team.id).await.unwrap().is_empty());

    store.teams.put_feature(team.id, "appLock", &json!({"status": "enabled"})).await.unwrap();
    assert_eq!(store.teams.features(team.id).await.unwrap()["appLock"], json!({"status": "enabled"}));
    store.teams.remove_member(team.id, member.user).await.unwrap();
    assert!(store.teams.members(team.id).await.unwrap().is_empty());
    store.teams.delete(team.id).await.unwrap();
    assert_eq!(store.teams.get(team.id).await.unwrap(), None);
    assert!(store.teams.features(team.id).await.unwrap().is_empty());
}

pub async fn search(store: &Store) {
    let word = format!("w{}", uuid::Uuid::new_v4().simple());
    let document = |name: String, handle: Option<String>| Document {
        id: UserId::random(),
        name,
        handle,
        accent_id: 1,
        team: None,
    };
    let exact = document("Zoe".to_owned(), Some(word.clone()));
    let prefix = document(format!("{word}er"), None);
    let inner = document(format!("Ann {word}"), None);
    let other = document("Other".to_owned(), Some("other".to_owned()));
    for entry in [&other, &inner, &prefix, &exact] {
        store.search.put(entry).await.unwrap();
    }
    let query =
        |searcher, text: &str| SearchQuery { searcher, team: None, team_only: false, text: text.to_owned(), size: 10 };
    let nobody = UserId::random();
    assert_eq!(store.search.find(&query(nobody, &word)).await.unwrap(), [exact.clone(), prefix.clone(), inner.clone()]);
    assert_eq!(store.search.find(&query(nobody, &format!("@{}", word.to_uppercase()))).await.unwrap()[0], exact);
    assert_eq!(store.search.find(&query(exact.id, &word)).await.unwrap(), [prefix.clone(), inner.clone()]);
    assert!(store.search.find(&query(nobody, "  ")).await.unwrap().is_empty());
    let renamed = Document { name: "Nobody".to_owned(), ..prefix };
    store.search.put(&renamed).await.unwrap();
    store.search.delete(inner.id).await.unwrap();
    assert_eq!(store.search.find(&query(nobody, &word)).await.unwrap(), std::slice::from_ref(&exact));

    // Many at once, as they were before: what changed since then stays.
    let late = document(format!("Late {word}"), None);
    let stale = Document { name: "Stale".to_owned(), ..exact.clone() };
    let before = Time::now().plus_seconds(-60);
    store.search.load(before, &[stale, late.clone()], &[renamed.id]).await.unwrap();
    assert_eq!(store.search.find(&query(nobody, &word)).await.unwrap(), [exact.clone(), late.clone()]);
    store.search.put(&Document { name: format!("{word} renamed"), ..renamed.clone() }).await.unwrap();
    store.search.load(Time::now().plus_seconds(1), &[], &[exact.id, late.id]).await.unwrap();
    assert_eq!(store.search.find(&query(nobody, &word)).await.unwrap().len(), 1);

    // One's own team comes first, or alone; the most are what was asked for.
    let team = TeamId::random();
    let mates: Vec<_> = ["b", "a"].map(|name| document(format!("{name} {word}"), None)).into();
    for mate in &mates {
        store.search.put(&Document { team: Some(team), ..mate.clone() }).await.unwrap();
        store.search.put(&Document { id: UserId::random(), name: format!("a {word}"), ..mate.clone() }).await.unwrap();
    }
    let of_team = |team_only, size| SearchQuery { team: Some(team), team_only, size, ..query(nobody, &word) };
    let ids = async |query: SearchQuery| {
        let found = store.search.find(&query).await.unwrap();
        found.into_iter().map(|document| document.id).collect::<Vec<_>>()
    };
    assert_eq!(ids(of_team(true, 10)).await, [mates[1].id, mates[0].id]);
    assert_eq!(ids(of_team(false, 3)).await, [renamed.id, mates[1].id, mates[0].id]);
    assert_eq!(ids(of_team(false, 10)).await.len(), 5);
}

pub async fn assets(store: &Store) {
    let meta = |expires| AssetMeta {
        key: AssetKey { retention: Retention::Volatile, id: uuid::Uuid::new_v4() },
        owner: UserId::random(),
        token: Some("token".to_owned()),
        expires,
    };
    let chunks = || stream::iter([Ok(Bytes::from_static(b"hello ")), Ok(Bytes::from_static(b"world"))]).boxed();
    let mut kept = meta(Some(Time::from_milliseconds(Time::now().plus_seconds(100).milliseconds())));
    store.assets.put(&kept, chunks()).await.unwrap();
    assert_eq!(store.assets.meta(kept.key).await.unwrap(), Some(kept.clone()));
    if let Content::Stream { bytes, length } = store.assets.content(kept.key).await.unwrap().unwrap() {
        let read = bytes.try_collect::<Vec<_>>().await.unwrap().concat();
        assert_eq!((read.as_slice(), length), (b"hello world".as_slice(), 11));
    }
    store.assets.set_token(kept.key, None).await.unwrap();
    kept.token = None;
    assert_eq!(store.assets.meta(kept.key).await.unwrap(), Some(kept.clone()));
    store.assets.delete(kept.key).await.unwrap();
    store.assets.delete(kept.key).await.unwrap();
    assert_eq!(store.assets.meta(kept.key).await.unwrap(), None);
    assert!(store.assets.content(kept.key).await.unwrap().is_none());

    let ended = meta(Some(Time::now().plus_seconds(-1)));
    store.assets.put(&ended, chunks()).await.unwrap();
    assert_eq!(store.assets.meta(ended.key).await.unwrap(), None);
    let broken = meta(None);
    let breaks = stream::iter([Ok(Bytes::from_static(b"half")), Err(std::io::Error::other("gone"))]).boxed();
    assert!(matches!(store.assets.put(&broken, breaks).await, Err(PutError::Sender(_))));
    assert_eq!(store.assets.meta(broken.key).await.unwrap(), None);
    assert!(store.assets.content(broken.key).await.unwrap().is_none());

    // None is too small, and large ones come in pieces that fit nothing.
    for (chunk, count) in [(0, 0), (777_777, 16)] {
        let file = meta(None);
        let pieces: Vec<_> = (0..count).map(|number| Ok(Bytes::from(vec![number; chunk]))).collect();
        store.assets.put(&file, stream::iter(pieces).boxed()).await.unwrap();
        if let Content::Stream { bytes, length } = store.assets.content(file.key).await.unwrap().unwrap() {
            let read = bytes.try_collect::<Vec<_>>().await.unwrap().concat();
            assert_eq!((read.len(), length), (chunk * usize::from(count), read.len() as u64));
            assert!(
                read.chunks(chunk.max(1)).zip(0..count).all(|(piece, number)| piece.iter().all(|byte| *byte == number))
            );
        }
        store.assets.delete(file.key).await.unwrap();
    }
    let broken = meta(None);
    let whole = (0..8).map(|_| Ok(Bytes::from(vec![1; 1_000_000])));
    let breaks = stream::iter(whole.chain([Err(std::io::Error::other("gone"))])).boxed();
    assert!(matches!(store.assets.put(&broken, breaks).await, Err(PutError::Sender(_))));
    assert!(store.assets.content(broken.key).await.unwrap().is_none());
}

fn new(user: UserId, number: usize, clients: Option<Vec<ClientId>>) -> NewNotification {
    NewNotification { user, clients, payload: vec![json!({"number": number})], origin: Some("origin".to_owned()) }
}

async fn notifications(log: &dyn Notifications) {
    let user = UserId::random();
    assert_eq!(log.page(user, None, 10).await.unwrap().unwrap().entries, []);
    assert_eq!(log.last(user, None).await.unwrap(), None);
    let mut ids = Vec::new();
    for number in 0..5 {
        let only = (number == 4).then(|| vec![ClientId(1)]);
        ids.push(log.append(new(user, number, only)).await.unwrap());
    }
    let page = log.page(user, Some(ids[1]), 2).await.unwrap().unwrap();
    assert_eq!(page.entries.iter().map(|entry| entry.id).collect::<Vec<_>>(), ids[2..4]);
    assert!(page.has_more);
    assert_eq!(page.entries[0].payload, [json!({"number": 2})]);
    assert_eq!(page.entries[0].origin.as_deref(), Some("origin"));
    assert!(!log.page(user, Some(ids[3]), 2).await.unwrap().unwrap().has_more);
    assert_eq!(log.page(user, Some(NotificationId::from_ticks(7)), 2).await.unwrap(), None);
    assert_eq!(log.page(user, Some(NotificationId(uuid::Uuid::new_v4())), 2).await.unwrap(), None);
    assert_eq!(log.after(user, Some(NotificationId::from_ticks(7)), 9).await.unwrap().entries.len(), 5);
    assert_eq!(log.last(user, Some(ClientId(1))).await.unwrap().unwrap().id, ids[4]);
    assert_eq!(log.last(user, Some(ClientId(2))).await.unwrap().unwrap().id, ids[3]);
    assert_eq!(log.get(user, ids[2]).await.unwrap().unwrap().id, ids[2]);
    assert_eq!(log.get(UserId::random(), ids[2]).await.unwrap(), None);
    assert_eq!(log.position(user).await.unwrap(), Some(ids[4]));
    assert_eq!(log.acknowledged(user, ClientId(1)).await.unwrap(), None);
    for id in [ids[3], ids[2]] {
        log.acknowledge(user, ClientId(1), id).await.unwrap();
        assert_eq!(log.acknowledged(user, ClientId(1)).await.unwrap(), Some(ids[3]), "never back");
    }
    log.delete_all(user).await.unwrap();
    assert!(log.after(user, None, 9).await.unwrap().entries.is_empty());
    let later = log.append(new(user, 9, None)).await.unwrap();
    assert!(later.ticks() > ids[4].ticks(), "ids grow even after the log was emptied");
}

/// Two hosts whose clocks are seconds apart write in turn: who reads on after the last id it saw misses nothing.
async fn skewed_clocks(logs: &dyn Logs) {
    let user = UserId::random();
    let hosts = [logs.with_clock(5), logs.with_clock(-5)];
    let mut last = None;
    for number in 0..20 {
        let log = &hosts[number % 2];
        let id = log.append(new(user, number, None)).await.unwrap();
        let read = hosts[(number + 1) % 2].after(user, last, 10).await.unwrap();
        assert_eq!(read.entries.iter().map(|entry| entry.id).collect::<Vec<_>>(), [id], "number {number}");
        last = Some(id);
    }
}

/// Many write at once from hosts with different clocks while one reads: it sees everything once and in order.
async fn many_writers(logs: &dyn Logs) {
    const WRITERS: usize = 8;
    const EACH: usize = 25;
    let user = UserId::random();
    let writers = (0..WRITERS).map(|writer| {
        let log = logs.with_clock(i64::try_from(writer).unwrap() - 4);
        tokio::spawn(async move {
            for number in 0..EACH {
                log.append(new(user, writer * EACH + number, None)).await.unwrap();
            }
        })
    });
    let writing = future::join_all(writers.collect::<Vec<_>>());
    let log = logs.with_clock(0);
    let reading = async {
        let (mut seen, mut last) = (Vec::new(), None);
        while seen.len() < WRITERS * EACH {
            let page = log.after(user, last, 7).await.unwrap();
            last = page.entries.last().map(|entry| entry.id).or(last);
            seen.extend(page.entries.into_iter().map(|entry| entry.payload[0]["number"].as_u64().unwrap()));
            tokio::task::yield_now().await;
        }
        seen
    };
    let reading = tokio::time::timeout(std::time::Duration::from_secs(60), reading);
    let (written, seen) = future::join(writing, reading).await;
    written.into_iter().for_each(|writer| writer.unwrap());
    let mut seen = seen.expect("the reader misses something");
    seen.sort_unstable();
    assert_eq!(seen, (0..200).collect::<Vec<u64>>());
}
