//! Conversations and members: a partition a conversation, and what leads to it from users and teams.
//!
//! What leads to a conversation is written before it and removed before it, so that a change that was broken off is mended by making it
//! again. Only whoever leaves could not do so: the membership and what leads to it go together.

use async_trait::async_trait;
use scylla::DeserializeRow;
use scylla::value::MaybeUnset;

use super::session::{Values, Vote, until_known};
use super::values::{count, from_json, from_json_or_default, json, needed};
use super::{Shared, guest_codes};

use crate::domain::conversation::{
    Conversation, ConversationChange, ConversationKind, GuestCode, Member, MemberSettings, Role,
};
use crate::domain::{ConversationId, TeamId, Time, UserId};
use crate::store::conversations::Conversations;
use crate::store::{Page, Result};

/// Conversations in the keyspace of galley.
pub(super) struct CassandraConversations(pub(super) Shared);

#[derive(DeserializeRow)]
struct Row {
    id: ConversationId,
    created: Option<bool>,
    kind: Option<i32>,
    creator: Option<UserId>,
    access: Option<String>,
    access_role: Option<String>,
    name: Option<String>,
    team: Option<TeamId>,
    message_timer: Option<i64>,
    receipt_mode: Option<i32>,
    last_event_time: Option<Time>,
    group_kind: Option<String>,
}

impl Row {
    /// The conversation; none when the row is what a late change left.
    fn conversation(self) -> Result<Option<Conversation>> {
        if self.created != Some(true) {
            return Ok(None);
        }
        let kind = self.kind.and_then(|number| ConversationKind::from_number(u8::try_from(number).ok()?));
        Ok(Some(Conversation {
            id: self.id,
            kind: needed(kind, "kind")?,
            creator: needed(self.creator, "creator")?,
            access: from_json_or_default(self.access.as_deref())?,
            access_role: from_json_or_default(self.access_role.as_deref())?,
            name: self.name,
            team: self.team,
            message_timer: self.message_timer.map(|timer| count(timer, "message_timer")).transpose()?,
            receipt_mode: self.receipt_mode,
            last_event_time: needed(self.last_event_time, "last_event_time")?,
            group_kind: self.group_kind,
        }))
    }
}

#[derive(DeserializeRow)]
struct MemberRow {
    user: Option<UserId>,
    joined: Option<bool>,
    role: Option<String>,
    settings: Option<String>,
}

impl MemberRow {
    /// The member; none when the row is what a late change left, or the conversation's own.
    fn member(self) -> Result<Option<Member>> {
        let Some(user) = self.user.filter(|_| self.joined == Some(true)) else { return Ok(None) };
        Ok(Some(Member {
            user,
            role: from_json(&needed(self.role, "role")?)?,
            settings: from_json_or_default(self.settings.as_deref())?,
        }))
    }
}

const GET: &str = "SELECT DISTINCT id, created, kind, creator, access, access_role, name, team, message_timer, receipt_mode, \
                   last_event_time, group_kind FROM conversations WHERE id = ?";
const CREATE: &str = "UPDATE conversations SET created = true, kind = ?, creator = ?, access = ?, access_role = ?, name = ?, team = ?, \
                      message_timer = ?, receipt_mode = ?, last_event_time = ?, group_kind = ? WHERE id = ? IF created = null";
const UPDATE: &str = "UPDATE conversations SET kind = ?, name = ?, access = ?, access_role = ?, message_timer = ?, receipt_mode = ? \
                      WHERE id = ?";
const DELETE: &str = "DELETE FROM conversations WHERE id = ?";
const MEMBERS: &str = "SELECT user, joined, role, settings FROM conversations WHERE id = ?";
const MEMBER: &str = "SELECT user, joined, role, settings FROM conversations WHERE id = ? AND user = ?";
const JOIN: &str = "INSERT INTO conversations (id, user, joined, role, settings) VALUES (?, ?, true, ?, ?)";
const LEAVE: &str = "DELETE FROM conversations WHERE id = ? AND user = ?";
const SET_ROLE: &str = "UPDATE conversations SET role = ? WHERE id = ? AND user = ?";
const SET_SETTINGS: &str = "UPDATE conversations SET settings = ? WHERE id = ? AND user = ?";
const ENTER_OF_USER: &str = "INSERT INTO conversations_of_user (user, conversation) VALUES (?, ?)";
const REMOVE_OF_USER: &str = "DELETE FROM conversations_of_user WHERE user = ? AND conversation = ?";
const FIRST_OF_USER: &str = "SELECT conversation FROM conversations_of_user WHERE user = ? LIMIT ?";
const FOLLOWING_OF_USER: &str =
    "SELECT conversation FROM conversations_of_user WHERE user = ? AND conversation > ? LIMIT ?";
const ENTER_OF_TEAM: &str = "INSERT INTO conversations_of_team (team, conversation) VALUES (?, ?)";
const REMOVE_OF_TEAM: &str = "DELETE FROM conversations_of_team WHERE team = ? AND conversation = ?";
const OF_TEAM: &str = "SELECT conversation FROM conversations_of_team WHERE team = ?";

/// Members who come into a conversation in the vote that creates it: as many as a vote may well carry.
const TOGETHER: usize = 100;

type Joining = (ConversationId, UserId, String, Option<String>);

fn joining(id: ConversationId, member: &Member) -> Result<Joining> {
    let untouched = member.settings == MemberSettings::default();
    let settings = if untouched { None } else { Some(json(&member.settings)?) };
    Ok((id, member.user, json(&member.role)?, settings))
}

impl CassandraConversations {
    async fn join(&self, id: ConversationId, members: &[Member]) -> Result<()> {
        let rows = members.iter().map(|member| joining(id, member)).collect::<Result<Vec<_>>>()?;
        self.0.galley.write_each(JOIN, rows).await
    }

    async fn enter(&self, id: ConversationId, members: &[Member]) -> Result<()> {
        self.0.galley.write_each(ENTER_OF_USER, members.iter().map(|member| (member.user, id))).await
    }

    /// Creates the conversation with the first of its members, unless it exists.
    async fn vote_on(&self, conversation: &Conversation, members: &[Member]) -> Result<Vote> {
        let row: Values = Box::new((
            i32::from(conversation.kind.number()),
            conversation.creator,
            json(&conversation.access)?,
            json(&conversation.access_role)?,
            conversation.name.clone(),
            conversation.team,
            conversation.message_timer.map(|timer| i64::try_from(timer).unwrap_or(i64::MAX)),
            conversation.receipt_mode,
            conversation.last_event_time,
            conversation.group_kind.clone(),
            conversation.id,
        ));
        let mut changes = vec![(CREATE, row)];
        for member in members {
            changes.push((JOIN, Box::new(joining(conversation.id, member)?)));
        }
        self.0.galley.vote_on_all(changes).await
    }
}

#[async_trait]
impl Conversations for CassandraConversations {
    async fn create(&self, conversation: &Conversation, members: &[Member]) -> Result<()> {
        if self.get(conversation.id).await?.is_some() {
            return Ok(());
        }
        self.enter(conversation.id, members).await?;
        if let Some(team) = conversation.team {
            self.0.galley.write(ENTER_OF_TEAM, (team, conversation.id)).await?;
        }
        let (first, others) = members.split_at(members.len().min(TOGETHER));
        match until_known(|| self.vote_on(conversation, first)).await? {
            // Refused after an answer was lost: it was created by the attempt before.
            (Vote::Carried, _) | (Vote::Refused(_), true) => self.join(conversation.id, others).await,
            (Vote::Refused(_), false) => Ok(()),
            (Vote::Lost(error), _) => Err(error),
        }
    }

    async fn get(&self, id: ConversationId) -> Result<Option<Conversation>> {
        self.0.galley.row::<Row>(GET, (id,)).await?.map_or(Ok(None), Row::conversation)
    }

    async fn update(&self, id: ConversationId, change: ConversationChange) -> Result<()> {
        let (access, roles) = change.access.map_or((None, None), |(access, roles)| (Some(access), Some(roles)));
        let timer = change.message_timer.map(|timer| timer.map(|timer| i64::try_from(timer).unwrap_or(i64::MAX)));
        let values = (
            MaybeUnset::from_option(change.kind.map(|kind| i32::from(kind.number()))),
            MaybeUnset::from_option(change.name),
            MaybeUnset::from_option(access.map(|access| json(&access)).transpose()?),
            MaybeUnset::from_option(roles.map(|roles| json(&roles)).transpose()?),
            MaybeUnset::from_option(timer),
            MaybeUnset::from_option(change.receipt_mode),
            id,
        );
        self.0.galley.write(UPDATE, values).await
    }

    async fn delete(&self, id: ConversationId) -> Result<()> {
        let team = self.get(id).await?.and_then(|conversation| conversation.team);
        let users = self.members(id).await?.into_iter().map(|member| (member.user, id));
        self.0.galley.write_each(REMOVE_OF_USER, users).await?;
        if let Some(team) = team {
            self.0.galley.write(REMOVE_OF_TEAM, (team, id)).await?;
        }
        self.delete_code(id).await?;
        self.0.galley.write(DELETE, (id,)).await
    }

    async fn members(&self, id: ConversationId) -> Result<Vec<Member>> {
        let rows: Vec<MemberRow> = self.0.galley.rows(MEMBERS, (id,)).await?;
        rows.into_iter().filter_map(|row| row.member().transpose()).collect()
    }

    async fn member(&self, id: ConversationId, user: UserId) -> Result<Option<Member>> {
        self.0.galley.row::<MemberRow>(MEMBER, (id, user)).await?.map_or(Ok(None), MemberRow::member)
    }

    async fn add_members(&self, id: ConversationId, members: &[Member]) -> Result<()> {
        let present = self.members(id).await?;
        let is_new = |member: &&Member| present.iter().all(|known| known.user != member.user);
        let new: Vec<_> = members.iter().filter(is_new).cloned().collect();
        self.enter(id, members).await?;
        self.join(id, &new).await
    }

    async fn remove_members(&self, id: ConversationId, users: &[UserId]) -> Result<()> {
        let departure = |user: &UserId| -> Vec<(&'static str, Values)> {
            vec![(LEAVE, Box::new((id, *user))), (REMOVE_OF_USER, Box::new((*user, id)))]
        };
        self.0.galley.write_together(users.iter().map(departure)).await
    }

    async fn set_role(&self, id: ConversationId, user: UserId, role: Role) -> Result<()> {
        self.0.galley.write(SET_ROLE, (json(&role)?, id, user)).await
    }

    async fn set_settings(&self, id: ConversationId, user: UserId, settings: &MemberSettings) -> Result<()> {
        self.0.galley.write(SET_SETTINGS, (json(settings)?, id, user)).await
    }

    async fn of_user(&self, user: UserId, after: Option<ConversationId>, size: usize) -> Result<Page<ConversationId>> {
        let limit = i32::try_from(size.saturating_add(1)).unwrap_or(i32::MAX);
        let rows: Vec<(ConversationId,)> = match after {
            None => self.0.galley.rows(FIRST_OF_USER, (user, limit)).await?,
            Some(after) => self.0.galley.rows(FOLLOWING_OF_USER, (user, after, limit)).await?,
        };
        Ok(Page::cut(rows.into_iter().map(|(id,)| id).collect(), size))
    }

    async fn of_team(&self, team: TeamId) -> Result<Vec<ConversationId>> {
        let rows: Vec<(ConversationId,)> = self.0.galley.rows(OF_TEAM, (team,)).await?;
        Ok(rows.into_iter().map(|(id,)| id).collect())
    }

    async fn put_code(&self, code: &GuestCode) -> Result<()> {
        guest_codes::put(&self.0.galley, code).await
    }

    async fn code(&self, key: &str) -> Result<Option<GuestCode>> {
        guest_codes::by_key(&self.0.galley, key).await
    }

    async fn code_of(&self, id: ConversationId) -> Result<Option<GuestCode>> {
        guest_codes::of(&self.0.galley, id).await
    }

    async fn delete_code(&self, id: ConversationId) -> Result<()> {
        guest_codes::delete(&self.0.galley, id).await
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn what_a_late_change_left_is_no_member() {
        let row = |joined| MemberRow {
            user: Some(UserId::random()),
            joined,
            role: Some("\"wire_admin\"".to_owned()),
            settings: None,
        };
        assert_eq!(row(None).member().unwrap(), None);
        assert_eq!(row(Some(true)).member().unwrap().unwrap().role, Role::WireAdmin);
        let own = MemberRow { user: None, ..row(Some(true)) };
        assert_eq!(own.member().unwrap(), None, "the conversation's own row");
    }

    #[test]
    fn untouched_settings_take_no_room() {
        let mut member = Member::new(UserId::random(), Role::WireMember);
        assert_eq!(joining(ConversationId::random(), &member).unwrap().3, None);
        member.settings.hidden = true;
        let kept = joining(ConversationId::random(), &member).unwrap().3.unwrap();
        assert_eq!(from_json::<MemberSettings>(&kept).unwrap(), member.settings);
    }
}
