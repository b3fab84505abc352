//! Folders for layers that hide something to lie on.
//!
//! The kernel looks for whiteouts in a folder only where several layers have it. A folder
//! with whiteouts that is alone, as when today's source no longer has what a cached step
//! deleted from, lists names that cannot be opened. So below such a layer goes one more:
//! the same folders, empty. It is never alone with them, and what a folder looks like is
//! told by the upper one of the two.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use uuid::Uuid;

/// Makes the folders beside a layer; none if none are needed. Returns identity and path.
pub(super) fn make(layer: &Path, hiding: &[PathBuf]) -> Option<(String, PathBuf)> {
    if hiding.is_empty() {
        return None;
    }
    let id = Uuid::new_v4().simple().to_string();
    let root = layer.with_file_name(&id);
    match fill(&root, hiding) {
        Ok(()) => Some((id, root)),
        Err(error) => {
            // Without it a listing may name too much, once the source has changed.
            tracing::debug!(layer = %layer.display(), %error, "cannot make a floor");
            None
        }
    }
}

/// Makes a root and these folders in it.
pub(super) fn fill(root: &Path, folders: &[PathBuf]) -> std::io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true).mode(0o755);
    builder.create(root)?;
    folders
        .iter()
        .try_for_each(|folder| builder.create(root.join(folder)))
}
