//! Deleting without waiting: rename first, delete later.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::error::VmError;
use crate::state::io_error;

/// Moves `path` into `trash` under a name of its own.
pub(super) fn discard(trash: &Path, path: &Path) -> Result<(), VmError> {
    let target = trash.join(uuid::Uuid::new_v4().to_string());
    match fs::rename(path, &target) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            // Moving a folder into another one writes its `..`, for which it must be
            // writable itself.
            open_up(path);
            fs::rename(path, &target).map_err(io_error("cannot move to the trash", path))
        }
        other => other.map_err(io_error("cannot move to the trash", path)),
    }
}

/// Deletes everything in `trash`. Several processes may do so at once.
pub(super) fn empty(trash: &Path) -> usize {
    let Ok(entries) = fs::read_dir(trash) else {
        return 0;
    };
    let mut gone = 0;
    for entry in entries.flatten() {
        let path = entry.path();
        match remove(&path) {
            Ok(()) => gone += 1,
            Err(error) => tracing::debug!(path = %path.display(), %error, "cannot delete"),
        }
    }
    gone
}

/// Longest path by which an entry is deleted; deeper folders are moved up first. Leaves
/// room for a name below `PATH_MAX`.
const LONG: usize = 2048;

/// Deletes a tree, even where its folders have no write permission: source trees have
/// such, and overlayfs makes work folders with mode 000.
///
/// Neither the depth of the tree nor the number of its entries is bounded, as a step made
/// it: there is no recursion, no descriptor a level, and no path longer than the kernel
/// takes. Several processes may do the same at once.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    if !fs::symlink_metadata(path)?.is_dir() {
        return fs::remove_file(path);
    }
    let top = path.parent().unwrap_or(path);
    let mut pending = vec![(path.to_owned(), false)];
    while let Some((folder, is_empty)) = pending.pop() {
        if is_empty {
            gone(
                fs::remove_dir(&folder)
                    .or_else(|error| retry(error, &folder, |path| fs::remove_dir(path))),
            )?;
            continue;
        }
        let entries = match fs::read_dir(&folder).or_else(|error| {
            open_up_if_refused(error, &folder)?;
            fs::read_dir(&folder)
        }) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            entries => entries?,
        };
        pending.push((folder, true));
        for entry in entries {
            let entry = entry?;
            let path = entry.path();
            // The kind comes from the entry itself, so links are not followed.
            if !entry.file_type()?.is_dir() {
                gone(
                    fs::remove_file(&path)
                        .or_else(|error| retry(error, &path, |path| fs::remove_file(path))),
                )?;
            } else if path.as_os_str().len() < LONG {
                pending.push((path, false));
            } else {
                let up = top.join(uuid::Uuid::new_v4().simple().to_string());
                open_up(&path);
                gone(fs::rename(&path, &up))?;
                pending.push((up, false));
            }
        }
    }
    Ok(())
}

/// What somebody else has removed already is as good.
fn gone(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Once more with the folder above opened up, where permission is what lacks.
fn retry(
    error: io::Error,
    path: &Path,
    action: impl Fn(&Path) -> io::Result<()>,
) -> io::Result<()> {
    open_up_if_refused(error, path.parent().unwrap_or(path))?;
    action(path)
}

fn open_up_if_refused(error: io::Error, folder: &Path) -> io::Result<()> {
    if error.kind() != io::ErrorKind::PermissionDenied {
        return Err(error);
    }
    open_up(folder);
    Ok(())
}

fn open_up(folder: &Path) {
    // If it fails the deletion after it tells why.
    let _ = fs::set_permissions(folder, Permissions::from_mode(0o700));
}
