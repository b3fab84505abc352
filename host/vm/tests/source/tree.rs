//! Real trees, and what a stack of layers shows of them.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, Metadata};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use hm_vm::source::{self, Flavour};
use hm_vm::{FreezeOptions, FrozenSource, StateDir, VmError};
use tempfile::TempDir;

/// What an entry looks like to a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Node {
    Directory {
        mode: u32,
    },
    File {
        mode: u32,
        modified: (i64, i64),
        bytes: Vec<u8>,
    },
    Link {
        target: PathBuf,
    },
}

pub(crate) type Tree = BTreeMap<PathBuf, Node>;

/// A worktree and a state folder.
pub(crate) struct World {
    tree: TempDir,
    state_folder: TempDir,
    pub(crate) state: StateDir,
    pub(crate) options: FreezeOptions,
}

impl World {
    pub(crate) fn new() -> Self {
        let state_folder = TempDir::new().unwrap();
        Self {
            tree: TempDir::new().unwrap(),
            state: StateDir::open(state_folder.path()).unwrap(),
            state_folder,
            options: FreezeOptions::default(),
        }
    }

    /// A tree so large that small changes to it are deltas.
    pub(crate) fn with_ballast() -> Self {
        let world = Self::new();
        world.write("ballast", vec![b'.'; 100_000]);
        world
    }

    pub(crate) fn root(&self) -> &Path {
        self.tree.path()
    }

    pub(crate) fn state_root(&self) -> &Path {
        self.state_folder.path()
    }

    pub(crate) fn path(&self, path: impl AsRef<Path>) -> PathBuf {
        self.root().join(path)
    }

    pub(crate) fn write(&self, path: impl AsRef<Path>, bytes: impl AsRef<[u8]>) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    pub(crate) fn mkdir(&self, path: &str) {
        fs::create_dir_all(self.path(path)).unwrap();
    }

    pub(crate) fn link(&self, target: &str, path: &str) {
        std::os::unix::fs::symlink(target, self.path(path)).unwrap();
    }

    pub(crate) fn remove(&self, path: &str) {
        let path = self.path(path);
        if path.symlink_metadata().unwrap().is_dir() {
            fs::remove_dir_all(path).unwrap();
        } else {
            fs::remove_file(path).unwrap();
        }
    }

    pub(crate) fn chmod(&self, path: &str, mode: u32) {
        fs::set_permissions(self.path(path), fs::Permissions::from_mode(mode)).unwrap();
    }

    /// Lets a file look as if it had been written to long ago.
    pub(crate) fn set_modified(&self, path: &str, seconds: u64) {
        fs::File::open(self.path(path))
            .unwrap()
            .set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds))
            .unwrap();
    }

    pub(crate) fn try_freeze(&self) -> Result<FrozenSource, VmError> {
        source::freeze(&self.state, self.root(), &self.options)
    }

    pub(crate) fn freeze(&self) -> FrozenSource {
        self.try_freeze().unwrap()
    }

    /// Freezes, and holds what the layers show to what is in the worktree.
    pub(crate) fn freeze_and_compare(&self) -> FrozenSource {
        let frozen = self.freeze();
        let expected = read(self.root());
        assert_eq!(merge(&frozen, self.options.flavour), expected);
        let listed: Vec<_> = frozen
            .entries()
            .map(|entry| entry.path.to_owned())
            .collect();
        let there: Vec<_> = expected
            .into_keys()
            .filter(|path| path != Path::new(""))
            .collect();
        let mut sorted = listed.clone();
        sorted.sort();
        assert_eq!(sorted, there);
        frozen
    }

    /// Returns the paths that the layers show.
    pub(crate) fn frozen_paths(&self) -> Vec<String> {
        let frozen = self.freeze();
        merge(&frozen, self.options.flavour)
            .into_keys()
            .map(|path| path.to_string_lossy().into_owned())
            .filter(|path| !path.is_empty())
            .collect()
    }
}

/// Reads a worktree, whatever is in it; sockets and such are no part of it.
pub(crate) fn read(root: &Path) -> Tree {
    let mut tree = Tree::new();
    visit(root, &mut |path, metadata| {
        if let Some(node) = node(path, metadata) {
            tree.insert(path.strip_prefix(root).unwrap().to_owned(), node);
        }
    });
    tree
}

/// Puts layers on each other by the rules of overlayfs.
pub(crate) fn merge(frozen: &FrozenSource, flavour: Flavour) -> Tree {
    let mut tree = Tree::new();
    for layer in frozen.layers().iter().rev() {
        let root = layer.join("workspace");
        assert_eq!(fs::read_dir(layer).unwrap().count(), 1);
        visit(&root, &mut |path, metadata| {
            let relative = path.strip_prefix(&root).unwrap().to_owned();
            let is_merged = metadata.is_dir()
                && matches!(tree.get(&relative), Some(Node::Directory { .. }))
                && !is_opaque(path, flavour);
            if !is_merged {
                tree.retain(|existing, _| !existing.starts_with(&relative));
            }
            if !is_whiteout(metadata) {
                tree.insert(relative, node(path, metadata).unwrap());
            }
        });
    }
    tree
}

pub(crate) fn is_whiteout(metadata: &Metadata) -> bool {
    metadata.file_type().is_char_device() && metadata.rdev() == 0
}

pub(crate) fn is_opaque(path: &Path, flavour: Flavour) -> bool {
    let name = match flavour {
        Flavour::Trusted => "trusted.overlay.opaque",
        Flavour::User => "user.overlay.opaque",
    };
    let folder = fs::File::open(path).unwrap();
    let mut value = [0; 8];
    rustix::fs::fgetxattr(folder, name, &mut value[..]).is_ok_and(|length| &value[..length] == b"y")
}

fn node(path: &Path, metadata: &Metadata) -> Option<Node> {
    let mode = metadata.mode() & 0o1777;
    Some(if metadata.is_dir() {
        Node::Directory { mode }
    } else if metadata.is_symlink() {
        Node::Link {
            target: fs::read_link(path).unwrap(),
        }
    } else if metadata.is_file() {
        Node::File {
            mode,
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            bytes: fs::read(path).unwrap(),
        }
    } else {
        return None;
    })
}

fn visit(root: &Path, see: &mut dyn FnMut(&Path, &Metadata)) {
    let metadata = root.symlink_metadata().unwrap();
    see(root, &metadata);
    if metadata.is_dir() {
        let mut children: Vec<_> = fs::read_dir(root)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        children.sort();
        for child in children {
            visit(&child, see);
        }
    }
}

pub(crate) fn non_utf8() -> &'static OsStr {
    OsStr::from_bytes(b"caf\xe9")
}
