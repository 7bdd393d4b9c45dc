//! Conversations, messages, teams.

use crate::app::App;
use crate::domain::conversation::{Conversation, Member};
use crate::domain::event::{self, ConversationEvent, Happening};
use crate::domain::{Time, UserId};
use crate::http::{Failure, Routes};

pub mod broadcast;
pub mod codes;
pub mod conversations;
pub mod delivery;
pub mod departure;
pub mod features;
pub mod members;
pub mod messages;
pub mod mls;
pub mod one_to_one;
pub mod settings;
pub mod team_members;
pub mod teams;

/// The routes.
pub fn routes() -> Routes {
    conversations::routes()
        .and(members::routes())
        .and(settings::routes())
        .and(codes::routes())
        .and(messages::routes())
        .and(broadcast::routes())
        .and(teams::routes())
        .and(team_members::routes())
        .and(features::routes())
        .and(mls::routes())
}

/// Tells users of a conversation what happened in it, and gives the event for the answer.
async fn tell(
    app: &App,
    conversation: &Conversation,
    from: UserId,
    what: Happening,
    receivers: impl IntoIterator<Item = UserId>,
    origin: Option<&str>,
) -> Result<ConversationEvent, Failure> {
    let event = ConversationEvent::new(conversation.id, from, Time::now(), app.domain(), what);
    app.push.tell(receivers, &event::to_json(&event), origin).await?;
    Ok(event)
}

/// The users of members.
fn users(members: &[Member]) -> impl Iterator<Item = UserId> + '_ {
    members.iter().map(|member| member.user)
}
