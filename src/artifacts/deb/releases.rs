//! The releases that packages can be resolved for. What differs between them is here and nowhere else.

/// A release of a distribution.
#[derive(Debug, PartialEq, Eq)]
pub struct Release {
    /// Its codename, as in `/etc/os-release` and in a mirror's `dists/`.
    pub codename: &'static str,
    /// What its mirrors say in their `Origin`.
    pub origin: &'static str,
    /// The components that packages are taken from.
    pub components: &'static [&'static str],
}

/// All of them.
pub const RELEASES: &[Release] = &[
    Release { codename: "bookworm", origin: "Debian", components: &["main"] },
    Release { codename: "jammy", origin: "Ubuntu", components: &["main", "universe"] },
    Release { codename: "noble", origin: "Ubuntu", components: &["main", "universe"] },
];

/// What a suite's name has after the codename; others, such as backports, are not used.
pub const POCKETS: &[&str] = &["", "-updates", "-security"];
