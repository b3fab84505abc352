//! Writing a layer.

use std::ffi::OsStr;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use rayon::iter::{IntoParallelRefIterator, ParallelIterator};
use rustix::fs::{
    AtFlags, CWD, FileType, Mode, chmodat, fsetxattr, linkat, mkdirat, mknodat, utimensat,
};
use rustix::io::Errno;

use super::copy::{Copied, Copier, buffer, times};
use super::manifest::{Entry, Kind, Manifest};
use super::options::Flavour;
use super::walk::{open_folder, open_root};
use crate::error::VmError;
use crate::state::{io_error, write_error};

/// The folder in a layer under which the tree appears in machines.
pub(super) const WORKSPACE: &str = "workspace";

/// A layer to be written.
pub(super) struct Plan<'a> {
    /// Indexes of the folders to make, sorted by path, the root among them.
    pub(super) folders: Vec<usize>,
    /// Whether a folder hides what is below it, by index.
    pub(super) opaque: Vec<usize>,
    /// Indexes of the files and links to copy from the worktree.
    pub(super) copies: Vec<usize>,
    /// Indexes of those to take from the layers that hold them, without a copy.
    pub(super) links: Vec<usize>,
    /// Paths to hide.
    pub(super) whiteouts: Vec<Vec<u8>>,
    /// What was there before; what vanishes under way must be hidden if it was there.
    pub(super) old: Option<&'a Manifest>,
    pub(super) number: u32,
    pub(super) flavour: Flavour,
}

/// Where a layer comes from and goes to.
pub(super) struct Places<'a> {
    pub(super) root: &'a Path,
    pub(super) root_fd: &'a OwnedFd,
    /// The layer's folder; made here.
    pub(super) target: &'a Path,
    /// Returns the folder of a layer of the store, by number.
    pub(super) layer: &'a (dyn Fn(u32) -> Option<PathBuf> + Sync),
}

/// How writing a layer ended.
pub(super) enum Written {
    /// Indexes of entries that were not copied after all, with whether they are there
    /// but unreadable.
    Done(Vec<(usize, bool)>),
    /// Entries became another kind of thing under way: walk again.
    Moved(PathBuf),
    /// The file system takes no whiteouts: write a base instead.
    NoWhiteouts,
}

/// Writes a layer, and updates the entries it holds.
pub(super) fn write(
    plan: &Plan<'_>,
    places: &Places<'_>,
    entries: &mut [Entry],
) -> Result<Written, VmError> {
    let workspace = places.target.join(WORKSPACE);
    std::fs::create_dir(places.target).map_err(write_error("cannot create", places.target))?;
    std::fs::create_dir(&workspace).map_err(write_error("cannot create", &workspace))?;
    let target = open_root(&workspace).map_err(io_error("cannot open", &workspace))?;
    make_folders(plan, entries, &target, &workspace)?;
    for path in &plan.whiteouts {
        if !hide(&target, path).map_err(write_error("cannot create", at(&workspace, path)))? {
            return Ok(Written::NoWhiteouts);
        }
    }
    let outcomes = write_files(plan, places, entries, &target)?;
    let mut dropped = Vec::new();
    for (index, copied) in outcomes {
        let path = entries[index].path.clone();
        match copied {
            Copied::Whole(entry) => {
                let racy = entries[index].racy;
                entries[index] = Entry {
                    layer: plan.number,
                    racy,
                    ..entry
                };
            }
            Copied::Gone | Copied::Unreadable => {
                // An unreadable file's empty copy may be there already.
                if plan.old.is_some_and(|old| old.get(&path).is_some())
                    && !hide(&target, &path)
                        .map_err(write_error("cannot create", at(&workspace, &path)))?
                {
                    return Ok(Written::NoWhiteouts);
                }
                dropped.push((index, matches!(copied, Copied::Unreadable)));
            }
            Copied::Replaced => return Ok(Written::Moved(at(places.root, &path))),
            Copied::Restless => {
                return Err(VmError::Other(format!(
                    "{} changed during the snapshot of the source, three times in a row; stop \
                     what writes to it, or list it in .hmignore",
                    at(places.root, &path).display()
                )));
            }
        }
    }
    finish_folders(plan, entries, &target, &workspace)?;
    Ok(Written::Done(dropped))
}

/// Makes the folders open, so that entries can be written into them.
fn make_folders(
    plan: &Plan<'_>,
    entries: &[Entry],
    target: &OwnedFd,
    workspace: &Path,
) -> Result<(), VmError> {
    for index in &plan.folders {
        let path = entries[*index].path.as_slice();
        if !path.is_empty() {
            mkdirat(target, path, Mode::RWXU)
                .map_err(write_error("cannot create", at(workspace, path)))?;
        }
        if plan.opaque.binary_search(index).is_ok() {
            let folder =
                open_folder(target, path).map_err(io_error("cannot open", at(workspace, path)))?;
            fsetxattr(
                &folder,
                plan.flavour.opaque_attribute(),
                b"y",
                rustix::fs::XattrFlags::empty(),
            )
            .map_err(write_error(
                "cannot set an attribute of",
                at(workspace, path),
            ))?;
        }
    }
    Ok(())
}

/// Gives the folders their own times and permissions, the innermost first, as after that
/// they may be closed.
fn finish_folders(
    plan: &Plan<'_>,
    entries: &[Entry],
    target: &OwnedFd,
    workspace: &Path,
) -> Result<(), VmError> {
    for index in plan.folders.iter().rev() {
        let entry = &entries[*index];
        let path = if entry.path.is_empty() {
            b"."
        } else {
            entry.path.as_slice()
        };
        let mode = Mode::from_raw_mode(entry.mode);
        utimensat(target, path, &times(entry), AtFlags::empty())
            .and_then(|()| chmodat(target, path, mode, AtFlags::empty()))
            .map_err(io_error("cannot set the times of", at(workspace, path)))?;
    }
    Ok(())
}

fn write_files(
    plan: &Plan<'_>,
    places: &Places<'_>,
    entries: &[Entry],
    target: &OwnedFd,
) -> Result<Vec<(usize, Copied)>, VmError> {
    let copier = Copier {
        from: places.root_fd,
        to: target,
        no_clone: AtomicBool::new(false),
    };
    let copy = |index: usize, buffer: &mut Vec<u8>| {
        let entry = &entries[index];
        copier
            .copy(entry, buffer)
            .map(|copied| (index, copied))
            .map_err(write_error(
                "cannot copy into the frozen source",
                at(places.root, &entry.path),
            ))
    };
    let mut outcomes = plan
        .links
        .par_iter()
        .map_init(buffer, |buffer, index| {
            let entry = &entries[*index];
            if link(entry, places, target).is_ok() {
                return Ok((*index, Copied::Whole(entry.clone())));
            }
            // Too many links to one file, or a layer that lost it: a copy will do.
            copy(*index, buffer)
        })
        .collect::<Result<Vec<_>, VmError>>()?;
    let copied = plan
        .copies
        .par_iter()
        .map_init(buffer, |buffer, index| copy(*index, buffer))
        .collect::<Result<Vec<_>, VmError>>()?;
    outcomes.extend(copied);
    Ok(outcomes)
}

/// Puts a file of another layer into this one. Layers never change, so they can share it.
fn link(entry: &Entry, places: &Places<'_>, target: &OwnedFd) -> Result<(), Errno> {
    let layer = (places.layer)(entry.layer).ok_or(Errno::NOENT)?;
    let from = at(&layer.join(WORKSPACE), &entry.path);
    linkat(CWD, &from, target, entry.path.as_slice(), AtFlags::empty())
}

/// Writes a whiteout in the place of whatever is there; false if this file system or
/// kernel has none for this user.
fn hide(target: &OwnedFd, path: &[u8]) -> io::Result<bool> {
    match rustix::fs::unlinkat(target, path, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => {}
        Err(errno) => return Err(errno.into()),
    }
    match mknodat(target, path, FileType::CharacterDevice, Mode::empty(), 0) {
        Ok(()) => Ok(true),
        Err(Errno::PERM | Errno::OPNOTSUPP | Errno::INVAL | Errno::NOSYS) => Ok(false),
        Err(errno) => Err(errno.into()),
    }
}

fn at(folder: &Path, path: &[u8]) -> PathBuf {
    folder.join(OsStr::from_bytes(path))
}

/// Returns the folders that a layer must have to hold what it holds: those of every
/// change, up to the root.
pub(super) fn folders_around<'a>(
    entries: &[Entry],
    paths: impl Iterator<Item = &'a [u8]>,
) -> Vec<usize> {
    let mut needed = std::collections::BTreeSet::new();
    for path in paths {
        let mut path = path;
        while let Some(folder) = super::manifest::parent(path) {
            let Ok(index) = entries.binary_search_by(|entry| entry.path.as_slice().cmp(folder))
            else {
                break;
            };
            if entries[index].kind != Kind::Directory || !needed.insert(index) {
                break;
            }
            path = folder;
        }
    }
    needed.into_iter().collect()
}
