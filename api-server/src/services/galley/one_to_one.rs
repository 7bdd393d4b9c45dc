//! The conversation of two connected users: one for each pair, its members following the connection.

use sha2::{Digest as _, Sha256};
use uuid::Builder;

use super::{tell, users};
use crate::app::App;
use crate::domain::connection::ConnectionStatus;
use crate::domain::conversation::{
    Access, AccessRole, Conversation, ConversationChange, ConversationKind, Member, Role,
};
use crate::domain::event::Happening;
use crate::domain::{ConversationId, Time, UserId};
use crate::http::Failure;

/// The conversation of a pair: the same whoever asks, so that two questions that cross make one conversation.
pub fn id_of(one: UserId, other: UserId) -> ConversationId {
    let (first, second) = if one < other { (one, other) } else { (other, one) };
    let digest = Sha256::new().chain_update(b"one-to-one").chain_update(first.0).chain_update(second.0).finalize();
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    ConversationId(Builder::from_random_bytes(bytes).into_uuid())
}

/// Opens the conversation for who asks; who is asked comes in by accepting.
///
/// # Errors
/// The store's.
pub async fn open(app: &App, asker: UserId, asked: UserId, origin: Option<&str>) -> Result<(), Failure> {
    let conversation = new(id_of(asker, asked), asker, ConversationKind::Connect);
    let member = Member::new(asker, Role::WireAdmin);
    app.store.conversations.create(&conversation, std::slice::from_ref(&member)).await?;
    let view = conversation.view(&member, &[], app.domain());
    tell(app, &conversation, asker, Happening::Create(Box::new(view)), [asker], origin).await?;
    Ok(())
}

/// A conversation of two, as new.
pub fn new(id: ConversationId, creator: UserId, kind: ConversationKind) -> Conversation {
    Conversation {
        id,
        kind,
        creator,
        access: vec![Access::Private],
        access_role: vec![AccessRole::TeamMember, AccessRole::NonTeamMember],
        name: None,
        team: None,
        message_timer: None,
        receipt_mode: None,
        last_event_time: Time::now(),
        group_kind: None,
    }
}

/// Makes the conversation what the two sides of a connection say it is: each is in it as long as they want to be.
///
/// # Errors
/// The store's.
pub async fn follow(
    app: &App,
    own: UserId,
    other: UserId,
    own_status: ConnectionStatus,
    other_status: ConnectionStatus,
) -> Result<(), Failure> {
    use ConnectionStatus::{Accepted, Sent};
    let id = id_of(own, other);
    let both = own_status == Accepted && other_status == Accepted;
    let kind = if both { ConversationKind::OneToOne } else { ConversationKind::Connect };
    let is_in = |status| matches!(status, Accepted | Sent);
    let conversation = match app.store.conversations.get(id).await? {
        Some(conversation) => conversation,
        None => {
            let conversation = new(id, own, kind);
            app.store.conversations.create(&conversation, &[]).await?;
            conversation
        }
    };
    // Once two were connected their conversation stays one of two.
    if both && conversation.kind != kind {
        app.store
            .conversations
            .update(id, ConversationChange { kind: Some(kind), ..ConversationChange::default() })
            .await?;
    }
    let before = app.store.conversations.members(id).await?;
    let was_in = |user| users(&before).any(|member| member == user);
    let mut joined = Vec::new();
    for (user, status) in [(own, own_status), (other, other_status)] {
        match (was_in(user), is_in(status)) {
            (false, true) => joined.push(Member::new(user, Role::WireAdmin)),
            (true, false) => app.store.conversations.remove_members(id, &[user]).await?,
            _ => {}
        }
    }
    if joined.is_empty() {
        return Ok(());
    }
    app.store.conversations.add_members(id, &joined).await?;
    let what = Happening::MemberJoin {
        user_ids: users(&joined).collect(),
        users: joined.iter().map(|member| member.seen_by_others(app.domain())).collect(),
        add_type: "internal_add",
    };
    let receivers: Vec<_> =
        [(own, own_status), (other, other_status)].into_iter().filter(|(_, status)| is_in(*status)).collect();
    tell(app, &conversation, own, what, receivers.into_iter().map(|(user, _)| user), None).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_has_one_conversation() {
        let (one, other) = (UserId::random(), UserId::random());
        assert_eq!(id_of(one, other), id_of(other, one));
        assert_ne!(id_of(one, other), id_of(one, UserId::random()));
    }
}
