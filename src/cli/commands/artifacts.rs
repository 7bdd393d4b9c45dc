//! `artifacts`: what is locked and what the store holds, and bringing the lock up to date.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;
use wire_deploy_agent::digest::Digest;

use super::{Outcome, list, read_site, wait_for};
use crate::artifacts::recipe::Recipe;
use crate::artifacts::{Store, Wanted, lock_file, prepare, update};
use crate::cli::Session;
use crate::cli::arguments::Artifacts;
use crate::cli::error::CommandError;
use crate::cli::exit::ExitCode;
use crate::desired;
use crate::lock::Locked;
use crate::report::EventKind;
use crate::services;
use crate::site::model::Site;

pub(super) fn run(session: &Session, arguments: &Artifacts) -> Outcome {
    match arguments {
        Artifacts::List => show(session),
        Artifacts::Fetch => {
            let workspace = read_site(session)?;
            fetch(session, &session.globals.config, &workspace.site)?;
            Ok(ExitCode::Done)
        }
        Artifacts::Update { recipes } => renew(session, recipes),
    }
}

fn show(session: &Session) -> Outcome {
    let lock = lock_file::read(&lock_file::beside(&session.globals.config))?;
    let store = Store::of_user()?;
    // The lock is shown without a site, too.
    let brought = read_site(session).map(|workspace| workspace.site.artifacts).unwrap_or_default();
    let mut rows = Vec::new();
    for name in Recipe::names() {
        let recipe = Recipe::of_site(name, brought.get(name))?;
        let Some(locked) = lock.recipes.get(name) else {
            rows.push(vec![name.into(), Value::Null, Value::Null, Value::Null, Value::Null, "not locked".into()]);
            continue;
        };
        let blobs = blobs(locked);
        let size: u64 = blobs.iter().map(|(_, size)| size).sum();
        let mut stored = 0;
        for (blob, size) in &blobs {
            stored += usize::from(store.has(blob, *size)?);
        }
        let state = if locked.recipe == recipe.digest { "up to date" } else { "recipe has changed" };
        rows.push(vec![
            name.into(),
            locked.version.as_str().into(),
            blobs.len().into(),
            stored.into(),
            size.into(),
            state.into(),
        ]);
    }
    list(session, &["recipe", "version", "blobs", "stored", "bytes", "state"], rows);
    Ok(ExitCode::Done)
}

/// Every blob of a recipe once, with its size.
fn blobs(locked: &Locked) -> BTreeSet<(&Digest, u64)> {
    let packages = locked.releases.values().flat_map(|closure| &closure.packages);
    let files = locked.files.values().map(|file| (&file.blob, file.size));
    packages.map(|package| (&package.blob, package.size)).chain(files).collect()
}

/// Makes what a site needs and the lock or the store lacks.
pub(super) fn fetch(session: &Session, site_file: &Path, site: &Site) -> Result<(), CommandError> {
    let path = lock_file::beside(site_file);
    let lock = lock_file::read(&path)?;
    let store = Store::of_user()?;
    let wanted = wanted(site, needed(site));
    let fetched =
        wait_for(async { prepare(&wanted, &lock, &store, &session.reporter).await.map_err(CommandError::from) })?;
    if fetched != lock {
        lock_file::write(&path, &fetched)?;
    }
    Ok(())
}

/// The recipes of the services that a site installs.
fn needed(site: &Site) -> BTreeSet<String> {
    desired::recipes(site, services::ALL).into_keys().collect()
}

/// Recipes for the releases of a site's hosts.
fn wanted(site: &Site, recipes: BTreeSet<String>) -> Vec<Wanted> {
    let releases: BTreeSet<String> = site.hosts.iter().map(|host| host.release.clone()).collect();
    let wanted = |recipe: String| {
        let brought = site.artifacts.get(&recipe).cloned();
        Wanted { recipe, releases: releases.clone(), brought }
    };
    recipes.into_iter().map(wanted).collect()
}

fn renew(session: &Session, recipes: &[String]) -> Outcome {
    let workspace = read_site(session)?;
    let recipes = if recipes.is_empty() { needed(&workspace.site) } else { recipes.iter().cloned().collect() };
    let wanted = wanted(&workspace.site, recipes);
    let path = lock_file::beside(&session.globals.config);
    let lock = lock_file::read(&path)?;
    let store = Store::of_user()?;
    let command = "artifacts update".to_owned();
    session.reporter.send(EventKind::RunStarted { command, site: workspace.site.name, run: None });
    let renewed =
        wait_for(async { update(&wanted, &lock, &store, &session.reporter).await.map_err(CommandError::from) })?;
    lock_file::write(&path, &renewed)?;
    let changed = renewed.recipes.iter().filter(|(name, locked)| lock.recipes.get(*name) != Some(*locked)).count();
    session.reporter.note(match changed {
        0 => format!("{} was up to date", path.display()),
        _ => format!("{}: {changed} of {} changed", path.display(), wanted.len()),
    });
    Ok(ExitCode::Done)
}
