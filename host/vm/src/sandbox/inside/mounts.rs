//! Mount calls, with what failed on what.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat2};
use rustix::mount::{MountFlags, MoveMountFlags, OpenTreeFlags, mount, move_mount, open_tree};

use crate::sandbox::failure::{Failure, failed};

/// Attributes that a cloned mount gets.
pub(in crate::sandbox) const READ_ONLY: u64 = libc::MOUNT_ATTR_RDONLY | libc::MOUNT_ATTR_NOSUID;

/// Sets attributes of a whole mount tree; `MOUNT_ATTR_IDMAP` comes with the user namespace
/// whose ids it is to show.
pub(in crate::sandbox) fn mount_setattr(
    tree: BorrowedFd<'_>,
    set: u64,
    ids: Option<BorrowedFd<'_>>,
) -> io::Result<()> {
    let attributes = libc::mount_attr {
        attr_set: set,
        attr_clr: 0,
        propagation: 0,
        userns_fd: ids.map_or(0, |ids| ids.as_raw_fd().unsigned_abs().into()),
    };
    // SAFETY: the path is empty and terminated, the structure is valid for its size.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            tree.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH | libc::AT_RECURSIVE,
            &raw const attributes,
            size_of::<libc::mount_attr>(),
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Copies what is mounted at a path, with all below it, without attaching it.
pub(super) fn clone_tree(path: &Path) -> Result<OwnedFd, Failure> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_RECURSIVE;
    open_tree(CWD, path, flags).map_err(failed("cannot take the mount at", path))
}

/// Copies what is mounted at a path, and nothing that is mounted below, without attaching
/// it.
pub(super) fn clone_folder(path: &Path) -> Result<OwnedFd, Failure> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    open_tree(CWD, path, flags).map_err(failed("cannot take the mount at", path))
}

/// Attaches a mount at a place that is named by a descriptor.
pub(super) fn attach_at(
    tree: impl AsFd,
    place: BorrowedFd<'_>,
    name: &Path,
) -> Result<(), Failure> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    move_mount(tree, "", place, "", flags).map_err(failed("cannot mount at", name))
}

/// Attaches a mount at a path that this process itself has made.
pub(super) fn attach(tree: impl AsFd, path: &Path) -> Result<(), Failure> {
    move_mount(tree, "", CWD, path, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
        .map_err(failed("cannot mount at", path))
}

/// Lends what is at one path at another, which this process itself has made.
pub(super) fn bind(from: &Path, to: &Path, attributes: u64) -> Result<(), Failure> {
    let tree = clone_tree(from)?;
    if attributes != 0 {
        mount_setattr(tree.as_fd(), attributes, None).map_err(failed("cannot protect", from))?;
    }
    attach(&tree, to)
}

/// Lends what is at one path at a place inside a root folder, never following a link out
/// of it.
pub(super) fn bind_inside(from: &Path, root: BorrowedFd<'_>, to: &Path) -> Result<(), Failure> {
    let place = open_inside(root, to)?;
    attach_at(clone_tree(from)?, place.as_fd(), to)
}

/// Opens a place inside a root folder.
pub(super) fn open_inside(root: BorrowedFd<'_>, path: &Path) -> Result<OwnedFd, Failure> {
    let relative = path.strip_prefix("/").unwrap_or(path);
    openat2(
        root,
        relative,
        OFlags::PATH | OFlags::CLOEXEC,
        Mode::empty(),
        ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS,
    )
    .map_err(failed("cannot find the place for a mount,", path))
}

/// Mounts a fresh file system of the kernel's.
pub(super) fn mount_new(
    kind: &str,
    path: &Path,
    flags: MountFlags,
    options: &std::ffi::CStr,
) -> Result<(), Failure> {
    mount(kind, path, kind, flags, Some(options))
        .map_err(failed(&format!("cannot mount {kind} at"), path))
}
