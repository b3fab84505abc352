//! A state folder that goes with its owner.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::error::VmError;
use crate::state::{io_error, remove_tree};

/// How often, and how far apart, the folder is tried to be removed: a thread that copies the
/// source of a build that ended early may put one more file where all was just taken away.
const ATTEMPTS: u32 = 50;
const PAUSE: Duration = Duration::from_millis(20);

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
        for _ in 0..ATTEMPTS {
            if let Err(error) = remove_tree(&self.path) {
                tracing::debug!(path = %self.path.display(), %error, "cannot delete");
            }
            if !self.path.exists() {
                return;
            }
            std::thread::sleep(PAUSE);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_still_being_written_goes_too() {
        let folder = Ephemeral::make().unwrap();
        let path = folder.path().to_owned();
        let writer = std::thread::spawn({
            let path = path.clone();
            move || {
                for number in 0..100 {
                    let _ = std::fs::create_dir(path.join(number.to_string()));
                    std::thread::sleep(Duration::from_millis(1));
                }
            }
        });
        drop(folder);
        writer.join().unwrap();
        assert!(!path.exists());
    }
}
