//! How a user goes: out of a conversation, a team, everything.

use super::{tell, users};
use crate::app::App;
use crate::domain::conversation::Conversation;
use crate::domain::event::{self, ConversationEvent, Happening, LeaveReason};
use crate::domain::{ConversationId, Qualified, TeamId, Time, UserId};
use crate::http::Failure;

/// Takes users out of a conversation and tells all who were in it.
///
/// # Errors
/// The store's.
pub async fn remove(
    app: &App,
    conversation: &Conversation,
    from: UserId,
    gone: &[UserId],
    reason: LeaveReason,
    origin: Option<&str>,
) -> Result<ConversationEvent, Failure> {
    let before = app.store.conversations.members(conversation.id).await?;
    app.store.conversations.remove_members(conversation.id, gone).await?;
    let what = Happening::MemberLeave {
        user_ids: gone.to_vec(),
        qualified_user_ids: gone.iter().map(|user| Qualified::new(*user, app.domain())).collect(),
        reason,
    };
    tell(app, conversation, from, what, users(&before), origin).await
}

/// All of a user's conversations.
///
/// # Errors
/// The store's.
pub async fn conversations_of(app: &App, user: UserId) -> Result<Vec<ConversationId>, Failure> {
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let page = app.store.conversations.of_user(user, after, 1000).await?;
        after = page.entries.last().copied();
        all.extend(page.entries);
        if !page.has_more {
            return Ok(all);
        }
    }
}

/// Takes a user who is deleted out of all conversations.
///
/// # Errors
/// The store's.
pub async fn leave_conversations(app: &App, user: UserId) -> Result<(), Failure> {
    for id in conversations_of(app, user).await? {
        match app.store.conversations.get(id).await? {
            Some(conversation) => {
                remove(app, &conversation, user, &[user], LeaveReason::UserDeleted, None).await?;
            }
            None => app.store.conversations.remove_members(id, &[user]).await?,
        }
    }
    Ok(())
}

/// Takes a user who is deleted out of the team, and tells its members.
///
/// # Errors
/// The store's.
pub async fn leave_team(app: &App, user: UserId, team: TeamId) -> Result<(), Failure> {
    app.store.teams.remove_member(team, user).await?;
    let left = event::team("member-leave", team, Time::now(), &serde_json::json!({"user": user}));
    let members = app.store.teams.members(team).await?;
    app.push.tell(members.into_iter().map(|member| member.user), &left, None).await
}
