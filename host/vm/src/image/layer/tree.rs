//! Making entries below a folder, and nowhere else.
//!
//! Every step goes through descriptors, and the kernel resolves links as if the folder
//! were the root of all (`openat2` with `RESOLVE_IN_ROOT`).

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, Dev, FileType, Mode, OFlags, ResolveFlags, Stat, fchmod, linkat, mkdirat, mknodat,
    open, openat, openat2, statat, symlinkat, unlinkat,
};
use rustix::io::Errno;

use super::name::Parts;
use crate::state::remove_tree;

/// A folder that is being filled.
pub(super) struct Tree {
    root: OwnedFd,
    /// The folder of the last entry: the next one is often beside it.
    last: Option<(Parts, OwnedFd)>,
}

/// What is in the way of a new entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    Nothing,
    Folder,
    Whiteout,
    Other,
}

impl Tree {
    pub(super) fn open(root: &Path) -> io::Result<Self> {
        let root = open(
            root,
            OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC,
            Mode::empty(),
        )?;
        Ok(Self { root, last: None })
    }

    /// Opens a folder, links followed inside the tree, and makes what is missing of it.
    pub(super) fn folder(&mut self, parts: &[impl AsRef<OsStr>]) -> io::Result<OwnedFd> {
        let same = |known: &Parts| {
            known.len() == parts.len()
                && known
                    .iter()
                    .zip(parts)
                    .all(|(known, part)| known == part.as_ref())
        };
        if let Some((known, folder)) = &self.last
            && same(known)
        {
            return folder.try_clone();
        }
        let parts: Parts = parts.iter().map(|part| part.as_ref().to_owned()).collect();
        let folder = match self.resolve(&parts) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.make_missing(&parts)?,
            other => other?,
        };
        let kept = folder.try_clone()?;
        self.last = Some((parts, kept));
        Ok(folder)
    }

    /// Opens a folder that is there, links followed inside the tree.
    pub(super) fn resolve(&self, parts: &[impl AsRef<OsStr>]) -> io::Result<OwnedFd> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let how = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        Ok(openat2(&self.root, path(parts), flags, Mode::empty(), how)?)
    }

    fn make_missing(&self, parts: &Parts) -> io::Result<OwnedFd> {
        let mut above = self.root.try_clone()?;
        for length in 1..=parts.len() {
            above = match self.resolve(&parts[..length]) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    // A link that leads nowhere is there, so this fails on it.
                    mkdirat(&above, &parts[length - 1], Mode::RWXU)?;
                    let made = self.resolve(&parts[..length])?;
                    // Whatever this process's umask is.
                    fchmod(&made, Mode::from_raw_mode(0o755))?;
                    made
                }
                other => other?,
            };
        }
        Ok(above)
    }

    /// Tells what has a name now.
    pub(super) fn find(folder: BorrowedFd<'_>, name: &OsStr) -> io::Result<(Found, Option<Stat>)> {
        match statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => Ok((Found::Nothing, None)),
            Err(error) => Err(error.into()),
            Ok(found) => {
                let kind = match FileType::from_raw_mode(found.st_mode) {
                    FileType::Directory => Found::Folder,
                    FileType::CharacterDevice if found.st_rdev == 0 => Found::Whiteout,
                    _ => Found::Other,
                };
                Ok((kind, Some(found)))
            }
        }
    }

    /// Removes what has a name now, with all that is below.
    pub(super) fn clear(
        &mut self,
        folder: BorrowedFd<'_>,
        name: &OsStr,
        found: Found,
    ) -> io::Result<()> {
        match found {
            Found::Nothing => Ok(()),
            Found::Folder => {
                self.last = None;
                remove_tree(&by_descriptor(folder).join(name))
            }
            // A link may have led to what is remembered.
            Found::Whiteout | Found::Other => {
                self.last = None;
                Ok(unlinkat(folder, name, AtFlags::empty())?)
            }
        }
    }
}

/// Makes a folder. Its mode is set when all that it holds is there.
pub(super) fn make_folder(folder: BorrowedFd<'_>, name: &OsStr) -> io::Result<()> {
    Ok(mkdirat(folder, name, Mode::RWXU)?)
}

/// Opens a folder by its own name, not through a link.
pub(super) fn open_folder(folder: BorrowedFd<'_>, name: &OsStr) -> io::Result<OwnedFd> {
    Ok(openat(
        folder,
        name,
        OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC,
        Mode::empty(),
    )?)
}

/// Makes an empty file.
pub(super) fn make_file(folder: BorrowedFd<'_>, name: &OsStr) -> io::Result<OwnedFd> {
    Ok(openat(
        folder,
        name,
        OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC,
        Mode::RUSR | Mode::WUSR,
    )?)
}

/// Makes a symbolic link; where it leads is the machine's affair.
pub(super) fn make_link(folder: BorrowedFd<'_>, name: &OsStr, target: &[u8]) -> io::Result<()> {
    Ok(symlinkat(OsStr::from_bytes(target), folder, name)?)
}

/// Makes a named pipe.
pub(super) fn make_pipe(folder: BorrowedFd<'_>, name: &OsStr) -> io::Result<()> {
    let mode = Mode::RUSR | Mode::WUSR;
    Ok(mknodat(folder, name, FileType::Fifo, mode, Dev::default())?)
}

/// Makes overlayfs's mark for a removed name.
pub(super) fn make_whiteout(folder: BorrowedFd<'_>, name: &OsStr) -> io::Result<()> {
    let kind = FileType::CharacterDevice;
    Ok(mknodat(folder, name, kind, Mode::empty(), Dev::default())?)
}

/// Gives a file a second name.
pub(super) fn make_hard_link(
    from: (BorrowedFd<'_>, &OsStr),
    to: (BorrowedFd<'_>, &OsStr),
) -> io::Result<()> {
    Ok(linkat(from.0, from.1, to.0, to.1, AtFlags::empty())?)
}

/// Returns a path to what a descriptor has open.
pub(super) fn by_descriptor(folder: BorrowedFd<'_>) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", folder.as_raw_fd()))
}

fn path(parts: &[impl AsRef<OsStr>]) -> PathBuf {
    if parts.is_empty() {
        return PathBuf::from(".");
    }
    parts.iter().map(AsRef::as_ref).collect()
}
