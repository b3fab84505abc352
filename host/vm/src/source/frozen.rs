//! A frozen tree in the hands of its build.

use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::layer::WORKSPACE;
use super::manifest::{Entry, Kind, Manifest};
use super::stats::SourceStats;
use super::store::Lease;

/// The source tree of a build. Its layers stay until the last clone is dropped: keep one
/// as long as machines run.
#[derive(Clone)]
pub struct FrozenSource {
    layers: Arc<[PathBuf]>,
    stats: Arc<SourceStats>,
    manifest: Arc<Manifest>,
    _leases: Arc<[Lease]>,
}

/// An entry of a frozen tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceEntry<'a> {
    /// Relative to the root of the tree.
    pub path: &'a Path,
    /// What it is.
    pub kind: EntryKind,
    /// Permissions and the sticky bit.
    pub mode: u32,
    /// Bytes, for a file.
    pub size: u64,
    /// When it was last written to, in nanoseconds since 1970.
    pub modified: i64,
    /// The frozen file or link on this machine; none for a folder.
    pub copy: Option<PathBuf>,
}

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EntryKind {
    /// A folder.
    Directory,
    /// A regular file.
    File,
    /// A symbolic link, which may lead nowhere.
    Symlink,
}

impl FrozenSource {
    pub(super) fn new(
        layers: Vec<PathBuf>,
        stats: SourceStats,
        manifest: Manifest,
        leases: Vec<Lease>,
    ) -> Self {
        Self {
            layers: layers.into(),
            stats: Arc::new(stats),
            manifest: Arc::new(manifest),
            _leases: leases.into(),
        }
    }

    /// Returns the layers, topmost first, for [`BootSpec::source`](crate::BootSpec). Each
    /// is a folder with one folder `workspace` in it.
    pub fn layers(&self) -> &Arc<[PathBuf]> {
        &self.layers
    }

    /// Returns what went in and what did not.
    pub fn stats(&self) -> &SourceStats {
        &self.stats
    }

    /// Returns all entries but the root, sorted by path, a folder before what is in it.
    pub fn entries(&self) -> impl Iterator<Item = SourceEntry<'_>> {
        self.manifest
            .entries
            .iter()
            .filter(|entry| !entry.path.is_empty())
            .map(|entry| SourceEntry {
                path: Path::new(OsStr::from_bytes(&entry.path)),
                kind: match entry.kind {
                    Kind::Directory => EntryKind::Directory,
                    Kind::File => EntryKind::File,
                    Kind::Symlink => EntryKind::Symlink,
                },
                mode: entry.mode,
                size: if entry.kind == Kind::File {
                    entry.size
                } else {
                    0
                },
                modified: entry.modified,
                copy: self.copy(entry),
            })
    }

    fn copy(&self, entry: &Entry) -> Option<PathBuf> {
        let position = self
            .manifest
            .layers
            .iter()
            .position(|layer| entry.kind != Kind::Directory && layer.number == entry.layer)?;
        let layer = self.layers.get(position)?;
        Some(layer.join(WORKSPACE).join(OsStr::from_bytes(&entry.path)))
    }
}

impl fmt::Debug for FrozenSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FrozenSource")
            .field("layers", &self.layers)
            .field("stats", &self.stats)
            .finish_non_exhaustive()
    }
}
