//! What a running process was started with, as one digest: it differs exactly when a restart is wanted.

use sha2::{Digest as _, Sha256};
use wire_deploy_agent::digest::{Digest, FingerprintKey};
use wire_deploy_agent::resource::{Content, Ownership, Resource};

/// The digest of everything in `resources` that a process started after them depends on: contents of files that are ours
/// (a sensitive one's fingerprint under `key`), versions of packages, archives. What a service rewrites itself, folders,
/// users, kernel parameters and other units do not count: a process needs no restart for them.
#[must_use]
pub fn restart_digest<'a>(resources: impl IntoIterator<Item = &'a Resource>, key: &FingerprintKey) -> Digest {
    let mut hasher = Sha256::new();
    for resource in resources {
        if let Some(content) = content_of(resource, key) {
            hasher.update(resource.id().0.as_bytes());
            hasher.update([0]);
            hasher.update(content.as_bytes());
            hasher.update(b"\n");
        }
    }
    Digest::from_hasher(hasher)
}

fn content_of(resource: &Resource, key: &FingerprintKey) -> Option<String> {
    match resource {
        Resource::File(file) if file.ownership == Ownership::Ours => Some(match &file.content {
            Content::Text(text) if file.sensitive => key.fingerprint(text.as_bytes()).to_string(),
            Content::Text(text) => Digest::of(text.as_bytes()).to_string(),
            Content::Blob(digest) | Content::Digest(digest) => digest.to_string(),
        }),
        Resource::Packages(packages) => {
            let wanted = packages.closure.iter().filter(|package| packages.wanted.contains(&package.name));
            Some(wanted.map(|package| format!("{} {}", package.name, package.version)).collect::<Vec<_>>().join(", "))
        }
        Resource::Archive(archive) => Some(archive.blob.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use wire_deploy_agent::resource::{Directory, File, Mode, Owner};

    use super::*;

    fn file(text: &str, sensitive: bool, ownership: Ownership) -> Resource {
        let owner = Owner { user: "root".into(), group: "root".into() };
        let content = Content::Text(text.into());
        Resource::File(File { path: "/etc/x".into(), owner, mode: Mode(0o644), content, sensitive, ownership })
    }

    fn digest(resources: &[Resource]) -> Digest {
        restart_digest(resources, &FingerprintKey(vec![1]))
    }

    #[test]
    fn changes_with_what_the_process_reads() {
        let before = digest(&[file("a", false, Ownership::Ours)]);
        assert_ne!(before, digest(&[file("b", false, Ownership::Ours)]));
        assert_ne!(digest(&[file("a", true, Ownership::Ours)]), digest(&[file("b", true, Ownership::Ours)]));
        assert_eq!(before, digest(&[file("a", false, Ownership::Ours)]));
    }

    #[test]
    fn ignores_what_needs_no_restart() {
        let owner = Owner { user: "root".into(), group: "root".into() };
        let folder = Resource::Directory(Directory { path: "/x".into(), owner, mode: Mode(0o755), data: false });
        assert_eq!(digest(&[]), digest(&[folder, file("a", false, Ownership::Seed)]));
    }

    #[test]
    fn holds_no_secret_that_can_be_guessed() {
        let secret = [file("a", true, Ownership::Ours)];
        let other_key = restart_digest(&secret, &FingerprintKey(vec![2]));
        assert_ne!(digest(&secret), other_key);
    }
}
