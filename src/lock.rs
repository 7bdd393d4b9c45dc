//! `artifacts.lock`: which blobs each recipe stands for, so that every host gets the same bytes until an operator says otherwise. Pure data.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use wire_deploy_agent::digest::Digest;
use wire_deploy_agent::resource::Package;

/// Format of the file; another one is refused.
pub const FORMAT: u32 = 1;

/// The whole lock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lock {
    /// [`FORMAT`].
    pub format: u32,
    /// By recipe.
    pub recipes: BTreeMap<String, Locked>,
}

/// What one recipe gave.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Locked {
    /// Digest of the recipe and its sources: another one means that the entry is out of date.
    pub recipe: Digest,
    /// Version of what it installs, for people and `status`.
    pub version: String,
    /// Packages, by release.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub releases: BTreeMap<String, Closure>,
    /// Files, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub files: BTreeMap<String, LockedFile>,
    /// Digest of the container image (of its manifest, that is) in the file, if it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<Digest>,
    /// Of files that the site brings and that are container images: their digests, by the files' names.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub images: BTreeMap<String, Digest>,
}

/// Packages wanted and all they may need on a bare host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Closure {
    /// The packages wanted, by name.
    pub wanted: Vec<String>,
    /// All of them.
    pub packages: Vec<Package>,
}

/// A file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockedFile {
    /// Its digest.
    pub blob: Digest,
    /// Its size in bytes.
    pub size: u64,
}

impl Default for Lock {
    fn default() -> Self {
        Self { format: FORMAT, recipes: BTreeMap::new() }
    }
}

impl Lock {
    /// The packages of a recipe for a release.
    #[must_use]
    pub fn packages(&self, recipe: &str, release: &str) -> Option<&Closure> {
        self.recipes.get(recipe)?.releases.get(release)
    }

    /// A recipe's image: its digest, and the file that it is in.
    #[must_use]
    pub fn image(&self, recipe: &str) -> Option<(&Digest, &LockedFile)> {
        let locked = self.recipes.get(recipe)?;
        Some((locked.image.as_ref()?, locked.files.values().next()?))
    }

    /// An image that the site brings for a recipe: its digest, and the file that it is in.
    #[must_use]
    pub fn brought_image(&self, recipe: &str, name: &str) -> Option<(&Digest, &LockedFile)> {
        let locked = self.recipes.get(recipe)?;
        Some((locked.images.get(name)?, locked.files.get(name)?))
    }

    /// A file of a recipe.
    #[must_use]
    pub fn file(&self, recipe: &str, file: &str) -> Option<&LockedFile> {
        self.recipes.get(recipe)?.files.get(file)
    }
}
