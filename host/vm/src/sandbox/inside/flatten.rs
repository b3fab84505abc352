//! Putting layers together into one that means the same.
//!
//! Files are hard links: layers never change, so they can share them. What a layer hides
//! must stay hidden, also from what lies below all of them: whiteouts are kept, and a
//! folder that takes the place of a whiteout or of something that is no folder becomes
//! opaque, which the kernel does not note down by itself (vm reference, A3).

use std::collections::BTreeSet;
use std::ffi::{CStr, CString};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, CWD, FileType, Gid, Mode, OFlags, RawDir, Stat, Timespec, Timestamps, Uid, XattrFlags,
    fchmod, fchown, fgetxattr, flistxattr, fremovexattr, fsetxattr, fstat, futimens, linkat,
    mkdirat, mknodat, openat, statat, unlinkat,
};
use rustix::io::Errno;

use crate::sandbox::failure::{Failure, failed};
use crate::sandbox::floor;
use crate::sandbox::wire::{self, Flatten, FromFlattener};

/// Puts the layers together, and tells how that went. Runs in a process of its own.
pub(super) fn run(asked: &Flatten, user_attributes: bool, socket: &OwnedFd) {
    let _ = rustix::process::nice(10);
    let said = match prepare(asked) {
        Ok((layers, target)) => {
            // From here on they may be moved.
            if wire::send(socket, &FromFlattener::Opened, &[]).is_err() {
                return;
            }
            let opaque = if user_attributes {
                c"user.overlay.opaque"
            } else {
                c"trusted.overlay.opaque"
            };
            let mut merging = Merging {
                target,
                opaque,
                hiding: BTreeSet::new(),
            };
            match merging.all(&layers, &asked.floor) {
                Ok(has_floor) => FromFlattener::Done { has_floor },
                Err(failure) => FromFlattener::Failed(failure),
            }
        }
        Err(failure) => FromFlattener::Failed(failure),
    };
    let _ = wire::send(socket, &said, &[]);
}

type Opened<'a> = (Vec<(&'a Path, OwnedFd)>, OwnedFd);

fn prepare(asked: &Flatten) -> Result<Opened<'_>, Failure> {
    let mut layers = Vec::with_capacity(asked.layers.len());
    for layer in &asked.layers {
        let folder = open(CWD, layer).map_err(failed("cannot open the layer", layer))?;
        layers.push((layer.as_path(), folder));
    }
    mkdirat(CWD, &asked.target, Mode::RWXU).map_err(failed("cannot make", &asked.target))?;
    let target = open(CWD, &asked.target).map_err(failed("cannot open", &asked.target))?;
    Ok((layers, target))
}

/// What is being put together.
struct Merging<'a> {
    target: OwnedFd,
    /// The attribute of a folder that hides what is below it.
    opaque: &'a CStr,
    /// Folders in which something is hidden.
    hiding: BTreeSet<PathBuf>,
}

impl Merging<'_> {
    /// Lays all layers over each other, then makes the floor; true if one is needed.
    fn all(&mut self, layers: &[(&Path, OwnedFd)], floor: &Path) -> Result<bool, Failure> {
        for (name, layer) in layers.iter().rev() {
            self.add(layer, name)?;
        }
        let hiding: Vec<PathBuf> = self
            .hiding
            .iter()
            .filter(|folder| !folder.as_os_str().is_empty())
            .cloned()
            .collect();
        if !hiding.is_empty() {
            floor::fill(floor, &hiding).map_err(failed("cannot make", floor))?;
        }
        Ok(!hiding.is_empty())
    }

    /// Lays one layer over what is in the target.
    fn add(&mut self, layer: &OwnedFd, name: &Path) -> Result<(), Failure> {
        let mut pending = vec![(PathBuf::new(), false)];
        let mut folders = Vec::new();
        while let Some((folder, is_closed)) = pending.pop() {
            let deeper = self
                .enter(layer, &folder, is_closed)
                .map_err(failed("cannot put together", name.join(&folder)))?;
            pending.extend(deeper);
            folders.push(folder);
        }
        // Last, as filling a folder changes its times.
        for folder in folders.iter().rev() {
            take_over(layer, &self.target, folder, self.opaque)
                .map_err(failed("cannot put together", name.join(folder)))?;
        }
        Ok(())
    }

    /// Puts what is in one folder of a layer into the target. Returns the folders in it,
    /// and of each whether nothing below the target shows through.
    fn enter(
        &mut self,
        layer: &OwnedFd,
        folder: &Path,
        is_closed: bool,
    ) -> io::Result<Vec<(PathBuf, bool)>> {
        let mut deeper = Vec::new();
        for entry in list(&open(layer, folder)?)? {
            let path = folder.join(std::ffi::OsStr::from_bytes(entry.to_bytes()));
            let found = statat(layer, &path, AtFlags::SYMLINK_NOFOLLOW)?;
            let there = match statat(&self.target, &path, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(there) => Some(kind(&there)),
                Err(Errno::NOENT) => None,
                Err(error) => return Err(error.into()),
            };
            if kind(&found) == FileType::Directory {
                let is_opaque = self.put_folder(layer, &path, there)?;
                deeper.push((path, is_closed || is_opaque));
                continue;
            }
            if let Some(there) = there {
                remove(&self.target, &path, there)?;
            }
            if is_whiteout(&found) {
                if is_closed {
                    // There is nothing left to hide, and the kernel would show its name.
                    continue;
                }
                self.hiding.insert(folder.to_owned());
            }
            link(layer, &self.target, &path, &found)?;
        }
        Ok(deeper)
    }

    /// Makes a folder of a layer in the target, or finds it there; true if it hides what
    /// is below.
    fn put_folder(
        &self,
        layer: &OwnedFd,
        path: &Path,
        there: Option<FileType>,
    ) -> io::Result<bool> {
        let hides = |folder: OwnedFd| fgetxattr(folder, self.opaque, &mut [0_u8; 1]).is_ok();
        let is_opaque = hides(open(layer, path)?);
        if there == Some(FileType::Directory) && !is_opaque {
            return Ok(hides(open(&self.target, path)?));
        }
        if let Some(there) = there {
            remove(&self.target, path, there)?;
        }
        mkdirat(&self.target, path, Mode::RWXU)?;
        if is_opaque || there.is_some() {
            let folder = open(&self.target, path)?;
            fsetxattr(folder, self.opaque, b"y", XattrFlags::empty())?;
            return Ok(true);
        }
        Ok(false)
    }
}

fn is_whiteout(found: &Stat) -> bool {
    kind(found) == FileType::CharacterDevice && found.st_rdev == 0
}

/// Makes a second name for a file; a whiteout that has as many as it can is made anew.
fn link(layer: &OwnedFd, target: &OwnedFd, path: &Path, found: &Stat) -> io::Result<()> {
    match linkat(layer, path, target, path, AtFlags::empty()) {
        Err(Errno::MLINK) if kind(found) == FileType::CharacterDevice && found.st_rdev == 0 => Ok(
            mknodat(target, path, FileType::CharacterDevice, Mode::empty(), 0)?,
        ),
        other => Ok(other?),
    }
}

/// Gives a folder of the target what the layer's has: owner, mode, attributes, times. A
/// mark of what it hides stays.
fn take_over(layer: &OwnedFd, target: &OwnedFd, path: &Path, opaque: &CStr) -> io::Result<()> {
    let (from, to) = (open(layer, path)?, open(target, path)?);
    let found = fstat(&from)?;
    fchown(
        &to,
        Some(Uid::from_raw(found.st_uid)),
        Some(Gid::from_raw(found.st_gid)),
    )?;
    // The kernel's own notes on an upper layer mean nothing in a lower one.
    let ours = &opaque.to_bytes()[..opaque.to_bytes().len() - b"opaque".len()];
    let attributes = |folder: &OwnedFd| -> io::Result<Vec<CString>> {
        let mut names = attributes(folder)?;
        names.retain(|name| !name.to_bytes().starts_with(ours));
        Ok(names)
    };
    let wanted = attributes(&from)?;
    for name in attributes(&to)? {
        if !wanted.contains(&name) {
            fremovexattr(&to, &name)?;
        }
    }
    for name in &wanted {
        fsetxattr(&to, name, &attribute(&from, name)?, XattrFlags::empty())?;
    }
    fchmod(&to, Mode::from_raw_mode(found.st_mode & 0o7777))?;
    let time = |seconds, nanoseconds| Timespec {
        tv_sec: seconds,
        tv_nsec: nanoseconds,
    };
    futimens(
        &to,
        &Timestamps {
            last_access: time(found.st_atime, found.st_atime_nsec as _),
            last_modification: time(found.st_mtime, found.st_mtime_nsec as _),
        },
    )?;
    Ok(())
}

fn attributes(folder: &OwnedFd) -> io::Result<Vec<CString>> {
    let mut list = vec![0_u8; 64 << 10];
    let length = flistxattr(folder, &mut list)?;
    let names = list[..length].split(|byte| *byte == 0);
    Ok(names
        .filter(|name| !name.is_empty())
        .filter_map(|name| CString::new(name).ok())
        .collect())
}

fn attribute(folder: &OwnedFd, name: &CStr) -> io::Result<Vec<u8>> {
    let mut value = vec![0_u8; 64 << 10];
    let length = fgetxattr(folder, name, &mut value)?;
    value.truncate(length);
    Ok(value)
}

fn remove(target: &OwnedFd, path: &Path, kind: FileType) -> io::Result<()> {
    if kind != FileType::Directory {
        return Ok(unlinkat(target, path, AtFlags::empty())?);
    }
    // The target is this process's own, and nobody moves it.
    let root = PathBuf::from(format!("/proc/self/fd/{}", target.as_raw_fd()));
    crate::state::remove_tree(&root.join(path))
}

fn kind(stat: &Stat) -> FileType {
    FileType::from_raw_mode(stat.st_mode)
}

/// Opens a folder below another, without following a link.
fn open(root: impl AsFd, path: &Path) -> io::Result<OwnedFd> {
    let path = if path.as_os_str().is_empty() {
        Path::new(".")
    } else {
        path
    };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(openat(root, path, flags, Mode::empty())?)
}

fn list(folder: &OwnedFd) -> io::Result<Vec<CString>> {
    let mut buffer = [MaybeUninit::uninit(); 32 * 1024];
    let mut names = Vec::new();
    let mut entries = RawDir::new(folder, &mut buffer);
    while let Some(entry) = entries.next() {
        let entry = entry?;
        let name = entry.file_name();
        if !matches!(name.to_bytes(), b"." | b"..") {
            names.push(name.to_owned());
        }
    }
    Ok(names)
}
