//! Resources in the forms that services want them most.

use wire_deploy_agent::digest::Digest;
use wire_deploy_agent::resource::{Content, Directory, File, Mode, Owner, Ownership, Resource, Unit};

/// Who a path belongs to.
#[must_use]
pub fn owner(user: &str, group: &str) -> Owner {
    Owner { user: user.to_owned(), group: group.to_owned() }
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

/// A unit that runs now and after a reboot.
#[must_use]
pub fn running_unit(name: &str, started_with: Digest, timeout_seconds: u32) -> Resource {
    let started_with = Some(started_with);
    Resource::Unit(Unit { name: name.to_owned(), enabled: true, running: true, started_with, timeout_seconds })
}
