//! A tree of files in memory, and the layer it becomes: the same bytes for the same tree.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read, Write as _};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use flate2::{Compression, GzBuilder};
use wire_deploy_agent::digest::Digest;

use crate::artifacts::ENTRY_TIME;

/// An archive from this size on, in bytes, is compressed at the greatest speed: a binary of 160 MB then takes two seconds rather
/// than six, for a layer that is a seventh larger.
const LARGE: usize = 32 * 1024 * 1024;

/// A tree, by path without a leading `/`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tree {
    entries: BTreeMap<String, Entry>,
}

/// What is at a path. Everything is root's.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Entry {
    Folder { mode: u32 },
    File { mode: u32, content: Vec<u8> },
    Link { target: String },
}

/// A layer as registries and runtimes have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layer {
    /// The compressed archive.
    pub bytes: Vec<u8>,
    /// The archive's digest before compression, which configurations name.
    pub diff_id: Digest,
}

impl Tree {
    /// Adds a file; what is there already is replaced.
    pub fn add_file(&mut self, path: &str, mode: u32, content: impl Into<Vec<u8>>) {
        self.add(path, Entry::File { mode, content: content.into() });
    }

    /// Adds a folder with its mode, sticky bit included.
    pub fn add_folder(&mut self, path: &str, mode: u32) {
        self.add(path, Entry::Folder { mode });
    }

    /// Adds a symbolic link; what is there already is replaced.
    pub fn add_link(&mut self, path: &str, target: &str) {
        self.add(path, Entry::Link { target: target.to_owned() });
    }

    fn add(&mut self, path: &str, entry: Entry) {
        for (end, _) in path.match_indices('/') {
            self.entries.entry(path[..end].to_owned()).or_insert(Entry::Folder { mode: 0o755 });
        }
        self.entries.insert(path.to_owned(), entry);
    }

    /// Adds all of a tar archive, as in a Debian package. Device files and the like are left out; set-user-id bits are taken away,
    /// as nothing in an image may become root.
    ///
    /// # Errors
    /// When it is no such archive, or a path in it leads out of it.
    pub fn add_archive(&mut self, archive: impl Read) -> io::Result<()> {
        for entry in tar::Archive::new(archive).entries()? {
            let mut entry = entry?;
            let path = plain(&entry.path()?)?;
            if path.is_empty() {
                continue;
            }
            let mode = entry.header().mode()? & 0o1777;
            match entry.header().entry_type() {
                tar::EntryType::Directory => {
                    self.entries.entry(path).or_insert(Entry::Folder { mode });
                }
                tar::EntryType::Regular => {
                    let mut content = Vec::new();
                    entry.read_to_end(&mut content)?;
                    self.add(&path, Entry::File { mode, content });
                }
                tar::EntryType::Symlink => {
                    let target = entry.link_name()?.ok_or_else(|| invalid(format!("{path} leads nowhere")))?;
                    let target = target.to_str().ok_or_else(|| invalid(format!("{path} leads to no text")))?.to_owned();
                    self.add(&path, Entry::Link { target });
                }
                tar::EntryType::Link => {
                    let target = entry.link_name()?.ok_or_else(|| invalid(format!("{path} is a link to nothing")))?;
                    let same = self.entries.get(&plain(&target)?).cloned();
                    let same = same.ok_or_else(|| invalid(format!("{path} is a link to what is not there")))?;
                    self.add(&path, same);
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Adds all of another tree; what is at the same path is replaced.
    pub fn take_all(&mut self, other: &Self) {
        self.entries.extend(other.entries.iter().map(|(path, entry)| (path.clone(), entry.clone())));
    }

    /// Takes away what fits, with all that is below.
    pub fn leave_out(&mut self, mut fits: impl FnMut(&Path) -> bool) {
        self.entries.retain(|path, _| !Path::new(path).ancestors().any(&mut fits));
    }

    /// The files below a folder, sorted by path.
    pub fn files_below<'a>(&'a self, folder: &'a str) -> impl Iterator<Item = (&'a str, &'a [u8])> {
        self.entries.iter().filter_map(move |(path, entry)| match entry {
            Entry::File { content, .. } if Path::new(path).starts_with(folder) => {
                Some((path.as_str(), content.as_slice()))
            }
            _ => None,
        })
    }

    /// Writes it all into a folder of this machine.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn write_into(&self, folder: &Path) -> io::Result<()> {
        for (path, entry) in &self.entries {
            let place = folder.join(path);
            match entry {
                Entry::Folder { .. } => fs::create_dir_all(&place)?,
                Entry::File { mode, content } => {
                    fs::write(&place, content)?;
                    fs::set_permissions(&place, fs::Permissions::from_mode(mode | 0o600))?;
                }
                Entry::Link { target } => symlink(target, &place)?,
            }
        }
        Ok(())
    }

    /// The layer it becomes.
    ///
    /// # Errors
    /// When a path does not fit an archive.
    pub fn pack(&self) -> io::Result<Layer> {
        let mut builder = tar::Builder::new(Vec::new());
        for (path, entry) in &self.entries {
            let mut header = tar::Header::new_gnu();
            header.set_mtime(ENTRY_TIME);
            header.set_uid(0);
            header.set_gid(0);
            header.set_size(0);
            match entry {
                Entry::Folder { mode } => {
                    header.set_entry_type(tar::EntryType::Directory);
                    header.set_mode(*mode);
                    builder.append_data(&mut header, format!("{path}/"), io::empty())?;
                }
                Entry::File { mode, content } => {
                    header.set_entry_type(tar::EntryType::Regular);
                    header.set_mode(*mode);
                    header.set_size(content.len() as u64);
                    builder.append_data(&mut header, path, content.as_slice())?;
                }
                Entry::Link { target } => {
                    header.set_entry_type(tar::EntryType::Symlink);
                    header.set_mode(0o777);
                    builder.append_link(&mut header, path, target)?;
                }
            }
        }
        let archive = builder.into_inner()?;
        let diff_id = Digest::of(&archive);
        let level = if archive.len() < LARGE { Compression::default() } else { Compression::fast() };
        let mut gzip = GzBuilder::new().mtime(0).write(Vec::new(), level);
        gzip.write_all(&archive)?;
        Ok(Layer { bytes: gzip.finish()?, diff_id })
    }
}

/// A path in an archive without `./` and a final `/`.
fn plain(path: &Path) -> io::Result<String> {
    let mut parts = PathBuf::new();
    for part in path.components() {
        match part {
            std::path::Component::Normal(part) => parts.push(part),
            std::path::Component::CurDir | std::path::Component::RootDir => {}
            _ => return Err(invalid(format!("{} leads out of the archive", path.display()))),
        }
    }
    parts.into_os_string().into_string().map_err(|path| invalid(format!("{} is no text", path.display())))
}

fn invalid(message: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, message)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;

    fn archive(entries: &[(&str, tar::EntryType, u32, &str)]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (path, kind, mode, text) in entries {
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(*kind);
            header.set_mode(*mode);
            header.set_uid(1000);
            header.set_mtime(1_700_000_000);
            header.set_size(0);
            match kind {
                tar::EntryType::Regular => {
                    header.set_size(text.len() as u64);
                    builder.append_data(&mut header, path, text.as_bytes()).unwrap();
                }
                tar::EntryType::Directory | tar::EntryType::Char => {
                    builder.append_data(&mut header, path, io::empty()).unwrap();
                }
                _ => builder.append_link(&mut header, path, text).unwrap(),
            }
        }
        builder.into_inner().unwrap()
    }

    fn listed(layer: &Layer) -> Vec<String> {
        let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(layer.bytes.as_slice()));
        let entries = archive.entries().unwrap().map(|entry| {
            let entry = entry.unwrap();
            let header = entry.header();
            assert_eq!((header.uid().unwrap(), header.mtime().unwrap()), (0, ENTRY_TIME));
            format!("{} {:o}", entry.path().unwrap().display(), header.mode().unwrap())
        });
        entries.collect()
    }

    #[test]
    fn a_packages_files_become_roots_with_fixed_times_and_no_set_user_id() {
        use tar::EntryType::{Directory, Link, Regular, Symlink};
        let entries = [
            ("./usr/bin", Directory, 0o755, ""),
            ("./usr/bin/su", Regular, 0o4755, "su"),
            ("./usr/bin/also-su", Link, 0o4755, "./usr/bin/su"),
            ("./lib", Symlink, 0o777, "usr/lib"),
            ("./dev/null", tar::EntryType::Char, 0o666, ""),
        ];
        let mut tree = Tree::default();
        tree.add_archive(archive(&entries).as_slice()).unwrap();
        tree.add_folder("tmp", 0o1777);
        let layer = tree.pack().unwrap();
        assert_eq!(
            listed(&layer),
            ["lib 777", "tmp/ 1777", "usr/ 755", "usr/bin/ 755", "usr/bin/also-su 755", "usr/bin/su 755"]
        );
        assert_eq!(layer, tree.clone().pack().unwrap());
    }

    #[test]
    fn the_order_in_which_it_was_filled_does_not_matter() {
        let (mut one, mut other) = (Tree::default(), Tree::default());
        one.add_file("a/b", 0o644, "b");
        one.add_file("a-c", 0o644, "c");
        other.add_file("a-c", 0o644, "c");
        other.add_file("a/b", 0o644, "b");
        assert_eq!(one.pack().unwrap(), other.pack().unwrap());
    }

    #[test]
    fn what_is_left_out_takes_along_what_is_below() {
        let mut tree = Tree::default();
        tree.add_file("usr/share/doc/a/copyright", 0o644, "");
        tree.add_file("usr/share/document", 0o644, "");
        tree.leave_out(|path| path == Path::new("usr/share/doc"));
        assert_eq!(tree.entries.keys().collect::<Vec<_>>(), ["usr", "usr/share", "usr/share/document"]);
        assert_eq!(tree.files_below("usr/share").count(), 1);
    }

    #[test]
    fn a_path_that_leads_out_is_refused() {
        assert!(plain(Path::new("../etc/passwd")).is_err());
        assert_eq!(plain(Path::new("./a/./b/")).unwrap(), "a/b");
        assert_eq!(plain(Path::new("/a")).unwrap(), "a");
    }
}
