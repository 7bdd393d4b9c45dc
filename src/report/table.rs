//! Tables for people: columns as wide as their longest cell, no frames.

use std::fmt::Write as _;

use anstyle::Style;

use super::event::Level;
use super::style::{ASIDE, BAD, CAUTION, GOOD, HEADING, count, harmless, paint};
use super::view::View;

/// A cell: its text, and how it is painted.
pub type Cell = (String, Style);

/// An unpainted cell.
#[must_use]
pub fn plain(text: impl Into<String>) -> Cell {
    (text.into(), Style::new())
}

/// A table with a heading, ending in a line's end.
#[must_use]
pub fn render(headings: &[&str], rows: &[Vec<Cell>]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|(text, _)| text.chars().count());
        cells.chain(headings.get(column).map(|heading| heading.chars().count())).max().unwrap_or_default()
    };
    let widths: Vec<usize> = (0..headings.len()).map(width).collect();
    let heading: Vec<Cell> = headings.iter().map(|text| ((*text).to_owned(), HEADING)).collect();
    let mut table = String::new();
    for row in std::iter::once(&heading).chain(rows) {
        let mut line = String::new();
        for ((text, style), width) in row.iter().zip(&widths) {
            let padding = width.saturating_sub(text.chars().count()) + 2;
            let _ = write!(line, "{}{:padding$}", paint(*style, text), "");
        }
        table.push_str(line.trim_end());
        table.push('\n');
    }
    table
}

/// What runs where, which version, healthy or not.
#[must_use]
pub fn health(view: &View) -> String {
    let rows: Vec<Vec<Cell>> = view
        .health
        .iter()
        .map(|((service, host), health)| {
            let well = match (&health.problem, health.healthy) {
                (None, true) => ("healthy".to_owned(), GOOD),
                (Some(problem), true) => (format!("healthy: {}", harmless(problem)), CAUTION),
                (problem, false) => (format!("unwell: {}", harmless(problem.as_deref().unwrap_or("no answer"))), BAD),
            };
            let optional = |text: &Option<String>| plain(text.as_deref().map_or_else(|| "-".to_owned(), harmless));
            vec![plain(service.as_str()), plain(host.as_str()), optional(&health.version), optional(&health.role), well]
        })
        .collect();
    if rows.is_empty() { String::new() } else { render(&["SERVICE", "HOST", "VERSION", "ROLE", "HEALTH"], &rows) }
}

/// What `check` found, the worst last; what is good only where `all` is wanted.
#[must_use]
pub fn findings(view: &View, all: bool) -> String {
    let mut text = String::new();
    for level in [Level::Good, Level::Warning, Level::Bad] {
        let (word, style) = match level {
            Level::Good => ("good", GOOD),
            Level::Warning => ("warning", CAUTION),
            Level::Bad => ("bad", BAD),
        };
        for finding in view.findings.iter().filter(|finding| finding.level == level && (all || level > Level::Good)) {
            let host = finding.host.as_ref().map_or_else(String::new, |host| format!("{host}: "));
            let _ = writeln!(text, "{:<7}  {host}{}", paint(style, word), harmless(&finding.message));
            if let Some(hint) = &finding.hint {
                let _ = writeln!(text, "         {} {}", paint(ASIDE, "hint:"), harmless(hint));
            }
        }
    }
    let of = |level| view.findings.iter().filter(|finding| finding.level == level).count();
    if !view.findings.is_empty() {
        let warnings = count(of(Level::Warning), "warning");
        let _ = writeln!(text, "Checked: {} good, {warnings}, {} bad", of(Level::Good), of(Level::Bad));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_longest_cell_and_lines_end_with_text() {
        let rows = vec![vec![plain("redis"), plain("db1")], vec![plain("etcd"), plain("database-2")]];
        let table = anstream::adapter::strip_str(&render(&["SERVICE", "HOST"], &rows)).to_string();
        assert_eq!(table, "SERVICE  HOST\nredis    db1\netcd     database-2\n");
    }
}
