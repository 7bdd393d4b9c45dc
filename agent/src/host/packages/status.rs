//! dpkg's status file.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader};

use crate::host::problem::{Doing as _, Problem};
use crate::host::root::Root;

const FILE: &str = "/var/lib/dpkg/status";
/// What dpkg has yet to take into its status file.
const JOURNAL: &str = "/var/lib/dpkg/updates";

/// What dpkg knows of a package that is not gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// Its version.
    pub version: String,
    /// Unpacked but not configured, half installed, or waiting for triggers.
    pub broken: bool,
}

/// The host's packages of its main architecture (and those of none), by name.
///
/// # Errors
/// When the file cannot be read.
pub fn read(root: &Root) -> Result<HashMap<String, Known>, Problem> {
    let file = match File::open(root.path(FILE)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(HashMap::new()),
        file => file.doing(format!("read {FILE}"))?,
    };
    let mut known = HashMap::new();
    let mut stanza = Stanza::default();
    let mut reader = BufReader::with_capacity(128 * 1024, file);
    let mut line = Vec::new();
    loop {
        line.clear();
        let length = reader.read_until(b'\n', &mut line).doing(format!("read {FILE}"))?;
        if length <= 1 {
            known.extend(std::mem::take(&mut stanza).finish());
            if length == 0 {
                return Ok(known);
            }
        } else {
            stanza.take(&String::from_utf8_lossy(&line));
        }
    }
}

/// Whether dpkg was cut off, or works just now: its journal then has entries, which are called by numbers. apt refuses to begin before
/// dpkg has taken them in.
///
/// # Errors
/// When the journal's folder cannot be read.
pub fn is_interrupted(root: &Root) -> Result<bool, Problem> {
    let entries = match fs::read_dir(root.path(JOURNAL)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        entries => entries.doing(format!("read {JOURNAL}"))?,
    };
    let is_number = |name: &str| name.bytes().all(|byte| byte.is_ascii_digit());
    Ok(entries.flatten().any(|entry| entry.file_name().to_str().is_some_and(is_number)))
}

#[derive(Default)]
struct Stanza {
    name: String,
    status: String,
    architecture: String,
    version: String,
}

impl Stanza {
    fn take(&mut self, line: &str) {
        for (field, value) in [
            ("Package: ", &mut self.name),
            ("Status: ", &mut self.status),
            ("Architecture: ", &mut self.architecture),
            ("Version: ", &mut self.version),
        ] {
            if let Some(text) = line.strip_prefix(field) {
                text.trim().clone_into(value);
            }
        }
    }

    fn finish(self) -> Option<(String, Known)> {
        // `Status: want flag state`; what is not installed, or only has its configuration left, is not there.
        let mut words = self.status.split(' ').skip(1);
        let (flag, state) = (words.next()?, words.next()?);
        let there =
            !matches!(state, "not-installed" | "config-files") && matches!(&*self.architecture, "amd64" | "all");
        let broken = state != "installed" || flag != "ok";
        there.then_some((self.name, Known { version: self.version, broken }))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn only_what_is_there_counts() {
        let folder = tempfile::tempdir().unwrap();
        let root = Root::new(folder.path());
        assert!(read(&root).unwrap().is_empty());
        std::fs::create_dir_all(root.path("/var/lib/dpkg")).unwrap();
        let stanza = |name: &str, status: &str, architecture: &str| {
            format!(
                "Package: {name}\nStatus: {status}\nArchitecture: {architecture}\nVersion: 1:2-3\nDescription: d\n Version: 9\n"
            )
        };
        let text = [
            stanza("fine", "install ok installed", "amd64"),
            stanza("held", "hold ok installed", "all"),
            stanza("foreign", "install ok installed", "i386"),
            stanza("removed", "deinstall ok config-files", "amd64"),
            stanza("half", "install ok half-configured", "amd64"),
            stanza("again", "install reinstreq installed", "amd64"),
        ];
        std::fs::write(root.path(FILE), text.join("\n")).unwrap();
        let found = read(&root).unwrap();
        let mut names: Vec<(&str, bool)> = found.iter().map(|(name, known)| (name.as_str(), known.broken)).collect();
        names.sort_unstable();
        assert_eq!(names, [("again", true), ("fine", false), ("half", true), ("held", false)]);
        assert_eq!(found["fine"].version, "1:2-3");
    }
}
