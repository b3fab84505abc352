//! The layers of one worktree on the disk.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::manifest::{self, Header, Layer, Manifest};
use super::options::FreezeOptions;
use crate::error::VmError;
use crate::state::{StateDir, io_error, write_error};

/// The layers of one worktree, locked for this process.
///
/// ```text
/// source/STORE/lock        held while the store is changed
///              root        the worktree's path
///              manifest    what the layers hold together
///              synced      generation of the manifest that has reached the disk
///              layers/L/   one a layer, locked (shared) by those who use it
///              new-ID/     a layer being written
/// ```
pub(super) struct Store {
    state: StateDir,
    folder: PathBuf,
    /// Closing it unlocks the store.
    _lock: File,
}

/// A layer that stays as long as this does.
#[derive(Debug)]
pub(super) struct Lease {
    _locked: File,
}

impl Store {
    /// Opens the store of a worktree, waiting for whoever has it now. `root` is
    /// canonical.
    pub(super) fn open(
        state: &StateDir,
        root: &Path,
        options: &FreezeOptions,
    ) -> Result<Self, VmError> {
        let digest = Sha256::digest(root.as_os_str().as_bytes());
        let git = if options.include_git { "-git" } else { "" };
        let name = format!(
            "{}-{}{git}",
            hex::encode(&digest[..10]),
            options.flavour.as_str()
        );
        let folder = state.source().join(name);
        loop {
            // The sweep of another process, or of this one's start, may take the folder away
            // before it is locked, or even half made. Something else than a sweep is no
            // reason to go on.
            match make(&folder.join("layers")) {
                Err(error)
                    if error.kind() == io::ErrorKind::NotFound && state.source().is_dir() =>
                {
                    continue;
                }
                other => other.map_err(write_error("cannot create", &folder))?,
            }
            if let Some(store) = Self::lock(state, &folder, FlockOperation::LockExclusive)? {
                let path = folder.join("root");
                fs::write(&path, root.as_os_str().as_bytes())
                    .map_err(write_error("cannot write", &path))?;
                // How long nobody has asked is told by this time.
                let _ = store._lock.set_modified(SystemTime::now());
                store.discard_unfinished()?;
                return Ok(store);
            }
            // Swept away while we waited: make it again.
        }
    }

    /// Opens a store that is there, if nobody has it now.
    pub(super) fn try_open(state: &StateDir, folder: &Path) -> Result<Option<Self>, VmError> {
        Self::lock(state, folder, FlockOperation::NonBlockingLockExclusive)
    }

    fn lock(
        state: &StateDir,
        folder: &Path,
        operation: FlockOperation,
    ) -> Result<Option<Self>, VmError> {
        let path = folder.join("lock");
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(&path);
        let file = match file {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other.map_err(write_error("cannot create", &path))?,
        };
        match flock(&file, operation) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => return Ok(None),
            Err(errno) => return Err(io_error("cannot lock", &path)(errno)),
        }
        let still_there = match (file.metadata(), fs::metadata(&path)) {
            (Ok(locked), Ok(named)) => locked.ino() == named.ino(),
            _ => false,
        };
        Ok(still_there.then(|| Self {
            state: state.clone(),
            folder: folder.to_owned(),
            _lock: file,
        }))
    }

    /// Returns the worktree that it is of.
    pub(super) fn root(&self) -> Option<PathBuf> {
        let bytes = fs::read(self.folder.join("root")).ok()?;
        Some(std::ffi::OsString::from_vec(bytes).into())
    }

    /// Returns when it was last asked for.
    pub(super) fn last_used(&self) -> Option<SystemTime> {
        self._lock.metadata().ok()?.modified().ok()
    }

    pub(super) fn layer(&self, layer: &Layer) -> PathBuf {
        layer_folder(&self.folder, &layer.name)
    }

    /// Returns a name and a place for a layer to be written.
    pub(super) fn new_layer(&self) -> (String, PathBuf) {
        let name = Uuid::new_v4().simple().to_string()[..12].to_owned();
        let folder = self.folder.join(format!("new-{name}"));
        (name, folder)
    }

    /// Moves a layer that is whole to where manifests find it.
    pub(super) fn add_layer(&self, written: &Path, name: &str) -> Result<(), VmError> {
        let folder = layer_folder(&self.folder, name);
        fs::rename(written, &folder).map_err(write_error("cannot rename", written))
    }

    /// Returns what the layers hold, if that is known for certain.
    pub(super) fn manifest(&self, boot: Uuid) -> Option<Manifest> {
        let (header, manifest) = manifest::read(&self.folder.join("manifest"))?;
        let trusted =
            header.boot == boot || synced(&self.folder).is_some_and(|id| id == header.generation);
        let whole = manifest
            .layers
            .iter()
            .all(|layer| self.layer(layer).is_dir());
        (trusted && whole && !manifest.layers.is_empty()).then_some(manifest)
    }

    pub(super) fn write_manifest(&self, boot: Uuid, manifest: &Manifest) -> Result<(), VmError> {
        let path = self.folder.join("manifest");
        manifest::write(&path, boot, manifest).map_err(write_error("cannot write", &path))
    }

    /// Pins the layers of a manifest, topmost first.
    pub(super) fn lease(&self, manifest: &Manifest) -> Result<Vec<Lease>, VmError> {
        manifest
            .layers
            .iter()
            .map(|layer| {
                let path = self.layer(layer);
                let folder = File::open(&path).map_err(io_error("cannot open", &path))?;
                // Who takes it exclusively has the store's lock, which is ours now.
                flock(&folder, FlockOperation::LockShared)
                    .map_err(io_error("cannot lock", &path))?;
                Ok(Lease { _locked: folder })
            })
            .collect()
    }

    /// Discards layers that neither a manifest nor a build has use for.
    pub(super) fn discard_unused(&self, manifest: Option<&Manifest>) -> Result<(), VmError> {
        let names: Vec<&str> = manifest
            .iter()
            .flat_map(|manifest| &manifest.layers)
            .map(|layer| layer.name.as_str())
            .collect();
        for path in children(&self.folder.join("layers")) {
            let name = path.file_name().and_then(|name| name.to_str());
            if name.is_some_and(|name| names.contains(&name)) {
                continue;
            }
            if let Some(_locked) = lock_unused(&path) {
                self.state.discard(&path)?;
            }
        }
        Ok(())
    }

    /// Discards the whole store, unless a build uses one of its layers.
    pub(super) fn discard(self) -> Result<bool, VmError> {
        let layers = children(&self.folder.join("layers"));
        let locked: Vec<_> = layers.iter().map_while(|path| lock_unused(path)).collect();
        if locked.len() < layers.len() {
            return Ok(false);
        }
        self.state.discard(&self.folder)?;
        Ok(true)
    }

    /// Discards what a process left that ended while it wrote a layer.
    fn discard_unfinished(&self) -> Result<(), VmError> {
        for path in children(&self.folder) {
            let name = path.file_name().unwrap_or_default();
            if name.as_bytes().starts_with(b"new-") {
                self.state.discard(&path)?;
            }
        }
        Ok(())
    }
}

fn layer_folder(store: &Path, name: &str) -> PathBuf {
    store.join("layers").join(name)
}

/// Returns the generation of the manifest that is known to be on the disk.
pub(super) fn synced(folder: &Path) -> Option<Uuid> {
    Uuid::from_slice(&fs::read(folder.join("synced")).ok()?).ok()
}

/// Returns the head of a store's manifest.
pub(super) fn header(folder: &Path) -> Option<Header> {
    Header::read(&folder.join("manifest"))
}

/// Returns what is in a folder; nothing if it cannot be read.
pub(super) fn children(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder)
        .map(|entries| entries.flatten().map(|entry| entry.path()).collect())
        .unwrap_or_default()
}

fn lock_unused(layer: &Path) -> Option<File> {
    let folder = File::open(layer).ok()?;
    flock(folder.as_fd(), FlockOperation::NonBlockingLockExclusive).ok()?;
    Some(folder)
}

fn make(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)
}
