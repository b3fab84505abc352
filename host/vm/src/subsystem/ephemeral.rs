//! A state folder that goes with its owner.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use crate::error::VmError;
use crate::state::io_error;

/// A folder in the system's temporary folder, removed when dropped.
#[derive(Debug)]
pub(super) struct Ephemeral {
    path: PathBuf,
}

impl Ephemeral {
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
        if let Err(error) = fs::remove_dir_all(&self.path) {
            tracing::debug!(path = %self.path.display(), %error, "cannot delete");
        }
    }
}
