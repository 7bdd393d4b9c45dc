//! Invitations into teams: by mail, accepted by registering or by a user who has an account.

use axum::extract::{Path, State};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{account, directory, login, names, register};
use crate::domain::id::InvitationId;
use crate::domain::team::{Invitation, InvitationView, Permission, TeamRole};
use crate::domain::{TeamId, Time};
use crate::http::body::{Json, empty, json as answer};
use crate::http::routes::TeamMembership;
use crate::http::{Access, Answer, App, Caller, Query, Routes, error};
use crate::mail::Letter;
use crate::secret::{self, Secret};
use crate::store::users::Claim;

/// The routes.
pub fn routes() -> Routes {
    let invite = Access::TeamPermission(Permission::AddTeamMember);
    Routes::default()
        .post("/teams/{team}/invitations", invite, create)
        .takes::<NewInvitation>()
        .gives::<InvitationView>(201)
        .get("/teams/{team}/invitations", invite, list)
        .get("/teams/{team}/invitations/{invitation}", invite, get)
        .gives::<InvitationView>(200)
        .delete("/teams/{team}/invitations/{invitation}", invite, delete)
        .get("/teams/invitations/info", Access::Public, info)
        .head("/teams/invitations/by-email", Access::Public, by_email)
        .post("/teams/invitations/accept", Access::User, accept)
        .takes::<Accept>()
        .get("/teams/{team}/size", Access::Team, size)
}

/// Open invitations of a team.
const OPEN: usize = 500;

/// Whom to invite.
#[derive(Deserialize, JsonSchema)]
struct NewInvitation {
    email: String,
    #[serde(default)]
    role: TeamRole,
    name: Option<String>,
}

async fn create(
    State(app): App,
    caller: Caller,
    TeamMembership(inviter): TeamMembership,
    Path(team): Path<TeamId>,
    Json(new): Json<NewInvitation>,
) -> Answer {
    let email = names::email(&new.email)?;
    let known = app.store.teams.get(team).await?.ok_or(error::TEAM_NOT_FOUND)?;
    if !inviter.permissions.may_give(new.role.permissions()) {
        return Err(error::OPERATION_DENIED.into());
    }
    // Whoever is in a team cannot join another.
    if let Some(owner) = app.store.users.owner(&Claim::Email(email.clone())).await?
        && app.store.users.get(owner).await?.is_some_and(|user| user.team.is_some())
    {
        return Err(error::EMAIL_EXISTS.into());
    }
    let open = app.store.teams.invitations(team).await?;
    if open.len() >= OPEN {
        return Err(error::TOO_MANY_INVITATIONS.into());
    }
    // A second invitation takes the first one's place.
    for old in open.iter().filter(|old| old.email == email) {
        app.store.teams.delete_invitation(team, old.id).await?;
    }
    let invitation = Invitation {
        id: InvitationId::random(),
        team,
        email,
        role: new.role,
        name: new.name.as_deref().map(names::display_name).transpose()?,
        created_by: caller.user,
        created_at: Time::now(),
        code: secret::random_text(24)?,
    };
    app.store.teams.put_invitation(&invitation).await?;
    app.mailer.send(&invitation.email, &Letter::Invitation { team: &known.name, code: &invitation.code }).await?;
    Ok(answer(201, invitation.view()))
}

#[derive(Deserialize)]
struct Page {
    size: Option<usize>,
    start: Option<InvitationId>,
}

async fn list(State(app): App, Path(team): Path<TeamId>, Query(page): Query<Page>) -> Answer<Json<Value>> {
    let all = app.store.teams.invitations(team).await?;
    let rest: Vec<_> = all.iter().filter(|invitation| page.start.is_none_or(|start| invitation.id > start)).collect();
    let size = page.size.unwrap_or(100).clamp(1, 500);
    let views: Vec<_> = rest.iter().take(size).map(|invitation| invitation.view()).collect();
    Ok(Json(json!({"invitations": views, "has_more": rest.len() > size})))
}

async fn get(State(app): App, Path((team, id)): Path<(TeamId, InvitationId)>) -> Answer<Json<InvitationView>> {
    let all = app.store.teams.invitations(team).await?;
    Ok(Json(all.iter().find(|invitation| invitation.id == id).ok_or(error::NOT_FOUND)?.view()))
}

async fn delete(State(app): App, Path((team, id)): Path<(TeamId, InvitationId)>) -> Answer {
    app.store.teams.delete_invitation(team, id).await?;
    Ok(empty(200))
}

#[derive(Deserialize)]
struct ByCode {
    code: String,
}

async fn info(State(app): App, Query(by): Query<ByCode>) -> Answer<Json<Value>> {
    let invitation = app.store.teams.invitation_by_code(&by.code).await?.ok_or(error::INVALID_INVITATION)?;
    let team = app.store.teams.get(invitation.team).await?.ok_or(error::INVALID_INVITATION)?;
    let mut view = json!(invitation.view());
    view["team_name"] = json!(team.name);
    Ok(Json(view))
}

/// Whether an address is invited is told to nobody: the answer is the same for all.
async fn by_email() -> Answer {
    Ok(empty(404))
}

/// Accept an invitation with the account one has.
#[derive(Deserialize, JsonSchema)]
struct Accept {
    code: String,
    #[schemars(with = "String")]
    password: Secret,
}

async fn accept(State(app): App, caller: Caller, Json(accept): Json<Accept>) -> Answer {
    let user = account::own(&app, &caller).await?;
    login::reauthenticate(&app, user.id, Some(&accept.password)).await?;
    let invitation = app.store.teams.invitation_by_code(&accept.code).await?;
    let invitation = invitation
        .filter(|invitation| user.email.as_ref() == Some(&invitation.email))
        .ok_or(error::INVALID_INVITATION)?;
    if user.team.is_some() {
        return Err(error::ApiError::new(
            403,
            "cannot-join-multiple-teams",
            "Cannot accept invitations from multiple teams",
        )
        .into());
    }
    register::check_room(&app, &invitation).await?;
    let user = register::join_team(&app, user, &invitation).await?;
    directory::index(&app, &user).await?;
    Ok(empty(200))
}

async fn size(State(app): App, Path(team): Path<TeamId>) -> Answer<Json<Value>> {
    Ok(Json(json!({"teamSize": app.store.teams.members(team).await?.len()})))
}
