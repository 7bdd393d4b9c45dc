//! Members of teams: listed, given permissions, removed.

use axum::extract::{Path, State};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::app::App;
use crate::domain::team::{Permission, Permissions, TeamMember, TeamMemberView};
use crate::domain::{TeamId, Time, UserId, event};
use crate::http::body::{Json, empty};
use crate::http::routes::TeamMembership;
use crate::http::{Access, Answer, App as AppState, Caller, Failure, Query, Routes, error};
use crate::secret::Secret;
use crate::services::brig::{account, deletion, login};

/// The routes.
pub fn routes() -> Routes {
    Routes::default()
        .get("/teams/{team}/members", Access::Team, list)
        .post("/teams/{team}/get-members-by-ids-using-post", Access::Team, by_ids)
        .takes::<Ids>()
        .get("/teams/{team}/members/{user}", Access::Team, get)
        .gives::<TeamMemberView>(200)
        .put("/teams/{team}/members", Access::TeamPermission(Permission::SetMemberPermissions), set_permissions)
        .takes::<Update>()
        .delete("/teams/{team}/members/{user}", Access::Team, remove)
        .get("/teams/{team}/legalhold/{user}", Access::Team, no_legal_hold)
        .get("/teams/{team}/search", Access::TeamPermission(Permission::AddTeamMember), search)
}

/// Whether one member sees another's permissions.
fn sees(viewer: &TeamMember, member: &TeamMember) -> bool {
    viewer.user == member.user || viewer.permissions.allows(Permission::GetMemberPermissions)
}

#[derive(Deserialize)]
struct Page {
    #[serde(rename = "maxResults")]
    most: Option<usize>,
    #[serde(rename = "pagingState")]
    paging_state: Option<UserId>,
}

async fn list(
    State(app): AppState,
    TeamMembership(viewer): TeamMembership,
    Path(team): Path<TeamId>,
    Query(page): Query<Page>,
) -> Answer<Json<Value>> {
    let members = app.store.teams.members(team).await?;
    let rest: Vec<_> =
        members.iter().filter(|member| page.paging_state.is_none_or(|after| member.user > after)).collect();
    let most = page.most.unwrap_or(2000).clamp(1, 2000);
    let shown: Vec<_> = rest.iter().take(most).map(|member| member.view(sees(&viewer, member))).collect();
    let last = rest.get(shown.len().wrapping_sub(1)).map(|member| member.user.to_string()).unwrap_or_default();
    Ok(Json(json!({"members": shown, "hasMore": rest.len() > shown.len(), "pagingState": last})))
}

/// Members by id.
#[derive(Deserialize, JsonSchema)]
struct Ids {
    user_ids: Vec<UserId>,
}

async fn by_ids(
    State(app): AppState,
    TeamMembership(viewer): TeamMembership,
    Path(team): Path<TeamId>,
    Json(ids): Json<Ids>,
) -> Answer<Json<Value>> {
    let members = app.store.teams.members(team).await?;
    let wanted = members.iter().filter(|member| ids.user_ids.contains(&member.user));
    let shown: Vec<_> = wanted.map(|member| member.view(sees(&viewer, member))).collect();
    Ok(Json(json!({"members": shown, "hasMore": false})))
}

async fn get(
    State(app): AppState,
    TeamMembership(viewer): TeamMembership,
    Path((team, user)): Path<(TeamId, UserId)>,
) -> Answer<Json<TeamMemberView>> {
    let member = app.store.teams.member(team, user).await?.ok_or(error::TEAM_MEMBER_NOT_FOUND)?;
    Ok(Json(member.view(sees(&viewer, &member))))
}

/// A member with other permissions.
#[derive(Deserialize, JsonSchema)]
struct Update {
    member: UpdatedMember,
}

#[derive(Deserialize, JsonSchema)]
struct UpdatedMember {
    user: UserId,
    permissions: Permissions,
}

async fn set_permissions(
    State(app): AppState,
    caller: Caller,
    TeamMembership(setter): TeamMembership,
    Path(team): Path<TeamId>,
    Json(update): Json<Update>,
) -> Answer {
    let UpdatedMember { user, permissions } = update.member;
    if !permissions.is_valid() {
        return Err(error::INVALID_PERMISSIONS.into());
    }
    let target = app.store.teams.member(team, user).await?.ok_or(error::TEAM_MEMBER_NOT_FOUND)?;
    // Nobody gives what they have not, or takes from who has more.
    if !setter.permissions.may_give(permissions) || !setter.permissions.may_give(target.permissions) {
        return Err(error::OPERATION_DENIED.into());
    }
    if target.permissions.is_owner() && !permissions.is_owner() {
        keep_an_owner(&app, team, user).await?;
    }
    app.store.teams.set_permissions(team, user, permissions).await?;
    let members = app.store.teams.members(team).await?;
    let data = json!({"user": user, "permissions": permissions});
    let event = event::team("member-update", team, Time::now(), &data);
    // Permissions are told to those who may see them.
    let told = members
        .iter()
        .filter(|member| member.user == user || member.permissions.allows(Permission::GetMemberPermissions));
    app.push.tell(told.map(|member| member.user), &event, Some(&caller.connection)).await?;
    Ok(empty(200))
}

async fn keep_an_owner(app: &App, team: TeamId, besides: UserId) -> Result<(), Failure> {
    let members = app.store.teams.members(team).await?;
    let other = members.iter().any(|member| member.user != besides && member.permissions.is_owner());
    if other { Ok(()) } else { Err(error::NO_OTHER_OWNER.into()) }
}

#[derive(Deserialize, Default)]
struct Remove {
    password: Option<Secret>,
}

/// Removes a member; with the team goes the account, as members' accounts are the team's.
async fn remove(
    State(app): AppState,
    caller: Caller,
    TeamMembership(remover): TeamMembership,
    Path((team, user)): Path<(TeamId, UserId)>,
    request: Option<Json<Remove>>,
) -> Answer {
    let target = app.store.teams.member(team, user).await?.ok_or(error::TEAM_MEMBER_NOT_FOUND)?;
    let own = user == caller.user;
    let may = own
        || (remover.permissions.allows(Permission::RemoveTeamMember)
            && remover.permissions.may_give(target.permissions));
    if !may {
        return Err(error::OPERATION_DENIED.into());
    }
    if target.permissions.is_owner() {
        keep_an_owner(&app, team, user).await?;
    }
    let password = request.and_then(|Json(request)| request.password);
    login::reauthenticate(&app, caller.user, password.as_ref()).await?;
    if let Some(user) = app.store.users.get(user).await? {
        deletion::delete(&app, &user, deletion::Team::Stays).await?;
    }
    Ok(empty(202))
}

/// Legal hold is not offered.
async fn no_legal_hold() -> Json<Value> {
    Json(json!({"status": "no_consent"}))
}

#[derive(Deserialize)]
struct Search {
    #[serde(default)]
    q: String,
    size: Option<usize>,
}

/// Members by name, handle or address, for those who manage them.
async fn search(
    State(app): AppState,
    caller: Caller,
    Path(team): Path<TeamId>,
    Query(search): Query<Search>,
) -> Answer<Json<Value>> {
    account::own(&app, &caller).await?;
    let text = search.q.trim().to_lowercase();
    let members = app.store.teams.members(team).await?;
    let users = app.store.users.get_many(&members.iter().map(|member| member.user).collect::<Vec<_>>()).await?;
    let fits = |name: Option<&str>| name.is_some_and(|name| name.to_lowercase().contains(&text));
    let fitting = users
        .iter()
        .filter(|user| fits(Some(&user.name)) || fits(user.handle.as_deref()) || fits(user.email.as_deref()));
    let size = search.size.unwrap_or(15).clamp(1, 500);
    let view = |user: &crate::domain::user::User| json!({"id": user.id, "name": user.name, "handle": user.handle, "accent_id": user.accent_id, "team": user.team, "email": user.email});
    let documents: Vec<_> = fitting.take(size).map(view).collect();
    let count = documents.len();
    Ok(Json(json!({"documents": documents, "found": count, "returned": count, "took": 0, "has_more": false})))
}
