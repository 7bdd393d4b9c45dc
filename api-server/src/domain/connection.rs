//! A connection as one of its two sides sees it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ConversationId, Qualified, Time, UserId};

/// One side of a connection.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Connection {
    /// Whose side this is.
    pub from: UserId,
    /// The other user.
    pub to: UserId,
    /// How this side stands.
    pub status: ConnectionStatus,
    /// The conversation of the two.
    pub conversation: ConversationId,
    /// When the status changed.
    pub last_update: Time,
}

/// How one side of a connection stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ConnectionStatus {
    /// Asked, and waits for the other.
    Sent,
    /// Was asked.
    Pending,
    /// Both agreed.
    Accepted,
    /// Wants nothing from the other.
    Blocked,
    /// Does not answer.
    Ignored,
    /// Took the question back.
    Cancelled,
    /// Consent is missing; not offered here.
    MissingLegalholdConsent,
}

/// A connection as the API shows it.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct UserConnection {
    from: UserId,
    to: UserId,
    qualified_to: Qualified<UserId>,
    status: ConnectionStatus,
    conversation: ConversationId,
    qualified_conversation: Qualified<ConversationId>,
    last_update: Time,
}

impl Connection {
    /// As the API shows it.
    pub fn view(&self, domain: &str) -> UserConnection {
        UserConnection {
            from: self.from,
            to: self.to,
            qualified_to: Qualified::new(self.to, domain),
            status: self.status,
            conversation: self.conversation,
            qualified_conversation: Qualified::new(self.conversation, domain),
            last_update: self.last_update,
        }
    }
}
