//! The folder that outlives a run: where everything lies, and who may touch it.

mod instance;
mod ownership;
mod space;
mod trash;

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

pub(crate) use instance::{Instance, is_over as instance_is_over, reap as reap_instances};
pub(crate) use space::disk_space;
pub(crate) use trash::remove as remove_tree;

use crate::error::VmError;

/// The state folder of one user, laid out and checked.
///
/// ```text
/// registry.sqlite     what is kept, who uses it           (registry)
/// owners/ID.lock      one a living process, locked by it  (registry)
/// images/             image layers                        (engine)
/// layers/kept/LAYER   layers of kept snapshots, named by their identity (engine)
/// layers/live/        layers that only their makers use   (engine)
/// machines/ID/        one a running machine, empty after each run (engine)
/// source/STORE/       frozen source trees, one store a worktree (source)
/// runs/ID/            records of runs                     (the program)
/// engine-auto         which engine works here             (the program)
/// trash/              on its way out; anything here may be deleted at any time
/// ```
///
/// All of it lies on one file system, so that moving between the folders is a rename.
#[derive(Debug, Clone)]
pub struct StateDir {
    root: PathBuf,
}

impl StateDir {
    /// Opens the folder, and makes what is missing with mode 0700.
    ///
    /// # Errors
    /// [`VmError::Unavailable`] with a remedy where the folder cannot be written, is not
    /// the user's own, or has a parent in which somebody else could swap it.
    pub fn open(root: &Path) -> Result<Self, VmError> {
        let absolute =
            std::path::absolute(root).map_err(|error| refused("cannot be found", root, &error))?;
        ownership::check_parents(&absolute)?;
        make(&absolute)?;
        let root = absolute
            .canonicalize()
            .map_err(|error| refused("cannot be opened", &absolute, &error))?;
        ownership::check_own(&root)?;
        let state = Self { root };
        for folder in [
            state.owners(),
            state.images(),
            state.kept_layers(),
            state.live_layers(),
            state.machines(),
            state.source(),
            state.runs(),
            state.trash(),
        ] {
            make(&folder)?;
        }
        state.probe()?;
        Ok(state)
    }

    /// Returns the folder itself, canonical.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Returns the registry's database.
    pub fn registry(&self) -> PathBuf {
        self.root.join("registry.sqlite")
    }

    /// Returns where living processes hold their lock files.
    pub fn owners(&self) -> PathBuf {
        self.root.join("owners")
    }

    /// Returns where image layers lie.
    pub fn images(&self) -> PathBuf {
        self.root.join("images")
    }

    /// Returns where layers of kept snapshots lie, one folder each, named by
    /// [`LayerRecord::id`](crate::LayerRecord::id). A folder here that the registry does
    /// not know is removed as soon as no process lives that could still tell of it.
    pub fn kept_layers(&self) -> PathBuf {
        self.root.join("layers/kept")
    }

    /// Returns where layers lie that end with the process that made them.
    pub fn live_layers(&self) -> PathBuf {
        self.root.join("layers/live")
    }

    /// Returns where running machines keep their files.
    pub fn machines(&self) -> PathBuf {
        self.root.join("machines")
    }

    /// Returns where frozen source trees lie.
    pub fn source(&self) -> PathBuf {
        self.root.join("source")
    }

    /// Returns where records of runs lie.
    pub fn runs(&self) -> PathBuf {
        self.root.join("runs")
    }

    /// Returns where things lie that are being deleted.
    pub fn trash(&self) -> PathBuf {
        self.root.join("trash")
    }

    /// Moves a file or folder of the state folder out of the way, whatever its size.
    /// What is not there needs no moving.
    ///
    /// # Errors
    /// [`VmError::Io`] if it cannot be moved.
    pub fn discard(&self, path: &Path) -> Result<(), VmError> {
        trash::discard(&self.trash(), path)
    }

    /// Deletes what was discarded, by any process, and returns how many things went.
    /// What cannot be deleted now is left for the next time. Blocks.
    pub fn empty_trash(&self) -> usize {
        trash::empty(&self.trash())
    }

    /// Tells a full or read-only disk now, rather than in the middle of a build.
    fn probe(&self) -> Result<(), VmError> {
        let path = self.trash().join(uuid::Uuid::new_v4().to_string());
        let written = fs::write(&path, b"probe");
        let _ = fs::remove_file(&path);
        written.map_err(|error| refused("cannot be written", &self.root, &error))
    }
}

/// Makes a folder and its missing parents for this user alone.
fn make(folder: &Path) -> Result<(), VmError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(|error| refused("cannot be made", folder, &error))?;
    let metadata =
        fs::metadata(folder).map_err(|error| refused("cannot be opened", folder, &error))?;
    // Made by hand, or under another umask: close it, unless it is not ours to close,
    // which `check_own` tells.
    if metadata.mode() & 0o077 != 0 && metadata.uid() == rustix::process::geteuid().as_raw() {
        fs::set_permissions(folder, fs::Permissions::from_mode(0o700))
            .map_err(|error| refused("cannot be closed to others", folder, &error))?;
    }
    Ok(())
}

/// Says why a state folder is of no use, and what to do.
fn refused(what: &str, path: &Path, error: &io::Error) -> VmError {
    let remedy = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "free some space there, for example with `hm cache prune`, or set HM_STATE_DIR to a \
             folder on another disk"
        }
        io::ErrorKind::ReadOnlyFilesystem => {
            "set HM_STATE_DIR to a folder on a file system that can be written"
        }
        io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => {
            "move the file of that name away, or set HM_STATE_DIR to another folder"
        }
        _ => "make it writable for this user, or set HM_STATE_DIR to another folder",
    };
    VmError::Unavailable {
        cause: format!("the state folder {} {what}: {error}", path.display()),
        remedy: remedy.to_owned(),
    }
}

/// Gives an error its action and path; for `map_err`.
pub(crate) fn io_error<E: Into<io::Error>>(
    action: &'static str,
    path: impl Into<PathBuf>,
) -> impl FnOnce(E) -> VmError {
    move |error| VmError::Io {
        action,
        path: path.into(),
        source: error.into(),
    }
}

/// As [`io_error`], for writes below the state folder: a full disk gets its remedy.
pub(crate) fn write_error<E: Into<io::Error>>(
    action: &'static str,
    path: impl Into<PathBuf>,
) -> impl FnOnce(E) -> VmError {
    move |error| {
        let (error, path) = (error.into(), path.into());
        match error.kind() {
            io::ErrorKind::StorageFull
            | io::ErrorKind::QuotaExceeded
            | io::ErrorKind::ReadOnlyFilesystem => refused("cannot be written", &path, &error),
            _ => io_error(action, path)(error),
        }
    }
}
