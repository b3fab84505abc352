//! Watching what machines write: a file system has no bound for a folder, and a step that
//! fills the disk takes the whole host with it.
//!
//! Once a second, and less often where a walk takes long: what a machine has written is
//! counted in blocks and files, as a file costs a block at least. Beside that the free
//! space of the disk is looked at, which every machine may be the one to use up.

use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, Instant};

use rustix::process::{Signal, pidfd_send_signal};

use super::machine::Conversation;

/// Between two looks.
const INTERVAL: Duration = Duration::from_secs(1);

/// A walk may take one part in this many of the time, within a bound: a host that has no
/// time for walks has least of all for a full disk.
const SHARE: u32 = 20;
const LONGEST: Duration = Duration::from_secs(5);

/// What a disk can write in a second, generously: before that much time has passed, a
/// machine cannot be over, and is not walked.
const RATE: u64 = 4 << 30;

/// Bytes that a file counts at least.
const BLOCK: u64 = 4096;

/// With less than this left nothing on this disk works for long, bytes.
pub(super) const FLOOR: u64 = 16 << 20;

/// What a machine has used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Over {
    /// Its own part of the disk.
    Limit,
    /// The disk.
    Disk,
}

/// Kept by the machine and those who wait for its commands.
pub(super) type Verdict = OnceLock<Over>;

/// Watches a machine's folder until the machine is gone; kills it when it is over.
pub(super) fn watch(
    machine: &Arc<Conversation>,
    process: &OwnedFd,
    folder: PathBuf,
    limit: Option<u64>,
) {
    let Ok(process) = process.try_clone() else {
        return;
    };
    tokio::spawn(watching(Arc::downgrade(machine), process, folder, limit));
}

async fn watching(
    machine: Weak<Conversation>,
    process: OwnedFd,
    folder: PathBuf,
    limit: Option<u64>,
) {
    let mut pause = INTERVAL;
    loop {
        tokio::time::sleep(pause).await;
        if machine.strong_count() == 0 {
            return;
        }
        let began = Instant::now();
        let place = folder.clone();
        let looked = tokio::task::spawn_blocking(move || look(&place, limit)).await;
        let Ok(Some(found)) = looked else { return };
        let share = (began.elapsed() * SHARE).min(LONGEST);
        pause = INTERVAL.max(share).max(found.safe_for);
        if let Some(over) = found.over
            && let Some(machine) = machine.upgrade()
        {
            let _ = machine.over.set(over);
            let _ = pidfd_send_signal(&process, Signal::KILL);
            return;
        }
    }
}

struct Found {
    over: Option<Over>,
    /// As long as this it cannot come to be over.
    safe_for: Duration,
}

/// None once the folder has gone.
fn look(folder: &Path, limit: Option<u64>) -> Option<Found> {
    let mut found = Found {
        over: None,
        safe_for: Duration::ZERO,
    };
    if free(folder)? < FLOOR {
        found.over = Some(Over::Disk);
        return Some(found);
    }
    let Some(limit) = limit else {
        return Some(found);
    };
    match used(folder, limit) {
        Some(used) => found.safe_for = Duration::from_secs((limit - used) / RATE / 2),
        None => found.over = Some(Over::Limit),
    }
    Some(found)
}

/// Returns what is free for this user on the disk of a folder, in bytes.
pub(super) fn free(folder: &Path) -> Option<u64> {
    let found = rustix::fs::statvfs(folder).ok()?;
    Some(found.f_bavail * found.f_frsize)
}

/// Counts what is in a folder, in bytes; none as soon as it is over the limit.
fn used(folder: &Path, limit: u64) -> Option<u64> {
    let mut used = 0;
    let mut pending = vec![folder.to_owned()];
    while let Some(folder) = pending.pop() {
        // What is closed to this user, or vanishes, is not counted.
        let Ok(entries) = fs::read_dir(&folder) else {
            continue;
        };
        for entry in entries.flatten() {
            let Ok(found) = entry.metadata() else {
                continue;
            };
            used += (found.blocks() * 512 / found.nlink().max(1)).max(BLOCK);
            if found.is_dir() {
                pending.push(entry.path());
            }
        }
        if used > limit {
            return None;
        }
    }
    Some(used)
}
