//! Teams: shown, changed, deleted; a user's own account turned into one.

use axum::extract::{Path, State};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::conversations;
use crate::domain::team::{Permission, Team, TeamMember, TeamRole, TeamView};
use crate::domain::user::UserChange;
use crate::domain::{ConversationId, TeamId, Time, event};
use crate::http::body::{Json, empty};
use crate::http::{Access, Answer, App, Caller, Routes, error};
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
    if [&update.icon, &update.icon_key].into_iter().flatten().any(|icon| icon.len() > 256) {
        return Err(error::BAD_REQUEST.saying("Error in icon or icon_key: at most 256 bytes are expected").into());
    }
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

/// Deletes a team with its conversations and its members' accounts.
async fn delete(State(app): App, caller: Caller, Path(id): Path<TeamId>, request: Option<Json<Delete>>) -> Answer {
    let password = request.and_then(|Json(request)| request.password);
    login::reauthenticate(&app, caller.user, password.as_ref()).await?;
    let members = app.store.teams.members(id).await?;
    let gone = event::team("delete", id, Time::now(), &Value::Null);
    app.push.tell(members.iter().map(|member| member.user), &gone, Some(&caller.connection)).await?;
    for conversation in app.store.conversations.of_team(id).await? {
        if let Some(conversation) = app.store.conversations.get(conversation).await? {
            conversations::remove(&app, &conversation, caller.user, Some(&caller.connection)).await?;
        }
    }
    for member in members {
        if let Some(user) = app.store.users.get(member.user).await? {
            deletion::delete(&app, &user).await?;
        }
    }
    app.store.teams.delete(id).await?;
    Ok(empty(202))
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
    let icon = new.icon.unwrap_or_else(|| "default".to_owned());
    let team = Team { id: TeamId::random(), creator: user.id, name, icon, icon_key: None };
    app.store.teams.put(&team).await?;
    let owner = TeamMember { user: user.id, permissions: TeamRole::Owner.permissions(), invited: None };
    app.store.teams.put_member(team.id, &owner).await?;
    app.store.users.update(user.id, UserChange { team: Some(Some(team.id)), ..UserChange::default() }).await?;
    user.team = Some(team.id);
    directory::index(&app, &user).await?;
    let event = event::user_updated(user.id, app.domain(), json!({"team": team.id}));
    app.push.tell(account::audience(&app, &user).await?, &event, Some(&caller.connection)).await?;
    Ok(Json(json!({"team_id": team.id, "team_name": team.name})))
}
