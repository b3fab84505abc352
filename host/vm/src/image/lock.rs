//! File locks: what the kernel lets go of however a process ends.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};

use crate::error::VmError;
use crate::state::write_error;

/// The first and the longest pause between two tries.
const PAUSES: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(200));

/// Takes a lock, however long another holds it. Dropping the future gives up.
pub(super) async fn wait(path: &Path, operation: FlockOperation) -> Result<File, VmError> {
    let mut pause = PAUSES.0;
    loop {
        if let Some(file) = try_now(path, operation)? {
            return Ok(file);
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(PAUSES.1);
    }
}

/// Takes a lock if nobody is in the way. The file is made if it is not there.
pub(super) fn try_now(path: &Path, operation: FlockOperation) -> Result<Option<File>, VmError> {
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(path)
        .map_err(write_error("cannot make", path))?;
    match flock(&file, operation) {
        Ok(()) => {}
        Err(rustix::io::Errno::WOULDBLOCK | rustix::io::Errno::INTR) => return Ok(None),
        Err(error) => return Err(write_error("cannot lock", path)(io::Error::from(error))),
    }
    // Somebody may have taken the file away between the two calls.
    let identity = |found: std::fs::Metadata| (found.dev(), found.ino());
    let (locked, there) = (file.metadata(), std::fs::metadata(path));
    let is_same = match (locked, there) {
        (Ok(locked), Ok(there)) => identity(locked) == identity(there),
        _ => false,
    };
    Ok(is_same.then_some(file))
}
