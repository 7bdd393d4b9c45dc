//! What a site has fetched in place of what recipes make.

use std::collections::BTreeMap;

use wire_deploy_agent::digest::Digest;

use super::document::Document;
use super::model::{Brought, Source};
use super::problem::{Problem, hint_for};
use super::tree::Segment;
use super::written::{BroughtWritten, SourceWritten};
use crate::services::DynService;

/// The key of the section.
const SECTION: &str = "artifacts";

/// Reads the section; only what is whole. Services say which recipes' files can be brought, and by which names.
pub(super) fn read(
    document: &Document,
    written: BTreeMap<String, BroughtWritten>,
    services: &[&dyn DynService],
    problems: &mut Vec<Problem>,
) -> BTreeMap<String, Brought> {
    let known: BTreeMap<&str, &[&str]> = services.iter().flat_map(|service| service.upstream()).copied().collect();
    let mut all = BTreeMap::new();
    for (recipe, written) in written {
        let place = document.tree.place_of_key(&[key(SECTION), key(&recipe)]);
        let Some(names) = known.get(recipe.as_str()) else {
            let hint = hint_for(&recipe, "recipes", known.keys().copied());
            problems.push(document.problem(place, format!("nothing can be brought for `{recipe}`"), hint));
            continue;
        };
        let before = problems.len();
        let version = text(document, &[&recipe, "version"], written.version, "the version of the files", problems);
        let said = written.files.unwrap_or_default();
        for name in said.keys().filter(|name| !names.contains(&name.as_str())) {
            let place = document.tree.place_of_key(&[key(SECTION), key(&recipe), key("files"), key(name)]);
            let hint = hint_for(name, "files", names.iter().copied());
            problems.push(document.problem(place, format!("`{recipe}` has no file `{name}`"), hint));
        }
        let lacking: Vec<&str> = names.iter().copied().filter(|name| !said.contains_key(*name)).collect();
        if !lacking.is_empty() && problems.len() == before {
            let message = format!("files of `{recipe}` are missing: {}", lacking.join(", "));
            problems.push(document.problem(place, message, Some("bring all of a recipe's files, or none".to_owned())));
        }
        let mut files = BTreeMap::new();
        for (name, written) in said {
            let source = source(document, &recipe, &name, written, problems);
            files.extend(source.map(|source| (name, source)));
        }
        if let Some(version) = version.filter(|_| problems.len() == before) {
            all.insert(recipe, Brought { version, files });
        }
    }
    all
}

fn source(
    document: &Document,
    recipe: &str,
    name: &str,
    written: SourceWritten,
    problems: &mut Vec<Problem>,
) -> Option<Source> {
    let place = |last| [recipe, "files", name, last];
    let url = text(document, &place("url"), written.url, "where the file is fetched", problems);
    let sha256 = text(document, &place("sha256"), written.sha256, "what `sha256sum` says of the file", problems);
    let mut refuse = |last, message: &str, hint: &str| {
        let keys: Vec<&str> = std::iter::once(SECTION).chain(place(last)).collect();
        problems.push(document.problem_at(&keys, message, Some(hint.to_owned())));
    };
    let url = url?;
    if !["https://", "http://"].iter().any(|scheme| url.len() > scheme.len() && url.starts_with(scheme)) {
        refuse("url", "this is no address of a web server", "write https://HOST/PATH");
        return None;
    }
    if url.split('/').nth(2).is_some_and(|host| host.contains('@')) {
        refuse(
            "url",
            "a password in an address is shown wherever the address is",
            "serve the file without one: its digest is checked",
        );
        return None;
    }
    let Ok(sha256) = Digest::try_from(sha256?) else {
        refuse(
            "sha256",
            "this is no SHA-256",
            "expected 64 hexadecimal digits in small letters, as `sha256sum FILE` shows them",
        );
        return None;
    };
    Some(Source { url, sha256 })
}

/// A text that has to be there.
fn text(
    document: &Document,
    keys: &[&str],
    written: Option<String>,
    what: &str,
    problems: &mut Vec<Problem>,
) -> Option<String> {
    let keys: Vec<&str> = std::iter::once(SECTION).chain(keys.iter().copied()).collect();
    let last = keys.last()?;
    if written.is_none() && document.lacks(&keys) {
        problems.push(document.problem_at(&keys, format!("`{last}` is missing"), Some(format!("write {what}"))));
    }
    written
}

fn key(key: &str) -> Segment {
    Segment::Key(key.to_owned())
}
