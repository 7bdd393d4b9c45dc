//! Proteus messages: the protobuf types of a sending client, after the published description `otr.proto`.

use prost::{Message, Oneof};

/// A user in a protobuf message: the UUID's 16 bytes.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct UserIdBytes {
    /// 16 bytes.
    #[prost(bytes = "vec", required, tag = "1")]
    pub uuid: Vec<u8>,
}

/// A user of a backend, both as text.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct QualifiedUserIdText {
    /// The UUID as text.
    #[prost(string, required, tag = "1")]
    pub id: String,
    /// The backend.
    #[prost(string, required, tag = "2")]
    pub domain: String,
}

/// A device in a protobuf message: its id read as a number.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct ClientIdNumber {
    /// The hexadecimal id's value.
    #[prost(uint64, required, tag = "1")]
    pub client: u64,
}

/// The ciphertext for one device.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct ClientEntry {
    /// The device.
    #[prost(message, required, tag = "1")]
    pub client: ClientIdNumber,
    /// The ciphertext.
    #[prost(bytes = "bytes", required, tag = "2")]
    pub text: bytes::Bytes,
}

/// The ciphertexts for one user's devices.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct UserEntry {
    /// The user.
    #[prost(message, required, tag = "1")]
    pub user: UserIdBytes,
    /// One for each device.
    #[prost(message, repeated, tag = "2")]
    pub clients: Vec<ClientEntry>,
}

/// The ciphertexts for one backend's users.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct QualifiedUserEntry {
    /// The backend.
    #[prost(string, required, tag = "1")]
    pub domain: String,
    /// One for each user.
    #[prost(message, repeated, tag = "2")]
    pub entries: Vec<UserEntry>,
}

/// A message as clients of the qualified API send it.
#[derive(Clone, PartialEq, Message)]
pub struct QualifiedNewOtrMessage {
    /// The sending device.
    #[prost(message, required, tag = "1")]
    pub sender: ClientIdNumber,
    /// Ciphertexts by backend, user, device.
    #[prost(message, repeated, tag = "2")]
    pub recipients: Vec<QualifiedUserEntry>,
    /// Whether telephones are woken.
    #[prost(bool, optional, tag = "3", default = "true")]
    pub native_push: Option<bool>,
    /// Bytes for all recipients alike.
    #[prost(bytes = "bytes", optional, tag = "4")]
    pub blob: Option<bytes::Bytes>,
    /// How urgently telephones are woken.
    #[prost(int32, optional, tag = "5")]
    pub native_priority: Option<i32>,
    /// Not kept in the log.
    #[prost(bool, optional, tag = "6")]
    pub transient: Option<bool>,
    /// What happens when devices are missing.
    #[prost(oneof = "MismatchStrategy", tags = "7, 8, 9, 10")]
    pub client_mismatch_strategy: Option<MismatchStrategy>,
}

/// No fields.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct Empty {}

/// A list of users.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct UserIds {
    /// The users.
    #[prost(message, repeated, tag = "1")]
    pub user_ids: Vec<QualifiedUserIdText>,
}

/// What happens when a message leaves devices of the conversation out.
#[derive(Clone, PartialEq, Eq, Oneof)]
pub enum MismatchStrategy {
    /// Refuse and name them; what holds when nothing is said.
    #[prost(message, tag = "7")]
    ReportAll(Empty),
    /// Send to those that are there.
    #[prost(message, tag = "8")]
    IgnoreAll(Empty),
    /// Refuse only for these users' devices.
    #[prost(message, tag = "9")]
    ReportOnly(UserIds),
    /// Refuse but for these users' devices.
    #[prost(message, tag = "10")]
    IgnoreOnly(UserIds),
}

/// A message as clients of the unqualified API send it.
#[derive(Clone, PartialEq, Message)]
pub struct NewOtrMessage {
    /// The sending device.
    #[prost(message, required, tag = "1")]
    pub sender: ClientIdNumber,
    /// Ciphertexts by user, device.
    #[prost(message, repeated, tag = "2")]
    pub recipients: Vec<UserEntry>,
    /// Whether telephones are woken.
    #[prost(bool, optional, tag = "3", default = "true")]
    pub native_push: Option<bool>,
    /// Bytes for all recipients alike.
    #[prost(bytes = "bytes", optional, tag = "4")]
    pub blob: Option<bytes::Bytes>,
    /// How urgently telephones are woken.
    #[prost(int32, optional, tag = "5")]
    pub native_priority: Option<i32>,
    /// Not kept in the log.
    #[prost(bool, optional, tag = "6")]
    pub transient: Option<bool>,
    /// Refuse only for these users' devices.
    #[prost(message, repeated, tag = "7")]
    pub report_missing: Vec<UserIdBytes>,
}
