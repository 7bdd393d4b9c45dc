//! What a recipe says of an image.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::artifacts::maven::stays_below;
use crate::artifacts::recipe::{is_package_name, matcher};

/// A container image: Debian packages' files, perhaps a program of this workspace, and files beside `recipe.yaml`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Image {
    /// What it is, in a few words; a label.
    pub description: String,
    /// The release that packages are taken from.
    pub release: String,
    /// The packages whose files go in: these and no others. Their scripts are not run. The first one's version is the image's,
    /// unless there is a program.
    pub packages: Vec<String>,
    /// The package of this workspace whose program of the same name goes to `/usr/bin`; its version is the image's.
    #[serde(default)]
    pub program: Option<String>,
    /// Files beside `recipe.yaml`, at the same path in the image; they replace a package's.
    #[serde(default)]
    pub files: Vec<String>,
    /// What is not wanted of the packages: patterns whose `*` stays within a folder.
    #[serde(default)]
    pub leave_out: Vec<String>,
    /// The number of the user and group that it runs as.
    pub user: u32,
    /// The program that it runs, with arguments that always are there.
    pub entrypoint: Vec<String>,
    /// Further arguments, which whoever runs it may replace.
    #[serde(default)]
    pub command: Vec<String>,
    /// TCP ports that it listens on.
    #[serde(default)]
    pub ports: Vec<u16>,
}

impl Image {
    /// What a recipe of it says that cannot be.
    ///
    /// # Errors
    /// The first such thing.
    pub fn check(&self, sources: &BTreeMap<String, String>) -> Result<(), String> {
        if self.packages.is_empty() {
            return Err("packages: expected at least one".to_owned());
        }
        if let Some(name) = self.packages.iter().chain(&self.program).find(|name| !is_package_name(name)) {
            return Err(format!("packages, program: {name:?} is not the name of a package"));
        }
        if self.user == 0 {
            return Err("user: expected a number other than 0, which is root".to_owned());
        }
        if self.entrypoint.is_empty() {
            return Err("entrypoint: expected a program".to_owned());
        }
        if let Some(path) = self.files.iter().find(|path| !stays_below(path)) {
            return Err(format!("files: {path:?} is not a path within the image"));
        }
        if let Some(name) = self.files.iter().find(|name| !sources.contains_key(*name)) {
            return Err(format!("{name} is missing beside it"));
        }
        self.leave_out.iter().try_for_each(|pattern| matcher(pattern).map(drop))
    }
}
