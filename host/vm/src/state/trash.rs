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

/// Deletes a tree, even where its folders have no write permission: source trees have
/// such, and overlayfs makes work folders with mode 000.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    if !fs::symlink_metadata(path)?.is_dir() {
        return fs::remove_file(path);
    }
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            open_tree(path);
            fs::remove_dir_all(path)
        }
        other => other,
    }
}

fn open_tree(root: &Path) {
    let mut pending = vec![root.to_owned()];
    while let Some(folder) = pending.pop() {
        open_up(&folder);
        let Ok(entries) = fs::read_dir(&folder) else {
            continue;
        };
        // The kind comes from the entry itself, so links are not followed.
        pending.extend(
            entries
                .flatten()
                .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
                .map(|entry| entry.path()),
        );
    }
}

fn open_up(folder: &Path) {
    // If it fails the deletion after it tells why.
    let _ = fs::set_permissions(folder, Permissions::from_mode(0o700));
}
