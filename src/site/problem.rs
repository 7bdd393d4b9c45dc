//! What is wrong with what the operator wrote, and how it is shown: the line, a caret, a hint.

use std::fmt::Write as _;

/// A place in a file; all count from 1, in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Line.
    pub line: usize,
    /// Column.
    pub column: usize,
    /// How many characters from there are meant; at least one.
    pub length: usize,
}

impl Place {
    /// The start of a file.
    pub const START: Self = Self { line: 1, column: 1, length: 1 };
}

/// One problem.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The file, as the operator named it.
    pub file: String,
    /// Line, from 1; 0 if the file as a whole is meant.
    pub line: usize,
    /// Column, from 1; 0 if the file as a whole is meant.
    pub column: usize,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// The line's text.
    pub source: Option<String>,
    /// How many characters of it are meant.
    pub length: usize,
}

impl Problem {
    /// A problem of a file as a whole.
    #[must_use]
    pub fn of_file(file: &str, message: impl Into<String>, hint: Option<String>) -> Self {
        Self { file: file.to_owned(), line: 0, column: 0, message: message.into(), hint, source: None, length: 0 }
    }

    /// The same at a place of the file.
    #[must_use]
    pub fn at(self, place: Place) -> Self {
        Self { line: place.line, column: place.column, length: place.length, ..self }
    }

    /// The problem for a person, without colours:
    ///
    /// ```text
    /// error: unknown key `prot`
    ///   --> wire-deploy.yaml:12:5
    ///    |
    /// 12 |     prot: 22
    ///    |     ^^^^
    ///    = hint: did you mean `port`?
    /// ```
    #[must_use]
    pub fn render(&self) -> String {
        let number = self.line.to_string();
        let margin = " ".repeat(if self.source.is_some() { number.len() } else { 1 });
        let mut text = format!("error: {}\n", self.message);
        // Writing to a String cannot fail.
        let _ = match self.line {
            0 => writeln!(text, "{margin}--> {}", self.file),
            _ => writeln!(text, "{margin}--> {}:{}:{}", self.file, self.line, self.column),
        };
        if let Some(source) = &self.source {
            let source = source.replace('\t', " ");
            let before = self.column.saturating_sub(1);
            let room = source.chars().count().saturating_sub(before).max(1);
            let carets = "^".repeat(self.length.clamp(1, room));
            let _ = writeln!(text, "{margin} |\n{number} | {source}\n{margin} | {}{carets}", " ".repeat(before));
        }
        if let Some(hint) = &self.hint {
            let _ = writeln!(text, "{margin} = hint: {hint}");
        }
        text
    }
}

/// All problems one below the other.
#[must_use]
pub fn render_all(problems: &[Problem]) -> String {
    problems.iter().map(Problem::render).collect::<Vec<_>>().join("\n")
}

/// The nearest of some names, if one is near enough to be what was meant.
#[must_use]
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let limit = (name.chars().count() / 3).clamp(1, 3);
    let flat = |text: &str| text.to_lowercase().replace('_', "-");
    candidates
        .into_iter()
        .map(|candidate| (strsim::osa_distance(&flat(name), &flat(candidate)), candidate))
        .filter(|(distance, _)| *distance <= limit)
        .min()
        .map(|(_, candidate)| candidate)
}

/// A hint for a name that is not among those known.
#[must_use]
pub fn hint_for<'a>(name: &str, what: &str, candidates: impl IntoIterator<Item = &'a str> + Clone) -> Option<String> {
    if let Some(near) = nearest(name, candidates.clone()) {
        return Some(format!("did you mean `{near}`?"));
    }
    let names: Vec<String> = candidates.into_iter().map(|name| format!("`{name}`")).collect();
    match names.len() {
        0 => None,
        1..=24 => Some(format!("{what}: {}", names.join(", "))),
        more => Some(format!("{what}: {} and {} more", names[..12].join(", "), more - 12)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_is_shown_with_a_caret_below_what_is_meant() {
        let problem = Problem {
            file: "wire-deploy.yaml".to_owned(),
            line: 12,
            column: 5,
            message: "unknown key `prot`".to_owned(),
            hint: Some("did you mean `port`?".to_owned()),
            source: Some("    prot: 22".to_owned()),
            length: 4,
        };
        let expected = "error: unknown key `prot`\n  --> wire-deploy.yaml:12:5\n   |\n12 |     prot: 22\n   |     ^^^^\n   = hint: did you mean `port`?\n";
        assert_eq!(problem.render(), expected);
        let whole = Problem::of_file("hosts.yaml", "cannot be read", None);
        assert_eq!(render_all(&[problem, whole]), format!("{expected}\nerror: cannot be read\n --> hosts.yaml\n"));
    }

    #[test]
    fn a_caret_stays_within_its_line() {
        for (column, length) in [(1, 1000), (1000, 3), (0, 0)] {
            let problem = Problem {
                column,
                length,
                line: 1,
                source: Some("é: x".to_owned()),
                ..Problem::of_file("f", "m", None)
            };
            assert!(problem.render().contains('^'));
        }
    }

    #[test]
    fn the_nearest_name_is_near() {
        let names = ["port", "user", "load-balancer", "known_hosts"];
        for (name, expected) in [
            ("prot", Some("port")),
            ("load_balancer", Some("load-balancer")),
            ("knownhosts", Some("known_hosts")),
            ("Port", Some("port")),
            ("banana", None),
            ("", None),
        ] {
            assert_eq!(nearest(name, names), expected, "{name}");
        }
    }
}
