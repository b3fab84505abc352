//! Files and folders that nobody else can have written.

use std::fs::{self, DirBuilder, File, Metadata};
use std::io::Read;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::OFlags;
use rustix::process::{getegid, geteuid};

/// Makes a folder for this user alone, if it is not there, and checks it.
pub(super) fn make_folder(folder: &Path) -> Result<(), String> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(|error| format!("cannot make {}: {error}", folder.display()))?;
    check_folder(folder)
}

/// Checks that a folder is a real one, this user's, closed to everybody else, and that no
/// other user could have put another in its place.
pub(super) fn check_folder(folder: &Path) -> Result<(), String> {
    let meta = fs::symlink_metadata(folder).map_err(|error| told(folder, &error.to_string()))?;
    if !meta.is_dir() {
        return Err(told(folder, "is no folder"));
    }
    check_own(folder, &meta)?;
    check_parents(folder)
}

/// Reads a file of this user's alone, whole, through one descriptor. At most `most` bytes.
pub(super) fn read(path: &Path, most: usize) -> Result<Vec<u8>, String> {
    let failed = |error: std::io::Error| told(path, &error.to_string());
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY)
        .bits()
        .cast_signed();
    let file = File::options()
        .read(true)
        .custom_flags(flags)
        .open(path)
        .map_err(failed)?;
    let meta = file.metadata().map_err(failed)?;
    if !meta.is_file() {
        return Err(told(path, "is no regular file"));
    }
    if meta.nlink() != 1 {
        return Err(told(path, "has another name"));
    }
    check_own(path, &meta)?;
    let length = usize::try_from(meta.len()).unwrap_or(usize::MAX);
    if length > most {
        return Err(told(path, "is too large"));
    }
    let mut bytes = Vec::with_capacity(length);
    file.take(most as u64)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    Ok(bytes)
}

/// Checks every folder above a path: owned by root or this user, and not writable by others
/// unless sticky.
pub(super) fn check_parents(path: &Path) -> Result<(), String> {
    let parent = path.parent().unwrap_or(path);
    // Of the real folder, as a link's own parents say nothing of what it points to.
    let real = parent
        .canonicalize()
        .map_err(|error| told(parent, &error.to_string()))?;
    let (user, group) = (geteuid().as_raw(), getegid().as_raw());
    for folder in real.ancestors() {
        let meta = fs::metadata(folder).map_err(|error| told(folder, &error.to_string()))?;
        let (uid, gid, mode) = (meta.uid(), meta.gid(), meta.mode());
        if uid != 0 && uid != user {
            return Err(told(folder, &format!("belongs to user {uid}")));
        }
        if mode & 0o1000 != 0 {
            continue;
        }
        // A group of one's own with umask 002 is how some systems set up homes.
        let by_group = mode & 0o020 != 0 && gid != 0 && gid != group;
        if mode & 0o002 != 0 || by_group {
            return Err(told(folder, "can be written by others"));
        }
    }
    Ok(())
}

fn check_own(path: &Path, meta: &Metadata) -> Result<(), String> {
    let (uid, user) = (meta.uid(), geteuid().as_raw());
    if uid != user {
        return Err(told(path, &format!("belongs to user {uid}, not to {user}")));
    }
    if meta.mode() & 0o077 != 0 {
        return Err(told(path, "is open to others"));
    }
    Ok(())
}

fn told(path: &Path, problem: &str) -> String {
    format!("{}: {problem}", path.display())
}
