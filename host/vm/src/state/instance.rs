//! One engine's own share of the state folder, and how others tell that it is dead.
//!
//! `layers/live/INSTANCE/lock` is locked as long as the process lives. The kernel lets go
//! of the lock however the process ends.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use uuid::Uuid;

use super::{StateDir, io_error};
use crate::error::VmError;

/// How old a folder must be that was being made when its maker died.
const HALF_MADE: Duration = Duration::from_secs(60);

/// A locked share.
#[derive(Debug)]
pub(crate) struct Instance {
    pub(crate) name: String,
    pub(crate) state: StateDir,
    /// Where its layers lie, and its lock.
    pub(crate) layers: PathBuf,
    _lock: File,
}

impl Instance {
    /// Takes a share. It appears to others only when it is locked.
    pub(crate) fn take(state: &StateDir) -> Result<Self, VmError> {
        let name = Uuid::new_v4().simple().to_string();
        let making = state.live_layers().join(format!(".{name}"));
        let layers = state.live_layers().join(&name);
        fs::create_dir(&making).map_err(io_error("cannot make", &making))?;
        let path = making.join("lock");
        let lock = File::create(&path).map_err(io_error("cannot make", &path))?;
        // Waits where another process looks at this very moment whether anybody holds it.
        flock(&lock, FlockOperation::LockExclusive).map_err(io_error("cannot lock", &path))?;
        fs::create_dir(making.join("stage")).map_err(io_error("cannot make", &making))?;
        fs::rename(&making, &layers).map_err(io_error("cannot make", &layers))?;
        Ok(Self {
            name,
            state: state.clone(),
            layers,
            _lock: lock,
        })
    }

    /// Returns where the spawner builds what machines share.
    pub(crate) fn stage(&self) -> PathBuf {
        self.layers.join("stage")
    }
}

/// Returns whether nobody holds the instance in a folder any more; one that was half made
/// only after a while, as its maker may be about to lock it.
pub(crate) fn is_over(instance: &Path) -> bool {
    let half_made = instance
        .file_name()
        .is_some_and(|name| name.to_string_lossy().starts_with('.'));
    (!half_made || is_old(instance)) && is_dead(instance)
}

/// Moves what dead instances left among the live layers to the trash. Returns how many
/// things went.
///
/// # Errors
/// [`VmError::Io`] if the folder cannot be read.
pub(crate) fn reap(state: &StateDir) -> Result<usize, VmError> {
    let folder = state.live_layers();
    let entries = fs::read_dir(&folder).map_err(io_error("cannot read", &folder))?;
    let mut gone = 0;
    for instance in entries.flatten().map(|entry| entry.path()) {
        if is_over(&instance) {
            state.discard(&instance)?;
            gone += 1;
        }
    }
    Ok(gone)
}

/// A lock that is not there, or can be had, is nobody's.
fn is_dead(instance: &Path) -> bool {
    match File::open(instance.join("lock")) {
        Ok(lock) => flock(&lock, FlockOperation::NonBlockingLockShared).is_ok(),
        Err(error) => error.kind() == std::io::ErrorKind::NotFound,
    }
}

fn is_old(path: &Path) -> bool {
    fs::metadata(path)
        .and_then(|found| found.modified())
        .is_ok_and(|made| made.elapsed().is_ok_and(|age| age > HALF_MADE))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn half_made(state: &StateDir) -> impl Iterator<Item = PathBuf> {
        let entries = fs::read_dir(state.live_layers()).expect("a folder");
        let paths = entries.flatten().map(|entry| entry.path());
        paths.filter(|path| {
            path.file_name()
                .is_some_and(|name| name.to_string_lossy().starts_with('.'))
        })
    }

    /// Who looks for the dead holds each lock for a moment; who takes a share must not give
    /// up for that, nor leave a folder behind.
    #[test]
    fn a_share_is_taken_while_others_look_for_the_dead() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDir::open(folder.path()).unwrap();
        let is_over = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !is_over.load(std::sync::atomic::Ordering::Relaxed) {
                    for half_made in half_made(&state) {
                        is_dead(&half_made);
                    }
                }
            });
            let taken: Result<Vec<_>, _> = (0..500).map(|_| Instance::take(&state)).collect();
            is_over.store(true, std::sync::atomic::Ordering::Relaxed);
            assert_eq!(taken.unwrap().len(), 500);
        });
        assert_eq!(half_made(&state).count(), 0);
    }
}
