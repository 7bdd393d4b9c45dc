//! A message to all whom a user knows: the team and those connected.

use axum::extract::State;

use super::delivery::deliver;
use super::messages::{Missing, qualified_answer, read_qualified, read_unqualified, unqualified_answer};
use crate::app::App;
use crate::domain::{ConversationId, UserId};
use crate::http::{Access, Answer, App as AppState, Caller, Failure, Payload, Query, Routes};
use crate::services::brig::account;

/// The routes.
pub fn routes() -> Routes {
    Routes::default().post("/broadcast/proteus/messages", Access::User, send).post(
        "/broadcast/otr/messages",
        Access::User,
        send_unqualified,
    )
}

async fn receivers(app: &App, caller: &Caller) -> Result<(ConversationId, Vec<UserId>), Failure> {
    let user = account::own(app, caller).await?;
    // Clients know a broadcast by the sender's own conversation.
    Ok((ConversationId(user.id.0), account::audience(app, user.id, user.team).await?))
}

async fn send(State(app): AppState, caller: Caller, payload: Payload) -> Answer {
    let (message, strategy) = read_qualified(&payload, app.domain())?;
    let (conversation, users) = receivers(&app, &caller).await?;
    let delivery = deliver(&app, &caller, conversation, &users, message, &strategy).await?;
    Ok(qualified_answer(&delivery, app.domain()))
}

async fn send_unqualified(
    State(app): AppState,
    caller: Caller,
    Query(query): Query<Missing>,
    payload: Payload,
) -> Answer {
    let (message, strategy) = read_unqualified(&payload, &query)?;
    let (conversation, users) = receivers(&app, &caller).await?;
    let delivery = deliver(&app, &caller, conversation, &users, message, &strategy).await?;
    Ok(unqualified_answer(&delivery))
}
