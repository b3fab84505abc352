//! Who root inside is outside: nobody, where the kernel has what it takes.
//!
//! As root, the spawner makes one user namespace in which the ids 0 to 65535 are ids of
//! the host that belong to no account. The layers are mounted id-mapped by it: on the disk
//! they keep the plain ids, so the same layers can be mounted with and without it, and in
//! a machine the plain ids are what is seen. The overlay itself is mounted from outside,
//! with attributes under `trusted.` that nobody inside can forge; the machine's first
//! process then enters the namespace and with that gives up every capability over the
//! machine's own mounts, network and process ids.
//!
//! Overlayfs takes id-mapped layers since Linux 5.19, tmpfs since 6.3 (which is why what
//! lies on the stage's tmpfs is owned by the host's ids instead). Nothing is assumed from
//! a version: what is refused makes the spawner go on without, and say so.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::fs::chown;
use std::path::Path;

use rustix::thread::{CapabilitiesSecureBits, set_capabilities_secure_bits};

use super::mounts::{attach, clone_folder, clone_tree, mount_setattr};
use crate::sandbox::failure::{Failure, failed};

/// The host's id of root inside: the first past those that systemd hands to containers
/// (524288 to 1879048191), and below 2^31, from where ids are special to some tools.
const FIRST: u32 = 0x7000_0000;
/// As many as an image may use; 65534 is nobody.
const COUNT: u32 = 1 << 16;

/// The user namespace of all machines of a spawner that is root.
pub(super) struct IdMap {
    namespace: OwnedFd,
}

impl IdMap {
    /// Makes the namespace. The process must have one thread.
    pub(super) fn make() -> Result<Self, Failure> {
        let holder = Holder::start().map_err(failed("cannot make", "a user namespace"))?;
        let proc = format!("/proc/{}", holder.pid);
        for map in ["uid_map", "gid_map"] {
            let file = format!("{proc}/{map}");
            fs::write(&file, format!("0 {FIRST} {COUNT}"))
                .map_err(failed("cannot write", &file))?;
        }
        let path = format!("{proc}/ns/user");
        // Clear of the number that a child's socket takes.
        let namespace = File::open(&path)
            .and_then(|opened| Ok(rustix::io::fcntl_dupfd_cloexec(&opened, 10)?))
            .map_err(failed("cannot open", &path))?;
        // Otherwise taking on another id for files costs the rights over them (see `as_owner`).
        set_capabilities_secure_bits(CapabilitiesSecureBits::NO_SETUID_FIXUP)
            .map_err(failed("cannot keep", "capabilities"))?;
        Ok(Self { namespace })
    }

    /// Returns the descriptor that [`IdMap::enter`] needs.
    pub(super) fn descriptor(&self) -> RawFd {
        self.namespace.as_raw_fd()
    }

    /// Gives up on a namespace that turned out to be of no use.
    pub(super) fn forget() {
        // Refused only where it was refused to be set.
        let _ = set_capabilities_secure_bits(CapabilitiesSecureBits::empty());
    }

    /// Copies what is mounted at a folder, without what is mounted below it, and shows it
    /// with the ids of machines. Not attached yet.
    pub(super) fn clone_mapped(&self, path: &Path, attributes: u64) -> Result<OwnedFd, Failure> {
        let tree = clone_folder(path)?;
        self.map(tree.as_fd(), path, attributes)?;
        Ok(tree)
    }

    /// As [`IdMap::clone_mapped`], with all that is mounted below.
    pub(super) fn clone_tree_mapped(
        &self,
        path: &Path,
        attributes: u64,
    ) -> Result<OwnedFd, Failure> {
        let tree = clone_tree(path)?;
        self.map(tree.as_fd(), path, attributes)?;
        Ok(tree)
    }

    fn map(&self, tree: BorrowedFd<'_>, path: &Path, attributes: u64) -> Result<(), Failure> {
        let set = attributes | libc::MOUNT_ATTR_IDMAP;
        mount_setattr(tree, set, Some(self.namespace.as_fd()))
            .map_err(failed("cannot show with other ids what is at", path))
    }

    /// Attaches what is at a folder, with the ids of machines, at another that is made
    /// here.
    pub(super) fn show(&self, from: &Path, at: &Path) -> Result<(), Failure> {
        fs::create_dir_all(at).map_err(failed("cannot make", at))?;
        attach(self.clone_mapped(from, 0)?, at)
    }

    /// Lets this thread own what it makes in id-mapped layers, as long as the guard lives.
    /// An overlay remembers who mounted it, and makes its own files as that.
    pub(super) fn as_owner(&self) -> FileOwner {
        FileOwner::become_id(FIRST)
    }

    /// Gives a file outside id-mapped mounts the owner that machines see as `uid`, `gid`.
    pub(super) fn give(&self, path: &Path, uid: u32, gid: u32) -> io::Result<()> {
        chown(path, Some(outside(uid)), Some(outside(gid)))
    }

    /// Enters the namespace as its root. What this process could do to the host ends here.
    pub(super) fn enter(&self) -> Result<(), Failure> {
        let step = |result: libc::c_long| match result {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        };
        // SAFETY: plain calls without memory, in a process with one thread; the raw calls
        // are used because libc's would ask other threads to do the same.
        let entered = unsafe {
            step(libc::c_long::from(libc::setns(
                self.namespace.as_raw_fd(),
                libc::CLONE_NEWUSER,
            )))
            .and_then(|()| {
                step(libc::syscall(
                    libc::SYS_setgroups,
                    0,
                    std::ptr::null::<u32>(),
                ))
            })
            .and_then(|()| step(libc::syscall(libc::SYS_setresgid, 0, 0, 0)))
            .and_then(|()| step(libc::syscall(libc::SYS_setresuid, 0, 0, 0)))
        };
        entered.map_err(failed("cannot enter", "the machine's user namespace"))?;
        // Changing ids has hidden this process from its own children; its capabilities, which
        // they lack, are what keeps them out.
        rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::Dumpable)
            .map_err(failed("cannot show", "the machine's first process"))
    }
}

/// Returns the host's id for one of a machine's; those that no machine has stay as they
/// are, and are nobody's inside.
fn outside(id: u32) -> u32 {
    if id < COUNT { FIRST + id } else { id }
}

/// Returns the owner of what machines see as root's.
pub(super) fn root_outside(mapped: bool) -> u32 {
    if mapped { FIRST } else { 0 }
}

/// Makes files as another id; dropping it ends that.
pub(super) struct FileOwner(());

impl FileOwner {
    fn become_id(id: u32) -> Self {
        // SAFETY: changes ids of this thread alone; a process that may mount may do it.
        unsafe {
            libc::syscall(libc::SYS_setfsgid, id);
            libc::syscall(libc::SYS_setfsuid, id);
        }
        Self(())
    }
}

impl Drop for FileOwner {
    fn drop(&mut self) {
        // SAFETY: as above.
        unsafe {
            libc::syscall(libc::SYS_setfsuid, 0);
            libc::syscall(libc::SYS_setfsgid, 0);
        }
    }
}

/// A process that only holds a user namespace open while its maps are written.
struct Holder {
    pid: libc::c_long,
    _process: OwnedFd,
}

impl Holder {
    fn start() -> io::Result<Self> {
        let mut pidfd: RawFd = -1;
        let flags = libc::CLONE_NEWUSER | libc::CLONE_PIDFD | libc::SIGCHLD;
        // SAFETY: as in `spawner::fork`; the child does nothing but wait for its end.
        let pid = unsafe {
            let flags = libc::c_long::from(flags);
            match libc::syscall(libc::SYS_clone, flags, 0, &raw mut pidfd, 0, 0) {
                0 => {
                    libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
                    loop {
                        libc::pause();
                    }
                }
                -1 => return Err(io::Error::last_os_error()),
                pid => pid,
            }
        };
        // SAFETY: the kernel has made the descriptor, and nobody else owns it.
        let process = unsafe { OwnedFd::from_raw_fd(pidfd) };
        Ok(Self {
            pid,
            _process: process,
        })
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        // SAFETY: ends and reaps this process's own child, which nobody else waits for.
        unsafe {
            libc::kill(self.pid as libc::pid_t, libc::SIGKILL);
            libc::waitpid(self.pid as libc::pid_t, std::ptr::null_mut(), 0);
        }
    }
}
