//! A name in a folder: the only way in which the agent changes files.
//!
//! The folder is held open, so nothing on the way to it can be exchanged meanwhile. The name's own symbolic link is never
//! followed; one on the way is followed only where the folder that holds it is root's (or the agent's own), because whoever
//! owns a folder could otherwise lead the agent, which is root, to write anywhere.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path};

use rustix::fs::{AtFlags, FileType, Mode as Bits, OFlags, Stat};
use rustix::io::Errno;

use super::names::Ids;
use super::problem::{Doing as _, Problem};
use super::root::Root;

/// Folders are opened like this.
const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// A name in a folder.
#[derive(Debug)]
pub struct Place {
    folder: OwnedFd,
    name: OsString,
    /// The path as the user knows it, for messages.
    path: String,
}

/// What is at a place.
#[derive(Debug, Clone, Copy)]
pub struct Found {
    /// Kind of thing.
    pub kind: FileType,
    /// Who it belongs to.
    pub ids: Ids,
    /// Permission bits.
    pub mode: u32,
    /// Size in bytes.
    pub size: u64,
}

impl Found {
    fn of(stat: &Stat) -> Self {
        Self {
            kind: FileType::from_raw_mode(stat.st_mode),
            ids: Ids { user: stat.st_uid, group: stat.st_gid },
            mode: stat.st_mode & 0o7777,
            size: u64::try_from(stat.st_size).unwrap_or_default(),
        }
    }
}

impl Place {
    /// The place, unless a folder on the way to it is missing.
    ///
    /// # Errors
    /// When the path is none, or leads through a symbolic link that someone else than root could exchange.
    pub fn find(root: &Root, path: &str) -> Result<Option<Self>, Problem> {
        Self::walk(root, path, false)
    }

    /// The place; missing folders on the way are made, root's, 0755.
    ///
    /// # Errors
    /// As [`Self::find`], and when a folder cannot be made.
    pub fn make(root: &Root, path: &str) -> Result<Self, Problem> {
        let found = Self::walk(root, path, true)?;
        found.ok_or_else(|| Problem::new(format!("cannot reach {path}: something that is no folder is on the way")))
    }

    fn walk(root: &Root, path: &str, make: bool) -> Result<Option<Self>, Problem> {
        let mut names = components(path)?;
        let Some(name) = names.pop() else {
            return Err(Problem::new(format!("expected a path below /, found {path:?}")));
        };
        let mut folder = rustix::fs::open(root.folder(), FOLDER, Bits::empty()).doing("open the root folder")?;
        for step in names {
            let next = match rustix::fs::openat(&folder, step, FOLDER | OFlags::NOFOLLOW, Bits::empty()) {
                Err(Errno::NOENT) if make => {
                    Some(make_folder(&folder, step).doing(format!("make the folders of {path}"))?)
                }
                Err(Errno::LOOP | Errno::NOTDIR) => follow(&folder, step, path)?,
                Err(Errno::NOENT) => None,
                opened => Some(opened.doing(format!("open the folders of {path}"))?),
            };
            match next {
                Some(next) => folder = next,
                None => return Ok(None),
            }
        }
        Ok(Some(Self { folder, name: name.to_owned(), path: path.to_owned() }))
    }

    /// What is there, not following a link; `None` if nothing is.
    ///
    /// # Errors
    /// When it cannot be looked at.
    pub fn look(&self) -> Result<Option<Found>, Problem> {
        match rustix::fs::statat(&self.folder, &self.name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(Found::of(&stat))),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(Problem::io(format!("look at {}", self.path), &error.into())),
        }
    }

    /// Opens the file or folder that is there, for reading.
    ///
    /// # Errors
    /// When it is a link or cannot be opened.
    pub fn open(&self) -> Result<File, Problem> {
        // NONBLOCK: a pipe put in the file's place would otherwise hold the agent up for good.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let opened = rustix::fs::openat(&self.folder, &self.name, flags, Bits::empty());
        opened.map(File::from).doing(format!("open {}", self.path))
    }

    /// Reads the whole file, unless it is longer than `most` bytes.
    ///
    /// # Errors
    /// When it is longer or cannot be read.
    pub fn read(&self, most: u64) -> Result<Vec<u8>, Problem> {
        let mut content = Vec::new();
        let file = self.open()?;
        file.take(most + 1).read_to_end(&mut content).doing(format!("read {}", self.path))?;
        if content.len() as u64 > most {
            return Err(Problem::new(format!("{} is longer than {most} bytes", self.path)));
        }
        Ok(content)
    }

    /// Where the link that is there points.
    ///
    /// # Errors
    /// When it is no link.
    pub fn target(&self) -> Result<String, Problem> {
        let target = rustix::fs::readlinkat(&self.folder, &self.name, Vec::new());
        Ok(target.doing(format!("read the link {}", self.path))?.to_string_lossy().into_owned())
    }

    /// Puts a file there in one stroke: whoever looks finds the former one or the new one, whole, with its owner and
    /// mode, also after a power cut.
    ///
    /// # Errors
    /// When it cannot be written; the former file is then untouched.
    pub fn write(
        &self,
        ids: Ids,
        mode: u32,
        content: impl FnOnce(&mut File) -> Result<(), Problem>,
    ) -> Result<(), Problem> {
        let new = self.beside();
        let written = (|| {
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let opened = rustix::fs::openat(&self.folder, &new, flags, Bits::RUSR | Bits::WUSR);
            let mut file = opened.map(File::from).doing(format!("write beside {}", self.path))?;
            content(&mut file)?;
            set_owner_and_mode(&file, ids, mode).doing(format!("set owner and mode of {}", self.path))?;
            file.sync_all().doing(format!("write {}", self.path))?;
            rustix::fs::renameat(&self.folder, &new, &self.folder, &self.name).map_err(|error| self.cannot_take(error))
        })();
        if written.is_err() {
            // What failed is said already; a left-over is removed by the next attempt.
            let _ = rustix::fs::unlinkat(&self.folder, &new, AtFlags::empty());
        }
        written?;
        self.sync()
    }

    /// Puts a symbolic link there in one stroke.
    ///
    /// # Errors
    /// When it cannot be made; what was there is then untouched.
    pub fn link(&self, target: &str) -> Result<(), Problem> {
        let new = self.beside();
        rustix::fs::symlinkat(target, &self.folder, &new).doing(format!("make a link beside {}", self.path))?;
        rustix::fs::renameat(&self.folder, &new, &self.folder, &self.name).map_err(|error| self.cannot_take(error))?;
        self.sync()
    }

    /// Makes a folder there.
    ///
    /// # Errors
    /// When something is there or it cannot be made.
    pub fn make_folder(&self, ids: Ids, mode: u32) -> Result<(), Problem> {
        rustix::fs::mkdirat(&self.folder, &self.name, Bits::RWXU).doing(format!("make the folder {}", self.path))?;
        self.set_owner_and_mode(ids, mode)?;
        self.sync()
    }

    /// Gives the file or folder there to someone, with permission bits.
    ///
    /// # Errors
    /// When it is a link or may not be given away.
    pub fn set_owner_and_mode(&self, ids: Ids, mode: u32) -> Result<(), Problem> {
        let file = self.open()?;
        let stat = rustix::fs::fstat(&file).doing(format!("look at {}", self.path))?;
        // Narrowed first: the new owner must not get what the former bits would give, nor the former owner the new ones.
        rustix::fs::fchmod(&file, Bits::from_raw_mode(stat.st_mode & mode & 0o777))
            .doing(format!("set the mode of {}", self.path))?;
        set_owner_and_mode(&file, ids, mode).doing(format!("set owner and mode of {}", self.path))
    }

    /// Removes the file or link that is there; nothing there is as good.
    ///
    /// # Errors
    /// When it is a folder or cannot be removed.
    pub fn remove(&self) -> Result<(), Problem> {
        match rustix::fs::unlinkat(&self.folder, &self.name, AtFlags::empty()) {
            Ok(()) => self.sync(),
            Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(Problem::io(format!("remove {}", self.path), &error.into())),
        }
    }

    /// Removes the folder that is there if it is empty. Whether it is gone.
    ///
    /// # Errors
    /// When it cannot be removed for another reason than its entries.
    pub fn remove_empty_folder(&self) -> Result<bool, Problem> {
        match rustix::fs::unlinkat(&self.folder, &self.name, AtFlags::REMOVEDIR) {
            Ok(()) => self.sync().map(|()| true),
            Err(Errno::NOENT) => Ok(true),
            Err(Errno::NOTEMPTY | Errno::EXIST | Errno::BUSY) => Ok(false),
            Err(error) => Err(Problem::io(format!("remove the folder {}", self.path), &error.into())),
        }
    }

    /// The path as the user knows it.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// A name beside this one for what is to take its place. It is fixed, and cleared first, because whoever writes holds
    /// the host's lock: what a killed agent left is overwritten instead of piling up.
    fn beside(&self) -> OsString {
        let mut name = OsString::from(".");
        name.push(&self.name);
        name.push(".wire-deploy-new");
        let _ = rustix::fs::unlinkat(&self.folder, &name, AtFlags::empty());
        name
    }

    fn cannot_take(&self, error: Errno) -> Problem {
        match error {
            Errno::ISDIR | Errno::NOTEMPTY | Errno::EXIST => Problem::new(format!("{} is a folder", self.path))
                .hint("look what it holds and move it away; wire-deploy does not delete what it does not know"),
            error => Problem::io(format!("put {} in its place", self.path), &error.into()),
        }
    }

    fn sync(&self) -> Result<(), Problem> {
        rustix::fs::fsync(&self.folder).doing(format!("write the folder of {}", self.path))
    }
}

/// The names that an absolute path consists of.
fn components(path: &str) -> Result<Vec<&OsStr>, Problem> {
    let refused = || Problem::new(format!("expected an absolute path without `..`, found {path:?}"));
    if !path.starts_with('/') || path.contains('\0') {
        return Err(refused());
    }
    let names = Path::new(path).components().filter(|component| *component != Component::RootDir);
    let names = names.map(|component| match component {
        Component::Normal(name) => Ok(name),
        _ => Err(refused()),
    });
    names.collect()
}

fn make_folder(parent: &OwnedFd, name: &OsStr) -> Result<OwnedFd, Errno> {
    match rustix::fs::mkdirat(parent, name, Bits::from_raw_mode(0o755)) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(error) => return Err(error),
    }
    rustix::fs::fsync(parent)?;
    rustix::fs::openat(parent, name, FOLDER | OFlags::NOFOLLOW, Bits::empty())
}

/// Opens the folder that a link on the way points to; `None` where no folder is.
fn follow(parent: &OwnedFd, name: &OsStr, path: &str) -> Result<Option<OwnedFd>, Problem> {
    let doing = || format!("open the folders of {path}");
    let stat = rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW).doing(doing())?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::Symlink {
        return Ok(None);
    }
    let holder = rustix::fs::fstat(parent).doing(doing())?.st_uid;
    if holder != 0 && holder != rustix::process::geteuid().as_raw() {
        let link = String::from_utf8_lossy(name.as_bytes());
        return Err(Problem::new(format!(
            "the way to {path} leads through the link {link:?} in a folder that is not root's"
        ))
        .hint("name the place it points to instead, or remove the link"));
    }
    match rustix::fs::openat(parent, name, FOLDER, Bits::empty()) {
        Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
        opened => opened.map(Some).doing(doing()),
    }
}

fn set_owner_and_mode(file: &File, ids: Ids, mode: u32) -> io::Result<()> {
    let (user, group) = (rustix::fs::Uid::from_raw(ids.user), rustix::fs::Gid::from_raw(ids.group));
    rustix::fs::fchown(file, Some(user), Some(group))?;
    // After the owner, because a change of owner clears the set-id bits.
    rustix::fs::fchmod(file, Bits::from_raw_mode(mode))?;
    Ok(())
}

/// Makes a folder of the agent's own with all above it: only root may look inside.
///
/// # Errors
/// When it cannot be made.
pub fn make_private_folder(root: &Root, path: &str) -> Result<(), Problem> {
    let place = Place::make(root, path)?;
    let ids = Ids { user: rustix::process::geteuid().as_raw(), group: rustix::process::getegid().as_raw() };
    match place.look()? {
        None => place.make_folder(ids, 0o700).or_else(|problem| match place.look()? {
            // Another request may have made it in the meantime.
            Some(found) if found.kind == FileType::Directory => place.set_owner_and_mode(ids, 0o700),
            _ => Err(problem),
        }),
        Some(found) if found.kind == FileType::Directory && (found.mode, found.ids) == (0o700, ids) => Ok(()),
        Some(_) => place.set_owner_and_mode(ids, 0o700),
    }
}
