//! Conversations: begun, listed, shown, deleted.

use axum::extract::{Path, State};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::members::{Entrants, check_entrants};
use super::{tell, users};
use crate::app::App;
use crate::domain::conversation::{
    Access as Way, AccessRole, Action, Conversation, ConversationKind, ConversationView, Member, Role,
};
use crate::domain::event::{ConversationEvent, Happening, to_json};
use crate::domain::notification::NewNotification;
use crate::domain::team::Permission;
use crate::domain::{ConversationId, Qualified, TeamId, Time, UserId};
use crate::http::body::{Json, empty, json as answer};
use crate::http::routes::Membership;
use crate::http::{Access, Answer, App as AppState, Caller, Failure, Query, Routes, error};

/// The routes.
pub fn routes() -> Routes {
    Routes::default()
        .post("/conversations", Access::User, create)
        .takes::<NewConversation>()
        .gives::<ConversationView>(201)
        .get("/conversations", Access::User, list_unqualified)
        .post("/conversations/self", Access::User, own)
        .gives::<ConversationView>(200)
        .post("/one2one-conversations", Access::User, one_to_one)
        .post("/conversations/one2one", Access::User, one_to_one)
        .post("/conversations/list-ids", Access::User, list_ids)
        .takes::<IdsRequest>()
        .get("/conversations/ids", Access::User, ids_unqualified)
        .post("/conversations/list", Access::User, list)
        .takes::<Wanted>()
        .post("/conversations/list/v2", Access::User, list)
        .get("/conversations/{domain}/{conversation}", Access::Conversation, get)
        .gives::<ConversationView>(200)
        .get("/conversations/{conversation}", Access::Conversation, get)
        .gives::<ConversationView>(200)
        .get("/conversations/{conversation}/roles", Access::Conversation, roles)
        .delete(
            "/teams/{team}/conversations/{conversation}",
            Access::ConversationAction(Action::DeleteConversation),
            delete,
        )
}

/// A conversation to be.
#[derive(Deserialize, JsonSchema)]
struct NewConversation {
    name: Option<String>,
    #[serde(default)]
    users: Vec<UserId>,
    #[serde(default)]
    qualified_users: Vec<Qualified<UserId>>,
    access: Option<Vec<Way>>,
    access_role: Option<Vec<AccessRole>>,
    access_role_v2: Option<Vec<AccessRole>>,
    team: Option<InTeam>,
    message_timer: Option<u64>,
    receipt_mode: Option<i32>,
    #[serde(default)]
    conversation_role: Role,
    protocol: Option<String>,
    group_conv_type: Option<String>,
}

#[derive(Deserialize, JsonSchema)]
struct InTeam {
    teamid: TeamId,
}

/// Characters of a name.
pub const NAME: usize = 256;

async fn create(State(app): AppState, caller: Caller, Json(new): Json<NewConversation>) -> Answer {
    if new.protocol.as_deref().is_some_and(|protocol| protocol != "proteus") {
        return Err(error::MLS_OFF.into());
    }
    if new.name.as_ref().is_some_and(|name| name.chars().count() > NAME) {
        return Err(error::BAD_REQUEST.saying("Error in the name: at most 256 characters are expected").into());
    }
    let team = match new.team {
        Some(team) => {
            let member = app.store.teams.member(team.teamid, caller.user).await?.ok_or(error::NO_TEAM_MEMBER)?;
            if !member.permissions.allows(Permission::CreateConversation) {
                return Err(error::OPERATION_DENIED.into());
            }
            Some(team.teamid)
        }
        None => None,
    };
    let roles = new.access_role_v2.or(new.access_role);
    let conversation = Conversation {
        id: ConversationId::random(),
        kind: ConversationKind::Regular,
        creator: caller.user,
        access: new.access.unwrap_or_else(|| vec![Way::Invite]),
        access_role: roles
            .unwrap_or_else(|| vec![AccessRole::TeamMember, AccessRole::NonTeamMember, AccessRole::Service]),
        name: new.name,
        team,
        message_timer: new.message_timer,
        receipt_mode: new.receipt_mode,
        last_event_time: Time::now(),
        group_kind: new.group_conv_type.filter(|kind| kind == "channel"),
    };
    let entrants = Entrants { users: new.users, qualified_users: new.qualified_users };
    let entrants = check_entrants(&app, &caller, &conversation, &[], entrants).await?;
    let mut members = vec![Member::new(caller.user, Role::WireAdmin)];
    members.extend(entrants.into_iter().map(|user| Member::new(user, new.conversation_role)));
    app.store.conversations.create(&conversation, &members).await?;
    announce(&app, &conversation, &members, &caller).await?;
    let mut view = to_json(&conversation.view(&members[0], &members, app.domain()));
    view["failed_to_add"] = json!([]);
    Ok(answer(201, view))
}

/// Tells every member of a new conversation, as they see it.
async fn announce(app: &App, conversation: &Conversation, members: &[Member], caller: &Caller) -> Result<(), Failure> {
    let time = Time::now();
    let notification = |member: &Member| {
        let what = Happening::Create(Box::new(conversation.view(member, members, app.domain())));
        let event = to_json(&ConversationEvent::new(conversation.id, caller.user, time, app.domain(), what));
        NewNotification {
            user: member.user,
            clients: None,
            payload: vec![event],
            origin: Some(caller.connection.clone()),
        }
    };
    app.push.send(members.iter().map(notification).collect()).await
}

/// The user's own conversation: its id is the user's.
async fn own_conversation(app: &App, user: UserId) -> Result<(Conversation, Member), Failure> {
    let id = ConversationId(user.0);
    let member = Member::new(user, Role::WireAdmin);
    if let (Some(known), Some(member)) =
        (app.store.conversations.get(id).await?, app.store.conversations.member(id, user).await?)
    {
        return Ok((known, member));
    }
    let mut conversation = super::one_to_one::new(id, user, ConversationKind::SelfConversation);
    conversation.access_role = vec![AccessRole::TeamMember];
    app.store.conversations.create(&conversation, std::slice::from_ref(&member)).await?;
    Ok((conversation, member))
}

async fn own(State(app): AppState, caller: Caller) -> Answer<Json<ConversationView>> {
    let (conversation, member) = own_conversation(&app, caller.user).await?;
    Ok(Json(conversation.view(&member, &[], app.domain())))
}

/// Two members of one team need no connection: their conversation is opened for both.
async fn one_to_one(State(app): AppState, caller: Caller, Json(new): Json<NewConversation>) -> Answer {
    let wanted: Vec<_> = new.users.into_iter().chain(super::members::local(&app, &new.qualified_users)?).collect();
    let [other] = wanted[..] else {
        return Err(error::INVALID_OPERATION.saying("Exactly one other user is expected").into());
    };
    let team = new.team.ok_or(error::INVALID_OPERATION)?.teamid;
    for user in [caller.user, other] {
        app.store.teams.member(team, user).await?.ok_or(error::NO_TEAM_MEMBER)?;
    }
    if other == caller.user {
        return Err(error::INVALID_OPERATION.into());
    }
    let id = super::one_to_one::id_of(caller.user, other);
    if let (Some(known), Some(member)) =
        (app.store.conversations.get(id).await?, app.store.conversations.member(id, caller.user).await?)
    {
        let members = app.store.conversations.members(id).await?;
        return Ok(answer(200, known.view(&member, &members, app.domain())));
    }
    let mut conversation = super::one_to_one::new(id, caller.user, ConversationKind::OneToOne);
    conversation.team = Some(team);
    let members = [Member::new(caller.user, Role::WireAdmin), Member::new(other, Role::WireAdmin)];
    app.store.conversations.create(&conversation, &members).await?;
    app.store.conversations.add_members(id, &members).await?;
    announce(&app, &conversation, &members, &caller).await?;
    Ok(answer(201, conversation.view(&members[0], &members, app.domain())))
}

/// Which page.
#[derive(Deserialize, JsonSchema)]
struct IdsRequest {
    size: Option<usize>,
    paging_state: Option<String>,
}

/// Ids of a page, for those who say nothing and at most.
const IDS: usize = 1000;

async fn list_ids(State(app): AppState, caller: Caller, Json(request): Json<IdsRequest>) -> Answer<Json<Value>> {
    let after = match request.paging_state.as_deref().filter(|state| !state.is_empty()) {
        Some(state) => {
            let bytes =
                URL_SAFE_NO_PAD.decode(state).map_err(|_| error::BAD_REQUEST.saying("paging_state is none of ours"))?;
            Some(ConversationId(
                Uuid::from_slice(&bytes).map_err(|_| error::BAD_REQUEST.saying("paging_state is none of ours"))?,
            ))
        }
        None => {
            own_conversation(&app, caller.user).await?;
            None
        }
    };
    let page = app.store.conversations.of_user(caller.user, after, request.size.unwrap_or(IDS).clamp(1, IDS)).await?;
    let state = page.entries.last().map(|id| URL_SAFE_NO_PAD.encode(id.0)).unwrap_or_default();
    let ids: Vec<_> = page.entries.iter().map(|id| Qualified::new(*id, app.domain())).collect();
    Ok(Json(json!({"qualified_conversations": ids, "has_more": page.has_more, "paging_state": state})))
}

#[derive(Deserialize)]
struct PageQuery {
    size: Option<usize>,
    start: Option<ConversationId>,
}

async fn ids_unqualified(State(app): AppState, caller: Caller, Query(query): Query<PageQuery>) -> Answer<Json<Value>> {
    let page =
        app.store.conversations.of_user(caller.user, query.start, query.size.unwrap_or(IDS).clamp(1, IDS)).await?;
    Ok(Json(json!({"conversations": page.entries, "has_more": page.has_more})))
}

async fn list_unqualified(State(app): AppState, caller: Caller, Query(query): Query<PageQuery>) -> Answer<Json<Value>> {
    if query.start.is_none() {
        own_conversation(&app, caller.user).await?;
    }
    let page =
        app.store.conversations.of_user(caller.user, query.start, query.size.unwrap_or(100).clamp(1, 500)).await?;
    let mut views = Vec::new();
    for id in page.entries {
        views.extend(view(&app, id, caller.user).await?);
    }
    Ok(Json(json!({"conversations": views, "has_more": page.has_more})))
}

/// Conversations by id.
#[derive(Deserialize, JsonSchema)]
struct Wanted {
    qualified_ids: Vec<Qualified<ConversationId>>,
}

async fn list(State(app): AppState, caller: Caller, Json(wanted): Json<Wanted>) -> Answer<Json<Value>> {
    if wanted.qualified_ids.len() > IDS {
        return Err(error::BAD_REQUEST.saying("Too many conversations: at most 1000 are expected").into());
    }
    let (mut found, mut not_found, mut failed) = (Vec::new(), Vec::new(), Vec::new());
    for id in wanted.qualified_ids {
        if id.domain != app.domain() {
            failed.push(id);
        } else if let Some(view) = view(&app, id.id, caller.user).await? {
            found.push(view);
        } else {
            not_found.push(id);
        }
    }
    Ok(Json(json!({"found": found, "not_found": not_found, "failed": failed})))
}

async fn view(app: &App, id: ConversationId, user: UserId) -> Result<Option<ConversationView>, Failure> {
    let Some(conversation) = app.store.conversations.get(id).await? else { return Ok(None) };
    let members = app.store.conversations.members(id).await?;
    let own = members.iter().find(|member| member.user == user);
    Ok(own.map(|own| conversation.view(own, &members, app.domain())))
}

async fn get(State(app): AppState, membership: Membership) -> Answer<Json<ConversationView>> {
    let Membership { conversation, member, members } = membership;
    Ok(Json(conversation.view(&member, &members, app.domain())))
}

async fn roles(_membership: Membership) -> Json<Value> {
    Json(all_roles())
}

/// The roles and what they allow.
pub fn all_roles() -> Value {
    let role = |role: Role| json!({"conversation_role": role, "actions": role.actions()});
    json!({"conversation_roles": Role::ALL.map(role)})
}

async fn delete(
    State(app): AppState,
    caller: Caller,
    Membership { conversation, .. }: Membership,
    Path((team, _)): Path<(TeamId, ConversationId)>,
) -> Answer {
    if conversation.team != Some(team) || !conversation.is_group() {
        return Err(error::INVALID_OPERATION.into());
    }
    remove(&app, &conversation, &caller, |_| true).await?;
    Ok(empty(200))
}

/// Deletes a conversation and tells those of its members who are to be told.
///
/// # Errors
/// The store's.
pub async fn remove(
    app: &App,
    conversation: &Conversation,
    caller: &Caller,
    is_told: impl Fn(UserId) -> bool,
) -> Result<(), Failure> {
    let members = app.store.conversations.members(conversation.id).await?;
    app.store.conversations.delete(conversation.id).await?;
    let told: Vec<_> = users(&members).filter(|user| is_told(*user)).collect();
    tell(app, conversation, caller.user, Happening::Delete, told, Some(&caller.connection)).await?;
    Ok(())
}
