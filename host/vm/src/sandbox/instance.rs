//! What dead instances of the engine left. A machine is `machines/INSTANCE.ID`.

use std::fs;
use std::path::{Path, PathBuf};

use super::cgroup;
use crate::error::VmError;
use crate::state::{StateDir, instance_is_over as is_over, io_error, reap_instances};

/// Moves what dead instances left to the trash. Returns how many things went.
pub(super) fn reap(state: &StateDir) -> Result<usize, VmError> {
    let mut gone = 0;
    for machine in entries(&state.machines())? {
        let name = machine
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let instance = name.split('.').next().unwrap_or_default();
        if is_over(&state.live_layers().join(instance)) {
            cgroup::remove(&name);
            state.discard(&machine)?;
            gone += 1;
        }
    }
    Ok(gone + reap_instances(state)?)
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, VmError> {
    let entries = fs::read_dir(folder).map_err(io_error("cannot read", folder))?;
    Ok(entries.flatten().map(|entry| entry.path()).collect())
}
