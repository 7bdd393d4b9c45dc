//! Making what is missing. When everything is locked and in the store this only looks at files' sizes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use wire_deploy_agent::digest::Digest;

use super::command::{Progress, Tell};
use super::recipe::{Kind, Recipe};
use super::store::Store;
use super::{ArtifactError, brought, deb, go, image, maven};
use crate::lock::{Closure, Lock, Locked, LockedFile};
use crate::report::Reporter;
use crate::site::model::Brought;

/// Recipes made at once: they share the operator's processors and the mirrors.
const AT_ONCE: usize = 2;

/// What is wanted of a recipe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// The recipe's name.
    pub recipe: String,
    /// Codenames of the hosts' releases, for recipes of packages.
    pub releases: BTreeSet<String>,
    /// What the site brings in place of what the recipe makes.
    pub brought: Option<Brought>,
}

/// Makes what the lock or the store lacks of what is wanted, and gives the lock with all of it. What is locked stays as it
/// is, but where the recipe itself has changed.
///
/// # Errors
/// The first that something cannot be made.
pub async fn prepare(wanted: &[Wanted], lock: &Lock, store: &Store, report: &Reporter) -> Result<Lock, ArtifactError> {
    let report = report.clone();
    prepare_telling(wanted, lock, store, &(Arc::new(move |kind| report.send(kind)) as Tell)).await
}

async fn prepare_telling(wanted: &[Wanted], lock: &Lock, store: &Store, tell: &Tell) -> Result<Lock, ArtifactError> {
    let mut missing = Vec::new();
    for wanted in wanted {
        let (recipe, locked) = look_up(wanted, lock)?;
        if !is_complete(&recipe, &wanted.releases, locked, store)? {
            missing.push((recipe, &wanted.releases, locked));
        }
    }
    let mut lock = lock.clone();
    if missing.is_empty() {
        return Ok(lock);
    }
    store.sweep();
    let made: Vec<(String, Locked)> = stream::iter(missing.into_iter().map(|(recipe, releases, locked)| async move {
        let progress = Progress::new(format!("artifacts of {}", recipe.name), tell);
        let begun = Instant::now();
        progress.begin();
        let made = make(&recipe, releases, locked, store, &progress).await?;
        progress.end(u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX));
        Ok::<_, ArtifactError>((recipe.name, made))
    }))
    .buffer_unordered(AT_ONCE)
    .try_collect()
    .await?;
    lock.recipes.extend(made);
    Ok(lock)
}

/// What of all this the lock lacks, or has of a recipe that has changed since; whatever the store holds.
///
/// # Errors
/// When a recipe cannot be used.
pub fn not_locked(wanted: Vec<Wanted>, lock: &Lock) -> Result<Vec<Wanted>, ArtifactError> {
    let mut lacking = Vec::new();
    for wanted in wanted {
        let (recipe, locked) = look_up(&wanted, lock)?;
        if locked.and_then(|locked| blobs(&recipe, &wanted.releases, locked)).is_none() {
            lacking.push(wanted);
        }
    }
    Ok(lacking)
}

/// The recipe that is meant, and what the lock has of it, if it is still the same.
fn look_up<'a>(wanted: &Wanted, lock: &'a Lock) -> Result<(Recipe, Option<&'a Locked>), ArtifactError> {
    let recipe = Recipe::of_site(&wanted.recipe, wanted.brought.as_ref())?;
    let locked = lock.recipes.get(&wanted.recipe).filter(|locked| locked.recipe == recipe.digest);
    Ok((recipe, locked))
}

/// Resolves recipes anew, whatever the lock says, for the releases that are wanted and those that were locked.
///
/// # Errors
/// As [`prepare`].
pub async fn update(wanted: &[Wanted], lock: &Lock, store: &Store, report: &Reporter) -> Result<Lock, ArtifactError> {
    let mut open = lock.clone();
    let mut wanted = wanted.to_vec();
    for wanted in &mut wanted {
        if let Some(locked) = open.recipes.remove(&wanted.recipe) {
            wanted.releases.extend(locked.releases.into_keys());
        }
    }
    prepare(&wanted, &open, store, report).await
}

/// Whether all that is wanted of a recipe is locked and in the store.
fn is_complete(
    recipe: &Recipe,
    releases: &BTreeSet<String>,
    locked: Option<&Locked>,
    store: &Store,
) -> Result<bool, ArtifactError> {
    let Some(blobs) = locked.and_then(|locked| blobs(recipe, releases, locked)) else { return Ok(false) };
    for (blob, size) in blobs {
        if !store.has(blob, size)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Everything that is wanted of a recipe, with its size in bytes; nothing where the lock does not have all of it.
fn blobs<'a>(recipe: &Recipe, releases: &BTreeSet<String>, locked: &'a Locked) -> Option<Vec<(&'a Digest, u64)>> {
    let file = |name: &String| locked.files.get(name).map(|file| (&file.blob, file.size));
    match &recipe.kind {
        Kind::Deb(_) => {
            let closures: Option<Vec<&Closure>> = releases.iter().map(|release| locked.releases.get(release)).collect();
            let packages = closures?.into_iter().flat_map(|closure| &closure.packages);
            Some(packages.map(|package| (&package.blob, package.size)).collect())
        }
        Kind::Go(go) => go.builds.keys().map(file).collect(),
        Kind::Maven(maven) => [&maven.file_name()].into_iter().map(file).collect(),
        Kind::Image(_) => locked.image.as_ref().and([&image::file_name(&recipe.name)].into_iter().map(file).collect()),
        Kind::Brought(brought) => brought.files.keys().map(file).collect(),
    }
}

async fn make(
    recipe: &Recipe,
    releases: &BTreeSet<String>,
    locked: Option<&Locked>,
    store: &Store,
    progress: &Progress,
) -> Result<Locked, ArtifactError> {
    let (mut locked_releases, mut files, mut version) = (BTreeMap::new(), BTreeMap::new(), String::new());
    let (mut image_digest, mut images) = (None, BTreeMap::new());
    match &recipe.kind {
        Kind::Deb(deb) => {
            locked_releases = locked.map(|locked| locked.releases.clone()).unwrap_or_default();
            for release in releases {
                match locked_releases.get(release) {
                    Some(closure) => deb::fetch(&closure.packages, &recipe.name, release, store, progress).await?,
                    None => {
                        let closure = deb::resolve(&deb.packages, release, store, progress).await?;
                        locked_releases.insert(release.clone(), closure);
                    }
                }
            }
            version.push_str(&versions(&locked_releases));
        }
        Kind::Go(go) => {
            files = go::build(recipe, go, store, progress).await?;
            version.push_str(&go.version);
            same_as_locked(recipe, locked, &files, "build with the version of Go that artifacts.lock was made with")?;
        }
        Kind::Maven(maven) => {
            files = maven::assemble(recipe, maven, store, progress).await?;
            version.push_str(&maven.version);
            same_as_locked(recipe, locked, &files, "see that Maven's repositories give what they gave then")?;
        }
        Kind::Image(image) => {
            let closures = locked.map(|locked| locked.releases.clone()).unwrap_or_default();
            let assembled = image::assemble(recipe, image, &closures, store, progress).await?;
            (files, version, locked_releases) = (assembled.files, assembled.version, assembled.closures);
            image_digest = Some(assembled.digest);
            same_as_locked(recipe, locked, &files, "assemble it of the sources that artifacts.lock was made of")?;
        }
        Kind::Brought(brought) => {
            version.clone_from(&brought.version);
            (files, images) = brought::fetch(brought, store, progress).await?;
        }
    }
    Ok(Locked { recipe: recipe.digest.clone(), version, releases: locked_releases, files, image: image_digest, images })
}

/// The versions in the releases, for people: one, where they agree.
fn versions(releases: &BTreeMap<String, Closure>) -> String {
    let versions: BTreeSet<String> = releases.values().map(deb::version).collect();
    versions.into_iter().collect::<Vec<_>>().join(", ")
}

/// Hosts hold what is locked, so what is made with other bytes must not take its place unasked. An entry without files asks
/// for them.
fn same_as_locked(
    recipe: &Recipe,
    locked: Option<&Locked>,
    files: &BTreeMap<String, LockedFile>,
    way_back: &str,
) -> Result<(), ArtifactError> {
    if locked.is_none_or(|locked| locked.files.is_empty() || &locked.files == files) {
        return Ok(());
    }
    let name = &recipe.name;
    Err(ArtifactError::new(
        format!("recipe {name} is locked, but not in this machine's store, and this machine makes other bytes of it"),
        format!(
            "{way_back}; or run `wire-deploy artifacts update {name}`, and the next apply rolls {name} to the new build"
        ),
    ))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use wire_deploy_agent::resource::Package;

    use super::*;

    fn wanted(recipe: &str) -> Wanted {
        Wanted { recipe: recipe.to_owned(), releases: BTreeSet::from(["bookworm".to_owned()]), brought: None }
    }

    /// A lock and a store that hold what the embedded recipes give, in content of our own.
    fn complete(folder: &std::path::Path) -> (Lock, Store) {
        let store = Store::at(folder);
        let mut lock = Lock::default();
        let put = |text: &str| store.put(&mut text.as_bytes()).unwrap();
        let deb = put("deb");
        let package = |name: &str| Package {
            name: name.to_owned(),
            version: "5:7.0.15-1".to_owned(),
            architecture: "amd64".to_owned(),
            blob: deb.blob.clone(),
            size: deb.size,
        };
        let closure = Closure { wanted: vec!["redis-server".to_owned()], packages: vec![package("redis-server")] };
        let entry = |name: &str| Locked {
            recipe: Recipe::named(name).unwrap().digest,
            version: "1".to_owned(),
            releases: BTreeMap::new(),
            files: BTreeMap::new(),
            image: None,
            images: BTreeMap::new(),
        };
        let redis = Locked { releases: BTreeMap::from([("bookworm".to_owned(), closure)]), ..entry("redis") };
        let files = ["etcd", "etcdctl", "etcdutl"].map(|name| (name.to_owned(), put(name)));
        let etcd = Locked { files: BTreeMap::from(files), ..entry("etcd") };
        lock.recipes.insert("redis".to_owned(), redis);
        lock.recipes.insert("etcd".to_owned(), etcd);
        (lock, store)
    }

    fn lacks(name: &str, lock: &Lock, store: &Store) -> bool {
        let recipe = Recipe::named(name).unwrap();
        let locked = lock.recipes.get(name).filter(|locked| locked.recipe == recipe.digest);
        !is_complete(&recipe, &wanted(name).releases, locked, store).unwrap()
    }

    #[tokio::test]
    async fn nothing_is_reported_or_changed_when_nothing_is_missing() {
        let folder = tempfile::tempdir().unwrap();
        let (lock, store) = complete(folder.path());
        let tell: Tell = Arc::new(|kind| panic!("nothing is to be reported, but {kind:?}"));
        let after = prepare_telling(&[wanted("redis"), wanted("etcd")], &lock, &store, &tell).await.unwrap();
        assert_eq!(after, lock);
    }

    #[test]
    fn what_is_missing_is_known_whatever_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let (lock, store) = complete(folder.path());
        assert!(!lacks("redis", &lock, &store) && !lacks("etcd", &lock, &store));

        let mut other_release = lock.clone();
        let closure = other_release.recipes["redis"].releases["bookworm"].clone();
        other_release.recipes.get_mut("redis").unwrap().releases = BTreeMap::from([("noble".to_owned(), closure)]);
        assert!(lacks("redis", &other_release, &store));

        let mut other_recipe = lock.clone();
        other_recipe.recipes.get_mut("etcd").unwrap().recipe = Digest::of(b"older");
        assert!(lacks("etcd", &other_recipe, &store));

        std::fs::remove_file(store.path(&Digest::of(b"etcdutl"))).unwrap();
        assert!(lacks("etcd", &lock, &store));
        std::fs::write(store.path(&Digest::of(b"deb")), "debris").unwrap();
        assert!(lacks("redis", &lock, &store));
    }

    #[test]
    fn what_is_locked_need_not_be_in_the_store() {
        let folder = tempfile::tempdir().unwrap();
        let (lock, _) = complete(folder.path());
        let names = |lock: &Lock| {
            let lacking = not_locked(vec![wanted("redis"), wanted("etcd")], lock).unwrap();
            lacking.into_iter().map(|wanted| wanted.recipe).collect::<Vec<_>>()
        };
        assert_eq!(names(&lock), Vec::<String>::new());
        let mut other = lock.clone();
        other.recipes.get_mut("etcd").unwrap().recipe = Digest::of(b"older");
        assert_eq!(names(&other), ["etcd"]);
        other.recipes.get_mut("redis").unwrap().releases.clear();
        assert_eq!(names(&other), ["redis", "etcd"]);
    }

    #[test]
    fn a_build_that_differs_from_what_is_locked_is_refused_with_the_way_out() {
        let recipe = Recipe::named("etcd").unwrap();
        let files = |text: &str| {
            BTreeMap::from([("etcd".to_owned(), LockedFile { blob: Digest::of(text.as_bytes()), size: 1 })])
        };
        let locked = Locked {
            recipe: recipe.digest.clone(),
            version: "1".to_owned(),
            releases: BTreeMap::new(),
            files: files("one"),
            image: None,
            images: BTreeMap::new(),
        };
        same_as_locked(&recipe, None, &files("two"), "").unwrap();
        same_as_locked(&recipe, Some(&locked), &files("one"), "").unwrap();
        let error = same_as_locked(&recipe, Some(&locked), &files("two"), "go back").unwrap_err();
        assert!(error.hint.starts_with("go back; or"), "{error:?}");
        assert!(error.hint.contains("`wire-deploy artifacts update etcd`"), "{error:?}");
    }

    #[tokio::test]
    async fn an_unknown_recipe_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::at(folder.path());
        let tell: Tell = Arc::new(|_| ());
        let error = prepare_telling(&[wanted("radish")], &Lock::default(), &store, &tell).await.unwrap_err();
        assert!(error.hint.contains("redis"), "{error:?}");
    }
}
