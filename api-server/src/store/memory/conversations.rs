//! Conversations and guest links.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;

use async_trait::async_trait;

use super::Table;
use crate::domain::conversation::{Conversation, ConversationChange, GuestCode, Member, MemberSettings, Role};
use crate::domain::{ConversationId, TeamId, UserId};
use crate::store::conversations::Conversations;
use crate::store::{Page, Result};

#[derive(Default)]
struct State {
    conversations: HashMap<ConversationId, Conversation>,
    members: HashMap<ConversationId, BTreeMap<UserId, Member>>,
    of_user: HashMap<UserId, BTreeSet<ConversationId>>,
    codes: HashMap<String, GuestCode>,
}

impl State {
    fn member(&mut self, id: ConversationId, user: UserId) -> Option<&mut Member> {
        self.members.get_mut(&id)?.get_mut(&user)
    }

    fn add(&mut self, id: ConversationId, members: &[Member]) {
        for member in members {
            self.members.entry(id).or_default().entry(member.user).or_insert_with(|| member.clone());
            self.of_user.entry(member.user).or_default().insert(id);
        }
    }

    fn remove(&mut self, id: ConversationId, users: &[UserId]) {
        for user in users {
            if let Some(members) = self.members.get_mut(&id) {
                members.remove(user);
            }
            if let Some(own) = self.of_user.get_mut(user) {
                own.remove(&id);
            }
        }
    }
}

/// Conversations.
#[derive(Default)]
pub struct MemoryConversations(Table<State>);

#[async_trait]
impl Conversations for MemoryConversations {
    async fn create(&self, conversation: &Conversation, members: &[Member]) -> Result<()> {
        let mut state = self.0.lock();
        if let Entry::Vacant(free) = state.conversations.entry(conversation.id) {
            free.insert(conversation.clone());
            state.add(conversation.id, members);
        }
        Ok(())
    }

    async fn get(&self, id: ConversationId) -> Result<Option<Conversation>> {
        Ok(self.0.lock().conversations.get(&id).cloned())
    }

    async fn update(&self, id: ConversationId, change: ConversationChange) -> Result<()> {
        if let Some(conversation) = self.0.lock().conversations.get_mut(&id) {
            change.apply(conversation);
        }
        Ok(())
    }

    async fn delete(&self, id: ConversationId) -> Result<()> {
        let mut state = self.0.lock();
        let users: Vec<_> = state.members.remove(&id).unwrap_or_default().into_keys().collect();
        state.remove(id, &users);
        state.conversations.remove(&id);
        state.codes.retain(|_, code| code.conversation != id);
        Ok(())
    }

    async fn members(&self, id: ConversationId) -> Result<Vec<Member>> {
        Ok(self.0.lock().members.get(&id).map(|members| members.values().cloned().collect()).unwrap_or_default())
    }

    async fn member(&self, id: ConversationId, user: UserId) -> Result<Option<Member>> {
        Ok(self.0.lock().member(id, user).cloned())
    }

    async fn add_members(&self, id: ConversationId, members: &[Member]) -> Result<()> {
        self.0.lock().add(id, members);
        Ok(())
    }

    async fn remove_members(&self, id: ConversationId, users: &[UserId]) -> Result<()> {
        self.0.lock().remove(id, users);
        Ok(())
    }

    async fn set_role(&self, id: ConversationId, user: UserId, role: Role) -> Result<()> {
        if let Some(member) = self.0.lock().member(id, user) {
            member.role = role;
        }
        Ok(())
    }

    async fn set_settings(&self, id: ConversationId, user: UserId, settings: &MemberSettings) -> Result<()> {
        if let Some(member) = self.0.lock().member(id, user) {
            member.settings = settings.clone();
        }
        Ok(())
    }

    async fn of_user(&self, user: UserId, after: Option<ConversationId>, size: usize) -> Result<Page<ConversationId>> {
        let state = self.0.lock();
        let range = (after.map_or(Bound::Unbounded, Bound::Excluded), Bound::Unbounded);
        let own = state.of_user.get(&user).map(|own| own.range(range).take(size + 1).copied().collect());
        Ok(Page::cut(own.unwrap_or_default(), size))
    }

    async fn of_team(&self, team: TeamId) -> Result<Vec<ConversationId>> {
        let state = self.0.lock();
        let own = state.conversations.values().filter(|conversation| conversation.team == Some(team));
        let mut ids: Vec<_> = own.map(|conversation| conversation.id).collect();
        ids.sort();
        Ok(ids)
    }

    async fn put_code(&self, code: &GuestCode) -> Result<()> {
        let mut state = self.0.lock();
        state.codes.retain(|_, known| known.conversation != code.conversation);
        state.codes.insert(code.key.clone(), code.clone());
        Ok(())
    }

    async fn code(&self, key: &str) -> Result<Option<GuestCode>> {
        Ok(self.0.lock().codes.get(key).cloned())
    }

    async fn code_of(&self, id: ConversationId) -> Result<Option<GuestCode>> {
        Ok(self.0.lock().codes.values().find(|code| code.conversation == id).cloned())
    }

    async fn delete_code(&self, id: ConversationId) -> Result<()> {
        self.0.lock().codes.retain(|_, code| code.conversation != id);
        Ok(())
    }
}
