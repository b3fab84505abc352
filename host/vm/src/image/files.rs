//! The store's own small files: read forgivingly, replaced as a whole.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::VmError;
use crate::state::{io_error, write_error};

/// How old the leavings of a replacement must be: none takes as long.
const AGE: Duration = Duration::from_secs(60);

/// Returns what a folder holds; nothing if it is not there.
pub(super) fn entries(folder: &Path) -> Result<Vec<PathBuf>, VmError> {
    match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        entries => Ok(entries
            .map_err(io_error("cannot read", folder))?
            .flatten()
            .map(|entry| entry.path())
            .collect()),
    }
}

/// Reads a file; none if it is not there or makes no sense, as after a power loss.
pub(super) fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, VmError> {
    match fs::read(path) {
        Ok(text) => Ok(serde_json::from_slice(&text).ok()),
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ) =>
        {
            Ok(None)
        }
        Err(error) => Err(io_error("cannot read", path)(error)),
    }
}

/// Replaces a file.
pub(super) fn write<T: Serialize>(path: &Path, content: &T) -> Result<(), VmError> {
    let text = serde_json::to_vec_pretty(content)
        .map_err(|error| VmError::Other(format!("cannot write {}: {error}", path.display())))?;
    let new = path.with_extension(format!("{}.new", uuid::Uuid::new_v4().simple()));
    let written = fs::write(&new, text).and_then(|()| fs::rename(&new, path));
    if written.is_err() {
        let _ = fs::remove_file(&new);
    }
    written.map_err(write_error("cannot write", path))
}

/// Tells leavings from what is being made.
pub(super) fn is_old(path: &Path) -> bool {
    fs::metadata(path)
        .and_then(|found| found.modified())
        .is_ok_and(|made| made.elapsed().is_ok_and(|age| age > AGE))
}
