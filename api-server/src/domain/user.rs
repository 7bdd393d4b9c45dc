//! Users: the record, what its owner sees (self), and what others see (profile).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Qualified, TeamId, UserId};

/// What the store holds of a user. Passwords, e-mail claims and cookies are kept elsewhere.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct User {
    /// Never changes.
    pub id: UserId,
    /// 1 to 128 characters.
    pub name: String,
    /// Lower case; `None` once the account is deleted.
    pub email: Option<String>,
    /// Unique name beginning with @ in clients; stored without it.
    pub handle: Option<String>,
    /// Colour of the avatar.
    pub accent_id: i32,
    /// Pictures.
    pub assets: Vec<UserAsset>,
    /// Language tag.
    pub locale: String,
    /// A line about what the user does.
    pub text_status: Option<String>,
    /// The team, if any.
    pub team: Option<TeamId>,
    /// Of these the other side chooses.
    pub supported_protocols: Vec<Protocol>,
    /// Active, suspended or deleted.
    pub status: AccountStatus,
    /// Whether the user is found by name.
    pub searchable: bool,
}

/// A user's picture.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct UserAsset {
    /// Key in the asset store.
    pub key: String,
    /// `preview` or `complete`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<AssetSize>,
    /// Always `image`.
    #[serde(rename = "type", default)]
    pub kind: AssetKind,
}

/// The size of a user's picture.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum AssetSize {
    /// Small.
    Preview,
    /// As uploaded.
    Complete,
}

/// The kind of a user's asset.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum AssetKind {
    /// A picture.
    #[default]
    Image,
}

/// An end-to-end protocol.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// Pairwise sessions; what this server carries.
    Proteus,
    /// Named by clients; switched off here.
    Mls,
}

/// Whether an account may be used.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum AccountStatus {
    /// In use.
    #[default]
    Active,
    /// Locked by an administrator; data is kept.
    Suspended,
    /// Gone; only the id is kept.
    Deleted,
}

/// Fields of a user to set; `None` leaves a field as it is.
#[derive(Clone, Default, Debug)]
pub struct UserChange {
    /// New display name.
    pub name: Option<String>,
    /// New address, or none.
    pub email: Option<Option<String>>,
    /// New handle, or none.
    pub handle: Option<Option<String>>,
    /// New colour.
    pub accent_id: Option<i32>,
    /// New pictures.
    pub assets: Option<Vec<UserAsset>>,
    /// New language.
    pub locale: Option<String>,
    /// New line of text, or none.
    pub text_status: Option<Option<String>>,
    /// New team, or none.
    pub team: Option<Option<TeamId>>,
    /// New protocols.
    pub supported_protocols: Option<Vec<Protocol>>,
    /// New state.
    pub status: Option<AccountStatus>,
    /// Found by name or not.
    pub searchable: Option<bool>,
}

impl UserChange {
    /// Sets the fields that are given.
    pub fn apply(self, user: &mut User) {
        fn set<T>(field: &mut T, value: Option<T>) {
            if let Some(value) = value {
                *field = value;
            }
        }
        set(&mut user.name, self.name);
        set(&mut user.email, self.email);
        set(&mut user.handle, self.handle);
        set(&mut user.accent_id, self.accent_id);
        set(&mut user.assets, self.assets);
        set(&mut user.locale, self.locale);
        set(&mut user.text_status, self.text_status);
        set(&mut user.team, self.team);
        set(&mut user.supported_protocols, self.supported_protocols);
        set(&mut user.status, self.status);
        set(&mut user.searchable, self.searchable);
    }
}

/// What anybody who knows a user's id sees.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct UserProfile {
    id: UserId,
    qualified_id: Qualified<UserId>,
    name: String,
    accent_id: i32,
    assets: Vec<UserAsset>,
    /// Always empty: pictures of the first API versions.
    picture: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    handle: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    team: Option<TeamId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text_status: Option<String>,
    supported_protocols: Vec<Protocol>,
    legalhold_status: &'static str,
    #[serde(rename = "type")]
    kind: &'static str,
    searchable: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    deleted: Option<bool>,
}

/// What a user sees of themself.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct SelfProfile {
    #[serde(flatten)]
    profile: UserProfile,
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<String>,
    locale: String,
    managed_by: &'static str,
    status: AccountStatus,
}

impl User {
    /// As others see this user.
    pub fn profile(&self, domain: &str) -> UserProfile {
        let deleted = self.status == AccountStatus::Deleted;
        UserProfile {
            id: self.id,
            qualified_id: Qualified::new(self.id, domain),
            name: if deleted { "default".to_owned() } else { self.name.clone() },
            accent_id: self.accent_id,
            assets: self.assets.clone(),
            picture: Vec::new(),
            handle: self.handle.clone(),
            team: self.team,
            text_status: self.text_status.clone(),
            supported_protocols: self.supported_protocols.clone(),
            legalhold_status: "no_consent",
            kind: "regular",
            searchable: self.searchable,
            deleted: deleted.then_some(true),
        }
    }

    /// As the user sees themself.
    pub fn self_profile(&self, domain: &str) -> SelfProfile {
        SelfProfile {
            profile: self.profile(domain),
            email: self.email.clone(),
            locale: self.locale.clone(),
            managed_by: "wire",
            status: self.status,
        }
    }

    /// Whether the account may be used.
    pub fn is_active(&self) -> bool {
        self.status == AccountStatus::Active
    }
}
