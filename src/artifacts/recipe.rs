//! Recipes: `artifacts/<name>/recipe.yaml` and the sources beside it, embedded in the binary.

use std::collections::BTreeMap;

use serde::Deserialize;
use wire_deploy_agent::digest::Digest;

use super::ArtifactError;
use super::image::file_name;
use super::image::recipe::{Image, is_below};
use super::maven::stays_below;
use crate::lock::{Closure, Locked, LockedFile};
use crate::site::model::{self, Source};

include!(concat!(env!("OUT_DIR"), "/recipes.rs"));

mod pages {
    include!(concat!(env!("OUT_DIR"), "/pages.rs"));
}

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
    /// A distribution put together from jars and zips, by mvn.
    Maven(Maven),
    /// A container image.
    Image(Image),
    /// Nothing: a site brings the files. No `recipe.yaml` says so.
    #[serde(skip)]
    Brought(Brought),
}

/// Files that a site brings in place of those that a recipe makes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Brought {
    /// Version of what they are.
    pub version: String,
    /// Where each is fetched, by name.
    pub files: BTreeMap<String, Source>,
    /// They are container images.
    pub are_images: bool,
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
    /// A folder of `artifacts/` without a recipe of its own whose files are sources here too: recipes of several versions
    /// share them.
    #[serde(default)]
    pub sources: Option<String>,
    /// Further flags for the linker, as `-X main.version=1.0`.
    #[serde(default)]
    pub ldflags: Vec<String>,
}

/// A distribution: one archive of what a Maven repository has and of files beside `recipe.yaml`. It is put together in the
/// order of the fields; what comes later replaces what is there.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Maven {
    /// Version of what is made, for people and `status`.
    pub version: String,
    /// The archive's name, without `.tar.gz`.
    pub archive: String,
    /// Zips and jars that are unpacked.
    #[serde(default)]
    pub unpack: Vec<Unpack>,
    /// Jars, with all that they need to run.
    #[serde(default)]
    pub dependencies: Vec<Dependencies>,
    /// Files beside `recipe.yaml`, at the same path in the archive. Those that begin with `#!` may be run.
    #[serde(default)]
    pub files: Vec<String>,
    /// What is not wanted of all that: paths, or patterns whose `*` stays within a folder.
    #[serde(default)]
    pub leave_out: Vec<String>,
}

/// A zip or jar that is unpacked.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Unpack {
    /// What.
    pub coordinates: Coordinates,
    /// The folder of the archive that gets it; `.` is the archive's own.
    pub into: String,
    /// Leading parts to drop from each path in it.
    #[serde(default)]
    pub strip: u32,
}

/// Jars and all that they need to run.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dependencies {
    /// The jars.
    pub coordinates: Vec<Coordinates>,
    /// The folder of the archive that gets them.
    pub into: String,
    /// A folder of the archive whose files are not repeated here.
    #[serde(default)]
    pub except_in: Option<String>,
}

/// What Maven calls an artifact: `group:artifact:version`, then perhaps `:type` and `:classifier`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Coordinates(String);

impl Coordinates {
    /// As written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Group, artifact, version, and type and classifier if they are written.
    pub fn parts(&self) -> impl Iterator<Item = &str> {
        self.0.split(':')
    }
}

impl TryFrom<String> for Coordinates {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let fits = |part: &str| {
            part.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric())
                && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
        };
        if (3..=5).contains(&text.split(':').count()) && text.split(':').all(fits) {
            return Ok(Self(text));
        }
        Err(format!("expected coordinates such as org.example:thing:1.0 or org.example:thing:1.0:zip, found {text:?}"))
    }
}

impl Maven {
    /// Name of the file that is made.
    #[must_use]
    pub fn file_name(&self) -> String {
        format!("{}.tar.gz", self.archive)
    }

    fn check(&self, sources: &BTreeMap<String, String>) -> Result<(), String> {
        if !is_package_name(&self.archive) {
            return Err(format!("archive: {:?} cannot name a file", self.archive));
        }
        if self.unpack.is_empty() && self.dependencies.is_empty() {
            return Err("unpack, dependencies: expected at least one of them".to_owned());
        }
        let folders = self.unpack.iter().map(|unpack| &unpack.into);
        let folders =
            folders.chain(self.dependencies.iter().flat_map(|jars| jars.except_in.iter().chain([&jars.into])));
        if let Some(path) = folders.chain(&self.files).find(|path| !stays_below(path)) {
            return Err(format!("{path:?} is not a path within the archive"));
        }
        if let Some(name) = self.files.iter().find(|name| !sources.contains_key(*name)) {
            return Err(format!("{name} is missing beside it"));
        }
        self.leave_out.iter().try_for_each(|pattern| matcher(pattern).map(drop))
    }
}

impl Recipe {
    /// The names of all recipes.
    #[must_use]
    pub fn names() -> Vec<&'static str> {
        let recipes = EMBEDDED.iter().filter_map(|(path, _)| path.strip_suffix(FILE)?.strip_suffix('/'));
        recipes.filter(|name| !name.contains('/')).collect()
    }

    /// The recipe of that name.
    ///
    /// # Errors
    /// When there is none, or it does not parse.
    pub fn named(name: &str) -> Result<Self, ArtifactError> {
        if !Self::names().contains(&name) {
            return Err(ArtifactError::new(
                format!("there is no recipe {name:?}"),
                format!("the recipes are: {}", Self::names().join(", ")),
            ));
        }
        Self::from_files(name, &embedded(name))
    }

    /// The recipe of that name, or what a site brings in its place.
    ///
    /// # Errors
    /// As [`Self::named`].
    pub fn of_site(name: &str, brought: Option<&model::Brought>) -> Result<Self, ArtifactError> {
        let recipe = Self::named(name)?;
        let Some(model::Brought { version, files }) = brought else { return Ok(recipe) };
        let lines = files.iter().map(|(name, source)| format!("{name} {} {}\n", source.sha256, source.url));
        let digest = Digest::of(format!("brought {version}\n{}", lines.collect::<String>()).as_bytes());
        let are_images = matches!(recipe.kind, Kind::Image(_));
        let kind = Kind::Brought(Brought { version: version.clone(), files: files.clone(), are_images });
        Ok(Self { name: recipe.name, kind, sources: BTreeMap::new(), digest })
    }

    /// A recipe from its files: path below its folder, text. What other folders it takes from are the embedded ones.
    ///
    /// # Errors
    /// When `recipe.yaml` is missing or does not parse, or what it says cannot be.
    pub fn from_files(name: &str, files: &[(&str, &str)]) -> Result<Self, ArtifactError> {
        Self::parse(name, files, &|folder| embedded(folder))
    }

    /// A recipe from its files and what other folders have.
    fn parse<'a>(name: &str, files: &[(&'a str, &'a str)], folder: &Folders<'a>) -> Result<Self, ArtifactError> {
        let wrong = |reason: String| {
            ArtifactError::new(format!("artifacts/{name}/{FILE}: {reason}"), "see the other recipes for the form")
        };
        let text = files.iter().find(|(path, _)| *path == FILE).map(|(_, text)| *text);
        let text = text.ok_or_else(|| wrong("the file is missing".to_owned()))?;
        let kind: Kind = serde_saphyr::from_str(text).map_err(|error| wrong(error.to_string()))?;
        let mut files = files.to_vec();
        if let Kind::Go(Go { sources: Some(shared), .. }) = &kind {
            files.extend(shared_sources(shared, &files, folder).map_err(wrong)?);
        }
        let mut sources: BTreeMap<String, String> =
            files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect();
        if let Kind::Image(Image { pages: Some(place), .. }) = &kind {
            if sources.keys().any(|path| is_below(path, place)) {
                return Err(wrong(format!("pages: {place} is beside it, too")));
            }
            sources.extend(pages::EMBEDDED.iter().map(|(path, text)| (format!("{place}/{path}"), (*text).to_owned())));
        }
        // Lengths keep the border between a path and a text from moving unnoticed.
        let mut all: String =
            sources.iter().map(|(path, text)| format!("{} {path}\n{} {text}\n", path.len(), text.len())).collect();
        sources.remove(FILE);
        kind.check(&sources).map_err(wrong)?;
        if let Kind::Image(Image { take: Some(take), .. }) = &kind {
            if take.recipe == name {
                return Err(wrong("take: a recipe cannot take from itself".to_owned()));
            }
            let taken = Self::parse(&take.recipe, &folder(&take.recipe), folder)?;
            take.check(&taken).map_err(wrong)?;
            all.push_str(taken.digest.as_str());
        }
        Ok(Self { name: name.to_owned(), kind, sources, digest: Digest::of(all.as_bytes()) })
    }

    /// What the lock says of a recipe whose artifacts were not made: everything by its name, and nothing in it.
    #[must_use]
    pub fn stand_in(&self, releases: &[String]) -> Locked {
        let mut locked = Locked {
            recipe: self.digest.clone(),
            version: String::new(),
            releases: BTreeMap::new(),
            files: BTreeMap::new(),
            image: None,
            images: BTreeMap::new(),
        };
        let empty = LockedFile { blob: Digest::of(b""), size: 0 };
        match &self.kind {
            Kind::Deb(deb) => {
                let closure = Closure { wanted: deb.packages.clone(), packages: Vec::new() };
                locked.releases = releases.iter().map(|release| (release.clone(), closure.clone())).collect();
            }
            Kind::Go(go) => locked.files = go.builds.keys().map(|name| (name.clone(), empty.clone())).collect(),
            Kind::Maven(maven) => locked.files = BTreeMap::from([(maven.file_name(), empty)]),
            Kind::Image(_) => {
                locked.image = Some(empty.blob.clone());
                locked.files = BTreeMap::from([(file_name(&self.name), empty)]);
            }
            Kind::Brought(brought) => {
                let names = || brought.files.keys().cloned();
                if brought.are_images {
                    locked.images = names().map(|name| (name, empty.blob.clone())).collect();
                }
                locked.version.clone_from(&brought.version);
                locked.files = names().map(|name| (name, empty.clone())).collect();
            }
        }
        locked
    }
}

/// What the folders of `artifacts/` have: paths below the one of a name, texts.
type Folders<'a> = dyn Fn(&str) -> Vec<(&'a str, &'a str)>;

/// What the embedded folder of a name has; nothing, if there is none.
fn embedded(name: &str) -> Vec<(&'static str, &'static str)> {
    let within = |(path, text): &(&'static str, &'static str)| {
        path.strip_prefix(name)?.strip_prefix('/').map(|path| (path, *text))
    };
    EMBEDDED.iter().filter_map(within).collect()
}

/// What a recipe with files of its own has beside them.
fn shared_sources<'a>(
    folder: &str,
    own: &[(&str, &str)],
    folders: &Folders<'a>,
) -> Result<Vec<(&'a str, &'a str)>, String> {
    let shared = folders(folder);
    if shared.is_empty() || shared.iter().any(|(path, _)| *path == FILE) {
        return Err(format!("sources: expected a folder of artifacts/ without a recipe, found {folder:?}"));
    }
    match shared.iter().find(|(path, _)| own.iter().any(|(there, _)| there == path)) {
        Some((path, _)) => Err(format!("sources: {path} is both in {folder} and beside it")),
        None => Ok(shared),
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
            Self::Maven(maven) => maven.check(sources),
            Self::Image(image) => image.check(sources),
            Self::Brought(_) => Ok(()),
        }
    }
}

/// A package's name as Debian policy has it, 5.6.1; it is fit for a file's name too.
pub(super) fn is_package_name(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    name.bytes().next().is_some_and(fits) && name.bytes().all(|byte| fits(byte) || b"+-.".contains(&byte))
}

/// What a pattern of `leave_out` fits.
///
/// # Errors
/// When it is not a pattern.
pub(super) fn matcher(pattern: &str) -> Result<globset::GlobMatcher, String> {
    let glob = globset::GlobBuilder::new(pattern).literal_separator(true).build();
    Ok(glob.map_err(|error| format!("leave_out: {error}"))?.compile_matcher())
}

#[cfg(test)]
mod tests;
