//! A state folder that goes with its owner.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use crate::error::VmError;
use crate::state::{io_error, remove_tree};

/// A folder in the system's temporary folder, removed when dropped.
#[derive(Debug)]
pub(super) struct Ephemeral {
    path: PathBuf,
}

impl Ephemeral {
    #[allow(
        clippy::disallowed_methods,
        reason = "its users keep nothing, so they have no folder to name"
    )]
    pub(super) fn make() -> Result<Self, VmError> {
        let path = std::env::temp_dir().join(format!("hm-{}", uuid::Uuid::new_v4()));
        DirBuilder::new()
            .mode(0o700)
            .create(&path)
            .map_err(io_error("cannot create", &path))?;
        Ok(Self { path })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Ephemeral {
    fn drop(&mut self) {
        if let Err(error) = remove_tree(&self.path) {
            tracing::debug!(path = %self.path.display(), %error, "cannot delete");
        }
    }
}
