//! Guest links: whoever has one comes in.

use axum::extract::State;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::members::{admits, join};
use super::{features, tell, users};
use crate::app::App;
use crate::domain::conversation::{Access as Way, AccessRole, Action, Conversation, GuestCode, Role};
use crate::domain::event::{ConversationEvent, GuestLink, Happening};
use crate::http::body::{Json, empty, json as answer};
use crate::http::routes::Membership;
use crate::http::{Access, Answer, App as AppState, Caller, Failure, Query, Routes, error};
use crate::secret::{self, Secret};
use crate::services::brig::account;

/// The routes.
pub fn routes() -> Routes {
    let manage = Access::ConversationAction(Action::ModifyConversationAccess);
    Routes::default()
        .post("/conversations/{conversation}/code", manage, create)
        .gives::<ConversationEvent>(201)
        .get("/conversations/{conversation}/code", Access::Conversation, get)
        .gives::<GuestLink>(200)
        .delete("/conversations/{conversation}/code", manage, delete)
        .get("/conversations/join", Access::User, info)
        .post("/conversations/join", Access::User, enter)
        .takes::<Entry>()
        .post("/conversations/code-check", Access::Public, check)
}

fn link(app: &App, code: &GuestCode) -> GuestLink {
    let accounts = &app.config.links.accounts;
    GuestLink {
        key: code.key.clone(),
        code: code.code.clone(),
        uri: format!("{accounts}/conversation-join/?key={}&code={}&domain={}", code.key, code.code, app.domain()),
        has_password: code.password_hash.is_some(),
    }
}

/// Whether guests with a link may come in at all.
///
/// # Errors
/// 403 where the conversation does not have it, 409 where its team does not.
async fn check_open(app: &App, conversation: &Conversation) -> Result<(), Failure> {
    let open = conversation.is_group()
        && conversation.access.contains(&Way::Code)
        && (conversation.access_role.contains(&AccessRole::Guest)
            || conversation.access_role.contains(&AccessRole::NonTeamMember));
    if !open {
        return Err(error::CONVERSATION_DENIED.into());
    }
    match conversation.team {
        Some(team) if !features::is_on(app, team, "conversationGuestLinks").await? => {
            Err(error::GUEST_LINKS_OFF.into())
        }
        _ => Ok(()),
    }
}

#[derive(Deserialize, Default)]
struct NewCode {
    password: Option<Secret>,
}

async fn create(
    State(app): AppState,
    caller: Caller,
    Membership { conversation, .. }: Membership,
    new: Option<Json<NewCode>>,
) -> Answer {
    check_open(&app, &conversation).await?;
    let password = new.and_then(|Json(new)| new.password);
    if let Some(known) = app.store.conversations.code_of(conversation.id).await? {
        if known.password_hash.is_some() != password.is_some() {
            return Err(error::CODE_EXISTS.into());
        }
        return Ok(answer(200, link(&app, &known)));
    }
    let password_hash = match password {
        Some(password) => {
            crate::services::brig::names::password(&password)?;
            Some(app.passwords.hash(&password).await?)
        }
        None => None,
    };
    let code = GuestCode {
        key: secret::random_text(15)?,
        code: secret::random_text(15)?,
        conversation: conversation.id,
        password_hash,
    };
    app.store.conversations.put_code(&code).await?;
    let members = app.store.conversations.members(conversation.id).await?;
    let what = Happening::CodeUpdate(link(&app, &code));
    let event = tell(&app, &conversation, caller.user, what, users(&members), Some(&caller.connection)).await?;
    Ok(answer(201, event))
}

async fn get(State(app): AppState, Membership { conversation, .. }: Membership) -> Answer<Json<GuestLink>> {
    check_open(&app, &conversation).await?;
    let code = app.store.conversations.code_of(conversation.id).await?.ok_or(error::NO_CODE)?;
    Ok(Json(link(&app, &code)))
}

async fn delete(State(app): AppState, caller: Caller, Membership { conversation, .. }: Membership) -> Answer {
    app.store.conversations.delete_code(conversation.id).await?;
    let members = app.store.conversations.members(conversation.id).await?;
    let event =
        tell(&app, &conversation, caller.user, Happening::CodeDelete, users(&members), Some(&caller.connection))
            .await?;
    Ok(answer(200, event))
}

#[derive(Deserialize)]
struct Proof {
    key: String,
    code: String,
}

async fn conversation_of(app: &App, key: &str, code: &str) -> Result<(Conversation, GuestCode), Failure> {
    let known = app
        .store
        .conversations
        .code(key)
        .await?
        .filter(|known| secret::same(&known.code, code))
        .ok_or(error::NO_CODE)?;
    let conversation = app.store.conversations.get(known.conversation).await?.ok_or(error::NO_CODE)?;
    check_open(app, &conversation).await?;
    Ok((conversation, known))
}

async fn check(State(app): AppState, Json(proof): Json<Proof>) -> Answer {
    conversation_of(&app, &proof.key, &proof.code).await?;
    Ok(empty(200))
}

async fn info(State(app): AppState, _caller: Caller, Query(proof): Query<Proof>) -> Answer<Json<Value>> {
    let (conversation, code) = conversation_of(&app, &proof.key, &proof.code).await?;
    Ok(Json(json!({"id": conversation.id, "name": conversation.name, "has_password": code.password_hash.is_some()})))
}

/// A guest link that is used.
#[derive(Deserialize, JsonSchema)]
struct Entry {
    key: String,
    code: String,
    #[schemars(with = "Option<String>")]
    password: Option<Secret>,
}

async fn enter(State(app): AppState, caller: Caller, Json(entry): Json<Entry>) -> Answer {
    let (conversation, code) = conversation_of(&app, &entry.key, &entry.code).await?;
    if let Some(hash) = &code.password_hash {
        let password = entry.password.unwrap_or_default();
        if !app.passwords.verify(&password, Some(hash)).await? {
            return Err(error::CODE_PASSWORD.into());
        }
    }
    let user = account::own(&app, &caller).await?;
    if !admits(&conversation, &user) {
        return Err(error::CONVERSATION_DENIED.into());
    }
    let members = app.store.conversations.members(conversation.id).await?;
    if users(&members).any(|member| member == user.id) {
        return Ok(empty(204));
    }
    if members.len() >= app.config.limits.conversation_members {
        return Err(error::TOO_MANY_MEMBERS.into());
    }
    let event = join(&app, &conversation, &members, &[user.id], Role::WireMember, &caller).await?;
    Ok(answer(200, event))
}
