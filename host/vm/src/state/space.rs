//! How much room a tree takes.

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Counts disk space by blocks, files with several names once. What cannot be read counts
/// for nothing. Blocks.
pub(crate) fn disk_space(root: &Path) -> u64 {
    let mut seen = HashSet::new();
    let mut total = 0;
    let mut pending = vec![root.to_owned()];
    while let Some(path) = pending.pop() {
        let Ok(found) = fs::symlink_metadata(&path) else {
            continue;
        };
        if found.nlink() < 2 || found.is_dir() || seen.insert((found.dev(), found.ino())) {
            total += found.blocks() * 512;
        }
        if found.is_dir()
            && let Ok(entries) = fs::read_dir(&path)
        {
            pending.extend(entries.flatten().map(|entry| entry.path()));
        }
    }
    total
}
