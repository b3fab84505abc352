//! What is being made, by one process at a time.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;

use super::files::write;
use super::layer::{Flavour, Unpacked};
use super::lock;
use super::store::{LayerNote, Store, no_digest};
use crate::error::VmError;
use crate::state::{StateDir, io_error, write_error};

/// A folder for what is half-made, and the right to make it. Goes when dropped.
#[derive(Debug)]
pub(super) struct Making {
    state: StateDir,
    folder: PathBuf,
    _lock: File,
}

impl Making {
    /// Waits for the right to make something. `key` is a word.
    pub(super) async fn take(store: &Store, key: &str) -> Result<Self, VmError> {
        let folder = store.making().join(key);
        let lock = loop {
            match fs::create_dir(&folder) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                    return Err(write_error("cannot make", &folder)(error));
                }
                _ => {}
            }
            let path = folder.join("lock");
            match lock::wait(&path, FlockOperation::NonBlockingLockExclusive).await {
                Ok(lock) => break lock,
                // Whoever made it before has just taken the folder away.
                Err(_) if !folder.exists() => {}
                Err(error) => return Err(error),
            }
        };
        let making = Self {
            state: store.state().clone(),
            folder,
            _lock: lock,
        };
        // Of one that was killed.
        for entry in super::files::entries(&making.folder)? {
            if !entry.ends_with("lock") {
                making.state.discard(&entry)?;
            }
        }
        Ok(making)
    }

    /// Returns where a download goes.
    pub(super) fn blob(&self) -> PathBuf {
        self.folder.join("blob")
    }

    /// Returns the folder itself.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Makes the empty folder in which a layer is unpacked.
    pub(super) fn tree(&self) -> Result<PathBuf, VmError> {
        let tree = self.folder.join("layer/tree");
        fs::create_dir_all(&tree).map_err(write_error("cannot make", &tree))?;
        Ok(tree)
    }

    /// Puts an unpacked layer in its place, unless it is there already.
    pub(super) fn publish(
        &self,
        store: &Store,
        flavour: Flavour,
        unpacked: &Unpacked,
        bytes: u64,
    ) -> Result<(), VmError> {
        let Some(place) = store.layer_path(flavour, &unpacked.diff_id) else {
            return Err(no_digest(&unpacked.diff_id));
        };
        let layer = self.folder.join("layer");
        let note = LayerNote {
            is_opaque: unpacked.is_opaque,
            bytes,
        };
        write(&layer.join("layer.json"), &note)?;
        match fs::rename(&layer, &place) {
            // Made by another under another key.
            Err(_) if place.is_dir() => self.state.discard(&layer),
            other => other.map_err(io_error("cannot put in place", &place)),
        }
    }
}

impl Drop for Making {
    fn drop(&mut self) {
        // What cannot be moved now is found by the next start.
        let _ = self.state.discard(&self.folder);
    }
}
