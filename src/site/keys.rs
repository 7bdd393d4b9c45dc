//! Where the operator wrote which private key opens the hosts, so that a key of no use is one problem in its line.

use super::document::Document;
use super::load::Sources;
use super::problem::Problem;
use super::tree::{Content, Entry, Tree};

/// Every `key` of an `ssh` section as written, with a problem at its place that says nothing yet: the site file's first, then those
/// of the inventory's groups and hosts.
#[must_use]
pub fn written(sources: &Sources) -> Vec<(String, Problem)> {
    let mut found = Vec::new();
    let quiet = &mut Vec::new();
    if let Some(site) = Document::read(&sources.path, &sources.text, quiet) {
        found.extend(key_of(&site, &site.tree));
    }
    let inventory = match &sources.inventory {
        Some((path, Ok(text))) => Document::read(path, text, quiet),
        _ => None,
    };
    if let Some(inventory) = inventory {
        for section in ["groups", "hosts"] {
            let entries = inventory.tree.get(&[section]).map(Tree::entries).unwrap_or_default();
            found.extend(entries.iter().filter_map(|Entry { value, .. }| key_of(&inventory, value)));
        }
    }
    found
}

fn key_of(document: &Document, section: &Tree) -> Option<(String, Problem)> {
    let key = section.get(&["ssh", "key"])?;
    match &key.content {
        Content::Text(text) => Some((text.clone(), document.problem(key.place, "", None))),
        _ => None,
    }
}
