//! Recipes: `artifacts/<name>/recipe.yaml` and the sources beside it, embedded in the binary.

use std::collections::BTreeMap;

use serde::Deserialize;
use wire_deploy_agent::digest::Digest;

use super::ArtifactError;

include!(concat!(env!("OUT_DIR"), "/recipes.rs"));

/// The file that says what a recipe makes.
const FILE: &str = "recipe.yaml";

/// A recipe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipe {
    /// Its folder's name.
    pub name: String,
    /// What it makes, and how.
    pub kind: Kind,
    /// The files beside `recipe.yaml`, by path.
    pub sources: BTreeMap<String, String>,
    /// Of all its files: another one makes an entry of the lock out of date.
    pub digest: Digest,
}

/// What a recipe makes, and how.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Kind {
    /// Debian packages and all they need, for each release of the hosts, by apt.
    Deb(Deb),
    /// Static binaries, by go.
    Go(Go),
}

/// Debian packages.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Deb {
    /// The packages wanted, by name.
    pub packages: Vec<String>,
}

/// Go programs, built in the module whose `go.mod` and `go.sum` lie beside `recipe.yaml`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Go {
    /// Version of what is built, for people and `status`.
    pub version: String,
    /// By the binary's name, the package it is built from: of a module that `go.mod` names, or one here, as `.`.
    pub builds: BTreeMap<String, String>,
    /// Further flags for the linker, as `-X main.version=1.0`.
    #[serde(default)]
    pub ldflags: Vec<String>,
}

impl Recipe {
    /// The names of all recipes.
    #[must_use]
    pub fn names() -> Vec<&'static str> {
        let mut names: Vec<&str> = EMBEDDED.iter().filter_map(|(path, _)| Some(path.split_once('/')?.0)).collect();
        names.dedup();
        names
    }

    /// The recipe of that name.
    ///
    /// # Errors
    /// When there is none, or it does not parse.
    pub fn named(name: &str) -> Result<Self, ArtifactError> {
        let files: Vec<(&str, &str)> = EMBEDDED
            .iter()
            .filter_map(|(path, text)| path.strip_prefix(name)?.strip_prefix('/').map(|path| (path, *text)))
            .collect();
        if files.is_empty() {
            return Err(ArtifactError::new(
                format!("there is no recipe {name:?}"),
                format!("the recipes are: {}", Self::names().join(", ")),
            ));
        }
        Self::from_files(name, &files)
    }

    /// A recipe from its files: path below its folder, text.
    ///
    /// # Errors
    /// When `recipe.yaml` is missing or does not parse, or what it says cannot be.
    pub fn from_files(name: &str, files: &[(&str, &str)]) -> Result<Self, ArtifactError> {
        let wrong = |reason: String| {
            ArtifactError::new(format!("artifacts/{name}/{FILE}: {reason}"), "see the other recipes for the form")
        };
        let mut sources: BTreeMap<String, String> =
            files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect();
        // Lengths keep the border between a path and a text from moving unnoticed.
        let all: String =
            sources.iter().map(|(path, text)| format!("{} {path}\n{} {text}\n", path.len(), text.len())).collect();
        let text = sources.remove(FILE).ok_or_else(|| wrong("the file is missing".to_owned()))?;
        let kind: Kind = serde_saphyr::from_str(&text).map_err(|error| wrong(error.to_string()))?;
        kind.check(&sources).map_err(wrong)?;
        Ok(Self { name: name.to_owned(), kind, sources, digest: Digest::of(all.as_bytes()) })
    }
}

impl Kind {
    fn check(&self, sources: &BTreeMap<String, String>) -> Result<(), String> {
        match self {
            Self::Deb(deb) if deb.packages.is_empty() => Err("packages: expected at least one".to_owned()),
            Self::Deb(deb) => match deb.packages.iter().find(|name| !is_package_name(name)) {
                Some(name) => Err(format!("packages: {name:?} is not the name of a Debian package")),
                None => Ok(()),
            },
            Self::Go(go) if go.builds.is_empty() => Err("builds: expected at least one".to_owned()),
            Self::Go(go) => {
                if let Some(name) = go.builds.keys().find(|name| !is_package_name(name)) {
                    return Err(format!("builds: {name:?} cannot name a file"));
                }
                if let Some(package) = go.builds.values().find(|package| package.starts_with('-')) {
                    return Err(format!("builds: {package:?} is not a Go package"));
                }
                match ["go.mod", "go.sum"].iter().find(|file| !sources.contains_key(**file)) {
                    Some(file) => Err(format!("{file} is missing beside it")),
                    None => Ok(()),
                }
            }
        }
    }
}

/// A package's name as Debian policy has it, 5.6.1; it is fit for a file's name too.
fn is_package_name(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    name.bytes().next().is_some_and(fits) && name.bytes().all(|byte| fits(byte) || b"+-.".contains(&byte))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;

    #[test]
    fn every_embedded_recipe_parses() {
        let names = Recipe::names();
        assert!(names.contains(&"redis") && names.contains(&"etcd"), "{names:?}");
        for name in names {
            Recipe::named(name).unwrap();
        }
    }

    #[test]
    fn etcd_says_the_version_that_its_module_has() {
        let recipe = Recipe::named("etcd").unwrap();
        let Kind::Go(go) = &recipe.kind else { panic!("etcd is built by go") };
        for package in go.builds.values() {
            let line = format!("\t{package} v{} // indirect\n", go.version);
            assert!(recipe.sources["go.mod"].contains(&line), "{line}");
        }
    }

    #[test]
    fn an_unknown_recipe_is_told_with_the_known_ones() {
        let error = Recipe::named("radish").unwrap_err();
        assert_eq!(error.message, "there is no recipe \"radish\"");
        assert!(error.hint.contains("etcd, redis"), "{}", error.hint);
        // A prefix of a name is another name.
        assert!(Recipe::named("etc").is_err());
    }

    #[test]
    fn a_recipe_that_cannot_be_is_refused_with_the_reason() {
        let go = "go:\n  version: '1'\n  builds: {a: .}\n";
        let cases: [(&[(&str, &str)], &str); 8] = [
            (&[("go.mod", "")], "the file is missing"),
            (&[(FILE, "deb:\n  packages: []\n")], "expected at least one"),
            (&[(FILE, "deb:\n  packages: ['a b']\n")], "\"a b\" is not the name"),
            (&[(FILE, "deb:\n  packages: ['-o=x']\n")], "is not the name"),
            (&[(FILE, "deb:\n  package: [a]\n")], "package"),
            (&[(FILE, "rpm:\n  packages: [a]\n")], "rpm"),
            (&[(FILE, go), ("go.mod", "module m\n")], "go.sum is missing"),
            (&[(FILE, "go:\n  version: '1'\n  builds: {../a: .}\n")], "cannot name a file"),
        ];
        for (files, reason) in cases {
            let error = Recipe::from_files("x", files).unwrap_err();
            assert!(error.message.starts_with("artifacts/x/recipe.yaml: "), "{error}");
            assert!(error.message.contains(reason), "{error} should say {reason}");
        }
    }

    #[test]
    fn the_digest_follows_every_file() {
        let recipe = "go:\n  version: '1'\n  builds: {a: .}\n";
        let files = [(FILE, recipe), ("go.mod", "module m\n"), ("go.sum", ""), ("main.go", "package main\n")];
        let digest = |files: &[(&str, &str)]| Recipe::from_files("x", files).unwrap().digest;
        let whole = digest(&files);
        for index in 0..files.len() {
            let mut changed = files;
            let text = format!("{}\n", files[index].1);
            changed[index].1 = &text;
            assert_ne!(digest(&changed), whole, "{}", files[index].0);
        }
        let mut reversed = files;
        reversed.reverse();
        assert_eq!(digest(&reversed), whole);
    }
}
