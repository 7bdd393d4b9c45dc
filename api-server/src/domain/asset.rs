//! Assets: encrypted files and pictures.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

use super::{Time, UserId};

/// How long an asset is kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Retention {
    /// For ever; profile pictures.
    Eternal,
    /// For ever.
    #[default]
    Persistent,
    /// 28 days.
    Volatile,
    /// For ever, read seldom.
    #[serde(rename = "eternal-infrequent_access")]
    EternalInfrequentAccess,
    /// A year.
    Expiring,
}

impl Retention {
    /// The number in a key.
    fn number(self) -> u8 {
        match self {
            Self::Eternal => 1,
            Self::Persistent => 2,
            Self::Volatile => 3,
            Self::EternalInfrequentAccess => 4,
            Self::Expiring => 5,
        }
    }

    fn from_number(number: &str) -> Option<Self> {
        let all = [Self::Eternal, Self::Persistent, Self::Volatile, Self::EternalInfrequentAccess, Self::Expiring];
        all.into_iter().find(|retention| retention.number().to_string() == number)
    }

    /// Seconds an asset lives; `None` is for ever.
    pub fn lifetime(self) -> Option<i64> {
        match self {
            Self::Volatile => Some(28 * 24 * 3600),
            Self::Expiring => Some(365 * 24 * 3600),
            Self::Eternal | Self::Persistent | Self::EternalInfrequentAccess => None,
        }
    }
}

/// An asset's key: `3-<retention>-<uuid>`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct AssetKey {
    /// How long it is kept.
    pub retention: Retention,
    /// Random.
    pub id: Uuid,
}

impl std::hash::Hash for Retention {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.number().hash(state);
    }
}

/// A text that is no asset key.
#[derive(Debug, thiserror::Error)]
#[error("an asset key is 3-<1 to 5>-<uuid>")]
pub struct NoAssetKey;

impl fmt::Display for AssetKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "3-{}-{}", self.retention.number(), self.id)
    }
}

impl FromStr for AssetKey {
    type Err = NoAssetKey;
    fn from_str(text: &str) -> Result<Self, NoAssetKey> {
        let rest = text.strip_prefix("3-").ok_or(NoAssetKey)?;
        let (number, id) = rest.split_once('-').ok_or(NoAssetKey)?;
        // Only the usual form: a key is part of a path.
        let id = Uuid::try_parse(id).ok().filter(|uuid| uuid.to_string() == id).ok_or(NoAssetKey)?;
        Ok(Self { retention: Retention::from_number(number).ok_or(NoAssetKey)?, id })
    }
}

impl Serialize for AssetKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for AssetKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        std::borrow::Cow::<'de, str>::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// What is known of an asset besides its bytes.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct AssetMeta {
    /// Its key.
    pub key: AssetKey,
    /// Who may delete it.
    pub owner: UserId,
    /// What one must show to read it; `None` for public ones.
    pub token: Option<String>,
    /// When it vanishes.
    pub expires: Option<Time>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_reads_back() {
        let key = AssetKey { retention: Retention::Volatile, id: Uuid::from_u128(7) };
        assert_eq!(key.to_string().parse::<AssetKey>().ok(), Some(key));
        for wrong in
            ["3-9-00000000-0000-0000-0000-000000000007", "3-1-../../etc", "3-1-{00000000-0000-0000-0000-000000000007}"]
        {
            assert!(wrong.parse::<AssetKey>().is_err(), "{wrong}");
        }
    }
}
