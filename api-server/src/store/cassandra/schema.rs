//! The tables, as data: `schema/<keyspace>.cql` says for each version what it adds to the one before. A version that was published is
//! never changed; a new one is added at the end.

/// One step from a version of a keyspace's schema to the next.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Version {
    /// 1, 2, ….
    pub number: i32,
    /// What is done, in this order; each may be done twice.
    pub statements: Vec<String>,
}

pub(super) const BRIG: &str = include_str!("../../../schema/brig.cql");
pub(super) const GALLEY: &str = include_str!("../../../schema/galley.cql");
pub(super) const GUNDECK: &str = include_str!("../../../schema/gundeck.cql");

/// The versions in a file, in order.
pub(super) fn versions(text: &str) -> Vec<Version> {
    let mut versions: Vec<Version> = Vec::new();
    let mut statement = String::new();
    for line in text.lines() {
        if let Some(number) = line.strip_prefix("-- version ") {
            versions.push(Version { number: number.trim().parse().unwrap_or(0), statements: Vec::new() });
        } else if !line.starts_with("--") {
            statement.push_str(line);
            statement.push('\n');
            if let Some(whole) = statement.trim_end().strip_suffix(';') {
                if let Some(version) = versions.last_mut() {
                    version.statements.push(whole.trim().to_owned());
                }
                statement.clear();
            }
        }
    }
    versions
}

/// The newest version.
pub(super) fn newest(text: &str) -> i32 {
    versions(text).last().map_or(0, |version| version.number)
}

/// The versions that a keyspace still needs.
pub(super) fn missing(text: &str, present: i32) -> Vec<Version> {
    versions(text).into_iter().filter(|version| version.number > present).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn versions_follow_each_other_and_every_statement_may_be_done_twice() {
        for text in [BRIG, GALLEY, GUNDECK] {
            let versions = versions(text);
            let numbers: Vec<_> = versions.iter().map(|version| version.number).collect();
            assert_eq!(numbers, (1..=newest(text)).collect::<Vec<_>>());
            for version in &versions {
                assert!(!version.statements.is_empty(), "version {} does nothing", version.number);
                for statement in &version.statements {
                    let twice = statement.starts_with("CREATE TABLE IF NOT EXISTS ")
                        || statement.starts_with("ALTER TABLE ") && statement.contains(" ADD IF NOT EXISTS ");
                    assert!(twice, "{statement}");
                }
            }
            let statements: usize = versions.iter().map(|version| version.statements.len()).sum();
            let ends = text.lines().filter(|line| line.ends_with(';')).count();
            assert_eq!(statements, ends, "a statement was lost");
        }
    }

    #[test]
    fn only_what_is_missing_is_done_and_in_order() {
        let text = "-- version 1\nA (\n  b\n);\n-- why\nB;\n-- version 2\nC;\n-- version 3\nD;\n";
        assert_eq!(versions(text)[0].statements, ["A (\n  b\n)", "B"]);
        let numbers = |present| missing(text, present).iter().map(|version| version.number).collect::<Vec<_>>();
        assert_eq!(numbers(0), [1, 2, 3]);
        assert_eq!(numbers(1), [2, 3]);
        assert!(numbers(3).is_empty());
        assert!(numbers(9).is_empty(), "a newer program was here before");
        assert_eq!(newest(text), 3);
    }
}
