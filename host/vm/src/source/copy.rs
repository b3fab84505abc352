//! Copying one file or link out of a worktree that may change under the copy.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use rustix::fs::{
    AtFlags, Mode, OFlags, Timespec, Timestamps, fchmod, fstat, futimens, ioctl_ficlone, openat,
    readlinkat, statat, symlinkat, utimensat,
};
use rustix::io::Errno;

use super::manifest::{Entry, Kind};

/// Copies of one file before it is said to change all the time.
const TRIES: u32 = 3;

/// Files up to this size go through one buffer: two calls, where the kernel's own copy
/// takes a few more.
const BUFFER: usize = 128 * 1024;

/// What became of a copy.
#[derive(Debug)]
pub(super) enum Copied {
    /// The copy is whole; the entry as it was while it was copied.
    Whole(Entry),
    /// It is gone since the walk.
    Gone,
    /// Something of another kind is there since the walk.
    Replaced,
    /// This user may not read it.
    Unreadable,
    /// It was written to during each of the tries.
    Restless,
}

/// Copies from one tree to another.
pub(super) struct Copier<'a> {
    pub(super) from: &'a OwnedFd,
    pub(super) to: &'a OwnedFd,
    /// The two file systems do not share blocks; found out with the first file.
    pub(super) no_clone: AtomicBool,
}

/// A thread's own buffer.
pub(super) fn buffer() -> Vec<u8> {
    vec![0; BUFFER]
}

impl Copier<'_> {
    /// Copies the entry, which must not be a folder, to its path in the other tree, where
    /// its folder exists and it does not.
    pub(super) fn copy(&self, entry: &Entry, buffer: &mut [u8]) -> io::Result<Copied> {
        match entry.kind {
            Kind::Symlink => self.link(entry),
            Kind::File | Kind::Directory => self.file(entry, buffer),
        }
    }

    fn link(&self, entry: &Entry) -> io::Result<Copied> {
        let path = entry.path.as_slice();
        let target = match readlinkat(self.from, path, Vec::new()) {
            Ok(target) => target,
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(Copied::Gone),
            Err(Errno::INVAL) => return Ok(Copied::Replaced),
            Err(errno) => return Err(errno.into()),
        };
        // A link cannot be written to, only replaced: what was read is whole.
        let stat = match statat(self.from, path, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(Copied::Gone),
            Err(errno) => return Err(errno.into()),
        };
        let found = Entry::new(entry.path.clone(), &stat);
        let Some(found) = found.filter(|found| found.kind == Kind::Symlink) else {
            return Ok(Copied::Replaced);
        };
        symlinkat(target, self.to, path)?;
        utimensat(self.to, path, &times(&found), AtFlags::SYMLINK_NOFOLLOW)?;
        Ok(Copied::Whole(found))
    }

    fn file(&self, entry: &Entry, buffer: &mut [u8]) -> io::Result<Copied> {
        let path = entry.path.as_slice();
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let mut from = match openat(self.from, path, flags, Mode::empty()) {
            Ok(fd) => File::from(fd),
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(Copied::Gone),
            Err(Errno::LOOP | Errno::NXIO) => return Ok(Copied::Replaced),
            Err(Errno::ACCESS | Errno::PERM) => return Ok(Copied::Unreadable),
            Err(errno) => return Err(errno.into()),
        };
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let mut to = File::from(openat(self.to, path, flags, Mode::RUSR | Mode::WUSR)?);
        for attempt in 0..TRIES {
            if attempt > 0 {
                thread::sleep(Duration::from_millis(20) * attempt);
                from.seek(SeekFrom::Start(0))?;
                to.seek(SeekFrom::Start(0))?;
                to.set_len(0)?;
            }
            let before = fstat(&from)?;
            let Some(found) = Entry::new(entry.path.clone(), &before) else {
                return Ok(Copied::Replaced);
            };
            if found.kind != Kind::File {
                return Ok(Copied::Replaced);
            }
            let sparse = u64::try_from(before.st_blocks).unwrap_or(u64::MAX) < found.size / 512;
            let length = self.content(&mut from, &mut to, &found, sparse, buffer)?;
            let after = Entry::new(entry.path.clone(), &fstat(&from)?);
            if length == found.size && after.as_ref().is_some_and(|after| after.same_stat(&found)) {
                fchmod(&to, Mode::from_raw_mode(found.mode))?;
                futimens(&to, &times(&found))?;
                return Ok(Copied::Whole(found));
            }
        }
        Ok(Copied::Restless)
    }

    /// Copies all bytes and returns how many there were.
    fn content(
        &self,
        from: &mut File,
        to: &mut File,
        entry: &Entry,
        sparse: bool,
        buffer: &mut [u8],
    ) -> io::Result<u64> {
        if entry.size > 0 && !self.no_clone.load(Ordering::Relaxed) {
            match ioctl_ficlone(to.as_fd(), from.as_fd()) {
                Ok(()) => return Ok(to.metadata()?.len()),
                Err(_) => self.no_clone.store(true, Ordering::Relaxed),
            }
        }
        if sparse {
            return copy_sparse(from, to, entry.size);
        }
        if entry.size < buffer.len() as u64 {
            let mut length = 0;
            loop {
                let read = match from.read(buffer) {
                    Ok(0) => return Ok(length),
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                    other => other?,
                };
                to.write_all(&buffer[..read])?;
                length += read as u64;
                if length > entry.size {
                    // Growing as we read: the caller sees it and tries again.
                    return Ok(length);
                }
                if length == entry.size && read < buffer.len() {
                    // The stat after it tells whether this was the end.
                    return Ok(length);
                }
            }
        }
        // Within the kernel where it can (`copy_file_range`), and no further than what
        // was promised.
        io::copy(&mut from.take(entry.size + 1), to)
    }
}

/// Copies what is data and leaves holes holes.
fn copy_sparse(from: &mut File, to: &mut File, size: u64) -> io::Result<u64> {
    let mut at = 0;
    while at < size {
        let start = match rustix::fs::seek(&*from, rustix::fs::SeekFrom::Data(at)) {
            Ok(start) => start,
            // Nothing but a hole to the end.
            Err(Errno::NXIO) => break,
            Err(errno) => return Err(errno.into()),
        };
        let end = rustix::fs::seek(&*from, rustix::fs::SeekFrom::Hole(start))?.min(size);
        if end <= start {
            break;
        }
        from.seek(SeekFrom::Start(start))?;
        to.seek(SeekFrom::Start(start))?;
        if io::copy(&mut (&mut *from).take(end - start), to)? < end - start {
            // It shrank: the caller sees it and tries again.
            break;
        }
        at = end;
    }
    to.set_len(size)?;
    Ok(size)
}

/// Returns an entry's times; when it was read tells nothing, so that is the same.
pub(super) fn times(entry: &Entry) -> Timestamps {
    let time = Timespec {
        tv_sec: entry.modified.div_euclid(1_000_000_000),
        tv_nsec: entry.modified.rem_euclid(1_000_000_000),
    };
    Timestamps {
        last_access: time,
        last_modification: time,
    }
}

/// Returns whether a file or link of a worktree has the content of its copy, and is still
/// what the walk found.
pub(super) fn same_content(worktree: &OwnedFd, entry: &Entry, copy: &OwnedFd) -> bool {
    let path = entry.path.as_slice();
    if entry.kind == Kind::Symlink {
        let read = |folder| readlinkat(folder, path, Vec::new()).ok();
        return read(worktree).is_some_and(|target| Some(target) == read(copy));
    }
    compare_files(worktree, entry, copy).unwrap_or(false)
}

fn compare_files(worktree: &OwnedFd, entry: &Entry, copy: &OwnedFd) -> io::Result<bool> {
    let path = entry.path.as_slice();
    let open = |folder| -> io::Result<File> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        Ok(openat(folder, path, flags, Mode::empty())?.into())
    };
    let (mut here, mut there) = (open(worktree)?, open(copy)?);
    if there.metadata()?.len() != entry.size {
        return Ok(false);
    }
    let (mut left, mut right) = (vec![0; BUFFER / 2], vec![0; BUFFER / 2]);
    loop {
        let (a, b) = (fill(&mut here, &mut left)?, fill(&mut there, &mut right)?);
        if left[..a] != right[..b] {
            return Ok(false);
        }
        if a == 0 {
            break;
        }
    }
    Ok(Entry::new(entry.path.clone(), &fstat(&here)?).is_some_and(|now| now.same_stat(entry)))
}

fn fill(file: &mut File, buffer: &mut [u8]) -> io::Result<usize> {
    let mut length = 0;
    while length < buffer.len() {
        match file.read(&mut buffer[length..]) {
            Ok(0) => break,
            Ok(read) => length += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(length)
}
