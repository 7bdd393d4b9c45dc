//! The machine's apt, in a root of its own.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::PathBuf;

use tokio::process::Command;
use wire_deploy_agent::digest::Digest;
use wire_deploy_agent::resource::Package;

use super::releases::Release;
use super::sources::{TARGET_FORMAT, parse_targets, sources_for};
use crate::artifacts::ArtifactError;
use crate::artifacts::command::{Failed, Progress, run};
use crate::artifacts::store::{Exclusive, Store, failed, make_folder, write_whole};

/// apt for one release: what it keeps between runs is below the store's `apt/<release>`.
pub struct Apt<'a> {
    release: &'static Release,
    folder: PathBuf,
    progress: &'a Progress,
    _exclusive: Exclusive,
}

impl<'a> Apt<'a> {
    /// Lays out the private root, with sources derived from the machine's.
    pub async fn open(release: &'static Release, store: &Store, progress: &'a Progress) -> Result<Self, ArtifactError> {
        let apt = Self::lay_out(release, store, progress).await?;
        let sources = apt.derive_sources().await?;
        write_whole(&apt.folder.join("packages.sources"), sources.as_bytes())?;
        Ok(apt)
    }

    /// Lays out the private root with given sources.
    #[cfg(test)]
    pub async fn open_with(
        release: &'static Release,
        store: &Store,
        progress: &'a Progress,
        sources: &str,
    ) -> Result<Self, ArtifactError> {
        let apt = Self::lay_out(release, store, progress).await?;
        write_whole(&apt.folder.join("packages.sources"), sources.as_bytes())?;
        Ok(apt)
    }

    async fn lay_out(release: &'static Release, store: &Store, progress: &'a Progress) -> Result<Self, ArtifactError> {
        let name = format!("apt-{}", release.codename);
        let wait = || progress.line("waiting for another wire-deploy that uses apt");
        let exclusive = store.exclusive(&name, wait).await?;
        let folder = store.client_folder(&format!("apt/{}", release.codename))?;
        for part in ["lists/partial", "cache/archives/partial"] {
            make_folder(&folder.join(part))?;
        }
        write_whole(&folder.join("status"), b"")?;
        write_whole(&folder.join("apt.conf"), configuration(&folder)?.as_bytes())?;
        Ok(Self { release, folder, progress, _exclusive: exclusive })
    }

    /// Takes the mirror's state of now.
    pub async fn update(&self) -> Result<(), ArtifactError> {
        self.run(["update", "--error-on=any"]).await.map(drop)
    }

    /// Every package that installing `packages` on a host with none takes.
    pub async fn closure(&self, packages: &[String]) -> Result<Vec<Package>, ArtifactError> {
        let arguments = ["install", "--print-uris", "-qq", "-y", "--"].map(str::to_owned);
        let text = self.read(arguments.iter().chain(packages)).await?;
        let mut closure = Vec::new();
        for line in text.lines().filter(|line| line.starts_with('\'')) {
            closure.push(parse_uri(line).ok_or_else(|| {
                ArtifactError::new(format!("apt described a package in an unknown way: {line}"), "report this as a bug")
            })?);
        }
        if let Some(lacking) = packages.iter().find(|name| !closure.iter().any(|package| package.name == **name)) {
            return Err(ArtifactError::new(
                format!("{lacking} is no package of {} but a virtual one", self.release.codename),
                "name a package that provides it in the recipe",
            ));
        }
        Ok(closure)
    }

    /// Fetches packages, in one go, and puts them into the store.
    pub async fn download(&self, packages: &[&Package], store: &Store) -> Result<(), ArtifactError> {
        let folder = tempfile::tempdir_in(&self.folder).map_err(|error| failed("write to", &self.folder, &error))?;
        let names = packages.iter().map(|package| format!("{}={}", package.name, package.version));
        let mut command = self.command();
        command.current_dir(folder.path()).args(["download", "--"]).args(names);
        self.finish(run(command, self.progress, true).await)?;
        for package in packages {
            let version = package.version.replace(':', "%3a");
            let file = folder.path().join(format!("{}_{version}_{}.deb", package.name, package.architecture));
            let stored = store.put_file(&file)?;
            if stored.blob != package.blob {
                return Err(ArtifactError::new(
                    format!(
                        "{} {} for {}: expected sha256 {}, the mirror gave {}",
                        package.name, package.version, self.release.codename, package.blob, stored.blob
                    ),
                    "if the mirror rebuilt the package, `wire-deploy artifacts update` locks what it has now; if not, do not trust it",
                ));
            }
        }
        Ok(())
    }

    async fn derive_sources(&self) -> Result<String, ArtifactError> {
        let question = ["indextargets", "--format", TARGET_FORMAT, "Created-By: Packages"];
        let mut text = self.finish(run(machine(&question), self.progress, false).await)?;
        if text.is_empty() {
            // The machine's apt was never updated, so it knows no mirror's origin: ask the mirrors, in private again.
            let lists = self.folder.join("machine-lists");
            make_folder(&lists.join("partial"))?;
            let mut place = std::ffi::OsString::from("Dir::State::lists=");
            place.push(&lists);
            let configured = |arguments: &[&str]| {
                let mut command = self.command();
                command.arg("-o").arg(&place);
                command.args(["-o", "Dir::Etc::sourcelist=sources.list", "-o", "Dir::Etc::sourceparts=sources.list.d"]);
                command.args(arguments);
                command
            };
            self.finish(run(configured(&["update"]), self.progress, true).await)?;
            text = self.finish(run(configured(&question), self.progress, false).await)?;
        }
        let targets = parse_targets(&text);
        let mut files = BTreeMap::new();
        for target in &targets {
            if let Ok(text) = fs::read_to_string(&target.file) {
                files.insert(target.file.clone(), text);
            }
        }
        sources_for(self.release, &targets, &files).ok_or_else(|| {
            let Release { codename, origin, components } = self.release;
            ArtifactError::new(
                format!("this machine's apt knows no {origin} mirror, so packages for {codename} cannot be resolved"),
                format!(
                    "add an {origin} mirror with {} to /etc/apt/sources.list.d (any release of {origin}; pin it to priority -1 if this machine is to take nothing from it), run `apt-get update`, and try again",
                    components.join(" and ")
                ),
            )
        })
    }

    fn command(&self) -> Command {
        let mut command = machine(&[]);
        command.arg("-c").arg(self.folder.join("apt.conf"));
        command
    }

    async fn run<const N: usize>(&self, arguments: [&str; N]) -> Result<String, ArtifactError> {
        let mut command = self.command();
        command.args(arguments);
        self.finish(run(command, self.progress, true).await)
    }

    async fn read(&self, arguments: impl Iterator<Item = &String>) -> Result<String, ArtifactError> {
        let mut command = self.command();
        command.args(arguments);
        self.finish(run(command, self.progress, false).await)
    }

    fn finish(&self, ended: Result<String, Failed>) -> Result<String, ArtifactError> {
        let codename = self.release.codename;
        ended.map_err(|failed| match failed {
            Failed::Start(error) if error.kind() == io::ErrorKind::NotFound => ArtifactError::new(
                format!("apt-get is needed to resolve packages for {codename}, and is not on this machine"),
                "run wire-deploy on a Debian or Ubuntu machine",
            ),
            Failed::Start(error) => ArtifactError::new(
                format!("apt-get cannot be run: {error}"),
                "look at the permissions of apt-get and at the machine's memory",
            ),
            Failed::Ended(log) => {
                let reason = log.iter().rev().find(|line| line.starts_with("E: ")).or(log.last());
                let message = format!(
                    "apt failed for {codename}: {}",
                    reason.map_or("it said nothing", |line| line.trim_start_matches("E: "))
                );
                ArtifactError { message, hint: hint(&log).to_owned(), log }
            }
        })
    }
}

/// What to do about apt's failure, from its own words.
fn hint(log: &[String]) -> &'static str {
    let says = |words: &[&str]| log.iter().any(|line| words.iter().any(|word| line.contains(word)));
    if says(&["NO_PUBKEY", "is not signed", "EXPKEYSIG", "can't be authenticated", "not available"]) {
        "the mirror's signing key must be known to this machine's apt, by Signed-By in its sources or in /etc/apt/trusted.gpg.d"
    } else if says(&["Unable to locate package", "has no installation candidate"]) {
        "the release has no such package: see the recipe, and the components that the mirror carries"
    } else if says(&[
        "Failed to fetch",
        "Could not connect",
        "Temporary failure",
        "Could not resolve",
        "Connection failed",
    ]) {
        "the mirror cannot be reached: see that `apt-get update` works on this machine, then run this again"
    } else if says(&["No space left", "You don't have enough free space"]) {
        "free some space, or set XDG_CACHE_HOME to a folder on another disk"
    } else {
        "see apt's lines; its configuration is this machine's own but for lists, status and caches"
    }
}

/// apt-get as the machine has it.
fn machine(arguments: &[&str]) -> Command {
    let mut command = Command::new("apt-get");
    command.env("LC_ALL", "C").env("DEBIAN_FRONTEND", "noninteractive").args(arguments);
    command
}

/// apt's configuration on top of the machine's: nothing shared, nothing but the packages' own needs, no preferences of
/// the machine for some versions over others, and no hooks.
fn configuration(folder: &std::path::Path) -> Result<String, ArtifactError> {
    let folder = folder.to_str().filter(|text| !text.contains(['"', '\n', ';'])).ok_or_else(|| {
        ArtifactError::new(
            format!("apt cannot work in {}: its name is not plain text", folder.display()),
            "set XDG_CACHE_HOME to a folder with a plain name",
        )
    })?;
    Ok(format!(
        r#"#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
#clear APT::Architectures;
Dir::State "{folder}";
Dir::State::lists "{folder}/lists";
Dir::State::status "{folder}/status";
Dir::Cache "{folder}/cache";
Dir::Cache::pkgcache "pkgcache.bin";
Dir::Cache::srcpkgcache "srcpkgcache.bin";
Acquire::GzipIndexes "false";
Dir::Etc::sourcelist "{folder}/packages.sources";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
APT::Architecture "amd64";
APT::Architectures {{ "amd64"; }};
APT::Default-Release "";
APT::Install-Recommends "false";
APT::Install-Suggests "false";
APT::Sandbox::User "root";
Acquire::Languages "none";
Acquire::ForceHash "sha256";
"#
    ))
}

/// A package in a line of `apt-get --print-uris`: `'URI' name_version_architecture.deb size SHA256:digest`.
fn parse_uri(line: &str) -> Option<Package> {
    let (_, rest) = line.strip_prefix('\'')?.split_once("' ")?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let [file, size, hash] = fields[..] else { return None };
    let parts: Vec<&str> = file.strip_suffix(".deb")?.split('_').collect();
    let [name, version, architecture] = parts[..] else { return None };
    Some(Package {
        name: name.to_owned(),
        version: version.replace("%3a", ":"),
        architecture: architecture.to_owned(),
        blob: Digest::try_from(hash.strip_prefix("SHA256:")?.to_owned()).ok()?,
        size: size.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;

    #[test]
    fn a_package_is_read_from_its_uri_with_epoch_and_all() {
        let digest = Digest::of(b"zlib");
        let line = format!(
            "'http://mirror.example/pool/z/zlib/zlib1g_1.2.13.dfsg-1_amd64.deb' zlib1g_1%3a1.2.13.dfsg-1+b1~x_amd64.deb 86684 SHA256:{digest}"
        );
        let package = parse_uri(&line).unwrap();
        assert_eq!((package.name.as_str(), package.version.as_str()), ("zlib1g", "1:1.2.13.dfsg-1+b1~x"));
        assert_eq!((package.architecture.as_str(), package.size, package.blob), ("amd64", 86684, digest));
    }

    #[test]
    fn a_package_without_a_sha256_is_refused() {
        for line in ["'u' a_1_all.deb 3 MD5Sum:abc", "'u' a_1_all.deb 3", "'u' a_1.deb 3 SHA256:abc", "nothing"] {
            assert_eq!(parse_uri(line), None, "{line}");
        }
    }

    #[test]
    fn each_failure_of_apt_has_its_own_hint() {
        let cases = [
            ("E: Unable to locate package radish", "no such package"),
            ("E: Failed to fetch http://mirror.example/x  Could not connect to 127.0.0.1:9", "cannot be reached"),
            ("W: GPG error: http://mirror.example x InRelease: ... NO_PUBKEY 1234", "signing key"),
            ("E: You don't have enough free space in /x/.", "free some space"),
        ];
        for (line, expected) in cases {
            let hint = hint(&[line.to_owned()]);
            assert!(hint.contains(expected), "{line}: {hint}");
        }
    }
}
