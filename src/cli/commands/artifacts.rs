//! `artifacts`: what is locked and what the store holds, and bringing the lock up to date.

use std::collections::BTreeSet;

use serde_json::Value;
use wire_deploy_agent::digest::Digest;

use super::{Outcome, list, read_site, wait_for};
use crate::artifacts::lock::Locked;
use crate::artifacts::recipe::Recipe;
use crate::artifacts::{Store, Wanted, lock_file, update};
use crate::cli::Session;
use crate::cli::arguments::Artifacts;
use crate::cli::error::CommandError;
use crate::cli::exit::ExitCode;
use crate::report::EventKind;
use crate::services;

pub(super) fn run(session: &Session, arguments: &Artifacts) -> Outcome {
    match arguments {
        Artifacts::List => show(session),
        Artifacts::Update { recipes } => renew(session, recipes),
    }
}

fn show(session: &Session) -> Outcome {
    let lock = lock_file::read(&lock_file::beside(&session.globals.config))?;
    let store = Store::of_user()?;
    let mut rows = Vec::new();
    for name in Recipe::names() {
        let recipe = Recipe::named(name)?;
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

fn renew(session: &Session, recipes: &[String]) -> Outcome {
    let workspace = read_site(session)?;
    let releases: BTreeSet<String> = workspace.site.hosts.iter().map(|host| host.release.clone()).collect();
    let needed = services::ALL.iter().filter(|service| !workspace.site.hosts_of(&service.name()).is_empty());
    let names: BTreeSet<String> = if recipes.is_empty() {
        needed.flat_map(|service| service.recipes()).map(|name| (*name).to_owned()).collect()
    } else {
        recipes.iter().cloned().collect()
    };
    let wanted: Vec<Wanted> = names.into_iter().map(|recipe| Wanted { recipe, releases: releases.clone() }).collect();
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
