//! What images are called in the cluster.

use crate::lock::Lock;
use crate::site::model::Site;

/// What goes before the names of images that are on every node of a cluster of ours and come from nowhere else.
pub const REPOSITORY: &str = "wire-deploy.local";
/// So many characters of an image's digest are its tag: another image is another reference, so pods roll exactly when their image changed.
const TAG_LENGTH: usize = 16;

/// The tag of the image that a recipe makes; nothing if the lock has no such image.
#[must_use]
pub fn tag(lock: &Lock, recipe: &str) -> Option<String> {
    let (digest, _) = lock.image(recipe)?;
    Some(digest.to_string().trim_start_matches("sha256:").chars().take(TAG_LENGTH).collect())
}

/// Where the cluster's nodes find the image that a recipe makes: with a cluster of ours in their own store, else in the registry that the
/// site names.
#[must_use]
pub fn reference(site: &Site, lock: &Lock, recipe: &str) -> Option<String> {
    let repository = site.kubernetes.existing.as_ref().map_or(REPOSITORY, |existing| &existing.image_repository);
    tag(lock, recipe).map(|tag| format!("{repository}/{recipe}:{tag}"))
}
