//! What is set of a conversation: name, ways in, timer, receipts; what a member sets for themself; who types.

use axum::extract::State;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use super::conversations::NAME;
use super::members::admits;
use super::{departure, tell, users};
use crate::app::App;
use crate::domain::conversation::{
    Access as Way, AccessRole, Action, Conversation, ConversationChange, MemberSettings,
};
use crate::domain::event::{self, ConversationEvent, Happening, LeaveReason, TypingStatus};
use crate::domain::{Qualified, Time};
use crate::http::body::{Json, empty, json as answer};
use crate::http::routes::Membership;
use crate::http::{Access, Answer, App as AppState, Caller, Routes, error};

/// The routes.
pub fn routes() -> Routes {
    let name = Access::ConversationAction(Action::ModifyConversationName);
    let ways = Access::ConversationAction(Action::ModifyConversationAccess);
    let timer = Access::ConversationAction(Action::ModifyConversationMessageTimer);
    let receipts = Access::ConversationAction(Action::ModifyConversationReceiptMode);
    Routes::default()
        .put("/conversations/{domain}/{conversation}/name", name, rename)
        .takes::<NewName>()
        .gives::<ConversationEvent>(200)
        .put("/conversations/{conversation}/name", name, rename)
        .put("/conversations/{conversation}", name, rename)
        .put("/conversations/{domain}/{conversation}/access", ways, set_access)
        .takes::<NewAccess>()
        .gives::<ConversationEvent>(200)
        .put("/conversations/{conversation}/access", ways, set_access)
        .put("/conversations/{domain}/{conversation}/message-timer", timer, set_timer)
        .takes::<NewTimer>()
        .gives::<ConversationEvent>(200)
        .put("/conversations/{conversation}/message-timer", timer, set_timer)
        .put("/conversations/{domain}/{conversation}/receipt-mode", receipts, set_receipts)
        .takes::<NewReceipts>()
        .gives::<ConversationEvent>(200)
        .put("/conversations/{conversation}/receipt-mode", receipts, set_receipts)
        .get("/conversations/{conversation}/self", Access::Conversation, own)
        .put("/conversations/{domain}/{conversation}/self", Access::Conversation, set_own)
        .takes::<MemberSettings>()
        .put("/conversations/{conversation}/self", Access::Conversation, set_own)
        .post("/conversations/{domain}/{conversation}/typing", Access::Conversation, typing)
        .takes::<Typing>()
        .post("/conversations/{conversation}/typing", Access::Conversation, typing)
}

/// Changes a group and tells its members; the event is the answer.
async fn change(
    app: &App,
    caller: &Caller,
    conversation: &Conversation,
    change: ConversationChange,
    what: Happening,
) -> Answer {
    if !conversation.is_group() {
        return Err(error::INVALID_OPERATION.into());
    }
    app.store.conversations.update(conversation.id, change).await?;
    let members = app.store.conversations.members(conversation.id).await?;
    let event = tell(app, conversation, caller.user, what, users(&members), Some(&caller.connection)).await?;
    Ok(answer(200, event))
}

/// A new name.
#[derive(Deserialize, JsonSchema)]
struct NewName {
    name: String,
}

async fn rename(
    State(app): AppState,
    caller: Caller,
    Membership { conversation, .. }: Membership,
    Json(new): Json<NewName>,
) -> Answer {
    let name = new.name;
    if name.is_empty() || name.chars().count() > NAME {
        return Err(error::BAD_REQUEST.saying("Error in the name: 1 to 256 characters are expected").into());
    }
    if conversation.name.as_ref() == Some(&name) {
        return Ok(empty(204));
    }
    let changed = ConversationChange { name: Some(name.clone()), ..ConversationChange::default() };
    change(&app, &caller, &conversation, changed, Happening::Rename { name }).await
}

/// New ways in; the role of the first versions was one word, which is not known any more.
#[derive(Deserialize, JsonSchema)]
struct NewAccess {
    access: Vec<Way>,
    #[serde(alias = "access_role_v2")]
    access_role: Vec<AccessRole>,
}

async fn set_access(
    State(app): AppState,
    caller: Caller,
    Membership { conversation, .. }: Membership,
    Json(new): Json<NewAccess>,
) -> Answer {
    let NewAccess { access, access_role } = new;
    if conversation.access == access && conversation.access_role == access_role {
        return Ok(empty(204));
    }
    let changed =
        ConversationChange { access: Some((access.clone(), access_role.clone())), ..ConversationChange::default() };
    let what = Happening::AccessUpdate {
        access: access.clone(),
        access_role: access_role.clone(),
        access_role_v2: access_role.clone(),
    };
    let done = change(&app, &caller, &conversation, changed, what).await?;
    if !access.contains(&Way::Code) {
        app.store.conversations.delete_code(conversation.id).await?;
    }
    // Whoever may not be in it any more goes.
    let renewed = Conversation { access, access_role, ..conversation };
    let members = app.store.conversations.members(renewed.id).await?;
    let known = app.store.users.get_many(&users(&members).collect::<Vec<_>>()).await?;
    let gone: Vec<_> =
        known.iter().filter(|user| user.id != caller.user && !admits(&renewed, user)).map(|user| user.id).collect();
    if !gone.is_empty() {
        departure::remove(&app, &renewed, caller.user, &gone, LeaveReason::Removed, None).await?;
    }
    Ok(done)
}

/// Milliseconds after which messages vanish.
#[derive(Deserialize, JsonSchema)]
struct NewTimer {
    message_timer: Option<u64>,
}

async fn set_timer(
    State(app): AppState,
    caller: Caller,
    Membership { conversation, .. }: Membership,
    Json(new): Json<NewTimer>,
) -> Answer {
    let message_timer = new.message_timer;
    if conversation.message_timer == message_timer {
        return Ok(empty(204));
    }
    let changed = ConversationChange { message_timer: Some(message_timer), ..ConversationChange::default() };
    change(&app, &caller, &conversation, changed, Happening::MessageTimerUpdate { message_timer }).await
}

/// Whether reading is confirmed.
#[derive(Deserialize, JsonSchema)]
struct NewReceipts {
    receipt_mode: i32,
}

async fn set_receipts(
    State(app): AppState,
    caller: Caller,
    Membership { conversation, .. }: Membership,
    Json(new): Json<NewReceipts>,
) -> Answer {
    let receipt_mode = new.receipt_mode;
    if conversation.receipt_mode == Some(receipt_mode) {
        return Ok(empty(204));
    }
    let changed = ConversationChange { receipt_mode: Some(receipt_mode), ..ConversationChange::default() };
    change(&app, &caller, &conversation, changed, Happening::ReceiptModeUpdate { receipt_mode }).await
}

async fn own(State(app): AppState, Membership { conversation, member, .. }: Membership) -> Answer {
    let view = event::to_json(&conversation.view(&member, &[], app.domain()));
    Ok(answer(200, &view["members"]["self"]))
}

/// What a member changes for themself; what is missing stays.
#[derive(Deserialize)]
struct OwnChange {
    hidden: Option<bool>,
    hidden_ref: Option<String>,
    otr_archived: Option<bool>,
    otr_archived_ref: Option<String>,
    otr_muted_status: Option<i32>,
    otr_muted_ref: Option<String>,
}

/// Bytes of a reference.
const REFERENCE: usize = 64;

async fn set_own(
    State(app): AppState,
    caller: Caller,
    Membership { conversation, member, .. }: Membership,
    Json(new): Json<OwnChange>,
) -> Answer {
    let references = [&new.hidden_ref, &new.otr_archived_ref, &new.otr_muted_ref];
    if references.into_iter().flatten().any(|reference| reference.len() > REFERENCE) {
        return Err(error::BAD_REQUEST.saying("A reference has at most 64 bytes").into());
    }
    let old = member.settings;
    let settings = MemberSettings {
        hidden: new.hidden.unwrap_or(old.hidden),
        hidden_ref: new.hidden_ref.or(old.hidden_ref),
        otr_archived: new.otr_archived.unwrap_or(old.otr_archived),
        otr_archived_ref: new.otr_archived_ref.or(old.otr_archived_ref),
        otr_muted_status: new.otr_muted_status.or(old.otr_muted_status),
        otr_muted_ref: new.otr_muted_ref.or(old.otr_muted_ref),
    };
    app.store.conversations.set_settings(conversation.id, caller.user, &settings).await?;
    let mut data = event::to_json(&settings);
    data["target"] = json!(caller.user);
    data["qualified_target"] = json!(Qualified::new(caller.user, app.domain()));
    tell(&app, &conversation, caller.user, Happening::MemberUpdate(data), [caller.user], Some(&caller.connection))
        .await?;
    Ok(empty(200))
}

/// Begins or ends to type.
#[derive(Deserialize, JsonSchema)]
struct Typing {
    status: TypingStatus,
}

async fn typing(
    State(app): AppState,
    caller: Caller,
    Membership { conversation, members, .. }: Membership,
    Json(typing): Json<Typing>,
) -> Answer {
    let what = Happening::Typing { status: typing.status };
    let event = event::to_json(&ConversationEvent::new(conversation.id, caller.user, Time::now(), app.domain(), what));
    for member in members.iter() {
        if member.user != caller.user {
            app.push.tell_now(member.user, None, &event);
        }
    }
    Ok(empty(200))
}
