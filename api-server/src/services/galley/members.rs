//! Members: added, removed, given roles.

use axum::extract::{Path, State};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use super::departure;
use super::{tell, users};
use crate::app::App;
use crate::domain::connection::ConnectionStatus;
use crate::domain::conversation::{Access as Way, AccessRole, Action, Conversation, Member, Role};
use crate::domain::event::{ConversationEvent, Happening, LeaveReason};
use crate::domain::user::User;
use crate::domain::{ConversationId, Qualified, UserId};
use crate::http::body::{Json, empty, json as answer};
use crate::http::routes::Membership;
use crate::http::{Access, Answer, App as AppState, Caller, Failure, Routes, error};

/// The routes.
pub fn routes() -> Routes {
    let add_access = Access::ConversationAction(Action::AddConversationMember);
    let role_access = Access::ConversationAction(Action::ModifyOtherConversationMember);
    Routes::default()
        .post("/conversations/{domain}/{conversation}/members", add_access, add)
        .takes::<NewMembers>()
        .gives::<ConversationEvent>(200)
        .post("/conversations/{conversation}/members", add_access, add)
        .post("/conversations/{conversation}/members/v2", add_access, add)
        .delete("/conversations/{domain}/{conversation}/members/{user_domain}/{user}", Access::Conversation, remove)
        .gives::<ConversationEvent>(200)
        .delete("/conversations/{conversation}/members/{user}", Access::Conversation, remove_unqualified)
        .put("/conversations/{domain}/{conversation}/members/{user_domain}/{user}", role_access, set_role)
        .takes::<NewRole>()
        .put("/conversations/{conversation}/members/{user}", role_access, set_role_unqualified)
}

/// Users who are to come in.
#[derive(Default)]
pub struct Entrants {
    /// By id alone.
    pub users: Vec<UserId>,
    /// With their backend.
    pub qualified_users: Vec<Qualified<UserId>>,
}

/// Ids of this backend's users.
///
/// # Errors
/// 422 for others'.
pub fn local(app: &App, users: &[Qualified<UserId>]) -> Result<Vec<UserId>, Failure> {
    for user in users {
        crate::services::brig::users::check_domain(app, &user.domain)?;
    }
    Ok(users.iter().map(|user| user.id).collect())
}

/// Those of the entrants who are not in yet, if all of them may come in: there is room, they exist, whoever brings them is connected with
/// them or in a team with them, and the conversation takes such users.
///
/// # Errors
/// 403 of several kinds.
pub async fn check_entrants(
    app: &App,
    caller: &Caller,
    conversation: &Conversation,
    members: &[Member],
    entrants: Entrants,
) -> Result<Vec<UserId>, Failure> {
    let mut wanted = entrants.users;
    wanted.extend(local(app, &entrants.qualified_users)?);
    wanted.sort();
    wanted.dedup();
    wanted.retain(|user| *user != caller.user && !users(members).any(|member| member == *user));
    if members.len() + wanted.len() > app.config.limits.conversation_members {
        return Err(error::TOO_MANY_MEMBERS.into());
    }
    let found = app.store.users.get_many(&wanted).await?;
    if wanted.iter().any(|user| !found.iter().any(|known| known.id == *user && known.is_active())) {
        return Err(error::NOT_CONNECTED.into());
    }
    let own_team = app.store.users.get(caller.user).await?.and_then(|user| user.team);
    for user in &found {
        let colleague = own_team.is_some() && user.team == own_team;
        if !colleague {
            let side = app.store.connections.get(caller.user, user.id).await?;
            if side.is_none_or(|side| side.status != ConnectionStatus::Accepted) {
                return Err(error::NOT_CONNECTED.into());
            }
        }
        if !admits(conversation, user) {
            return Err(error::CONVERSATION_DENIED.into());
        }
    }
    Ok(wanted)
}

/// Whether a conversation takes such a user.
pub fn admits(conversation: &Conversation, user: &User) -> bool {
    let role = |role| conversation.access_role.contains(&role);
    match conversation.team {
        None => true,
        Some(team) if user.team == Some(team) => role(AccessRole::TeamMember),
        Some(_) if user.team.is_some() => role(AccessRole::NonTeamMember) || role(AccessRole::Guest),
        Some(_) => role(AccessRole::Guest) || role(AccessRole::NonTeamMember),
    }
}

/// Users to add.
#[derive(Deserialize, JsonSchema)]
struct NewMembers {
    #[serde(default)]
    users: Vec<UserId>,
    #[serde(default)]
    qualified_users: Vec<Qualified<UserId>>,
    #[serde(default)]
    conversation_role: Role,
}

async fn add(
    State(app): AppState,
    caller: Caller,
    Membership { conversation, members, .. }: Membership,
    Json(new): Json<NewMembers>,
) -> Answer {
    if !conversation.is_group() || !conversation.access.contains(&Way::Invite) {
        return Err(error::INVALID_OPERATION.into());
    }
    let entrants = Entrants { users: new.users, qualified_users: new.qualified_users };
    let entrants = check_entrants(&app, &caller, &conversation, &members, entrants).await?;
    if entrants.is_empty() {
        return Ok(empty(204));
    }
    let event = join(&app, &conversation, &members, &entrants, new.conversation_role, &caller).await?;
    Ok(answer(200, event))
}

/// Brings users in and tells all.
///
/// # Errors
/// The store's.
pub async fn join(
    app: &App,
    conversation: &Conversation,
    members: &[Member],
    entrants: &[UserId],
    role: Role,
    caller: &Caller,
) -> Result<ConversationEvent, Failure> {
    let joined: Vec<_> = entrants.iter().map(|user| Member::new(*user, role)).collect();
    app.store.conversations.add_members(conversation.id, &joined).await?;
    let what = Happening::MemberJoin {
        user_ids: entrants.to_vec(),
        users: joined.iter().map(|member| member.seen_by_others(app.domain())).collect(),
        add_type: "internal_add",
    };
    let mut receivers: Vec<_> = users(members).chain(entrants.iter().copied()).collect();
    receivers.sort();
    receivers.dedup();
    tell(app, conversation, caller.user, what, receivers, Some(&caller.connection)).await
}

async fn remove(
    State(app): AppState,
    caller: Caller,
    membership: Membership,
    Path((_, _, user_domain, user)): Path<(String, ConversationId, String, UserId)>,
) -> Answer {
    crate::services::brig::users::check_domain(&app, &user_domain)?;
    take_out(&app, &caller, membership, user).await
}

async fn remove_unqualified(
    State(app): AppState,
    caller: Caller,
    membership: Membership,
    Path((_, user)): Path<(ConversationId, UserId)>,
) -> Answer {
    take_out(&app, &caller, membership, user).await
}

async fn take_out(
    app: &App,
    caller: &Caller,
    Membership { conversation, member, .. }: Membership,
    user: UserId,
) -> Answer {
    let (action, reason) = if user == caller.user {
        (Action::LeaveConversation, LeaveReason::Left)
    } else {
        (Action::RemoveConversationMember, LeaveReason::Removed)
    };
    if !member.role.allows(action) {
        return Err(error::ACTION_DENIED.into());
    }
    if !conversation.is_group() {
        return Err(error::INVALID_OPERATION.into());
    }
    if app.store.conversations.member(conversation.id, user).await?.is_none() {
        return Ok(empty(204));
    }
    let event = departure::remove(app, &conversation, caller.user, &[user], reason, Some(&caller.connection)).await?;
    Ok(answer(200, event))
}

/// A member's role.
#[derive(Deserialize, JsonSchema)]
struct NewRole {
    conversation_role: Role,
}

async fn set_role(
    State(app): AppState,
    caller: Caller,
    Membership { conversation, .. }: Membership,
    Path((_, _, user_domain, user)): Path<(String, ConversationId, String, UserId)>,
    Json(new): Json<NewRole>,
) -> Answer {
    crate::services::brig::users::check_domain(&app, &user_domain)?;
    give_role(&app, &caller, &conversation, user, new.conversation_role).await
}

async fn set_role_unqualified(
    State(app): AppState,
    caller: Caller,
    Membership { conversation, .. }: Membership,
    Path((_, user)): Path<(ConversationId, UserId)>,
    Json(new): Json<NewRole>,
) -> Answer {
    give_role(&app, &caller, &conversation, user, new.conversation_role).await
}

async fn give_role(app: &App, caller: &Caller, conversation: &Conversation, user: UserId, role: Role) -> Answer {
    if !conversation.is_group() || user == caller.user {
        return Err(error::INVALID_OPERATION.into());
    }
    app.store.conversations.member(conversation.id, user).await?.ok_or(error::NO_MEMBER)?;
    app.store.conversations.set_role(conversation.id, user, role).await?;
    let members = app.store.conversations.members(conversation.id).await?;
    let data =
        json!({"target": user, "qualified_target": Qualified::new(user, app.domain()), "conversation_role": role});
    tell(app, conversation, caller.user, Happening::MemberUpdate(data), users(&members), Some(&caller.connection))
        .await?;
    Ok(empty(200))
}
