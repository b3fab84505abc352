//! What is done about all stores: removing those of no use, trusting those on the disk.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use uuid::Uuid;

use super::store::{Store, children, header, synced};
use crate::error::VmError;
use crate::state::StateDir;

/// A store that nobody has asked for in this time is removed; making it again costs one
/// copy of the tree.
const KEEP: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// Discards stores of worktrees that are gone or were not built for a month, and layers
/// that no build uses any more. Returns how many stores went.
pub(crate) fn remove_stale(state: &StateDir) -> Result<usize, VmError> {
    let mut gone = 0;
    for folder in children(&state.source()) {
        // Somebody has it, so it is of use.
        let Some(store) = Store::try_open(state, &folder)? else {
            continue;
        };
        let lost = store.root().is_none_or(|root| !root.is_dir());
        let idle = store
            .last_used()
            .and_then(|time| time.elapsed().ok())
            .is_some_and(|idle| idle > KEEP);
        if lost || idle {
            gone += usize::from(store.discard()?);
        } else if children(&folder.join("layers")).len() > 1 {
            let manifest = super::manifest::read(&folder.join("manifest"));
            if let Some((_, manifest)) = &manifest {
                store.discard_unused(Some(manifest))?;
            }
        }
    }
    Ok(gone)
}

/// Returns stores whose manifests are not known to be on the disk, with the generation.
pub(crate) fn unsynced(state: &StateDir) -> Vec<(PathBuf, Uuid)> {
    children(&state.source())
        .into_iter()
        .filter_map(|folder| {
            let generation = header(&folder)?.generation;
            (synced(&folder) != Some(generation)).then_some((folder, generation))
        })
        .collect()
}

/// Notes that what [`unsynced`] told has reached the disk since.
pub(crate) fn mark_synced(stores: &[(PathBuf, Uuid)]) {
    for (folder, generation) in stores {
        let beside = folder.join("synced.new");
        // Without the note the next boot makes the store again, which is only slow.
        if fs::write(&beside, generation.as_bytes()).is_ok() {
            let _ = fs::rename(&beside, folder.join("synced"));
        }
    }
}
