//! `artifacts.lock`: which blobs each recipe stands for, so that every host gets the same bytes until an operator says otherwise. Pure data.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

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
    /// The same, with all that it lacks taken from another one.
    #[must_use]
    pub fn completed_by(mut self, other: Self) -> Self {
        for (recipe, other) in other.recipes {
            match self.recipes.entry(recipe) {
                Entry::Vacant(entry) => drop(entry.insert(other)),
                Entry::Occupied(entry) => entry.into_mut().complete_by(other),
            }
        }
        self
    }

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

impl Locked {
    fn complete_by(&mut self, other: Self) {
        for (release, closure) in other.releases {
            self.releases.entry(release).or_insert(closure);
        }
        for (name, file) in other.files {
            self.files.entry(name).or_insert(file);
        }
        for (name, digest) in other.images {
            self.images.entry(name).or_insert(digest);
        }
        self.image = self.image.take().or(other.image);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn locked(version: &str, files: &[(&str, &[u8])]) -> Locked {
        let file = |(name, content): &(&str, &[u8])| {
            ((*name).to_owned(), LockedFile { blob: Digest::of(content), size: content.len() as u64 })
        };
        Locked {
            recipe: Digest::of(version.as_bytes()),
            version: version.to_owned(),
            releases: BTreeMap::new(),
            files: files.iter().map(file).collect(),
            image: None,
            images: BTreeMap::new(),
        }
    }

    #[test]
    fn what_is_locked_stays_and_the_rest_is_taken_from_the_other() {
        let lock = |recipes: &[(&str, Locked)]| Lock {
            recipes: recipes.iter().map(|(name, locked)| ((*name).to_owned(), locked.clone())).collect(),
            ..Lock::default()
        };
        let ours = lock(&[("etcd", locked("3.6.4", &[("etcd", b"ours")]))]);
        let other = lock(&[
            ("etcd", Locked { image: Some(Digest::of(b"")), ..locked("", &[("etcd", b""), ("etcdctl", b"")]) }),
            ("redis", locked("", &[])),
        ]);
        let expected = lock(&[
            (
                "etcd",
                Locked { image: Some(Digest::of(b"")), ..locked("3.6.4", &[("etcd", b"ours"), ("etcdctl", b"")]) },
            ),
            ("redis", locked("", &[])),
        ]);
        assert_eq!(ours.completed_by(other), expected);
    }
}
