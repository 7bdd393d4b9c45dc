//! Registration: alone, with a new team, or into a team by invitation.

use axum::extract::State;
use axum::http::header;
use schemars::JsonSchema;
use serde::Deserialize;

use super::{activation, claims, cookies, directory, names};
use crate::app::App;
use crate::config::Activation;
use crate::domain::team::{Invitation, Team, TeamMember, TeamRole};
use crate::domain::user::{AccountStatus, Protocol, SelfProfile, User, UserAsset, UserChange};
use crate::domain::{TeamId, Time, UserId, event};
use crate::http::body::{Json, json as answer, with_cookie};
use crate::http::{Access, Answer, App as AppState, Failure, Routes, error};
use crate::secret::Secret;
use crate::store::users::Claim;

/// The routes.
pub fn routes() -> Routes {
    Routes::default().post("/register", Access::Public, register).takes::<NewUser>().gives::<SelfProfile>(201)
}

/// A user to be.
#[derive(Deserialize, JsonSchema)]
struct NewUser {
    name: String,
    email: Option<String>,
    email_code: Option<String>,
    #[schemars(with = "Option<String>")]
    password: Option<Secret>,
    accent_id: Option<i32>,
    assets: Option<Vec<UserAsset>>,
    locale: Option<String>,
    label: Option<String>,
    team: Option<NewTeam>,
    team_code: Option<String>,
    invitation_code: Option<String>,
    supported_protocols: Option<Vec<Protocol>>,
}

/// A team to be.
#[derive(Deserialize, JsonSchema)]
struct NewTeam {
    name: String,
    icon: Option<String>,
    icon_key: Option<String>,
}

/// Colours of avatars that clients know: 1 to 7.
const ACCENT: i32 = 1;

async fn register(State(app): AppState, Json(new): Json<NewUser>) -> Answer {
    let name = names::display_name(&new.name)?;
    let Some(email) = &new.email else {
        return Err(error::BAD_REQUEST
            .saying("An e-mail address is needed: this backend has no temporary accounts")
            .into());
    };
    let email = names::email(email)?;
    let Some(password) = &new.password else {
        return Err(error::BAD_REQUEST.saying("Error in the password: it is missing").into());
    };
    names::password(password)?;
    let assets = new.assets.unwrap_or_default();
    check_assets(&assets)?;
    names::short("label", [&new.label])?;
    if let Some(locale) = &new.locale {
        names::locale(locale)?;
    }
    // All that may be refused is refused before anything is kept.
    let team = new.team.map(Foundation::read).transpose()?;
    let invitation = match new.team_code.as_ref().or(new.invitation_code.as_ref()) {
        Some(code) => Some(find_invitation(&app, code, &email).await?),
        None => None,
    };
    if let Some(invitation) = &invitation {
        check_room(&app, invitation).await?;
    }
    // Whoever holds an invitation has read a mail to that address.
    let believed = app.config.activation == Activation::Auto || invitation.is_some();
    let proved = match &new.email_code {
        Some(code) if !believed => {
            activation::check(&app, &email, code).await?;
            true
        }
        _ => believed,
    };
    let user = User {
        id: UserId::random(),
        name,
        email: None,
        handle: None,
        accent_id: new.accent_id.unwrap_or(ACCENT),
        assets,
        locale: new.locale.unwrap_or_else(|| "en".to_owned()),
        text_status: None,
        team: None,
        supported_protocols: new.supported_protocols.unwrap_or_else(|| vec![Protocol::Proteus]),
        status: AccountStatus::Active,
        searchable: true,
    };
    let user = insert(&app, user, &email, password, proved).await?;
    let user = match (invitation, team) {
        (Some(invitation), _) => join_team(&app, user, &invitation).await?,
        (None, Some(team)) => found_team(&app, user, team).await?,
        (None, None) => user,
    };
    directory::index(&app, &user).await?;
    let (cookie, _) = cookies::issue(&app, user.id, true, new.label, None).await?;
    let mut response = with_cookie(answer(201, user.self_profile(app.domain())), cookie);
    if let Ok(location) = user.id.to_string().parse() {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}

/// Keeps the user, with the address if it is proved; else a code is sent there.
async fn insert(app: &App, mut user: User, email: &str, password: &Secret, proved: bool) -> Result<User, Failure> {
    let claim = Claim::Email(email.to_owned());
    let hash = app.passwords.hash(password).await?;
    if proved {
        if !claims::take(app, &claim, user.id).await? {
            return Err(error::KEY_EXISTS.into());
        }
        user.email = Some(email.to_owned());
    } else if claims::is_borne(app, &claim).await? {
        return Err(error::KEY_EXISTS.into());
    }
    app.store.users.insert(&user).await?;
    app.store.users.set_password(user.id, Some(&hash)).await?;
    if !proved {
        activation::send(app, email, Some(user.id)).await?;
    }
    Ok(user)
}

/// Makes a user whose address is believed: administration.
///
/// # Errors
/// As registration.
pub async fn create_believed(app: &App, name: &str, email: &str, password: &Secret) -> Result<User, Failure> {
    names::password(password)?;
    let user = User {
        id: UserId::random(),
        name: names::display_name(name)?,
        email: None,
        handle: None,
        accent_id: ACCENT,
        assets: Vec::new(),
        locale: "en".to_owned(),
        text_status: None,
        team: None,
        supported_protocols: vec![Protocol::Proteus],
        status: AccountStatus::Active,
        searchable: true,
    };
    let user = insert(app, user, &names::email(email)?, password, true).await?;
    directory::index(app, &user).await?;
    Ok(user)
}

/// Pictures are few, and their keys are keys.
///
/// # Errors
/// 400.
pub fn check_assets(assets: &[UserAsset]) -> Result<(), Failure> {
    let good =
        assets.len() <= 20 && assets.iter().all(|asset| asset.key.parse::<crate::domain::asset::AssetKey>().is_ok());
    if good {
        Ok(())
    } else {
        Err(error::BAD_REQUEST.saying("Error in the assets: at most 20, each with an asset's key").into())
    }
}

async fn find_invitation(app: &App, code: &str, email: &str) -> Result<Invitation, Failure> {
    let found = app.store.teams.invitation_by_code(code).await?;
    Ok(found.filter(|invitation| invitation.email == email).ok_or(error::INVALID_INVITATION)?)
}

/// A team to be that may be.
struct Foundation {
    name: String,
    icon: String,
    icon_key: Option<String>,
}

impl Foundation {
    fn read(new: NewTeam) -> Result<Self, Failure> {
        names::short("icon or icon_key", [&new.icon, &new.icon_key])?;
        let icon = new.icon.unwrap_or_else(|| "default".to_owned());
        Ok(Self { name: names::display_name(&new.name)?, icon, icon_key: new.icon_key })
    }
}

async fn found_team(app: &App, mut user: User, new: Foundation) -> Result<User, Failure> {
    let Foundation { name, icon, icon_key } = new;
    let team = Team { id: TeamId::random(), creator: user.id, name, icon, icon_key };
    app.store.teams.put(&team).await?;
    let owner = TeamMember { user: user.id, permissions: TeamRole::Owner.permissions(), invited: None };
    app.store.teams.put_member(team.id, &owner).await?;
    set_team(app, &mut user, team.id).await?;
    Ok(user)
}

async fn set_team(app: &App, user: &mut User, team: TeamId) -> Result<(), Failure> {
    app.store.users.update(user.id, UserChange { team: Some(Some(team)), ..UserChange::default() }).await?;
    user.team = Some(team);
    Ok(())
}

/// Whether the team that invites has room for one more.
///
/// # Errors
/// 403 when it is full.
pub async fn check_room(app: &App, invitation: &Invitation) -> Result<(), Failure> {
    let members = app.store.teams.members(invitation.team).await?;
    if members.len() >= app.config.limits.team_members { Err(error::TOO_MANY_TEAM_MEMBERS.into()) } else { Ok(()) }
}

/// Puts a user into the team that invited them, and tells its members.
///
/// # Errors
/// The store's.
pub async fn join_team(app: &App, mut user: User, invitation: &Invitation) -> Result<User, Failure> {
    let members = app.store.teams.members(invitation.team).await?;
    let member = TeamMember {
        user: user.id,
        permissions: invitation.role.permissions(),
        invited: Some((invitation.created_by, invitation.created_at)),
    };
    app.store.teams.put_member(invitation.team, &member).await?;
    app.store.teams.delete_invitation(invitation.team, invitation.id).await?;
    set_team(app, &mut user, invitation.team).await?;
    let joined = event::team("member-join", invitation.team, Time::now(), &serde_json::json!({"user": user.id}));
    app.push.tell(members.iter().map(|member| member.user), &joined, None).await?;
    Ok(user)
}
