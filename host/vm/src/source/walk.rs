//! Reading a source tree: every entry and its stat, on a few threads.

use std::ffi::{CStr, OsStr};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use rayon::slice::ParallelSliceMut;
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, RawDir, openat, statat};
use rustix::io::Errno;

use super::manifest::{Entry, Kind};
use super::options::FreezeOptions;
use super::rules::{Present, Rules};
use super::stats::{LeftOut, SourceStats};
use crate::error::VmError;
use crate::state::io_error;

/// What was touched less than this before a walk may be touched again within the same
/// tick of its clock: two seconds is the coarsest in use, that of FAT.
const RACY_NANOSECONDS: i64 = 2_000_000_000;

/// A tree as found.
pub(super) struct Tree {
    /// Sorted by path.
    pub(super) entries: Vec<Entry>,
    pub(super) stats: SourceStats,
}

/// A walk under way.
struct Walk<'a> {
    root: &'a Path,
    root_fd: &'a OwnedFd,
    options: &'a FreezeOptions,
    found: Mutex<(Vec<Entry>, SourceStats)>,
    failed: Mutex<Option<VmError>>,
}

/// Walks a tree. Runs on the caller's thread pool.
pub(super) fn walk(
    root: &Path,
    root_fd: &OwnedFd,
    options: &FreezeOptions,
) -> Result<Tree, VmError> {
    let began = now();
    let stat = rustix::fs::fstat(root_fd).map_err(io_error("cannot read", root))?;
    let walk = Walk {
        root,
        root_fd,
        options,
        found: Mutex::default(),
        failed: Mutex::default(),
    };
    let rules = Rules::above(root);
    rayon::scope(|scope| walk.folder(scope, Vec::new(), Some(rules)));
    if let Some(error) = walk
        .failed
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner)
    {
        return Err(error);
    }
    let (mut entries, mut stats) = walk
        .found
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner);
    entries.extend(Entry::new(Vec::new(), &stat));
    entries.par_sort_unstable_by(|a, b| a.path.cmp(&b.path));
    for entry in &mut entries {
        entry.racy = is_racy(entry, began);
    }
    stats.tidy();
    Ok(Tree { entries, stats })
}

/// Whether a change after `began` could leave an entry's times as they are. Times of
/// modification can be set at will, also ahead of now; those of change cannot.
fn is_racy(entry: &Entry, began: i64) -> bool {
    let from = began - RACY_NANOSECONDS;
    entry.changed >= from || (from..=began + RACY_NANOSECONDS).contains(&entry.modified)
}

fn now() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| {
            i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
        })
}

impl<'a> Walk<'a> {
    /// Reads one folder, and has those in it read by whoever is free. Without rules
    /// nothing is ignored.
    fn folder<'scope>(
        &'scope self,
        scope: &rayon::Scope<'scope>,
        path: Vec<u8>,
        rules: Option<Arc<Rules>>,
    ) where
        'a: 'scope,
    {
        let mut entries = Vec::new();
        let mut stats = SourceStats::default();
        match self.read(&path, rules, &mut entries, &mut stats) {
            Ok(rules) => {
                for entry in entries.iter().filter(|entry| entry.kind == Kind::Directory) {
                    let (path, mut rules) = (entry.path.clone(), rules.clone());
                    if name(&path) == b".git" {
                        // Of no concern to ignore files: git needs all of it.
                        rules = None;
                    }
                    scope.spawn(move |scope| self.folder(scope, path, rules));
                }
            }
            // Gone since its own folder was read, or not for this user to read.
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) if !path.is_empty() => {}
            Err(Errno::ACCESS) if !path.is_empty() => stats.leave_out(LeftOut::Unreadable, &path),
            Err(errno) => {
                let error = io_error("cannot read the folder", self.absolute(&path))(errno);
                *self.failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
            }
        }
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        found.0.append(&mut entries);
        found.1.merge(stats);
    }

    fn read(
        &self,
        path: &[u8],
        rules: Option<Arc<Rules>>,
        entries: &mut Vec<Entry>,
        stats: &mut SourceStats,
    ) -> Result<Option<Arc<Rules>>, Errno> {
        let folder = open_folder(self.root_fd, path)?;
        let mut present = Present::default();
        let names = list(&folder, &mut present)?;
        let rules = rules.map(|rules| rules.enter(&folder, path, present));
        for (name, kind) in names {
            let path = join(path, name.to_bytes());
            if let Some(reason) = self.excluded(name.to_bytes()) {
                stats.leave_out(reason, &path);
                continue;
            }
            let ignored = |is_directory| {
                rules
                    .as_ref()
                    .is_some_and(|rules| rules.leave_out(&path, is_directory))
            };
            // Not every file system tells the kind with the name.
            let known = kind != FileType::Unknown;
            if known && ignored(kind == FileType::Directory) {
                stats.leave_out(LeftOut::Ignored, &path);
                continue;
            }
            let stat = match statat(&folder, &name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) => stat,
                Err(Errno::NOENT) => continue,
                Err(Errno::ACCESS) => {
                    stats.leave_out(LeftOut::Unreadable, &path);
                    continue;
                }
                Err(errno) => return Err(errno),
            };
            if !known && ignored(FileType::from_raw_mode(stat.st_mode) == FileType::Directory) {
                stats.leave_out(LeftOut::Ignored, &path);
                continue;
            }
            let Some(entry) = Entry::new(path.clone(), &stat) else {
                stats.leave_out(LeftOut::Special, &path);
                continue;
            };
            entries.push(entry);
        }
        Ok(rules)
    }

    fn excluded(&self, name: &[u8]) -> Option<LeftOut> {
        match name {
            b".hm" => Some(LeftOut::Hm),
            b".git" if !self.options.include_git => Some(LeftOut::Git),
            _ => None,
        }
    }

    fn absolute(&self, path: &[u8]) -> PathBuf {
        self.root.join(OsStr::from_bytes(path))
    }
}

/// Opens a folder below `root`, without following a link that took its place.
pub(super) fn open_folder(root: impl AsFd, path: &[u8]) -> Result<OwnedFd, Errno> {
    let path = if path.is_empty() { b"." } else { path };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(root, path, flags, Mode::empty())
}

/// Opens the root of a tree, of which a link is a name as good as any.
pub(super) fn open_root(root: &Path) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    openat(CWD, root, flags, Mode::empty())
}

fn list(
    folder: &OwnedFd,
    present: &mut Present,
) -> Result<Vec<(std::ffi::CString, FileType)>, Errno> {
    let mut buffer = [MaybeUninit::uninit(); 32 * 1024];
    let mut names = Vec::new();
    let mut entries = RawDir::new(folder, &mut buffer);
    while let Some(entry) = entries.next() {
        let entry = entry?;
        let name: &CStr = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        present.note(name.to_bytes());
        names.push((name.to_owned(), entry.file_type()));
    }
    Ok(names)
}

fn join(folder: &[u8], name: &[u8]) -> Vec<u8> {
    if folder.is_empty() {
        return name.to_vec();
    }
    [folder, b"/", name].concat()
}

fn name(path: &[u8]) -> &[u8] {
    path.rsplit(|byte| *byte == b'/').next().unwrap_or_default()
}
