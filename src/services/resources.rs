//! Resources in the forms that services want them most.

use wire_deploy_agent::digest::Digest;
use wire_deploy_agent::resource::{Content, Directory, File, Group, Mode, Owner, Ownership, Resource, Unit, User};

/// Who a path belongs to.
#[must_use]
pub fn owner(user: &str, group: &str) -> Owner {
    Owner { user: user.to_owned(), group: group.to_owned() }
}

/// The superuser and its group.
#[must_use]
pub fn root() -> Owner {
    owner("root", "root")
}

/// A service's own user and the group of the same name.
#[must_use]
pub fn user_and_group(name: &str, home: &str) -> [Resource; 2] {
    let user = User { name: name.to_owned(), group: name.to_owned(), groups: Vec::new(), home: home.to_owned() };
    [Resource::Group(Group { name: name.to_owned() }), Resource::User(user)]
}

/// A folder that holds no data.
#[must_use]
pub fn directory(path: &str, owner: Owner, mode: u32) -> Resource {
    Resource::Directory(Directory { path: path.to_owned(), owner, mode: Mode(mode), data: false })
}

/// A folder that holds data.
#[must_use]
pub fn data_directory(path: &str, owner: Owner, mode: u32) -> Resource {
    Resource::Directory(Directory { path: path.to_owned(), owner, mode: Mode(mode), data: true })
}

/// A text file of ours without secrets.
#[must_use]
pub fn file(path: &str, owner: Owner, mode: u32, text: String) -> File {
    let (content, ownership) = (Content::Text(text), Ownership::Ours);
    File { path: path.to_owned(), owner, mode: Mode(mode), content, sensitive: false, ownership }
}

/// The same file with a secret in it.
#[must_use]
pub fn secret(file: File) -> File {
    File { sensitive: true, ..file }
}

/// A program that anyone may run, from a blob.
#[must_use]
pub fn program(path: &str, blob: Digest) -> File {
    File { content: Content::Blob(blob), ..file(path, root(), 0o755, String::new()) }
}

/// A systemd unit's file.
#[must_use]
pub fn unit_file(unit: &str, text: String) -> File {
    file(&format!("/etc/systemd/system/{unit}"), root(), 0o644, text)
}

/// The folder of what is said beside a packaged unit, and the file in it.
#[must_use]
pub fn drop_in(unit: &str, text: String) -> [Resource; 2] {
    let folder = format!("/etc/systemd/system/{unit}.d");
    let file = file(&format!("{folder}/wire-deploy.conf"), root(), 0o644, text);
    [directory(&folder, root(), 0o755), Resource::File(file)]
}

/// A unit that runs now and after a reboot.
#[must_use]
pub fn running_unit(name: &str, started_with: Digest, timeout_seconds: u32) -> Resource {
    Resource::Unit(running(name, started_with, timeout_seconds))
}

/// As [`running_unit`], of a unit that takes in what `reloaded_with` stands for while it runs.
#[must_use]
pub fn reloading_unit(name: &str, started_with: Digest, reloaded_with: Digest, timeout_seconds: u32) -> Resource {
    Resource::Unit(Unit { reloaded_with: Some(reloaded_with), ..running(name, started_with, timeout_seconds) })
}

/// As [`reloading_unit`], of a unit that joins others when it starts, which may be too busy to take it in at once.
#[must_use]
pub fn joining_unit(name: &str, started_with: Digest, reloaded_with: Digest, timeout_seconds: u32) -> Resource {
    let reloaded_with = Some(reloaded_with);
    Resource::Unit(Unit { reloaded_with, attempts: 3, ..running(name, started_with, timeout_seconds) })
}

fn running(name: &str, started_with: Digest, timeout_seconds: u32) -> Unit {
    Unit {
        name: name.to_owned(),
        enabled: true,
        running: true,
        started_with: Some(started_with),
        reloaded_with: None,
        timeout_seconds,
        attempts: 1,
    }
}

/// A unit that neither runs nor starts at boot.
#[must_use]
pub fn stopped_unit(name: &str) -> Resource {
    let (started_with, reloaded_with) = (None, None);
    let name = name.to_owned();
    Resource::Unit(Unit {
        name,
        enabled: false,
        running: false,
        started_with,
        reloaded_with,
        timeout_seconds: 60,
        attempts: 1,
    })
}
