//! Frozen layers and the snapshots that are made of them.

use std::any::Any;
use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use super::undertaker::{Doomed, Undertaker};
use crate::backend::Snapshot;

/// What one machine has written.
#[derive(Debug)]
pub(super) struct Layer {
    pub(super) id: String,
    place: Mutex<Place>,
    /// Disk space, counted when first asked for.
    pub(super) bytes: OnceLock<u64>,
    undertaker: Undertaker,
}

#[derive(Debug, Clone)]
struct Place {
    folder: PathBuf,
    /// Known to the registry, so not ours to remove.
    kept: bool,
}

impl Layer {
    /// A layer that goes with its last handle.
    pub(super) fn live(id: String, folder: PathBuf, undertaker: Undertaker) -> Self {
        let place = Mutex::new(Place {
            folder,
            kept: false,
        });
        Self {
            id,
            place,
            bytes: OnceLock::new(),
            undertaker,
        }
    }

    /// A layer that the registry keeps.
    pub(super) fn kept(id: String, folder: PathBuf, bytes: u64, undertaker: Undertaker) -> Self {
        let place = Mutex::new(Place { folder, kept: true });
        Self {
            id,
            place,
            bytes: OnceLock::from(bytes),
            undertaker,
        }
    }

    /// Returns where it lies now.
    pub(super) fn folder(&self) -> PathBuf {
        self.place
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .folder
            .clone()
    }

    /// Counts its disk space, unless that is known. Blocks.
    pub(super) fn measure(&self) {
        self.bytes.get_or_init(|| blocks(&self.folder()));
    }

    /// Moves it, by `rename`, to where it outlives this process, once.
    pub(super) fn keep<E>(
        &self,
        to: PathBuf,
        rename: impl FnOnce(&PathBuf, &PathBuf) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut place = self.place.lock().unwrap_or_else(PoisonError::into_inner);
        if !place.kept {
            rename(&place.folder, &to)?;
            *place = Place {
                folder: to,
                kept: true,
            };
        }
        Ok(())
    }
}

impl Drop for Layer {
    fn drop(&mut self) {
        let place = self.place.get_mut().unwrap_or_else(PoisonError::into_inner);
        if !place.kept {
            self.undertaker
                .take(Doomed::Layer(std::mem::take(&mut place.folder)));
        }
    }
}

/// A frozen file system: layers over the image.
#[derive(Debug)]
pub(super) struct SandboxSnapshot {
    pub(super) id: String,
    /// Topmost first.
    pub(super) layers: Vec<Arc<Layer>>,
}

impl Snapshot for SandboxSnapshot {
    fn id(&self) -> &str {
        &self.id
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// Counts disk space by blocks, files with several names once.
fn blocks(root: &Path) -> u64 {
    let mut seen = HashSet::new();
    let mut total = 0;
    let mut pending = vec![root.to_owned()];
    while let Some(path) = pending.pop() {
        let Ok(found) = fs::symlink_metadata(&path) else {
            continue;
        };
        if found.nlink() < 2 || found.is_dir() || seen.insert((found.dev(), found.ino())) {
            total += found.blocks() * 512;
        }
        if found.is_dir()
            && let Ok(entries) = fs::read_dir(&path)
        {
            pending.extend(entries.flatten().map(|entry| entry.path()));
        }
    }
    total
}
