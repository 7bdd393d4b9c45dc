//! Debian packages: the closure of some for a release, resolved and fetched by this machine's own apt in a root of its own.
//!
//! apt starts from an empty dpkg status, so the closure suffices on any host of that release; what a host has already is
//! neither sent nor installed. Nothing of the machine's own apt is changed: lists, caches and locks are private ones.

mod apt;
mod releases;
mod sources;

use std::collections::BTreeMap;

use wire_deploy_agent::resource::Package;

use self::apt::Apt;
use self::releases::{RELEASES, Release};
use super::ArtifactError;
use super::command::Progress;
use super::store::Store;
use crate::lock::Closure;

/// The closure of packages for a release as the mirror has it now; all of it is in the store.
///
/// # Errors
/// When apt is missing or fails, or the store cannot be written.
pub async fn resolve(
    packages: &[String],
    release: &str,
    store: &Store,
    progress: &Progress,
) -> Result<Closure, ArtifactError> {
    let apt = Apt::open(known(release)?, store, progress).await?;
    apt.update().await?;
    let mut closure = apt.closure(packages).await?;
    closure.sort_by(|one, other| (&one.name, &one.architecture).cmp(&(&other.name, &other.architecture)));
    fetch_missing(&apt, &closure, store).await?;
    Ok(Closure { wanted: packages.to_vec(), packages: closure })
}

/// Those packages as the mirror has them now, without what they need; all of them are in the store.
///
/// # Errors
/// As [`resolve`].
pub async fn resolve_alone(
    packages: &[String],
    release: &str,
    store: &Store,
    progress: &Progress,
) -> Result<Closure, ArtifactError> {
    let apt = Apt::open(known(release)?, store, progress).await?;
    apt.update().await?;
    let mut alone = apt.closure(packages).await?;
    alone.retain(|package| packages.contains(&package.name));
    alone.sort_by(|one, other| one.name.cmp(&other.name));
    fetch_missing(&apt, &alone, store).await?;
    Ok(Closure { wanted: packages.to_vec(), packages: alone })
}

/// Fetches those packages that the store lacks, in exactly the versions that are locked.
///
/// # Errors
/// When apt is missing or fails, the mirror no longer has a version, or the store cannot be written.
pub async fn fetch(
    packages: &[Package],
    recipe: &str,
    release: &str,
    store: &Store,
    progress: &Progress,
) -> Result<(), ArtifactError> {
    let apt = Apt::open(known(release)?, store, progress).await?;
    match fetch_missing(&apt, packages, store).await {
        // The lists may be those of another day, or there may be none yet.
        Err(error) if is_version_gone(&error) => apt.update().await?,
        ended => return ended,
    }
    fetch_missing(&apt, packages, store).await.map_err(|error| {
        if !is_version_gone(&error) {
            return error;
        }
        let message =
            format!("the mirror no longer has a version that artifacts.lock names for recipe {recipe} on {release}");
        let hint = format!(
            "run `wire-deploy artifacts update {recipe}` to lock the versions that it has now; hosts are upgraded by the next apply"
        );
        ArtifactError { message, hint, log: error.log }
    })
}

/// The version of a closure for people: that of the first package wanted, without epoch and Debian revision.
pub fn version(closure: &Closure) -> String {
    let first = closure.packages.iter().find(|package| closure.wanted.first() == Some(&package.name));
    let version = first.map_or("", |package| package.version.as_str());
    let version = version.split_once(':').map_or(version, |(_, version)| version);
    version.rsplit_once('-').map_or(version, |(version, _)| version).to_owned()
}

async fn fetch_missing(apt: &Apt<'_>, packages: &[Package], store: &Store) -> Result<(), ArtifactError> {
    let mut missing = BTreeMap::new();
    for package in packages {
        if !store.has(&package.blob, package.size)? {
            missing.insert(&package.blob, package);
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    let missing: Vec<&Package> = missing.into_values().collect();
    apt.download(&missing, store).await
}

fn known(release: &str) -> Result<&'static Release, ArtifactError> {
    RELEASES.iter().find(|known| known.codename == release).ok_or_else(|| {
        let names: Vec<&str> = RELEASES.iter().map(|known| known.codename).collect();
        ArtifactError::new(
            format!("packages cannot be resolved for release {release:?}"),
            format!("the releases are: {}", names.join(", ")),
        )
    })
}

/// apt's words for a version that no index has, for a package that none has, and for a file that an index has but no mirror.
fn is_version_gone(error: &ArtifactError) -> bool {
    error.log.iter().any(|line| {
        (line.contains("Version '") && line.contains("was not found"))
            || line.contains("Unable to locate package")
            || line.contains("Can't find a source to download version")
            || (line.contains("Failed to fetch") && line.contains("404"))
    })
}

#[cfg(test)]
mod tests;
