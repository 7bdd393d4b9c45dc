//! Conversations, their members and roles, and how a member sees them.

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{ConversationId, Qualified, TeamId, Time, UserId};

/// A conversation without its members.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Conversation {
    /// Never changes.
    pub id: ConversationId,
    /// What sort it is.
    pub kind: ConversationKind,
    /// Who began it.
    pub creator: UserId,
    /// How one may enter.
    pub access: Vec<Access>,
    /// Who may enter.
    pub access_role: Vec<AccessRole>,
    /// Shown to members.
    pub name: Option<String>,
    /// The team it belongs to.
    pub team: Option<TeamId>,
    /// Messages vanish after so many milliseconds.
    pub message_timer: Option<u64>,
    /// Whether clients confirm that messages were read.
    pub receipt_mode: Option<i32>,
    /// When something last happened to it.
    pub last_event_time: Time,
    /// `group_conversation` or `channel`, as the creator said.
    pub group_kind: Option<String>,
}

/// What sort of conversation it is; a number in JSON.
#[derive(Clone, Copy, PartialEq, Eq, Debug, JsonSchema)]
pub enum ConversationKind {
    /// A group.
    Regular,
    /// A user alone.
    SelfConversation,
    /// Two connected users.
    OneToOne,
    /// Two users, one of whom has been asked.
    Connect,
}

impl ConversationKind {
    /// Its number in JSON.
    pub fn number(self) -> u8 {
        match self {
            Self::Regular => 0,
            Self::SelfConversation => 1,
            Self::OneToOne => 2,
            Self::Connect => 3,
        }
    }

    /// From its number in JSON.
    pub fn from_number(number: u8) -> Option<Self> {
        [Self::Regular, Self::SelfConversation, Self::OneToOne, Self::Connect]
            .into_iter()
            .find(|kind| kind.number() == number)
    }
}

impl Serialize for ConversationKind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u8(self.number())
    }
}

impl<'de> Deserialize<'de> for ConversationKind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::from_number(u8::deserialize(deserializer)?)
            .ok_or_else(|| serde::de::Error::custom("a conversation's type is 0 to 3"))
    }
}

/// How one may enter a conversation.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Access {
    /// Nobody.
    Private,
    /// Added by a member.
    Invite,
    /// By a link to the conversation.
    Link,
    /// By a guest link's code.
    Code,
}

/// Who may enter a conversation.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AccessRole {
    /// Members of its team.
    TeamMember,
    /// Users outside the team.
    NonTeamMember,
    /// Guests of a link.
    Guest,
    /// Bots.
    Service,
}

/// A user in a conversation.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Member {
    /// The user.
    pub user: UserId,
    /// What they may do.
    pub role: Role,
    /// Seen by the member alone.
    pub settings: MemberSettings,
}

/// What a member has set for themself; the references are the time or message that the client says it was done at.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct MemberSettings {
    /// Shown no more.
    #[serde(default)]
    pub hidden: bool,
    /// Since.
    #[serde(default)]
    pub hidden_ref: Option<String>,
    /// In the archive.
    #[serde(default)]
    pub otr_archived: bool,
    /// Since.
    #[serde(default)]
    pub otr_archived_ref: Option<String>,
    /// Silent: bits for messages and mentions.
    #[serde(default)]
    pub otr_muted_status: Option<i32>,
    /// Since.
    #[serde(default)]
    pub otr_muted_ref: Option<String>,
}

/// A role in a conversation.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// May do everything.
    #[default]
    WireAdmin,
    /// May write and leave.
    WireMember,
}

/// What a role may allow.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Add users.
    AddConversationMember,
    /// Remove others.
    RemoveConversationMember,
    /// Rename.
    ModifyConversationName,
    /// Set the timer.
    ModifyConversationMessageTimer,
    /// Set whether reading is confirmed.
    ModifyConversationReceiptMode,
    /// Say who may enter, and make guest links.
    ModifyConversationAccess,
    /// Change others' roles.
    ModifyOtherConversationMember,
    /// Leave.
    LeaveConversation,
    /// Delete it for all; only where it belongs to a team.
    DeleteConversation,
    /// Say who may add members.
    ModifyAddPermission,
}

impl Role {
    /// Every role.
    pub const ALL: [Role; 2] = [Role::WireAdmin, Role::WireMember];

    /// What the role allows.
    pub fn actions(self) -> &'static [Action] {
        match self {
            Role::WireAdmin => &[
                Action::AddConversationMember,
                Action::RemoveConversationMember,
                Action::ModifyConversationName,
                Action::ModifyConversationMessageTimer,
                Action::ModifyConversationReceiptMode,
                Action::ModifyConversationAccess,
                Action::ModifyOtherConversationMember,
                Action::LeaveConversation,
                Action::DeleteConversation,
                Action::ModifyAddPermission,
            ],
            Role::WireMember => &[Action::LeaveConversation],
        }
    }

    /// Whether the role allows an action.
    pub fn allows(self, action: Action) -> bool {
        self.actions().contains(&action)
    }
}

/// A conversation as one of its members sees it.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct ConversationView {
    id: ConversationId,
    qualified_id: Qualified<ConversationId>,
    #[serde(rename = "type")]
    #[schemars(with = "u8")]
    kind: ConversationKind,
    creator: UserId,
    access: Vec<Access>,
    access_role: Vec<AccessRole>,
    /// The same, under the name of the first versions that had it.
    access_role_v2: Vec<AccessRole>,
    name: Option<String>,
    team: Option<TeamId>,
    message_timer: Option<u64>,
    receipt_mode: Option<i32>,
    last_event: &'static str,
    last_event_time: Time,
    protocol: &'static str,
    group_conv_type: String,
    cells_state: &'static str,
    members: MembersView,
}

/// The members as one of them sees them.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct MembersView {
    #[serde(rename = "self")]
    own: SelfMember,
    others: Vec<OtherMember>,
}

/// A member as they see themself.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct SelfMember {
    id: UserId,
    qualified_id: Qualified<UserId>,
    conversation_role: Role,
    #[serde(flatten)]
    settings: MemberSettings,
    /// Bots' only.
    service: Option<String>,
    status: u8,
    status_ref: &'static str,
    status_time: &'static str,
}

/// A member as others see them.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct OtherMember {
    /// The user.
    pub id: UserId,
    /// The user.
    pub qualified_id: Qualified<UserId>,
    /// The role.
    pub conversation_role: Role,
    /// Always 0.
    pub status: u8,
}

impl Member {
    /// A member with untouched settings.
    pub fn new(user: UserId, role: Role) -> Self {
        Self { user, role, settings: MemberSettings::default() }
    }

    /// As others see the member.
    pub fn seen_by_others(&self, domain: &str) -> OtherMember {
        OtherMember {
            id: self.user,
            qualified_id: Qualified::new(self.user, domain),
            conversation_role: self.role,
            status: 0,
        }
    }
}

impl Conversation {
    /// As `viewer` sees it, who is one of `members`.
    pub fn view(&self, viewer: &Member, members: &[Member], domain: &str) -> ConversationView {
        ConversationView {
            id: self.id,
            qualified_id: Qualified::new(self.id, domain),
            kind: self.kind,
            creator: self.creator,
            access: self.access.clone(),
            access_role: self.access_role.clone(),
            access_role_v2: self.access_role.clone(),
            name: self.name.clone(),
            team: self.team,
            message_timer: self.message_timer,
            receipt_mode: self.receipt_mode,
            last_event: "0.0",
            last_event_time: self.last_event_time,
            protocol: "proteus",
            group_conv_type: self.group_kind.clone().unwrap_or_else(|| "group_conversation".to_owned()),
            cells_state: "disabled",
            members: MembersView {
                own: SelfMember {
                    id: viewer.user,
                    qualified_id: Qualified::new(viewer.user, domain),
                    conversation_role: viewer.role,
                    settings: viewer.settings.clone(),
                    service: None,
                    status: 0,
                    status_ref: "0.0",
                    status_time: "1970-01-01T00:00:00.000Z",
                },
                others: members
                    .iter()
                    .filter(|member| member.user != viewer.user)
                    .map(|member| member.seen_by_others(domain))
                    .collect(),
            },
        }
    }

    /// Whether it is a group.
    pub fn is_group(&self) -> bool {
        self.kind == ConversationKind::Regular
    }
}

/// Fields of a conversation to set; `None` leaves a field as it is.
#[derive(Clone, Default, Debug)]
pub struct ConversationChange {
    /// New sort: a connection was accepted, or taken back.
    pub kind: Option<ConversationKind>,
    /// New name.
    pub name: Option<String>,
    /// New ways in.
    pub access: Option<(Vec<Access>, Vec<AccessRole>)>,
    /// New timer, or none.
    pub message_timer: Option<Option<u64>>,
    /// New receipt mode.
    pub receipt_mode: Option<i32>,
}

impl ConversationChange {
    /// Sets the fields that are given.
    pub fn apply(self, conversation: &mut Conversation) {
        if let Some(kind) = self.kind {
            conversation.kind = kind;
        }
        if let Some(name) = self.name {
            conversation.name = Some(name);
        }
        if let Some((access, roles)) = self.access {
            conversation.access = access;
            conversation.access_role = roles;
        }
        if let Some(timer) = self.message_timer {
            conversation.message_timer = timer;
        }
        if let Some(mode) = self.receipt_mode {
            conversation.receipt_mode = Some(mode);
        }
    }
}

/// A guest link of a conversation.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct GuestCode {
    /// Names the link; public.
    pub key: String,
    /// Opens it.
    pub code: String,
    /// Where it leads.
    pub conversation: ConversationId,
    /// Argon2id hash of a password that is asked for besides.
    pub password_hash: Option<String>,
}
