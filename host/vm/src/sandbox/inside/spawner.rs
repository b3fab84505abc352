//! The fork server: one thread, no memory to speak of, parent of every machine.

use std::convert::Infallible;
use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::mount::{MountPropagationFlags, UnmountFlags, mount_change, unmount};
use rustix::process::{Signal, WaitOptions};
use rustix::thread::{UnshareFlags, unshare_unsafe};

use super::ids::IdMap;
use super::stage::Stage;
use super::{carrier, flatten, init, signals};
use crate::sandbox::failure::{Failure, failed};
use crate::sandbox::network::{Carrier, Connection};
use crate::sandbox::wire::{
    self, Boot, Flatten, FromFlattener, FromMachine, FromSpawner, Root, Setup, ToSpawner,
};

/// Where a machine's first process keeps its socket; everything above is closed.
const SOCKET: RawFd = 3;

/// Runs the spawner; standard input is the socket to the process that wants machines.
/// Returns the exit code of the process.
///
/// To be called at the very top of `main`, before there is a second thread or anything
/// else is set up, when the command line is that of
/// [`SandboxConfig::spawner`](crate::sandbox::SandboxConfig::spawner).
pub fn spawner_main() -> i32 {
    match serve() {
        Ok(never) => match never {},
        Err(code) => code,
    }
}

fn serve() -> Result<Infallible, i32> {
    let (socket, signals) = detach().map_err(|_| 1)?;
    let Ok(Some((ToSpawner::Setup(setup), _))) = wire::receive(&socket) else {
        return Err(2);
    };
    let (stage, root) = match prepare(&setup) {
        Ok(prepared) => prepared,
        Err(failure) => {
            let _ = wire::send(&socket, &FromSpawner::Refused(failure), &[]);
            return Err(1);
        }
    };
    let found = wire::Stage {
        user_namespace: stage.user_namespace,
        root,
        bound: stage.bound,
        exposed: stage.exposed.clone(),
        caches: stage
            .caches
            .iter()
            .map(|(_, cache)| cache.clone())
            .collect(),
        pid_limit: stage.pid_limit,
    };
    wire::send(&socket, &FromSpawner::Ready(found), &[]).map_err(|_| 1)?;
    loop {
        let mut watched = [
            PollFd::new(&socket, PollFlags::IN),
            PollFd::new(&signals, PollFlags::IN),
        ];
        if poll(&mut watched, None).is_err_and(|error| error != Errno::INTR) {
            return Err(1);
        }
        let (asked, ended) = (
            !watched[0].revents().is_empty(),
            !watched[1].revents().is_empty(),
        );
        if ended {
            signals::drain(&signals);
            while let Ok(Some(_)) = rustix::process::wait(WaitOptions::NOHANG) {}
        }
        if asked {
            match wire::receive(&socket) {
                Ok(Some((ToSpawner::Boot(boot), fds))) => {
                    if let Some(machine) = fds.into_iter().next() {
                        spawn(&stage, &boot, machine);
                    }
                }
                Ok(Some((ToSpawner::Flatten(asked), fds))) => {
                    if let Some(socket) = fds.into_iter().next() {
                        put_together(&stage, &asked, &socket);
                    }
                }
                // The end: all machines go with this process.
                _ => return Err(0),
            }
        }
    }
}

/// Cuts this process off from the terminal, the environment and the descriptors of the
/// one that started it.
fn detach() -> io::Result<(OwnedFd, OwnedFd)> {
    let _ = rustix::process::setsid();
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    let _ = rustix::thread::set_name(c"hm-sandbox");
    // SAFETY: nothing in this process uses a descriptor above the standard ones yet.
    unsafe { libc::syscall(libc::SYS_close_range, 3, u32::MAX, 0) };
    let socket = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdin(), 3)?;
    let null = std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/null")?;
    rustix::stdio::dup2_stdin(&null)?;
    rustix::stdio::dup2_stdout(&null)?;
    rustix::stdio::dup2_stderr(&null)?;
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    std::env::set_current_dir("/")?;
    signals::reset();
    Ok((socket, signals::watch_children()?))
}

fn prepare(setup: &Setup) -> Result<(Stage, Root), Failure> {
    let parent = rustix::process::getppid().map_or(0, |pid| pid.as_raw_nonzero().get());
    if parent != setup.host {
        return Err(Failure {
            cause: "the process that wanted machines is gone".to_owned(),
            errno: None,
            remedy: None,
        });
    }
    let user_namespace = enter_namespaces()?;
    mount_change(
        "/",
        MountPropagationFlags::PRIVATE | MountPropagationFlags::REC,
    )
    .map_err(failed("cannot part mounts from the host's at", "/"))?;
    if user_namespace {
        return Ok((Stage::build(setup, true, None)?, Root::User));
    }
    let reason = if setup.map_ids {
        match IdMap::make().and_then(|ids| Stage::build(setup, false, Some(ids))) {
            Ok(stage) => return Ok((stage, Root::Nobody)),
            Err(failure) => failure.cause,
        }
    } else {
        "the configuration says so".to_owned()
    };
    IdMap::forget();
    // What was built so far is another's; it lies in this process's mounts alone.
    let _ = unmount(&setup.stage, UnmountFlags::DETACH);
    Ok((Stage::build(setup, false, None)?, Root::Host(reason)))
}

/// Takes a mount namespace; as an ordinary user, a user namespace with it, in which all
/// machines live. Returns whether it did.
fn enter_namespaces() -> Result<bool, Failure> {
    // SAFETY: this process has one thread and no descriptor table to share.
    match unsafe { unshare_unsafe(UnshareFlags::NEWNS) } {
        Ok(()) => return Ok(false),
        Err(Errno::PERM) => {}
        Err(error) => return Err(failed("cannot make", "a mount namespace")(error)),
    }
    let (user, group) = (rustix::process::geteuid(), rustix::process::getegid());
    // SAFETY: as above.
    unsafe { unshare_unsafe(UnshareFlags::NEWUSER | UnshareFlags::NEWNS) }
        .map_err(|error| crate::sandbox::probe::user_namespace_refused(error.into()))?;
    let map = |file: &str, text: String| {
        std::fs::write(file, text).map_err(|error| {
            let failure = failed("cannot write", file)(error);
            failure.with_remedy(crate::sandbox::probe::ID_MAP_REMEDY)
        })
    };
    map("/proc/self/setgroups", "deny".to_owned())?;
    map("/proc/self/uid_map", format!("0 {} 1", user.as_raw()))?;
    map("/proc/self/gid_map", format!("0 {} 1", group.as_raw()))?;
    // Gaining capabilities has cut the tie.
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))
        .map_err(failed("cannot tie", "the spawner to its parent"))?;
    Ok(true)
}

/// Makes a machine's first process, and tells of it on the machine's own socket.
fn spawn(stage: &Stage, boot: &Boot, machine: OwnedFd) {
    let carried = match &boot.network {
        Connection::Public(carriers) => match line() {
            Ok(line) => Some((carriers, line)),
            Err(error) => {
                let failure = failed("cannot make", "a socket for a machine's network")(error);
                let _ = wire::send(&machine, &FromMachine::Failed(failure), &[]);
                return;
            }
        },
        _ => None,
    };
    match fork(namespaces(boot)) {
        Ok(Forked::Child) => {
            let carrier = carried.as_ref().map(|(_, (inner, _))| inner);
            let ids = stage.ids.as_ref().map(IdMap::descriptor);
            let kept = ids.into_iter().chain(carrier.map(AsRawFd::as_raw_fd));
            become_child(&machine, kept.collect(), |socket| {
                init::run(stage, boot, socket, carrier);
            })
        }
        Ok(Forked::Parent(pid, pidfd)) => {
            if let Some((carriers, (_, outer))) = &carried {
                carry(carriers, pid, outer);
            }
            let _ = wire::send(&machine, &FromMachine::Spawned, &[pidfd.as_fd()]);
        }
        Err(error) => {
            let mut failure = failed("cannot make", "namespaces for a machine")(error);
            if matches!(failure.errno, Some(libc::ENOSPC | libc::EUSERS)) {
                failure = failure.with_remedy(
                    "raise the limits in /proc/sys/user/max_*_namespaces, or run fewer steps at \
                     once (`-j`)",
                );
            }
            let _ = wire::send(&machine, &FromMachine::Failed(failure), &[]);
        }
    }
}

/// Returns a connection whose first end a machine's first process keeps, clear of the
/// numbers that its own socket and the standard descriptors take.
fn line() -> io::Result<(OwnedFd, OwnedFd)> {
    let (inner, outer) = std::os::unix::net::UnixStream::pair()?;
    Ok((rustix::io::fcntl_dupfd_cloexec(&inner, 10)?, outer.into()))
}

/// Has a machine's packets carried, by a process of its own.
fn carry(carriers: &[Carrier], pid: i32, outer: &OwnedFd) {
    if let Ok(Forked::Child) = fork(0) {
        become_child(outer, Vec::new(), |socket| {
            carrier::run(carriers, pid, socket);
        });
    }
    // Where that failed, the machine finds its line at its end, and says so.
}

/// Has layers put together by a process of its own, in the same namespaces.
fn put_together(stage: &Stage, asked: &Flatten, socket: &OwnedFd) {
    match fork(0) {
        Ok(Forked::Child) => become_child(socket, Vec::new(), |socket| {
            // The spawner is its parent; if that has died already, nobody listens.
            let _ = rustix::process::set_parent_process_death_signal(Some(Signal::KILL));
            flatten::run(asked, stage.user_namespace, socket);
        }),
        Ok(Forked::Parent(..)) => {}
        Err(error) => {
            let failure = failed("cannot start", "a process")(error);
            let _ = wire::send(socket, &FromFlattener::Failed(failure), &[]);
        }
    }
}

/// Ends the process after doing what it is there for, with nothing but its socket and
/// those descriptors, which are above that.
fn become_child(socket: &OwnedFd, mut kept: Vec<RawFd>, work: impl FnOnce(&OwnedFd)) -> ! {
    kept.sort_unstable();
    // SAFETY: duplicates a descriptor that is open; whatever was at the number, the
    // spawner's own socket perhaps, is of no use here and is not touched again.
    let socket = unsafe {
        if socket.as_raw_fd() != SOCKET {
            libc::dup3(socket.as_raw_fd(), SOCKET, libc::O_CLOEXEC);
        }
        let mut next = SOCKET + 1;
        for kept in kept {
            if kept > next {
                libc::syscall(libc::SYS_close_range, next, kept - 1, 0);
            }
            next = kept + 1;
        }
        libc::syscall(libc::SYS_close_range, next, u32::MAX, 0);
        OwnedFd::from_raw_fd(SOCKET)
    };
    let run = std::panic::AssertUnwindSafe(|| work(&socket));
    let code = i32::from(std::panic::catch_unwind(run).is_err());
    // SAFETY: ends the process without running what the spawner registered for its end,
    // or dropping its descriptors, whose numbers are others' now.
    unsafe { libc::_exit(code) }
}

enum Forked {
    Child,
    /// With the child's process id and a descriptor of it.
    Parent(i32, OwnedFd),
}

/// What a machine has of its own.
fn namespaces(boot: &Boot) -> i32 {
    let own = libc::CLONE_NEWNS | libc::CLONE_NEWPID | libc::CLONE_NEWIPC | libc::CLONE_NEWUTS;
    if boot.network == Connection::Host {
        own
    } else {
        own | libc::CLONE_NEWNET
    }
}

/// Forks into new namespaces. The old system call does all that is needed, and seccomp
/// profiles that hide `clone3` let it through.
fn fork(namespaces: i32) -> io::Result<Forked> {
    let flags = namespaces | libc::CLONE_PIDFD | libc::SIGCHLD;
    let mut pidfd: RawFd = -1;
    // SAFETY: without a stack this is a fork: the child goes on with a copy of all memory,
    // and as this process has one thread no lock is held by another. The kernel writes
    // the descriptor, which nobody else owns.
    unsafe {
        match libc::syscall(
            libc::SYS_clone,
            libc::c_long::from(flags),
            0,
            &raw mut pidfd,
            0,
            0,
        ) {
            0 => Ok(Forked::Child),
            -1 => Err(io::Error::last_os_error()),
            pid => Ok(Forked::Parent(pid as i32, OwnedFd::from_raw_fd(pidfd))),
        }
    }
}
