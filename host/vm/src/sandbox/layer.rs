//! Frozen layers and the snapshots that are made of them.

use std::any::Any;
use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use super::floor;
use super::undertaker::{Doomed, Undertaker};
use crate::backend::Snapshot;
use crate::image::Image;

/// What one machine has written.
#[derive(Debug)]
pub(super) struct Layer {
    pub(super) id: String,
    place: Mutex<Place>,
    /// What is in it, found out when first asked for.
    contents: OnceLock<Contents>,
    /// Whether what it needs below it is a layer by itself.
    is_paired: bool,
    undertaker: Undertaker,
}

/// What a walk through a layer tells.
#[derive(Debug)]
pub(super) struct Contents {
    /// Disk space.
    pub(super) bytes: u64,
    /// What has to lie below it, see [`floor`](super::floor).
    pub(super) floor: Option<Arc<Layer>>,
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
            contents: OnceLock::new(),
            is_paired: false,
            undertaker,
        }
    }

    /// As [`Layer::live`], with what it needs below it a layer by itself.
    pub(super) fn paired(id: String, folder: PathBuf, undertaker: Undertaker) -> Self {
        let mut layer = Self::live(id, folder, undertaker);
        layer.is_paired = true;
        layer
    }

    /// A layer that the registry keeps. What it needs below it is a layer by itself then.
    pub(super) fn kept(id: String, folder: PathBuf, bytes: u64, undertaker: Undertaker) -> Self {
        let place = Mutex::new(Place { folder, kept: true });
        Self {
            id,
            place,
            contents: OnceLock::from(Contents { bytes, floor: None }),
            is_paired: true,
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

    /// Looks through it, unless that has been done. Blocks.
    pub(super) fn examine(&self) -> &Contents {
        self.contents.get_or_init(|| {
            let folder = self.folder();
            let (bytes, mut hiding) = count(&folder);
            if self.is_paired {
                hiding.clear();
            }
            let floor = floor::make(&folder, &hiding)
                .map(|(id, path)| Arc::new(Self::paired(id, path, self.undertaker.clone())));
            Contents { bytes, floor }
        })
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
    /// What lies below them; none is the host's file system.
    pub(super) image: Option<Arc<Image>>,
}

impl Snapshot for SandboxSnapshot {
    fn id(&self) -> &str {
        &self.id
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// Counts disk space by blocks. Each name of a file counts for its share, so that layers
/// that share files count them once together. Also returns the folders in which something
/// is hidden, relative to the root.
fn count(root: &Path) -> (u64, Vec<PathBuf>) {
    let mut total = 0;
    let mut hiding: Vec<PathBuf> = Vec::new();
    let mut pending = vec![root.to_owned()];
    while let Some(path) = pending.pop() {
        let Ok(found) = fs::symlink_metadata(&path) else {
            continue;
        };
        let names = if found.is_dir() {
            1
        } else {
            found.nlink().max(1)
        };
        total += found.blocks() * 512 / names;
        if found.file_type().is_char_device() && found.rdev() == 0 {
            let folder = path
                .parent()
                .and_then(|folder| folder.strip_prefix(root).ok());
            // The root is in every layer.
            if let Some(folder) = folder.filter(|folder| !folder.as_os_str().is_empty())
                && hiding.last().map(PathBuf::as_path) != Some(folder)
            {
                hiding.push(folder.to_owned());
            }
        }
        if found.is_dir()
            && let Ok(entries) = fs::read_dir(&path)
        {
            pending.extend(entries.flatten().map(|entry| entry.path()));
        }
    }
    (total, hiding)
}
