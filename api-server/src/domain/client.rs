//! A user's devices and their prekeys.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ClientId, Time};

/// The id of the prekey that is never used up.
pub const LAST_RESORT: u16 = 65535;

/// A registered device.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Client {
    /// Unique among the user's devices.
    pub id: ClientId,
    /// Permanent or temporary.
    #[serde(rename = "type")]
    pub kind: ClientKind,
    /// What it runs on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub class: Option<ClientClass>,
    /// When it was registered.
    pub time: Time,
    /// The label of the cookie it was registered with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cookie: Option<String>,
    /// Name given by the user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// Name of the model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// What it can do.
    pub capabilities: Vec<Capability>,
    /// Its MLS signature keys; kept for clients that set them.
    pub mls_public_keys: BTreeMap<String, String>,
    /// When it last read notifications, to the day.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_active: Option<Time>,
}

/// How long a device is meant to stay.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ClientKind {
    /// One of at most seven.
    Permanent,
    /// One at most; a new one takes its place.
    Temporary,
    /// Not offered here.
    Legalhold,
}

/// What a device is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ClientClass {
    /// A telephone.
    Phone,
    /// A tablet.
    Tablet,
    /// A computer.
    Desktop,
    /// Not offered here.
    Legalhold,
}

/// What a device can do.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Capability {
    /// It asks for consent.
    LegalholdImplicitConsent,
    /// It reads the acknowledged event stream.
    ConsumableNotifications,
}

/// One public key by which a session with a device is begun.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Prekey {
    /// 0 to 65535; the last is the one of last resort.
    pub id: u16,
    /// Base64.
    pub key: String,
}

/// What others see of a device.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct PublicClient {
    /// Unique among the user's devices.
    pub id: ClientId,
    /// What it runs on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub class: Option<ClientClass>,
}

impl Client {
    /// As others see it.
    pub fn public(&self) -> PublicClient {
        PublicClient { id: self.id, class: self.class }
    }
}

/// Fields of a device to set; `None` leaves a field as it is.
#[derive(Clone, Default, Debug)]
pub struct ClientChange {
    /// New name.
    pub label: Option<String>,
    /// New list.
    pub capabilities: Option<Vec<Capability>>,
    /// Keys to add.
    pub mls_public_keys: Option<BTreeMap<String, String>>,
    /// Last seen.
    pub last_active: Option<Time>,
}

impl ClientChange {
    /// Sets the fields that are given.
    pub fn apply(self, client: &mut Client) {
        if let Some(label) = self.label {
            client.label = Some(label);
        }
        if let Some(capabilities) = self.capabilities {
            client.capabilities = capabilities;
        }
        if let Some(keys) = self.mls_public_keys {
            client.mls_public_keys.extend(keys);
        }
        if let Some(time) = self.last_active {
            client.last_active = Some(time);
        }
    }
}
