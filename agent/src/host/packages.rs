//! Debian packages, installed by the host's own apt from the blobs that were sent, and from nothing else.

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant};

use super::blobs::Blobs;
use super::place::{Place, make_private_folder};
use super::problem::{Doing as _, Problem};
use super::process::Program;
use super::root::Root;
use crate::diff;
use crate::digest::FingerprintKey;
use crate::resource::{Packages, Resource};
use crate::state::State;

mod policy;
mod status;

pub use policy::restore as restore_policy;

/// The packages' files under their own names, while apt works.
const FILES: &str = "/var/lib/wire-deploy/apt";
/// Seconds to wait for another package manager's lock.
const LOCK_SECONDS: u64 = 120;
/// What dpkg says when another one runs.
const LOCKED: &str = "dpkg frontend lock was locked";
/// Seconds for everything that apt does.
const TIMEOUT_SECONDS: u32 = 1800;

/// What dpkg's own status file says about the closure's packages. No process is run.
///
/// # Errors
/// When it cannot be read.
pub fn observe(root: &Root, wanted: &Packages) -> Result<State, Problem> {
    let known = status::read(root)?;
    let (mut installed, mut broken) = (BTreeMap::new(), Vec::new());
    for package in &wanted.closure {
        match known.get(&package.name) {
            Some(found) if found.broken => broken.push(package.name.clone()),
            Some(found) => {
                installed.insert(package.name.clone(), found.version.clone());
            }
            None => {}
        }
    }
    Ok(State::Packages { installed, broken })
}

/// Installs or upgrades the wanted packages, with what they need of the closure.
///
/// # Errors
/// When a blob is missing, apt refuses, or a package fails to configure; then with the last lines of apt's output.
pub fn apply(root: &Root, wanted: &Packages, on_line: &mut dyn FnMut(&str)) -> Result<(), Problem> {
    let files = lay_out(root, wanted)?;
    policy::forbid_starts(root)?;
    let installed = finish_and_install(root, wanted, &files, on_line);
    let restored = policy::restore(root);
    fs::remove_dir_all(root.path(FILES)).doing("delete the packages' files")?;
    installed.map_err(|problem| explain(problem, root, wanted))?;
    restored?;
    let found = observe(root, wanted)?;
    match diff::diff(&Resource::Packages(wanted.clone()), &found, &FingerprintKey(Vec::new())) {
        None => Ok(()),
        Some(change) => {
            let left = change.reasons.iter().map(|reason| reason.field.clone()).collect::<Vec<_>>().join(", ");
            Err(Problem::new(format!("apt is done, and these are still not as wanted: {left}"))
                .hint("a package on hold, or a pin of the host's own, may keep them back"))
        }
    }
}

/// Packages that are left half-way are services, too, which must not start while they are finished.
fn finish_and_install(
    root: &Root,
    wanted: &Packages,
    files: &[String],
    on_line: &mut dyn FnMut(&str),
) -> Result<(), Problem> {
    if status::is_interrupted(root)? || status::read(root)?.values().any(|package| package.broken) {
        configure(on_line)?;
    }
    install(&wanted.wanted, files, on_line)
}

/// Names the blobs as packages, for apt goes by what a file is called. Those that the host has no blob of are left out:
/// apt resolves among what there is and what is installed, and says what is missing.
fn lay_out(root: &Root, wanted: &Packages) -> Result<Vec<String>, Problem> {
    let _ = fs::remove_dir_all(root.path(FILES));
    make_private_folder(root, FILES)?;
    // apt wants these to be there, though nothing is ever put there.
    for folder in ["cache/archives/partial", "lists/partial"] {
        Place::make(root, &format!("{FILES}/{folder}/none"))?;
    }
    let mut files = Vec::new();
    for package in wanted.closure.iter().filter(|package| Blobs::has(root, &package.blob)) {
        drop(Blobs::open(root, &package.blob)?);
        let version = package.version.replace(':', "%3a");
        let file = format!("{FILES}/{}_{version}_{}.deb", package.name, package.architecture);
        if file.contains("..") || file.matches('/').count() != FILES.matches('/').count() + 1 {
            return Err(Problem::new(format!("{:?} is no name of a package", package.name)));
        }
        fs::hard_link(root.path(&Blobs::path(&package.blob)), root.path(&file)).doing("name a package's file")?;
        files.push(file);
    }
    Ok(files)
}

fn install(names: &[String], files: &[String], on_line: &mut dyn FnMut(&str)) -> Result<(), Problem> {
    let lock = format!("DPkg::Lock::Timeout={LOCK_SECONDS}");
    let options = [
        // The host's own sources, lists, caches and pins are neither used nor changed.
        "Dir::Etc::sourcelist=/dev/null",
        "Dir::Etc::sourceparts=/dev/null",
        "Dir::Etc::preferences=/dev/null",
        "Dir::Etc::preferencesparts=/dev/null",
        "Dir::State::lists=/var/lib/wire-deploy/apt/lists",
        "Dir::Cache=/var/lib/wire-deploy/apt/cache",
        // apt's own user may not look into our folder.
        "APT::Sandbox::User=root",
        "Dpkg::Options::=--force-confdef",
        "Dpkg::Options::=--force-confold",
        "Dpkg::Use-Pty=false",
        &lock,
    ];
    let mut arguments = vec!["--quiet", "--assume-yes", "--no-install-recommends", "--no-remove", "--fix-broken"];
    arguments.extend(options.iter().flat_map(|option| ["--option", option]));
    arguments.extend(files.iter().flat_map(|file| ["--with-source", file.as_str()]));
    arguments.extend(["install", "--"]);
    arguments.extend(names.iter().map(String::as_str));
    quiet(Program::new("apt-get", arguments)).timeout(TIMEOUT_SECONDS).run(on_line)?.success()
}

/// Finishes what an interrupted dpkg left; waits for its lock as apt does.
fn configure(on_line: &mut dyn FnMut(&str)) -> Result<(), Problem> {
    let deadline = Instant::now() + Duration::from_secs(LOCK_SECONDS);
    loop {
        let arguments = ["--configure", "--pending", "--force-confdef", "--force-confold"];
        let ended = quiet(Program::new("dpkg", arguments)).timeout(TIMEOUT_SECONDS).run(on_line)?;
        let locked = ended.code != 0 && ended.lines.iter().any(|line| line.contains(LOCKED));
        if !locked || Instant::now() > deadline {
            // A package that still cannot be configured may be mended by the version that is about to be installed.
            return if locked { ended.success() } else { Ok(()) };
        }
        std::thread::sleep(Duration::from_secs(1));
    }
}

/// Programs that ask nothing, and hooks of the host's own that neither ask nor restart anything.
fn quiet(program: Program) -> Program {
    program
        .environment("DEBIAN_FRONTEND", "noninteractive")
        .environment("NEEDRESTART_SUSPEND", "1")
        .environment("APT_LISTCHANGES_FRONTEND", "none")
}

fn explain(problem: Problem, root: &Root, wanted: &Packages) -> Problem {
    let said = |texts: &[&str]| problem.log.iter().any(|line| texts.iter().any(|text| line.contains(text)));
    // With their `E:`, because apt also says so while it waits, before it goes on.
    let (what, hint) = if said(&["E: Could not get lock", "E: Unable to acquire", LOCKED]) {
        ("dpkg is locked by another program".to_owned(), "wait until it is done and apply again")
    } else if said(&["No space left on device", "enough free space"]) {
        ("the disk is full".to_owned(), "make room on that file system and apply again")
    } else if said(&["unmet dependencies", "Unable to locate package", "no installation candidate"]) {
        match lacking(root, wanted).as_slice() {
            [] => (
                "what they need is neither among the artifacts nor on the host".to_owned(),
                "lock the artifacts anew for this host's release",
            ),
            names => (format!("the host lacks the blobs of {}", names.join(", ")), "apply again: they are then sent"),
        }
    } else if said(&["error processing package"]) {
        ("a package failed to configure".to_owned(), "its last lines say why; apply again when that is mended")
    } else if said(&["but remove is disabled"]) {
        ("others would have to be removed".to_owned(), "remove them by hand if nothing needs them")
    } else {
        return Problem { message: format!("packages {}: {}", wanted.name, problem.message), ..problem };
    };
    Problem::new(format!("packages {}: {what}", wanted.name)).hint(hint).log(problem.log)
}

/// The closure's packages that are neither installed nor on the host as blobs.
fn lacking(root: &Root, wanted: &Packages) -> Vec<String> {
    let known = status::read(root).unwrap_or_default();
    let lacking =
        wanted.closure.iter().filter(|package| !known.contains_key(&package.name) && !Blobs::has(root, &package.blob));
    lacking.map(|package| package.name.clone()).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use crate::digest::Digest;
    use crate::resource::Package;

    #[test]
    fn what_apt_and_dpkg_say_is_told_in_our_words() {
        let folder = tempfile::tempdir().unwrap();
        let root = Root::new(folder.path());
        let package = Package {
            name: "redis-server".to_owned(),
            version: "1".to_owned(),
            architecture: "amd64".to_owned(),
            blob: Digest::of(b"redis-server"),
            size: 1,
        };
        let wanted =
            Packages { name: "redis".to_owned(), wanted: vec!["redis-server".to_owned()], closure: vec![package] };
        let nothing_lacks = Packages { closure: Vec::new(), ..wanted.clone() };
        for (wanted, line, expected, hint) in [
            (
                &wanted,
                "E: Could not get lock /var/lib/dpkg/lock-frontend. It is held by process 4711 (apt-get)",
                "dpkg is locked by another program",
                "wait",
            ),
            (&wanted, "E: Unable to acquire the dpkg frontend lock", "dpkg is locked by another program", "wait"),
            (
                &wanted,
                "dpkg: error: dpkg frontend lock was locked by another process with pid 4711",
                "dpkg is locked by another program",
                "wait",
            ),
            (
                &wanted,
                "tar: ./usr/bin/redis-server: Cannot write: No space left on device",
                "the disk is full",
                "make room",
            ),
            (
                &wanted,
                "E: You don't have enough free space in /var/cache/apt/archives/.",
                "the disk is full",
                "make room",
            ),
            (
                &wanted,
                "E: Unable to locate package redis-server",
                "the host lacks the blobs of redis-server",
                "apply again",
            ),
            (
                &nothing_lacks,
                "The following packages have unmet dependencies:",
                "what they need is neither among the artifacts nor on the host",
                "lock the artifacts anew",
            ),
            (
                &wanted,
                "dpkg: error processing package redis-server (--configure):",
                "a package failed to configure",
                "last lines",
            ),
            (
                &wanted,
                "E: Packages need to be removed but remove is disabled.",
                "others would have to be removed",
                "by hand",
            ),
        ] {
            let problem = Problem::new("apt-get ended with 100").log(vec![line.to_owned()]);
            let told = explain(problem, &root, wanted);
            assert_eq!(told.message, format!("packages redis: {expected}"), "{line}");
            assert!(told.hint.is_some_and(|told| told.contains(hint)), "{line}");
            assert_eq!(told.log, [line]);
        }
        // While it waits, apt says so, too; what it ended with is something else then.
        let waits = "Waiting for cache lock: Could not get lock /var/lib/dpkg/lock-frontend.";
        let told = explain(Problem::new("apt-get ended with 100").log(vec![waits.to_owned()]), &root, &wanted);
        assert_eq!(told.message, "packages redis: apt-get ended with 100");
    }
}
