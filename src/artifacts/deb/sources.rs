//! Where packages of a release come from: derived from what this machine's own apt is configured with, so that a mirror
//! that works for the machine works here, and no mirror is named in this program.
//!
//! Another release of the same distribution is another suite on the same mirror.

use std::collections::{BTreeMap, BTreeSet};

use super::releases::{POCKETS, Release};

/// What `apt-get indextargets` is asked for, one target a line.
pub const TARGET_FORMAT: &str = "$(REPO_URI)|$(RELEASE)|$(CODENAME)|$(COMPONENT)|$(ORIGIN)|$(SOURCESENTRY)";

/// A package index that this machine's apt knows.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Target {
    /// The mirror.
    pub uri: String,
    /// The suite as the sources have it, as `bookworm-security` or `stable`.
    pub release: String,
    /// The suite's codename as the mirror has it.
    pub codename: String,
    /// As `main`.
    pub component: String,
    /// As `Debian`.
    pub origin: String,
    /// The file of sources that it comes from.
    pub file: String,
    /// Which entry there: of a `.sources` file the number of the stanza, of a `.list` file that of the line, from 1.
    pub entry: usize,
}

/// The targets in the output of `apt-get indextargets` in [`TARGET_FORMAT`].
pub fn parse_targets(text: &str) -> Vec<Target> {
    let targets: BTreeSet<Target> = text
        .lines()
        .filter_map(|line| {
            let fields: Vec<&str> = line.split('|').collect();
            let [uri, release, codename, component, origin, source] = fields[..] else { return None };
            let (file, entry) = source.rsplit_once(':')?;
            Some(Target {
                uri: uri.to_owned(),
                release: release.to_owned(),
                codename: codename.to_owned(),
                component: component.to_owned(),
                origin: origin.to_owned(),
                file: file.to_owned(),
                entry: entry.parse().ok()?,
            })
        })
        .collect();
    targets.into_iter().collect()
}

/// The sources (deb822) of a release's packages; `None` if this machine's apt knows no mirror of its distribution.
/// `files` holds the text of the files that targets come from: what they say about keys and trust holds here too.
pub fn sources_for(release: &Release, targets: &[Target], files: &BTreeMap<String, String>) -> Option<String> {
    let mut stanzas = BTreeSet::new();
    for target in targets {
        // `stable-security` has its codename from the mirror; without one the suite's own name has to do.
        let suite = if target.codename.is_empty() || target.codename.starts_with("$(") {
            &target.release
        } else {
            &target.codename
        };
        let pocket = suite.find('-').map_or("", |at| &suite[at..]);
        if target.origin != release.origin
            || !release.components.contains(&target.component.as_str())
            || !POCKETS.contains(&pocket)
        {
            continue;
        }
        let mut stanza = format!(
            "Types: deb\nURIs: {}\nSuites: {}{pocket}\nComponents: {}\nArchitectures: amd64\nTargets: Packages\n",
            target.uri,
            release.codename,
            release.components.join(" ")
        );
        if let Some(text) = files.get(&target.file) {
            stanza.push_str(&options(text, target.file.ends_with(".sources"), target.entry));
        }
        stanzas.insert(stanza);
    }
    let main = format!("Suites: {}\n", release.codename);
    let complete = stanzas.iter().any(|stanza| stanza.contains(&main));
    complete.then(|| stanzas.into_iter().collect::<Vec<_>>().join("\n"))
}

/// The options of an entry, as fields of deb822.
fn options(text: &str, deb822: bool, entry: usize) -> String {
    let ours = |name: &str| {
        let set = ["types", "uris", "suites", "components", "enabled", "targets", "target", "languages", "lang"];
        let set_too = ["architectures", "arch"];
        let name = name.to_ascii_lowercase();
        set.contains(&name.as_str()) || set_too.contains(&name.as_str()) || name.starts_with("x-")
    };
    if deb822 {
        let Some(stanza) = stanzas(text).into_iter().nth(entry - 1) else { return String::new() };
        let mut kept = String::new();
        let mut keep = false;
        for line in stanza {
            if !line.starts_with([' ', '\t']) {
                keep = line.split_once(':').is_some_and(|(name, _)| !ours(name.trim_end_matches(['+', '-'])));
            }
            if keep {
                kept.push_str(line);
                kept.push('\n');
            }
        }
        return kept;
    }
    let line = text.lines().nth(entry - 1).unwrap_or_default();
    let Some((bracket, _)) = line.split_once('[').and_then(|(_, rest)| rest.split_once(']')) else {
        return String::new();
    };
    bracket
        .split_whitespace()
        .filter_map(|option| option.split_once('='))
        .filter(|(name, _)| !ours(name.trim_end_matches(['+', '-'])))
        .map(|(name, value)| format!("{name}: {value}\n"))
        .collect()
}

/// The stanzas of a deb822 file, without comments.
fn stanzas(text: &str) -> Vec<Vec<&str>> {
    let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
    lines.split(|line| line.trim().is_empty()).filter(|stanza| !stanza.is_empty()).map(<[&str]>::to_vec).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::super::releases::RELEASES;
    use super::*;

    const DEBIAN: &str = "\
http://mirror.example/debian/|bookworm|bookworm|main|Debian|/etc/apt/sources.list.d/debian.sources:1
http://mirror.example/debian/|bookworm|bookworm|contrib|Debian|/etc/apt/sources.list.d/debian.sources:1
http://mirror.example/debian/|bookworm-updates|bookworm-updates|main|Debian|/etc/apt/sources.list.d/debian.sources:1
http://mirror.example/debian/|bookworm-backports|bookworm-backports|main|Debian Backports|/etc/apt/sources.list.d/debian.sources:1
http://mirror.example/security/|stable-security|bookworm-security|main|Debian|/etc/apt/sources.list.d/debian.sources:2
http://other.example/|bookworm|bookworm|main|Other|/etc/apt/sources.list:3
";

    const FILE: &str = "\
# The archive.
Types: deb
URIs: http://mirror.example/debian
# a snapshot
Suites: bookworm bookworm-updates
Components: main contrib
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 abc


Types: deb
URIs: http://mirror.example/security
Suites: stable-security
Components: main
Signed-By: /keys/debian.gpg
Check-Valid-Until: no
";

    fn release(codename: &str) -> &'static Release {
        RELEASES.iter().find(|release| release.codename == codename).unwrap()
    }

    fn files(path: &str, text: &str) -> BTreeMap<String, String> {
        BTreeMap::from([(path.to_owned(), text.to_owned())])
    }

    #[test]
    fn own_release_keeps_mirrors_pockets_and_keys() {
        let files = files("/etc/apt/sources.list.d/debian.sources", FILE);
        let sources = sources_for(release("bookworm"), &parse_targets(DEBIAN), &files).unwrap();
        insta::assert_snapshot!(sources, @r"
        Types: deb
        URIs: http://mirror.example/debian/
        Suites: bookworm
        Components: main
        Architectures: amd64
        Targets: Packages
        Signed-By:
         -----BEGIN PGP PUBLIC KEY BLOCK-----
         .
         abc

        Types: deb
        URIs: http://mirror.example/debian/
        Suites: bookworm-updates
        Components: main
        Architectures: amd64
        Targets: Packages
        Signed-By:
         -----BEGIN PGP PUBLIC KEY BLOCK-----
         .
         abc

        Types: deb
        URIs: http://mirror.example/security/
        Suites: bookworm-security
        Components: main
        Architectures: amd64
        Targets: Packages
        Signed-By: /keys/debian.gpg
        Check-Valid-Until: no
        ");
    }

    #[test]
    fn another_release_of_the_distribution_is_another_suite_there() {
        let text = DEBIAN.replace("bookworm", "trixie").replace("|Debian|", "|Ubuntu|");
        let sources = sources_for(release("noble"), &parse_targets(&text), &BTreeMap::new()).unwrap();
        for suite in ["Suites: noble\n", "Suites: noble-updates\n", "Suites: noble-security\n"] {
            assert!(sources.contains(suite), "{sources}");
        }
        assert!(sources.contains("Components: main universe\n"), "{sources}");
    }

    #[test]
    fn another_distribution_has_no_sources() {
        assert_eq!(sources_for(release("jammy"), &parse_targets(DEBIAN), &BTreeMap::new()), None);
    }

    #[test]
    fn options_of_a_one_line_entry_hold_too() {
        let text = "http://mirror.example/debian/|bookworm|bookworm|main|Debian|/etc/apt/sources.list:2\n";
        let list = "# ours\ndeb [arch=amd64 signed-by=/keys/ours.gpg trusted=yes] http://mirror.example/debian bookworm main\n";
        let sources =
            sources_for(release("bookworm"), &parse_targets(text), &files("/etc/apt/sources.list", list)).unwrap();
        assert!(sources.ends_with("Targets: Packages\nsigned-by: /keys/ours.gpg\ntrusted: yes\n"), "{sources}");
    }
}
