//! Conversations, members, guest links.

use async_trait::async_trait;

use super::{Page, Result};
use crate::domain::conversation::{Conversation, ConversationChange, GuestCode, Member, MemberSettings, Role};
use crate::domain::{ConversationId, TeamId, UserId};

/// Conversations.
#[async_trait]
pub trait Conversations: Send + Sync {
    /// Keeps a new conversation with its first members; nothing when one of that id exists.
    async fn create(&self, conversation: &Conversation, members: &[Member]) -> Result<()>;
    /// One conversation.
    async fn get(&self, id: ConversationId) -> Result<Option<Conversation>>;
    /// Sets fields of one.
    async fn update(&self, id: ConversationId, change: ConversationChange) -> Result<()>;
    /// Removes one with its members and guest link.
    async fn delete(&self, id: ConversationId) -> Result<()>;

    /// All members, by user.
    async fn members(&self, id: ConversationId) -> Result<Vec<Member>>;
    /// One member.
    async fn member(&self, id: ConversationId, user: UserId) -> Result<Option<Member>>;
    /// Adds members; those who are in it stay as they are.
    async fn add_members(&self, id: ConversationId, members: &[Member]) -> Result<()>;
    /// Removes members.
    async fn remove_members(&self, id: ConversationId, users: &[UserId]) -> Result<()>;
    /// Sets a member's role.
    async fn set_role(&self, id: ConversationId, user: UserId, role: Role) -> Result<()>;
    /// Sets what a member has set for themself.
    async fn set_settings(&self, id: ConversationId, user: UserId, settings: &MemberSettings) -> Result<()>;

    /// A user's conversations after one, by id.
    async fn of_user(&self, user: UserId, after: Option<ConversationId>, size: usize) -> Result<Page<ConversationId>>;
    /// A team's conversations.
    async fn of_team(&self, team: TeamId) -> Result<Vec<ConversationId>>;

    /// Keeps a guest link, in place of an earlier one of the conversation.
    async fn put_code(&self, code: &GuestCode) -> Result<()>;
    /// The guest link of this key.
    async fn code(&self, key: &str) -> Result<Option<GuestCode>>;
    /// The conversation's guest link.
    async fn code_of(&self, id: ConversationId) -> Result<Option<GuestCode>>;
    /// Removes the conversation's guest link.
    async fn delete_code(&self, id: ConversationId) -> Result<()>;
}
