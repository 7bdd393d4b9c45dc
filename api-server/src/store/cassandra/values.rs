//! How values are kept: ids as uuid and bigint, instants as timestamp, what has a shape of its own as JSON text.

use scylla::cluster::metadata::ColumnType;
use scylla::deserialize::value::DeserializeValue;
use scylla::deserialize::{DeserializationError, FrameSlice, TypeCheckError};
use scylla::serialize::SerializationError;
use scylla::serialize::value::SerializeValue;
use scylla::serialize::writers::{CellWriter, WrittenCellProof};
use scylla::value::CqlTimestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use crate::domain::id::InvitationId;
use crate::domain::{ClientId, ConversationId, TeamId, Time, UserId};
use crate::store::{Result, StoreError};

/// Keeps a type as another one that the driver knows.
macro_rules! kept_as {
    ($($name:ty: $kept:ty, $there:expr, $back:expr;)+) => {$(
        impl SerializeValue for $name {
            fn serialize<'b>(
                &self,
                kind: &ColumnType<'_>,
                writer: CellWriter<'b>,
            ) -> std::result::Result<WrittenCellProof<'b>, SerializationError> {
                let kept: $kept = $there(*self);
                SerializeValue::serialize(&kept, kind, writer)
            }
        }

        impl<'frame, 'metadata> DeserializeValue<'frame, 'metadata> for $name {
            fn type_check(kind: &ColumnType<'_>) -> std::result::Result<(), TypeCheckError> {
                <$kept as DeserializeValue>::type_check(kind)
            }

            fn deserialize(
                kind: &'metadata ColumnType<'metadata>,
                value: Option<FrameSlice<'frame>>,
            ) -> std::result::Result<Self, DeserializationError> {
                <$kept as DeserializeValue>::deserialize(kind, value).map($back)
            }
        }
    )+};
}

kept_as! {
    UserId: Uuid, |id: UserId| id.0, UserId;
    ConversationId: Uuid, |id: ConversationId| id.0, ConversationId;
    TeamId: Uuid, |id: TeamId| id.0, TeamId;
    InvitationId: Uuid, |id: InvitationId| id.0, InvitationId;
    ClientId: i64, |id: ClientId| id.0.cast_signed(), |id: i64| ClientId(id.cast_unsigned());
    Time: CqlTimestamp, |time: Time| CqlTimestamp(time.milliseconds()), |time: CqlTimestamp| Time::from_milliseconds(time.0);
}

/// A value as JSON text.
pub(super) fn json<T: Serialize + ?Sized>(value: &T) -> Result<String> {
    serde_json::to_string(value).map_err(|error| StoreError::Corrupt(error.to_string()))
}

/// A value from its JSON text.
pub(super) fn from_json<T: DeserializeOwned>(text: &str) -> Result<T> {
    // What the text says stays out of the error: it may be a message.
    serde_json::from_str(text).map_err(|error| {
        StoreError::Corrupt(format!("line {}, column {} of a JSON text", error.line(), error.column()))
    })
}

/// A value from its JSON text; without one what is nothing.
pub(super) fn from_json_or_default<T: DeserializeOwned + Default>(text: Option<&str>) -> Result<T> {
    text.map_or_else(|| Ok(T::default()), from_json)
}

/// What a row must have.
pub(super) fn needed<T>(value: Option<T>, column: &str) -> Result<T> {
    value.ok_or_else(|| StoreError::Corrupt(format!("a row without {column}")))
}

/// A count that is never negative, from a column that could hold one that is.
pub(super) fn count<T: TryFrom<i64>>(value: i64, column: &str) -> Result<T> {
    T::try_from(value).map_err(|_| StoreError::Corrupt(format!("{column} is {value}")))
}

/// For how many seconds a row is kept that ends at an instant: a little longer, for the hosts' clocks; readers look at the instant.
pub(super) fn lifetime(expires: Time, now: Time) -> i32 {
    /// Cassandra takes no more: 20 years.
    const LONGEST: i64 = 630_720_000;
    let seconds = (expires.seconds() - now.seconds()).clamp(0, LONGEST - 60) + 60;
    i32::try_from(seconds).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::domain::user::AccountStatus;

    #[test]
    fn texts_that_cannot_be_read_are_not_shown() {
        assert_eq!(
            from_json::<AccountStatus>(&json(&AccountStatus::Deleted).unwrap()).unwrap(),
            AccountStatus::Deleted
        );
        let error = from_json::<AccountStatus>("\"confidential\"").unwrap_err();
        assert!(!error.to_string().contains("confidential"), "{error}");
        assert!(from_json_or_default::<Vec<u8>>(None).unwrap().is_empty());
    }

    #[test]
    fn rows_are_kept_a_little_longer_than_what_they_hold() {
        let now = Time::from_milliseconds(5_000_000);
        assert_eq!(lifetime(now.plus_seconds(100), now), 160);
        assert_eq!(lifetime(now.plus_seconds(-100), now), 60);
        assert_eq!(lifetime(now.plus_seconds(i64::MAX / 2000), now), 630_720_000);
    }

    #[test]
    fn counts_are_never_negative() {
        assert_eq!(count::<u32>(3_000_000_000, "id").unwrap(), 3_000_000_000);
        assert!(count::<u32>(-1, "id").is_err());
    }
}
