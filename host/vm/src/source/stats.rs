//! What went into a frozen tree and what did not.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use super::manifest::{Entry, Kind};

/// How many paths a list of examples holds.
const EXAMPLES: usize = 100;

/// How many of the largest entries are told.
const LARGEST: usize = 10;

/// Why an entry is not in a frozen tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LeftOut {
    /// `.git`, which was not asked for.
    Git,
    /// `.hm`: the pipelines are no part of what they build.
    Hm,
    /// An ignore file says so.
    Ignored,
    /// A socket, pipe or device.
    Special,
    /// This user may not read it.
    Unreadable,
}

/// What went into a frozen tree and what did not. Sizes are in bytes as `ls` shows them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SourceStats {
    /// Regular files.
    pub files: u64,
    /// Folders, the root not counted.
    pub directories: u64,
    /// Symbolic links.
    pub symlinks: u64,
    /// Bytes in regular files.
    pub bytes: u64,
    /// Entries left out, by reason. A folder counts once, whatever is in it.
    pub left_out: BTreeMap<LeftOut, u64>,
    /// The first hundred ignored entries, relative to the root.
    pub ignored: Vec<PathBuf>,
    /// Sockets, pipes and devices, relative to the root.
    pub special: Vec<PathBuf>,
    /// What this user may not read, relative to the root; steps will miss it.
    pub unreadable: Vec<PathBuf>,
    /// The entries at the root that hold most, largest first, with their bytes.
    pub largest: Vec<(PathBuf, u64)>,
    /// Files that were copied for this build.
    pub copied_files: u64,
    /// Bytes that were copied for this build.
    pub copied_bytes: u64,
    /// Entries that are gone since the last build.
    pub removed: u64,
}

impl SourceStats {
    pub(super) fn leave_out(&mut self, reason: LeftOut, path: &[u8]) {
        *self.left_out.entry(reason).or_default() += 1;
        let list = match reason {
            LeftOut::Ignored => &mut self.ignored,
            LeftOut::Special => &mut self.special,
            LeftOut::Unreadable => &mut self.unreadable,
            LeftOut::Git | LeftOut::Hm => return,
        };
        if reason != LeftOut::Ignored || list.len() < EXAMPLES {
            list.push(OsStr::from_bytes(path).into());
        }
    }

    pub(super) fn merge(&mut self, other: Self) {
        for (reason, count) in other.left_out {
            *self.left_out.entry(reason).or_default() += count;
        }
        self.ignored.extend(other.ignored);
        self.special.extend(other.special);
        self.unreadable.extend(other.unreadable);
    }

    /// Puts what many threads have found in order.
    pub(super) fn tidy(&mut self) {
        self.ignored.sort();
        self.ignored.truncate(EXAMPLES);
        self.special.sort();
        self.unreadable.sort();
    }

    pub(super) fn count(&mut self, entries: &[Entry]) {
        let mut sizes: BTreeMap<&[u8], u64> = BTreeMap::new();
        for entry in entries.iter().filter(|entry| !entry.path.is_empty()) {
            match entry.kind {
                Kind::Directory => self.directories += 1,
                Kind::Symlink => self.symlinks += 1,
                Kind::File => {
                    self.files += 1;
                    self.bytes += entry.size;
                    let top = entry.path.split(|byte| *byte == b'/').next();
                    *sizes.entry(top.unwrap_or_default()).or_default() += entry.size;
                }
            }
        }
        let mut largest: Vec<_> = sizes.into_iter().collect();
        largest.sort_by_key(|(_, bytes)| std::cmp::Reverse(*bytes));
        largest.truncate(LARGEST);
        self.largest = largest
            .into_iter()
            .map(|(name, bytes)| (OsStr::from_bytes(name).into(), bytes))
            .collect();
    }
}
