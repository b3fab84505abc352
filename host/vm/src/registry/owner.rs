//! Living processes, told by the locks they hold.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use crate::error::VmError;
use crate::state::io_error;

/// How often a lock file is made anew if another process removes it between its making
/// and its locking. Once is rare already.
const ATTEMPTS: usize = 100;

/// This process's sign of life, as long as it is not dropped.
#[derive(Debug)]
pub(super) struct OwnerLock {
    path: PathBuf,
    /// Closed by the kernel when the process ends, however it ends.
    _locked: File,
}

impl OwnerLock {
    pub(super) fn acquire(folder: &Path) -> Result<Self, VmError> {
        for _ in 0..ATTEMPTS {
            let path = folder.join(format!("{}.lock", uuid::Uuid::new_v4()));
            let file = OpenOptions::new()
                .create_new(true)
                .write(true)
                .mode(0o600)
                .open(&path)
                .map_err(io_error("cannot create", &path))?;
            flock(&file, FlockOperation::LockExclusive).map_err(io_error("cannot lock", &path))?;
            let links = file
                .metadata()
                .map_err(io_error("cannot check", &path))?
                .nlink();
            if links > 0 {
                return Ok(Self {
                    path,
                    _locked: file,
                });
            }
        }
        Err(VmError::Other(format!(
            "the lock files in {} vanish as soon as they are made",
            folder.display()
        )))
    }

    /// Returns the file's name, which the registry knows the process by.
    pub(super) fn name(&self) -> String {
        self.path
            .file_name()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default()
    }
}

impl Drop for OwnerLock {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// Returns whether the process with that lock file lives. In doubt it does.
pub(super) fn is_alive(path: &Path) -> bool {
    match OpenOptions::new().read(true).open(path) {
        Ok(file) => flock(&file, FlockOperation::NonBlockingLockExclusive).is_err(),
        Err(error) => error.kind() != io::ErrorKind::NotFound,
    }
}

/// Removes the lock files of dead processes; returns whether any process but this one
/// lives.
pub(super) fn sweep(folder: &Path, own: &OwnerLock) -> bool {
    let Ok(entries) = fs::read_dir(folder) else {
        return true;
    };
    let mut others = false;
    for path in entries.flatten().map(|entry| entry.path()) {
        if path == own.path {
            continue;
        }
        let Ok(file) = OpenOptions::new().read(true).open(&path) else {
            continue;
        };
        if flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok() {
            // Still locked here: whoever made it and waits for the lock sees it gone.
            let _ = fs::remove_file(&path);
        } else {
            others = true;
        }
    }
    others
}
