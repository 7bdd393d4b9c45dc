//! What a recipe says of an image.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::artifacts::maven::stays_below;
use crate::artifacts::recipe::{Go, Kind, Recipe, is_package_name, matcher};

/// A container image: Debian packages' files, a program of this workspace or programs of another recipe, files beside
/// `recipe.yaml` and links. None of them must be there, but something to run.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Image {
    /// What it is, in a few words; a label.
    pub description: String,
    /// The release that packages are taken from, if any are.
    #[serde(default)]
    pub release: Option<String>,
    /// The packages whose files go in: these and no others. Their scripts are not run. The first one's version is the image's,
    /// unless there is a program or something taken.
    #[serde(default)]
    pub packages: Vec<String>,
    /// The package of this workspace whose program of the same name goes to `/usr/bin`; its version is the image's.
    #[serde(default)]
    pub program: Option<String>,
    /// Programs of another recipe, whose version is the image's.
    #[serde(default)]
    pub take: Option<Take>,
    /// Symbolic links: what each leads to, by its path in the image. They replace a package's files.
    #[serde(default)]
    pub links: BTreeMap<String, String>,
    /// Files beside `recipe.yaml`, at the same path in the image; they replace a package's.
    #[serde(default)]
    pub files: Vec<String>,
    /// The folder in the image that gets the reference pages, all of `pages/`.
    #[serde(default)]
    pub pages: Option<String>,
    /// What is not wanted of the packages: patterns whose `*` stays within a folder.
    #[serde(default)]
    pub leave_out: Vec<String>,
    /// The number of the user and group that it runs as; 0, which is root, needs a reason.
    pub user: u32,
    /// Why it runs as root, for those that do.
    #[serde(default)]
    pub root_because: Option<String>,
    /// The program that it runs, with arguments that always are there.
    pub entrypoint: Vec<String>,
    /// Further arguments, which whoever runs it may replace.
    #[serde(default)]
    pub command: Vec<String>,
    /// TCP ports that it listens on.
    #[serde(default)]
    pub ports: Vec<u16>,
}

/// Programs of another recipe, which go builds: static ones, so that they need nothing else of the image.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Take {
    /// The recipe.
    pub recipe: String,
    /// By the file's name there, its path in the image.
    pub files: BTreeMap<String, String>,
}

/// Whether a path is below a folder.
pub fn is_below(path: &str, folder: &str) -> bool {
    path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'))
}

impl Take {
    /// What it says that the other recipe does not keep.
    ///
    /// # Errors
    /// The first such thing.
    pub fn check(&self, taken: &Recipe) -> Result<(), String> {
        let go = self.go(taken)?;
        match self.files.keys().find(|file| !go.builds.contains_key(*file)) {
            Some(file) => Err(format!("take: recipe {} builds no {file:?}", self.recipe)),
            None => Ok(()),
        }
    }

    /// How the other recipe builds.
    ///
    /// # Errors
    /// When it does not, by go.
    pub fn go<'a>(&self, taken: &'a Recipe) -> Result<&'a Go, String> {
        match &taken.kind {
            Kind::Go(go) => Ok(go),
            _ => Err(format!("take: recipe {} builds nothing by go", self.recipe)),
        }
    }
}

impl Image {
    /// The paths of sources that go into the image: the files and the reference pages.
    pub fn sources<'a>(&'a self, sources: &'a BTreeMap<String, String>) -> impl Iterator<Item = &'a String> {
        let pages = self.pages.iter().flat_map(|place| sources.keys().filter(move |path| is_below(path, place)));
        self.files.iter().chain(pages)
    }

    /// What a recipe of it says that cannot be.
    ///
    /// # Errors
    /// The first such thing.
    pub fn check(&self, sources: &BTreeMap<String, String>) -> Result<(), String> {
        if self.packages.is_empty() && self.take.is_none() {
            return Err("packages, take: expected at least one of them".to_owned());
        }
        if self.packages.is_empty() != self.release.is_none() {
            return Err("packages, release: expected both or neither".to_owned());
        }
        if self.program.is_some() && (self.take.is_some() || self.packages.is_empty()) {
            return Err("program: expected packages beside it and nothing taken".to_owned());
        }
        if let Some(name) = self.packages.iter().chain(&self.program).find(|name| !is_package_name(name)) {
            return Err(format!("packages, program: {name:?} is not the name of a package"));
        }
        if (self.user == 0) != self.root_because.is_some() {
            return Err(
                "user: expected a number other than 0, which is root, or 0 and the reason in root_because".to_owned()
            );
        }
        if self.entrypoint.is_empty() {
            return Err("entrypoint: expected a program".to_owned());
        }
        let places = self.files.iter().chain(self.links.keys()).chain(&self.pages);
        let mut places = places.chain(self.take.iter().flat_map(|take| take.files.values()));
        if let Some(path) = places.find(|path| !stays_below(path)) {
            return Err(format!("files, links, pages, take: {path:?} is not a path within the image"));
        }
        if let Some(name) = self.files.iter().find(|name| !sources.contains_key(*name)) {
            return Err(format!("{name} is missing beside it"));
        }
        self.leave_out.iter().try_for_each(|pattern| matcher(pattern).map(drop))
    }
}
