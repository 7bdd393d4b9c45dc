//! Events: what clients are told. Each becomes one JSON object in a notification's payload.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};

use super::client::Client;
use super::connection::Connection;
use super::conversation::{Access, AccessRole, ConversationView, OtherMember};
use super::{ClientId, ConversationId, Qualified, TeamId, Time, UserId};

/// Something that happened in a conversation.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct ConversationEvent {
    conversation: ConversationId,
    qualified_conversation: Qualified<ConversationId>,
    from: UserId,
    qualified_from: Qualified<UserId>,
    time: Time,
    #[serde(skip_serializing_if = "Option::is_none")]
    team: Option<TeamId>,
    #[serde(flatten)]
    what: Happening,
}

/// What happened.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(tag = "type", content = "data")]
pub enum Happening {
    /// The receiver is in a new conversation.
    #[serde(rename = "conversation.create")]
    Create(Box<ConversationView>),
    /// Users came.
    #[serde(rename = "conversation.member-join")]
    MemberJoin {
        /// Who.
        user_ids: Vec<UserId>,
        /// Who, and as what.
        users: Vec<OtherMember>,
        /// Always `internal_add`, as clients know it.
        add_type: &'static str,
    },
    /// Users went.
    #[serde(rename = "conversation.member-leave")]
    MemberLeave {
        /// Who.
        user_ids: Vec<UserId>,
        /// Who.
        qualified_user_ids: Vec<Qualified<UserId>>,
        /// Left, was removed, or lost the account.
        reason: LeaveReason,
    },
    /// A member's role or settings changed.
    #[serde(rename = "conversation.member-update")]
    MemberUpdate(Value),
    /// It has a new name.
    #[serde(rename = "conversation.rename")]
    Rename {
        /// The name.
        name: String,
    },
    /// Messages vanish after another time.
    #[serde(rename = "conversation.message-timer-update")]
    MessageTimerUpdate {
        /// Milliseconds.
        message_timer: Option<u64>,
    },
    /// Reading is confirmed, or not.
    #[serde(rename = "conversation.receipt-mode-update")]
    ReceiptModeUpdate {
        /// The mode.
        receipt_mode: i32,
    },
    /// Others may enter.
    #[serde(rename = "conversation.access-update")]
    AccessUpdate {
        /// Ways in.
        access: Vec<Access>,
        /// Who.
        access_role: Vec<AccessRole>,
        /// The same, under the name of the first versions that had it.
        access_role_v2: Vec<AccessRole>,
    },
    /// There is a guest link.
    #[serde(rename = "conversation.code-update")]
    CodeUpdate(GuestLink),
    /// The guest link is gone.
    #[serde(rename = "conversation.code-delete")]
    CodeDelete,
    /// It is gone.
    #[serde(rename = "conversation.delete")]
    Delete,
    /// Somebody begins or ends to type.
    #[serde(rename = "conversation.typing")]
    Typing {
        /// Begins or ends.
        status: TypingStatus,
    },
    /// A message.
    #[serde(rename = "conversation.otr-message-add")]
    OtrMessageAdd {
        /// The sending device.
        sender: ClientId,
        /// The receiving device.
        recipient: ClientId,
        /// The ciphertext in base64.
        text: String,
        /// Bytes for all recipients alike, in base64.
        #[serde(skip_serializing_if = "Option::is_none")]
        data: Option<String>,
    },
}

/// Why a member went.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum LeaveReason {
    /// By themself.
    Left,
    /// By another.
    Removed,
    /// The account is gone.
    UserDeleted,
}

/// Typing or not.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, serde::Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum TypingStatus {
    /// Begins.
    Started,
    /// Ends.
    Stopped,
}

/// A guest link as the API shows it.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct GuestLink {
    /// Names the link.
    pub key: String,
    /// Opens it.
    pub code: String,
    /// Both, in a link to the web client.
    pub uri: String,
    /// Whether a password is asked for besides.
    pub has_password: bool,
}

impl ConversationEvent {
    /// `what` happened in `conversation`, done by `from`.
    pub fn new(conversation: ConversationId, from: UserId, time: Time, domain: &str, what: Happening) -> Self {
        Self {
            conversation,
            qualified_conversation: Qualified::new(conversation, domain),
            from,
            qualified_from: Qualified::new(from, domain),
            time,
            team: None,
            what,
        }
    }
}

/// An event as JSON. Types of this crate always have a JSON form; `null` would say otherwise.
pub fn to_json<T: Serialize>(value: &T) -> Value {
    serde_json::to_value(value).unwrap_or(Value::Null)
}

/// `user.connection`: a connection changed; `name` is the other user's.
pub fn connection(connection: &Connection, domain: &str, name: Option<&str>) -> Value {
    let mut event = json!({"type": "user.connection", "connection": connection.view(domain)});
    if let Some(name) = name {
        event["user"] = json!({"name": name});
    }
    event
}

/// `user.client-add`.
pub fn client_added(client: &Client) -> Value {
    json!({"type": "user.client-add", "client": client})
}

/// `user.client-remove`.
pub fn client_removed(client: ClientId) -> Value {
    json!({"type": "user.client-remove", "client": {"id": client}})
}

/// `user.update`: `changed` holds the fields that changed.
pub fn user_updated(user: UserId, domain: &str, mut changed: Value) -> Value {
    changed["id"] = json!(user);
    changed["qualified_id"] = json!(Qualified::new(user, domain));
    json!({"type": "user.update", "user": changed})
}

/// `user.delete`.
pub fn user_deleted(user: UserId, domain: &str) -> Value {
    json!({"type": "user.delete", "id": user, "qualified_id": Qualified::new(user, domain)})
}

/// `user.properties-set`.
pub fn property_set(key: &str, value: &Value) -> Value {
    json!({"type": "user.properties-set", "key": key, "value": value})
}

/// `user.properties-delete`.
pub fn property_deleted(key: &str) -> Value {
    json!({"type": "user.properties-delete", "key": key})
}

/// `user.properties-clear`.
pub fn properties_cleared() -> Value {
    json!({"type": "user.properties-clear"})
}

/// A team's event: `kind` is what follows `team.`.
pub fn team(kind: &str, team: TeamId, time: Time, data: &Value) -> Value {
    json!({"type": format!("team.{kind}"), "team": team, "time": time, "data": data})
}
