//! Where images lie, who uses them, and who may remove them.
//!
//! ```text
//! images/
//!   names.json               what each name stands for
//!   known/HEX.json           an image by its digest: layers and configuration
//!   layers/FLAVOUR/HEX/      a layer by the digest of its plain archive
//!     layer.json, tree/
//!   making/KEY/              half-made; locked as long as its maker lives
//!   use.lock                 shared by all that use layers, exclusive to remove some
//!   names.lock               held while names.json is replaced
//! ```
//!
//! What has its final name is whole. What nobody names is removed by the next start that
//! finds no other process at it.

use std::collections::{BTreeMap, HashSet};
use std::fs::{self, File};
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::fs::FlockOperation;
use serde::{Deserialize, Serialize};

use super::config::ImageConfig;
use super::files::{entries, is_old, read, write};
use super::layer::Flavour;
use super::lock;
use super::platform::Platform;
use crate::digest::hex_of;
use crate::error::VmError;
use crate::state::{StateDir, write_error};

/// An image that is here, as machines use it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// Digest of its manifest for this platform: `sha256:…`.
    pub id: String,
    /// Folders to stack, topmost first.
    pub layers: Vec<PathBuf>,
    /// What it says of commands.
    pub config: ImageConfig,
}

/// What is known of an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    pub(super) id: String,
    pub(super) platform: Platform,
    /// Digests of the layers' plain archives, bottom first.
    pub(super) layers: Vec<String>,
    pub(super) config: ImageConfig,
    /// When it came, in Unix milliseconds.
    pub(super) made: i64,
    /// During which its layers were written; they may not have reached the disk until
    /// `synced`.
    pub(super) boot_id: String,
    pub(super) synced: bool,
}

impl Record {
    /// Notes an image whose layers are here, and were written since this system started.
    pub(super) fn new(
        id: String,
        platform: Platform,
        layers: Vec<String>,
        config: ImageConfig,
    ) -> Self {
        Self {
            id,
            platform,
            layers,
            config,
            made: now(),
            boot_id: boot_id(),
            synced: false,
        }
    }

    /// Tells whether a power loss may have torn its layers.
    fn is_lost(&self) -> bool {
        !self.synced && self.boot_id != boot_id()
    }
}

/// What a name stands for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Named {
    pub(super) id: String,
    /// When it was last fetched or brought in, in Unix milliseconds.
    pub(super) at: i64,
    pub(super) origin: Origin,
}

/// How an image came here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// From a registry.
    Pulled,
    /// From a file or folder.
    Imported,
}

/// A layer that is here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct LayerNote {
    /// Hides all that lies below it.
    pub(super) is_opaque: bool,
    /// Disk space, counting blocks.
    pub(super) bytes: u64,
}

/// What was removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Collected {
    /// Images.
    pub images: u64,
    /// Layers that no image has any more.
    pub layers: u64,
    /// Disk space of those layers.
    pub bytes: u64,
}

/// The folder of images.
#[derive(Debug, Clone)]
pub(super) struct Store {
    state: StateDir,
    root: PathBuf,
}

impl Store {
    /// Opens the folder, and makes what is missing.
    pub(super) fn open(state: &StateDir) -> Result<Self, VmError> {
        let root = state.images();
        for folder in ["known", "layers/trusted", "layers/user", "making"] {
            let folder = root.join(folder);
            fs::create_dir_all(&folder).map_err(write_error("cannot make", &folder))?;
        }
        Ok(Self {
            state: state.clone(),
            root,
        })
    }

    pub(super) fn state(&self) -> &StateDir {
        &self.state
    }

    pub(super) fn making(&self) -> PathBuf {
        self.root.join("making")
    }

    /// Takes the lock under which layers are used.
    pub(super) async fn use_lock(&self) -> Result<File, VmError> {
        let path = self.root.join("use.lock");
        lock::wait(&path, FlockOperation::NonBlockingLockShared).await
    }

    /// Returns what every name stands for.
    pub(super) fn names(&self) -> Result<BTreeMap<String, Named>, VmError> {
        Ok(read(&self.root.join("names.json"))?.unwrap_or_default())
    }

    /// Changes what names stand for.
    pub(super) async fn change_names<T>(
        &self,
        change: impl FnOnce(&mut BTreeMap<String, Named>) -> T + Send,
    ) -> Result<T, VmError> {
        let lock = self.root.join("names.lock");
        let _lock = lock::wait(&lock, FlockOperation::NonBlockingLockExclusive).await?;
        let mut names = self.names()?;
        let result = change(&mut names);
        write(&self.root.join("names.json"), &names)?;
        Ok(result)
    }

    /// Makes a name stand for an image.
    pub(super) async fn set_name(
        &self,
        name: &str,
        id: &str,
        origin: Origin,
    ) -> Result<(), VmError> {
        let named = Named {
            id: id.to_owned(),
            at: now(),
            origin,
        };
        self.change_names(|names| {
            names.insert(name.to_owned(), named);
        })
        .await
    }

    /// Returns what is known of an image, unless a power loss may have torn it.
    pub(super) fn record(&self, id: &str) -> Result<Option<Record>, VmError> {
        let Some(path) = self.record_path(id) else {
            return Ok(None);
        };
        let record: Option<Record> = read(&path)?;
        Ok(record.filter(|record| !record.is_lost()))
    }

    pub(super) fn put_record(&self, record: &Record) -> Result<(), VmError> {
        match self.record_path(&record.id) {
            Some(path) => write(&path, record),
            None => Err(no_digest(&record.id)),
        }
    }

    fn record_path(&self, id: &str) -> Option<PathBuf> {
        let name = format!("{}.json", hex_of(id)?);
        Some(self.root.join("known").join(name))
    }

    /// Returns the images that are known.
    pub(super) fn records(&self) -> Result<Vec<Record>, VmError> {
        let mut records = Vec::new();
        for path in entries(&self.root.join("known"))? {
            if path.extension().is_some_and(|end| end == "json") {
                records.extend(read::<Record>(&path)?);
            }
        }
        Ok(records)
    }

    /// Returns where a layer lies, if it is here.
    pub(super) fn layer(&self, flavour: Flavour, diff_id: &str) -> Option<(PathBuf, LayerNote)> {
        let folder = self.layer_path(flavour, diff_id)?;
        let note = read(&folder.join("layer.json")).ok().flatten()?;
        Some((folder.join("tree"), note))
    }

    /// Returns where a layer lies when it is here; none for what is no digest.
    pub(super) fn layer_path(&self, flavour: Flavour, diff_id: &str) -> Option<PathBuf> {
        let folder = self.root.join("layers").join(flavour.name());
        Some(folder.join(hex_of(diff_id)?))
    }

    /// Returns an image as machines use it, if all of it is here.
    pub(super) fn image(&self, id: &str, flavour: Flavour) -> Result<Option<Image>, VmError> {
        let Some(record) = self.record(id)? else {
            return Ok(None);
        };
        let mut layers: Vec<PathBuf> = Vec::with_capacity(record.layers.len());
        let mut is_hidden = false;
        for diff_id in record.layers.iter().rev() {
            let Some((folder, note)) = self.layer(flavour, diff_id) else {
                return Ok(None);
            };
            // The kernel takes a folder once. Of a layer that is there twice, the upper
            // one says all that the lower one does.
            if !is_hidden && !layers.contains(&folder) {
                layers.push(folder);
            }
            is_hidden |= note.is_opaque;
        }
        Ok(Some(Image {
            id: record.id,
            layers,
            config: record.config,
        }))
    }

    /// Returns the disk space of an image's layers.
    pub(super) fn bytes(&self, record: &Record) -> u64 {
        let layers: HashSet<_> = record.layers.iter().collect();
        let sizes = layers.into_iter().filter_map(|diff_id| {
            let here = Flavour::ALL
                .iter()
                .find_map(|flavour| self.layer(*flavour, diff_id));
            here.map(|(_, note)| note.bytes)
        });
        sizes.sum()
    }

    /// Removes images that no name stands for and `keep` does not hold, and layers of no
    /// image. None if another process uses images now: it is done at a later time then.
    /// Blocks.
    pub(super) fn collect(&self, keep: &HashSet<String>) -> Result<Option<Collected>, VmError> {
        let path = self.root.join("use.lock");
        let Some(_alone) = lock::try_now(&path, FlockOperation::NonBlockingLockExclusive)? else {
            return Ok(None);
        };
        let named: HashSet<_> = self.names()?.into_values().map(|named| named.id).collect();
        let mut collected = Collected::default();
        let mut layers = HashSet::new();
        for record in self.records()? {
            if !record.is_lost() && (named.contains(&record.id) || keep.contains(&record.id)) {
                layers.extend(
                    record
                        .layers
                        .iter()
                        .filter_map(|id| hex_of(id))
                        .map(str::to_owned),
                );
            } else if let Some(path) = self.record_path(&record.id) {
                self.state.discard(&path)?;
                collected.images += 1;
            }
        }
        for flavour in Flavour::ALL {
            for folder in entries(&self.root.join("layers").join(flavour.name()))? {
                let name = folder.file_name().unwrap_or_default().to_string_lossy();
                if layers.contains(name.as_ref()) {
                    continue;
                }
                let note: Option<LayerNote> = read(&folder.join("layer.json")).ok().flatten();
                collected.layers += 1;
                collected.bytes += note.map_or(0, |note| note.bytes);
                self.state.discard(&folder)?;
            }
        }
        Ok(Some(collected))
    }

    /// Removes what dead processes left half-made; returns how many things went. Blocks.
    pub(super) fn reap(&self) -> Result<usize, VmError> {
        let mut gone = 0;
        for folder in entries(&self.making())? {
            let lock = folder.join("lock");
            // Not to be had: its maker lives, or has just ended.
            if let Ok(Some(_)) = lock::try_now(&lock, FlockOperation::NonBlockingLockExclusive) {
                self.state.discard(&folder)?;
                gone += 1;
            }
        }
        // Of a file that was being replaced.
        for folder in [self.root.clone(), self.root.join("known")] {
            for path in entries(&folder)? {
                if path.extension().is_some_and(|end| end == "new") && is_old(&path) {
                    self.state.discard(&path)?;
                    gone += 1;
                }
            }
        }
        Ok(gone)
    }
}

/// Returns what is on its way to the disk, for [`mark_synced`].
pub(crate) fn unsynced(state: &StateDir) -> Vec<PathBuf> {
    let known = entries(&state.images().join("known")).unwrap_or_default();
    let is_pending = |path: &PathBuf| {
        let record: Option<Record> = read(path).ok().flatten();
        record.is_some_and(|record| !record.synced && !record.is_lost())
    };
    known.into_iter().filter(is_pending).collect()
}

/// Notes that images have reached the disk, so that they are trusted after a power loss.
pub(crate) fn mark_synced(records: &[PathBuf]) {
    for path in records {
        if let Ok(Some(mut record)) = read::<Record>(path) {
            record.synced = true;
            // If it fails, a power loss costs the image.
            let _ = write(path, &record);
        }
    }
}

pub(super) fn no_digest(text: &str) -> VmError {
    VmError::Other(format!("`{}` is no sha256 digest", text.escape_debug()))
}

/// Unix time in milliseconds.
fn now() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| {
            i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
        })
}

/// Tells this start of the system from others.
fn boot_id() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .map(|id| id.trim().to_owned())
        .unwrap_or_default()
}
