//! Identifiers: UUIDs told apart by type, client ids (64 bits in hexadecimal), and ids qualified by a backend's domain.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

macro_rules! uuid_type {
    ($(#[doc = $doc:literal] $name:ident;)+) => {$(
        #[doc = $doc]
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize, JsonSchema)]
        #[serde(transparent)]
        pub struct $name(#[schemars(with = "String")] pub Uuid);

        impl $name {
            /// A new random id.
            pub fn random() -> Self {
                Self(Uuid::new_v4())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;
            fn from_str(text: &str) -> Result<Self, uuid::Error> {
                Uuid::from_str(text).map(Self)
            }
        }
    )+};
}

uuid_type! {
    /// A user.
    UserId;
    /// A conversation.
    ConversationId;
    /// A team.
    TeamId;
    /// An invitation to a team.
    InvitationId;
}

/// A notification's id: a version 1 UUID. Within one user's log ids grow; see [`NotificationId::ticks`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct NotificationId(#[schemars(with = "String")] pub Uuid);

/// 100 ns steps between 1582-10-15 (where version 1 UUIDs begin to count) and 1970-01-01.
const UUID_EPOCH: u64 = 0x01b2_1dd2_1381_4000;

impl NotificationId {
    /// The id for an instant in 100 ns steps since 1970. The node part is fixed: ids are only compared within one user's log,
    /// where every instant is given once.
    pub fn from_ticks(ticks: u64) -> Self {
        let time = ticks.wrapping_add(UUID_EPOCH);
        let low = u32::try_from(time & 0xffff_ffff).unwrap_or(0);
        let middle = u16::try_from((time >> 32) & 0xffff).unwrap_or(0);
        let high = u16::try_from((time >> 48) & 0x0fff).unwrap_or(0) | 0x1000;
        Self(Uuid::from_fields(low, middle, high, &[0x80, 0, 0x01, 0, 0, 0, 0, 1]))
    }

    /// The instant in 100 ns steps since 1970; `None` when this is no version 1 UUID and so cannot be one of ours.
    pub fn ticks(&self) -> Option<u64> {
        let (low, middle, high, _) = self.0.as_fields();
        (high >> 12 == 1).then(|| {
            let time = u64::from(low) | u64::from(middle) << 32 | u64::from(high & 0x0fff) << 48;
            time.wrapping_sub(UUID_EPOCH)
        })
    }
}

impl fmt::Display for NotificationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for NotificationId {
    type Err = uuid::Error;
    fn from_str(text: &str) -> Result<Self, uuid::Error> {
        Uuid::from_str(text).map(Self)
    }
}

/// A user's device: 64 bits, written in hexadecimal without leading zeros.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, JsonSchema)]
pub struct ClientId(#[schemars(with = "String")] pub u64);

/// A text that is no client id.
#[derive(Debug, thiserror::Error)]
#[error("a client id has 1 to 16 hexadecimal digits")]
pub struct NoClientId;

impl fmt::Display for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}", self.0)
    }
}

impl FromStr for ClientId {
    type Err = NoClientId;
    fn from_str(text: &str) -> Result<Self, NoClientId> {
        if text.is_empty() || text.len() > 16 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(NoClientId);
        }
        u64::from_str_radix(text, 16).map(Self).map_err(|_| NoClientId)
    }
}

impl Serialize for ClientId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ClientId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// An id together with the backend it belongs to.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Qualified<I> {
    /// The id.
    pub id: I,
    /// The backend's domain.
    pub domain: String,
}

impl<I> Qualified<I> {
    /// `id` of the backend `domain`.
    pub fn new(id: I, domain: &str) -> Self {
        Self { id, domain: domain.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notification_id_keeps_its_instant() {
        for ticks in [0, 1, 17_000_000_000_000_000, u64::from(u32::MAX) << 24] {
            assert_eq!(NotificationId::from_ticks(ticks).ticks(), Some(ticks));
        }
        assert_eq!(NotificationId(Uuid::new_v4()).ticks(), None);
    }

    #[test]
    fn client_ids_are_hexadecimal() {
        assert_eq!("00ff".parse::<ClientId>().ok().map(|id| id.to_string()), Some("ff".to_owned()));
        for wrong in ["", "0123456789abcdef0", "+1", "xyz"] {
            assert!(wrong.parse::<ClientId>().is_err(), "{wrong}");
        }
    }
}
