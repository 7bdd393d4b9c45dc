//! Teams: shown, changed, deleted; a user's own account turned into one.

use std::collections::HashSet;

use axum::extract::{Path, State};
use futures_util::stream::{self, TryStreamExt as _};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::conversations;
use crate::domain::team::{Permission, Team, TeamMember, TeamRole, TeamView};
use crate::domain::user::UserChange;
use crate::domain::{ConversationId, TeamId, Time, UserId, event};
use crate::http::body::{Json, empty};
use crate::http::{Access, Answer, App, Caller, Failure, Routes, error};
use crate::secret::Secret;
use crate::services::brig::{account, deletion, directory, login, names};

/// The routes.
pub fn routes() -> Routes {
    let list = Access::TeamPermission(Permission::GetTeamConversations);
    Routes::default()
        .get("/teams", Access::User, own)
        .get("/teams/{team}", Access::Team, get)
        .gives::<TeamView>(200)
        .put("/teams/{team}", Access::TeamPermission(Permission::SetTeamData), update)
        .takes::<Update>()
        .delete("/teams/{team}", Access::TeamPermission(Permission::DeleteTeam), delete)
        .get("/teams/{team}/conversations", list, list_conversations)
        .get("/teams/{team}/conversations/roles", Access::Team, roles)
        .get("/teams/{team}/conversations/{conversation}", list, get_conversation)
        .get("/custom-backend/by-domain/{name}", Access::Public, no_other_backend)
        .post("/upgrade-personal-to-team", Access::User, upgrade)
        .takes::<NewTeam>()
}

async fn own(State(app): App, caller: Caller) -> Answer<Json<Value>> {
    let user = account::own(&app, &caller).await?;
    let team = match user.team {
        Some(team) => app.store.teams.get(team).await?,
        None => None,
    };
    let teams: Vec<_> = team.iter().map(Team::view).collect();
    Ok(Json(json!({"teams": teams, "has_more": false})))
}

async fn get(State(app): App, Path(team): Path<TeamId>) -> Answer<Json<TeamView>> {
    Ok(Json(app.store.teams.get(team).await?.ok_or(error::TEAM_NOT_FOUND)?.view()))
}

/// A new look; what is missing stays.
#[derive(Deserialize, JsonSchema)]
struct Update {
    name: Option<String>,
    icon: Option<String>,
    icon_key: Option<String>,
}

async fn update(State(app): App, caller: Caller, Path(id): Path<TeamId>, Json(update): Json<Update>) -> Answer {
    let mut team = app.store.teams.get(id).await?.ok_or(error::TEAM_NOT_FOUND)?;
    let mut changed = json!({});
    if let Some(name) = update.name {
        team.name = names::display_name(&name)?;
        changed["name"] = json!(team.name);
    }
    names::short("icon or icon_key", [&update.icon, &update.icon_key])?;
    if let Some(icon) = update.icon {
        changed["icon"] = json!(icon);
        team.icon = icon;
    }
    if let Some(key) = update.icon_key {
        changed["icon_key"] = json!(key);
        team.icon_key = Some(key);
    }
    app.store.teams.put(&team).await?;
    let members = app.store.teams.members(id).await?;
    let event = event::team("update", id, Time::now(), &changed);
    app.push.tell(members.into_iter().map(|member| member.user), &event, Some(&caller.connection)).await?;
    Ok(empty(200))
}

#[derive(Deserialize, Default)]
struct Delete {
    password: Option<Secret>,
}

/// Conversations and members of a team that go at a time.
const AT_ONCE: usize = 16;

/// Deletes a team with its conversations and its members' accounts. Whoever asks for it goes last, so that they can ask again when it broke off.
async fn delete(State(app): App, caller: Caller, Path(id): Path<TeamId>, request: Option<Json<Delete>>) -> Answer {
    let password = request.and_then(|Json(request)| request.password);
    login::reauthenticate(&app, caller.user, password.as_ref()).await?;
    let members: HashSet<_> = app.store.teams.members(id).await?.into_iter().map(|member| member.user).collect();
    let gone = event::team("delete", id, Time::now(), &Value::Null);
    app.push.tell(members.iter().copied(), &gone, Some(&caller.connection)).await?;
    // The members know by now: of a conversation's end only guests are told, and of an account's those outside who know them.
    let (app, caller, members) = (&*app, &caller, &members);
    let conversations = stream::iter(app.store.conversations.of_team(id).await?.into_iter().map(Ok));
    let remove = |conversation| async move {
        match app.store.conversations.get(conversation).await? {
            Some(known) => conversations::remove(app, &known, caller, |user| !members.contains(&user)).await,
            None => Ok(()),
        }
    };
    conversations.try_for_each_concurrent(AT_ONCE, remove).await?;
    let others = stream::iter(members.iter().copied().filter(|user| *user != caller.user).map(Ok));
    others.try_for_each_concurrent(AT_ONCE, |user| delete_member(app, user)).await?;
    app.store.teams.delete(id).await?;
    delete_member(app, caller.user).await?;
    Ok(empty(202))
}

async fn delete_member(app: &crate::app::App, user: UserId) -> Result<(), Failure> {
    match app.store.users.get(user).await? {
        Some(user) if !deletion::is_done(&user) => deletion::delete(app, &user, deletion::Team::Goes).await,
        _ => Ok(()),
    }
}

async fn list_conversations(State(app): App, Path(team): Path<TeamId>) -> Answer<Json<Value>> {
    let view = |id: ConversationId| json!({"conversation": id, "managed": false});
    let conversations: Vec<_> = app.store.conversations.of_team(team).await?.into_iter().map(view).collect();
    Ok(Json(json!({"conversations": conversations})))
}

async fn get_conversation(State(app): App, Path((team, id)): Path<(TeamId, ConversationId)>) -> Answer<Json<Value>> {
    let known = app.store.conversations.get(id).await?.filter(|conversation| conversation.team == Some(team));
    let known = known.ok_or(error::NO_CONVERSATION)?;
    Ok(Json(json!({"conversation": known.id, "managed": false})))
}

async fn roles() -> Json<Value> {
    Json(conversations::all_roles())
}

/// No address leads to another backend.
async fn no_other_backend() -> Answer {
    Err(error::ApiError::new(404, "custom-backend-not-found", "Custom backend not found").into())
}

/// A team to be.
#[derive(Deserialize, JsonSchema)]
struct NewTeam {
    name: String,
    icon: Option<String>,
}

async fn upgrade(State(app): App, caller: Caller, Json(new): Json<NewTeam>) -> Answer<Json<Value>> {
    let mut user = account::own(&app, &caller).await?;
    if user.team.is_some() {
        return Err(error::ApiError::new(403, "user-already-in-a-team", "Switching teams is not allowed").into());
    }
    let name = names::display_name(&new.name)?;
    names::short("icon", [&new.icon])?;
    let icon = new.icon.unwrap_or_else(|| "default".to_owned());
    let team = Team { id: TeamId::random(), creator: user.id, name, icon, icon_key: None };
    app.store.teams.put(&team).await?;
    let owner = TeamMember { user: user.id, permissions: TeamRole::Owner.permissions(), invited: None };
    app.store.teams.put_member(team.id, &owner).await?;
    app.store.users.update(user.id, UserChange { team: Some(Some(team.id)), ..UserChange::default() }).await?;
    user.team = Some(team.id);
    directory::index(&app, &user).await?;
    let event = event::user_updated(user.id, app.domain(), json!({"team": team.id}));
    app.push.tell(account::audience(&app, user.id, user.team).await?, &event, Some(&caller.connection)).await?;
    Ok(Json(json!({"team_id": team.id, "team_name": team.name})))
}
