//! Archives: a tar.gz unpacked beside its folder, then put in the folder's place in one stroke.

use std::collections::HashSet;
use std::fs::{self, DirBuilder, File};
use std::io::{self, BufReader};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _, symlink};
use std::path::{Component, Path, PathBuf};

use flate2::read::GzDecoder;
use rustix::fs::{CWD, RenameFlags};
use tar::EntryType;

use super::blobs::Blobs;
use super::place::Place;
use super::problem::{Doing as _, Problem};
use super::root::Root;
use crate::digest::Digest;
use crate::resource::Archive;
use crate::state::State;

/// In the folder: the digest of the archive that it was unpacked from.
const STAMP: &str = ".wire-deploy-archive";

/// What the folder was unpacked from.
///
/// # Errors
/// When it cannot be looked at.
pub fn observe(root: &Root, wanted: &Archive) -> Result<State, Problem> {
    let Some(place) = Place::find(root, &wanted.path)? else { return Ok(State::Absent) };
    if place.look()?.is_none() {
        return Ok(State::Absent);
    }
    let stamp = fs::read_to_string(root.path(&wanted.path).join(STAMP)).ok();
    Ok(State::Archive { blob: stamp.and_then(|stamp| Digest::try_from(stamp.trim().to_owned()).ok()) })
}

/// Unpacks the archive into the folder. Everything in it is root's.
///
/// # Errors
/// When the archive is none or leads out of its folder, or the folder is one that wire-deploy did not unpack.
pub fn apply(root: &Root, wanted: &Archive) -> Result<(), Problem> {
    let blob = Blobs::open(root, &wanted.blob)?;
    // Makes the folders above, and refuses ways that others could change.
    let place = Place::make(root, &wanted.path)?;
    let folder = root.path(&wanted.path);
    let former = observe(root, wanted)?;
    let empty = || fs::read_dir(&folder).is_ok_and(|mut entries| entries.next().is_none());
    if former == (State::Archive { blob: None }) && !empty() {
        return Err(Problem::new(format!("{} is there and was not unpacked by wire-deploy", place.path()))
            .hint("look what it holds and move it away, or name another folder in the site file"));
    }
    let new = beside(&folder)?;
    remove_if_there(&new)?;
    let unpacked = unpack(blob, &new, wanted.strip as usize).and_then(|()| {
        fs::write(new.join(STAMP), format!("{}\n", wanted.blob)).doing(format!("write into {}", wanted.path))?;
        let opened = File::open(&new).doing(format!("open {}", wanted.path))?;
        rustix::fs::syncfs(&opened).doing(format!("write {}", wanted.path))
    });
    let swapped = unpacked.and_then(|()| {
        let flags = if former == State::Absent { RenameFlags::NOREPLACE } else { RenameFlags::EXCHANGE };
        rustix::fs::renameat_with(CWD, &new, CWD, &folder, flags).doing(format!("put {} in its place", wanted.path))
    });
    // What is left beside is the former folder, or what was unpacked in vain.
    remove_if_there(&new)?;
    swapped
}

/// Deletes the folder, if wire-deploy unpacked it.
///
/// # Errors
/// When it cannot be deleted.
pub fn remove(root: &Root, wanted: &Archive) -> Result<(), Problem> {
    match observe(root, wanted)? {
        State::Archive { blob: Some(_) } => remove_if_there(&root.path(&wanted.path)),
        _ => Ok(()),
    }
}

fn unpack(blob: File, folder: &Path, strip: usize) -> Result<(), Problem> {
    let doing = |what: &Path| format!("unpack {}", what.display());
    make_folder(folder).doing(doing(folder))?;
    let mut archive = tar::Archive::new(GzDecoder::new(BufReader::new(blob)));
    let mut links = HashSet::new();
    for entry in archive.entries().doing("read the archive")? {
        let mut entry = entry.doing("read the archive")?;
        let name = entry.path().doing("read the archive")?.into_owned();
        let Some(inside) = within(&name, strip)? else { continue };
        let leads_through_a_link = |path: &Path| path.ancestors().any(|above| links.contains(above));
        if leads_through_a_link(&inside) {
            return Err(escapes(&name));
        }
        let target = folder.join(&inside);
        if let Some(parent) = target.parent() {
            make_folder(parent).doing(doing(&name))?;
        }
        match entry.header().entry_type() {
            EntryType::Directory => make_folder(&target).doing(doing(&name))?,
            EntryType::Regular | EntryType::Continuous => {
                let mut file = File::create_new(&target).doing(doing(&name))?;
                io::copy(&mut entry, &mut file).doing(doing(&name))?;
                let executable = entry.header().mode().doing(doing(&name))? & 0o111 != 0;
                let mode = if executable { 0o755 } else { 0o644 };
                file.set_permissions(fs::Permissions::from_mode(mode)).doing(doing(&name))?;
            }
            EntryType::Symlink => {
                let link = entry.link_name().doing(doing(&name))?.unwrap_or_default().into_owned();
                if !stays_inside(&inside, &link) {
                    return Err(escapes(&name));
                }
                symlink(link, &target).doing(doing(&name))?;
                links.insert(inside);
            }
            EntryType::Link => {
                let link = entry.link_name().doing(doing(&name))?.unwrap_or_default().into_owned();
                let Some(link) = within(&link, strip)? else { return Err(escapes(&name)) };
                if leads_through_a_link(&link) {
                    return Err(escapes(&name));
                }
                fs::hard_link(folder.join(link), &target).doing(doing(&name))?;
            }
            EntryType::XGlobalHeader | EntryType::XHeader => {}
            _ => return Err(Problem::new(format!("the archive holds a device or pipe: {}", name.display()))),
        }
    }
    Ok(())
}

/// The entry's path below the folder; `None` if nothing is left after `strip` components.
fn within(name: &Path, strip: usize) -> Result<Option<PathBuf>, Problem> {
    let mut inside = PathBuf::new();
    for component in name.components().filter(|component| *component != Component::CurDir).skip(strip) {
        match component {
            Component::Normal(part) => inside.push(part),
            _ => return Err(escapes(name)),
        }
    }
    if name.components().any(|component| component == Component::ParentDir) || name.is_absolute() {
        return Err(escapes(name));
    }
    Ok((inside != Path::new("")).then_some(inside))
}

/// Whether a link at `inside` (below the folder) that points to `target` leads to something below the folder.
fn stays_inside(inside: &Path, target: &Path) -> bool {
    let mut depth = inside.components().count().saturating_sub(1);
    for component in target.components() {
        match component {
            Component::Normal(_) => depth += 1,
            Component::CurDir => {}
            Component::ParentDir if depth > 0 => depth -= 1,
            _ => return false,
        }
    }
    true
}

fn escapes(name: &Path) -> Problem {
    Problem::new(format!("the archive would write or point outside its folder: {}", name.display()))
        .hint("it is damaged or not what it should be; nothing was changed")
}

/// Makes a folder and those above it, each 0755, not following a link in the last place.
fn make_folder(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => return Ok(()),
        Ok(_) => return Err(io::ErrorKind::NotADirectory.into()),
        Err(_) => {}
    }
    if let Some(parent) = path.parent() {
        make_folder(parent)?;
    }
    DirBuilder::new().mode(0o755).create(path)
}

fn beside(folder: &Path) -> Result<PathBuf, Problem> {
    let name = folder.file_name().ok_or_else(|| Problem::new("an archive cannot be unpacked into /"))?;
    Ok(folder.with_file_name(format!(".{}.wire-deploy-new", name.to_string_lossy())))
}

fn remove_if_there(path: &Path) -> Result<(), Problem> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed.doing(format!("delete {}", path.display())),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::super::blobs::Incoming;
    use super::*;

    type Entry = (&'static str, EntryType, &'static str);

    fn store(root: &Root, entries: &[Entry]) -> Digest {
        let mut builder = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
        for (name, kind, content) in entries {
            let mut header = tar::Header::new_ustar();
            // Written by hand, because the builder refuses the names that are tried here.
            header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
            header.set_entry_type(*kind);
            header.set_mode(if *kind == EntryType::Directory { 0o777 } else { 0o4711 });
            let body = if *kind == EntryType::Regular { content.as_bytes() } else { b"" };
            if *kind != EntryType::Regular {
                header.as_old_mut().linkname[..content.len()].copy_from_slice(content.as_bytes());
            }
            header.set_size(body.len() as u64);
            header.set_cksum();
            builder.append(&header, body).unwrap();
        }
        let bytes = builder.into_inner().unwrap().finish().unwrap();
        let blob = Digest::of(&bytes);
        let mut incoming = Incoming::begin(root, blob.clone(), bytes.len() as u64, "t").unwrap();
        incoming.write(&bytes).unwrap();
        incoming.finish(root).unwrap();
        blob
    }

    fn wanted(blob: Digest) -> Archive {
        Archive { path: "/opt/thing".to_owned(), blob, strip: 1 }
    }

    #[test]
    fn an_archive_replaces_the_former_one_whole() {
        let folder = tempfile::tempdir().unwrap();
        let root = Root::new(folder.path());
        let first = wanted(store(
            &root,
            &[
                ("./a/", EntryType::Directory, ""),
                ("./a/bin/run", EntryType::Regular, "one"),
                ("./a/old", EntryType::Regular, "old"),
                ("./a/bin/link", EntryType::Symlink, "../old"),
                ("./a/hard", EntryType::Link, "a/old"),
            ],
        ));
        assert_eq!(observe(&root, &first).unwrap(), State::Absent);
        apply(&root, &first).unwrap();
        assert_eq!(observe(&root, &first).unwrap(), State::Archive { blob: Some(first.blob.clone()) });
        let run = root.path("/opt/thing/bin/run");
        assert_eq!(fs::read_to_string(&run).unwrap(), "one");
        assert_eq!(fs::metadata(&run).unwrap().permissions().mode() & 0o7777, 0o755, "no set-id bit survives");
        assert_eq!(fs::read_to_string(root.path("/opt/thing/bin/link")).unwrap(), "old");

        let second = wanted(store(&root, &[("b/bin/run", EntryType::Regular, "two")]));
        apply(&root, &second).unwrap();
        assert_eq!(fs::read_to_string(&run).unwrap(), "two");
        assert!(!root.path("/opt/thing/old").exists());
        assert_eq!(fs::read_dir(root.path("/opt")).unwrap().count(), 1, "nothing is left beside it");

        remove(&root, &second).unwrap();
        assert_eq!(observe(&root, &second).unwrap(), State::Absent);
    }

    #[test]
    fn an_archive_that_leads_out_of_its_folder_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let root = Root::new(folder.path());
        for entry in [
            ("a/../../b", EntryType::Regular, "x"),
            ("/etc/b", EntryType::Regular, "x"),
            ("a/b", EntryType::Symlink, "/etc"),
            ("a/b", EntryType::Symlink, "../b"),
            ("a/b", EntryType::Link, "../b"),
            ("a/b", EntryType::Fifo, ""),
        ] {
            let wanted = wanted(store(&root, &[("a/fine", EntryType::Regular, "x"), entry]));
            assert!(apply(&root, &wanted).is_err(), "{entry:?}");
            assert_eq!(observe(&root, &wanted).unwrap(), State::Absent, "{entry:?}");
        }
        // A link that stays inside may still not be written through.
        let through = [("a/b", EntryType::Symlink, "c"), ("a/b/d", EntryType::Regular, "x")];
        assert!(apply(&root, &wanted(store(&root, &through))).is_err());
    }

    #[test]
    fn a_folder_of_someone_else_is_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let root = Root::new(folder.path());
        fs::create_dir_all(root.path("/opt/thing")).unwrap();
        let wanted = wanted(store(&root, &[("a/fine", EntryType::Regular, "x")]));
        fs::write(root.path("/opt/thing/mine"), "").unwrap();
        assert!(apply(&root, &wanted).is_err());
        assert!(root.path("/opt/thing/mine").exists());
        fs::remove_file(root.path("/opt/thing/mine")).unwrap();
        apply(&root, &wanted).unwrap();
    }

    #[test]
    fn a_damaged_archive_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let root = Root::new(folder.path());
        let blob = Digest::of(b"no archive");
        let mut incoming = Incoming::begin(&root, blob.clone(), 10, "t").unwrap();
        incoming.write(b"no archive").unwrap();
        incoming.finish(&root).unwrap();
        assert!(apply(&root, &wanted(blob)).is_err());
        assert!(fs::read_dir(root.path("/opt")).unwrap().next().is_none());
    }
}
