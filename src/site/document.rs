//! A file of the operator's: its text, its tree, and how types are read from it with all problems at once.

use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_path_to_error::Segment as Step;

use super::complaint::Complaint;
use super::problem::{Place, Problem, nearest};
use super::strict::Strict;
use super::tree::{Segment, Tree};

/// Most problems that are looked for in one section; whoever has more reads the first ones first.
const MOST_PROBLEMS: usize = 100;

/// A parsed file.
#[derive(Debug, Clone)]
pub struct Document {
    /// Its path as shown to the operator.
    pub name: String,
    /// Its content.
    pub tree: Tree,
    lines: Vec<String>,
}

impl Document {
    /// Parses a file; a repeated key is a problem, no YAML is one that leaves no document.
    pub fn read(name: &str, text: &str, problems: &mut Vec<Problem>) -> Option<Self> {
        let lines = text.lines().map(str::to_owned).collect();
        let mut document = Self { name: name.to_owned(), tree: Tree::empty(), lines };
        match Tree::parse(text) {
            Ok(tree) => {
                for (place, first, key) in tree.repeated_keys() {
                    let message = format!("`{key}` is there twice; the first is in line {}", first.line);
                    problems.push(document.problem(place, message, Some("remove one of the two".to_owned())));
                }
                document.tree = tree;
                Some(document)
            }
            Err(error) => {
                problems.push(match error.place {
                    Some(place) => document.problem(place, error.message, error.hint),
                    None => Problem::of_file(name, error.message, error.hint),
                });
                None
            }
        }
    }

    /// A problem at a place of this file.
    #[must_use]
    pub fn problem(&self, place: Place, message: impl Into<String>, hint: Option<String>) -> Problem {
        Problem {
            file: self.name.clone(),
            line: place.line,
            column: place.column,
            message: message.into(),
            hint,
            source: self.lines.get(place.line - 1).cloned(),
            length: place.length,
        }
    }

    /// A problem at the value below some keys, or at the nearest key above it that there is.
    #[must_use]
    pub fn problem_at(&self, keys: &[&str], message: impl Into<String>, hint: Option<String>) -> Problem {
        self.problem(self.tree.place_of(keys), message, hint)
    }

    /// Whether a section has a key that is nearly this one, so that it is misspelt rather than missing.
    #[must_use]
    pub fn misspelt(&self, section: &[&str], key: &str) -> bool {
        let entries = self.tree.get(section).map(Tree::entries).unwrap_or_default();
        entries.iter().any(|entry| entry.key != key && nearest(&entry.key, [key]).is_some())
    }

    /// Whether the value below some keys is missing: neither there, be it one that does not fit, nor misspelt. Those are problems already.
    #[must_use]
    pub fn lacks(&self, keys: &[&str]) -> bool {
        self.tree.get(keys).is_none() && keys.split_last().is_some_and(|(key, section)| !self.misspelt(section, key))
    }

    /// Reads a type from the whole file. What does not fit is a problem and left out, so that the rest is read all the same.
    pub fn decode<T: DeserializeOwned>(&self, problems: &mut Vec<Problem>) -> Option<T> {
        self.fit(&self.tree, problems, |tree| {
            let value = tree.to_json();
            serde_path_to_error::deserialize::<_, T>(Strict(&value)).map_err(|error| {
                let path = error.path().iter().filter_map(|step| match step {
                    Step::Map { key } => Some(Segment::Key(key.clone())),
                    Step::Seq { index } => Some(Segment::Index(*index)),
                    Step::Enum { .. } | Step::Unknown => None,
                });
                (path.collect(), error.inner().to_string())
            })
        })
        .map(|(read, _)| read)
    }

    /// Checks a section by a function that names the first thing that does not fit, until nothing is left that does not;
    /// returns what the function returned at last, and what is left.
    pub fn fit<T>(
        &self,
        section: &Tree,
        problems: &mut Vec<Problem>,
        check: impl Fn(&Tree) -> Result<T, (Vec<Segment>, String)>,
    ) -> Option<(T, Value)> {
        let mut left = section.clone();
        for _ in 0..MOST_PROBLEMS {
            let (mut path, text) = match check(&left) {
                Ok(read) => return Some((read, left.to_json())),
                Err(failure) => failure,
            };
            let complaint = Complaint::read(&text);
            if let Some(key) = complaint.unknown_key {
                let last = Segment::Key(key);
                if path.last() != Some(&last) {
                    path.push(last);
                }
                problems.push(self.problem(left.place_of_key(&path), complaint.message, complaint.hint));
            } else {
                problems.push(self.problem(left.locate(&path), complaint.message, complaint.hint));
            }
            if !left.remove(&path) {
                return None;
            }
        }
        None
    }
}
