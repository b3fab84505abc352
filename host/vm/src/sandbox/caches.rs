//! Lent folders into which tools must write: caches of packages.
//!
//! Cargo puts what it downloads beside what is there already, so a registry that cannot
//! be written is of no use once a package is missing. Such a folder is the lowest layer
//! of an overlay of its own: the host's is never changed, and what a machine adds is
//! frozen with the rest of it, so that steps of a chain see the same however it is run.
//! Where the host's root is a layer itself, such a folder is part of that and needs none of
//! this (`inside/mask.rs`).

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Tells whether a lent folder is such a cache.
pub(super) fn is_cache(folder: &Path) -> bool {
    [".cargo/registry", ".cargo/git"]
        .iter()
        .any(|name| folder.ends_with(name))
}

/// Returns where a machine keeps what it adds to its n-th cache, and the folder that the
/// kernel works in.
pub(super) fn folders(machine: &Path, index: usize) -> (PathBuf, PathBuf) {
    let folder = machine.join("caches").join(index.to_string());
    (folder.join("upper"), folder.join("work"))
}

/// Returns what a cache is made of: what the machine's layers have added, topmost first,
/// over the host's at `lowest`.
pub(super) fn layers(cache: &Path, lowest: &Path, machine: &[PathBuf]) -> Vec<PathBuf> {
    let relative = cache.strip_prefix("/").unwrap_or(cache);
    let mut layers: Vec<PathBuf> = machine
        .iter()
        .map(|layer| layer.join(relative))
        .filter(|folder| fs::symlink_metadata(folder).is_ok_and(|found| found.is_dir()))
        .collect();
    layers.push(lowest.to_owned());
    layers
}

/// Moves what a machine that has ended has added to its caches into its upper layer.
pub(super) fn fold(machine: &Path, caches: &[PathBuf]) -> io::Result<()> {
    for (index, cache) in caches.iter().enumerate() {
        let (added, _) = folders(machine, index);
        let untouched = match fs::read_dir(&added) {
            Ok(mut entries) => entries.next().is_none(),
            Err(_) => true,
        };
        if untouched {
            continue;
        }
        let relative = cache.strip_prefix("/").unwrap_or(cache);
        let target = machine.join("upper").join(relative);
        make_parents(&machine.join("upper"), relative)?;
        // Covered while the machine ran, so at most an empty folder.
        let _ = fs::remove_dir(&target);
        fs::rename(&added, &target)?;
    }
    Ok(())
}

/// Makes the folders above with the modes that they have in machines: the upper of two
/// merged folders gives the mode.
fn make_parents(upper: &Path, relative: &Path) -> io::Result<()> {
    let mut path = upper.to_owned();
    for part in relative.parent().into_iter().flat_map(Path::components) {
        path.push(part);
        let mode = if path == upper.join("root") {
            0o700
        } else {
            0o755
        };
        match fs::DirBuilder::new().mode(mode).create(&path) {
            // Whatever this process's umask is.
            Ok(()) => fs::set_permissions(&path, fs::Permissions::from_mode(mode))?,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
