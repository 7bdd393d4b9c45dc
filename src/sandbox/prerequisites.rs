//! The programs of this machine that a sandbox is made with.

use std::collections::BTreeSet;
use std::env;
use std::path::Path;

/// Program and the Debian package it comes in.
const PROGRAMS: &[(&str, &str)] = &[
    ("chroot", "coreutils"),
    ("flock", "util-linux"),
    ("ip", "iproute2"),
    ("mmdebstrap", "mmdebstrap"),
    ("mount", "mount"),
    ("nsenter", "util-linux"),
    ("setsid", "util-linux"),
    ("ssh", "openssh-client"),
    ("ssh-keygen", "openssh-client"),
    ("systemd-nspawn", "systemd-container"),
    ("umount", "mount"),
];

/// Why no sandbox can be made here.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Unfit {
    /// Programs are missing.
    #[error(
        "the sandbox needs {}, which this machine lacks; install with `make prerequisites` or `apt-get install {}`",
        programs.join(", "),
        packages.join(" ")
    )]
    Programs {
        /// Which.
        programs: Vec<&'static str>,
        /// The Debian packages that hold them.
        packages: Vec<&'static str>,
    },
    /// Only root may make namespaces and mounts.
    #[error("the sandbox needs root, which makes namespaces and mounts; run this as root")]
    NotRoot,
}

/// Whether a sandbox can be made here.
///
/// # Errors
/// What is missing, all of it at once.
pub fn check() -> Result<(), Unfit> {
    let path = env::var_os("PATH").unwrap_or_default();
    let folders: Vec<_> = env::split_paths(&path).collect();
    missing(|program| folders.iter().any(|folder| is_program(&folder.join(program))))?;
    if rustix::process::geteuid().is_root() { Ok(()) } else { Err(Unfit::NotRoot) }
}

fn missing(is_there: impl Fn(&str) -> bool) -> Result<(), Unfit> {
    let lacking: Vec<_> = PROGRAMS.iter().filter(|(program, _)| !is_there(program)).collect();
    if lacking.is_empty() {
        return Ok(());
    }
    let packages: BTreeSet<_> = lacking.iter().map(|(_, package)| *package).collect();
    Err(Unfit::Programs {
        programs: lacking.iter().map(|(program, _)| *program).collect(),
        packages: packages.into_iter().collect(),
    })
}

fn is_program(path: &Path) -> bool {
    rustix::fs::access(path, rustix::fs::Access::EXEC_OK).is_ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn all_missing_programs_are_named_with_their_packages() {
        let error = missing(|program| !matches!(program, "ssh" | "ssh-keygen" | "systemd-nspawn")).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the sandbox needs ssh, ssh-keygen, systemd-nspawn, which this machine lacks; install with \
             `make prerequisites` or `apt-get install openssh-client systemd-container`"
        );
        assert_eq!(missing(|_| true), Ok(()));
    }
}
