//! A machine's root file system, from its layers to the moment in which it is all there
//! is.

use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{Gid, Mode, OFlags, Uid, chmod, chown, open};
use rustix::mount::{MountFlags, UnmountFlags, unmount};

use super::image;
use super::mounts::{
    READ_ONLY, attach, attach_at, bind, bind_inside, clone_tree, mount_new, open_inside,
};
use super::stage::Stage;
use crate::sandbox::caches;
use crate::sandbox::failure::{Failure, failed};
use crate::sandbox::network::Connection;
use crate::sandbox::wire::Boot;
use crate::state::remove_tree;

/// The name of every machine, so that it does not tell one from another.
pub(super) const HOSTNAME: &str = "machine";

const SAFE: MountFlags = MountFlags::NOSUID.union(MountFlags::NODEV);

/// Parts of `/proc` that are read-only in machines.
const PROC_READ_ONLY: [&str; 6] = ["sys", "sysrq-trigger", "irq", "bus", "fs", "acpi"];
/// Parts of `/proc` that are empty in machines.
const PROC_COVERED: [&str; 9] = [
    "asound",
    "kcore",
    "keys",
    "kmsg",
    "latency_stats",
    "sched_debug",
    "scsi",
    "timer_list",
    "timer_stats",
];

/// The same under `/sys`: what only the firmware's owner needs, and power meters, through
/// which other programs' secrets have been told.
const SYS_COVERED: [&str; 2] = ["sys/firmware", "sys/devices/virtual/powercap"];

/// Assembles the root and makes it this process's. The mount namespace must be the
/// machine's own, a copy of the spawner's.
pub(super) fn assemble(stage: &Stage, boot: &Boot) -> Result<(), Failure> {
    let layers = stage.show_outside(&boot.layers)?;
    let root = mount_root(stage, boot, &layers)?;
    std::env::set_current_dir(stage.path.join("root"))
        .map_err(failed("cannot enter", &stage.path))?;
    if !boot.image {
        for (from, to) in &stage.lent {
            // What an earlier command has removed or replaced is not brought back.
            let _ = bind_inside(from, root.as_fd(), to);
        }
        mount_caches(stage, boot, &layers, root.as_fd())?;
    }
    if matches!(boot.network, Connection::Public(_)) {
        // Whatever a step has made of the file: names are asked for where that can be.
        bind_inside(
            &stage.path.join("resolv.conf"),
            root.as_fd(),
            Path::new("/etc/resolv.conf"),
        )?;
    }
    mount_proc(stage, boot)?;
    attach(clone_tree(&stage.path.join("dev"))?, Path::new("dev"))?;
    mount_new(
        "tmpfs",
        Path::new("dev/shm"),
        SAFE | MountFlags::NOEXEC,
        &stage.owned("mode=1777"),
    )?;
    mount_new(
        "devpts",
        Path::new("dev/pts"),
        MountFlags::NOSUID | MountFlags::NOEXEC,
        c"newinstance,ptmxmode=0666,mode=620",
    )?;
    mount_run(stage, Path::new("run"))?;
    mount_sys(boot)?;
    for path in SYS_COVERED {
        cover(stage, Path::new(path))?;
    }
    pivot()
}

/// Mounts an empty `/run`.
pub(super) fn mount_run(stage: &Stage, path: &Path) -> Result<(), Failure> {
    mount_new("tmpfs", path, SAFE, &stage.owned("mode=755"))
}

/// Empties `/run` and `/dev/shm` of a machine that has run something before. Nothing else
/// runs in it meanwhile.
pub(super) fn renew_volatile() -> Result<(), Failure> {
    for (path, mode) in [("/run", 0o755), ("/dev/shm", 0o1777)] {
        let entries: Vec<_> = fs::read_dir(path)
            .and_then(Iterator::collect)
            .map_err(failed("cannot read", path))?;
        for entry in entries {
            let entry = entry.path();
            remove_tree(&entry).map_err(failed("cannot remove", &entry))?;
        }
        let found = fs::metadata(path).map_err(failed("cannot examine", path))?;
        if found.permissions().mode() & 0o7777 != mode || (found.uid(), found.gid()) != (0, 0) {
            chown(path, Some(Uid::ROOT), Some(Gid::ROOT))
                .and_then(|()| chmod(path, Mode::from_raw_mode(mode)))
                .map_err(failed("cannot give back", path))?;
        }
    }
    Ok(())
}

fn mount_root(stage: &Stage, boot: &Boot, layers: &[PathBuf]) -> Result<OwnedFd, Failure> {
    let (upper, work) = (boot.dir.join("upper"), boot.dir.join("work"));
    for folder in [&upper, &work] {
        fs::create_dir(folder).map_err(failed("cannot make", folder))?;
    }
    let lower = if boot.image {
        image::lower(&stage.path, layers)
    } else {
        let mut lower = layers.to_vec();
        lower.push(stage.path.join("host"));
        lower
    };
    let overlay = stage.overlay(&lower, &upper, &work)?;
    let place = stage.path.join("root");
    attach(&overlay, &place)?;
    open(
        &place,
        OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )
    .map_err(failed("cannot open", &place))
}

/// Mounts the caches that are lent. One that cannot be a layer is lent read-only.
fn mount_caches(
    stage: &Stage,
    boot: &Boot,
    layers: &[PathBuf],
    root: BorrowedFd<'_>,
) -> Result<(), Failure> {
    for (index, (lowest, cache)) in stage.caches.iter().enumerate() {
        // Gone if an earlier command has removed what it lies in.
        let Ok(place) = open_inside(root, cache) else {
            continue;
        };
        let (upper, work) = caches::folders(&boot.dir, index);
        for folder in [&upper, &work] {
            fs::create_dir_all(folder).map_err(failed("cannot make", folder))?;
        }
        let lower = caches::layers(cache, lowest, layers);
        match stage.overlay(&lower, &upper, &work) {
            Ok(overlay) => attach_at(overlay, place.as_fd(), cache)?,
            Err(_) => bind(
                cache,
                &stage
                    .path
                    .join("root")
                    .join(cache.strip_prefix("/").unwrap_or(cache)),
                READ_ONLY,
            )?,
        }
    }
    Ok(())
}

fn mount_proc(stage: &Stage, boot: &Boot) -> Result<(), Failure> {
    let flags = SAFE | MountFlags::NOEXEC;
    if let Err(failure) = mount_new("proc", Path::new("proc"), flags, c"") {
        // In a container, parts of whose `/proc` are covered, a fresh one is refused.
        return match failure.errno {
            Some(libc::EPERM) => {
                bind(Path::new("/proc"), Path::new("proc"), 0)?;
                cover_proc(stage)
            }
            _ => Err(failure),
        };
    }
    if stage.pid_limit {
        limit_processes(boot.processes);
    }
    if boot.network != Connection::Host {
        open_ports();
    }
    cover_proc(stage)
}

/// Takes what reaches past the machine out of its `/proc`.
fn cover_proc(stage: &Stage) -> Result<(), Failure> {
    for name in PROC_READ_ONLY {
        let path = Path::new("proc").join(name);
        if path.exists() {
            bind(&path, &path, READ_ONLY)?;
        }
    }
    for name in PROC_COVERED {
        let path = Path::new("proc").join(name);
        cover(stage, &path)?;
    }
    Ok(())
}

/// Puts nothing in the place of a file or folder, if it is there.
fn cover(stage: &Stage, path: &Path) -> Result<(), Failure> {
    match fs::metadata(path) {
        Ok(found) if found.is_dir() => bind(&stage.path.join("void"), path, READ_ONLY),
        Ok(_) => bind(&stage.path.join("empty"), path, READ_ONLY),
        Err(_) => Ok(()),
    }
}

/// Bounds the process ids of this namespace: with no id there is no process. The first
/// 300 are not given out a second time. Before kernel 6.14 this would be the host's own
/// bound.
fn limit_processes(processes: u32) {
    let highest = processes.saturating_add(300);
    let _ = fs::write("proc/sys/kernel/pid_max", highest.to_string());
}

/// Lets everybody in a network of its own listen on any port and send pings, as root
/// inside may have no rights over that network. What a kernel does not have is not missed.
fn open_ports() {
    let _ = fs::write("proc/sys/net/ipv4/ip_unprivileged_port_start", "0");
    let _ = fs::write("proc/sys/net/ipv4/ping_group_range", "0 65535");
}

/// A fresh view without the host's control groups; where that is refused, the host's,
/// read-only.
fn mount_sys(boot: &Boot) -> Result<(), Failure> {
    let flags = SAFE | MountFlags::NOEXEC | MountFlags::RDONLY;
    match mount_new("sysfs", Path::new("sys"), flags, c"") {
        Ok(()) => Ok(()),
        Err(_) if boot.network == Connection::Host => {
            bind(Path::new("/sys"), Path::new("sys"), READ_ONLY)
        }
        // Of the host's network devices nothing is to be seen.
        Err(_) => Ok(()),
    }
}

fn pivot() -> Result<(), Failure> {
    rustix::process::pivot_root(".", ".").map_err(|error| {
        let failure =
            failed::<io::Error>("cannot change the root to", "the machine's")(error.into());
        match error {
            rustix::io::Errno::PERM => {
                failure.with_remedy("allow pivot_root in the container's seccomp profile")
            }
            rustix::io::Errno::INVAL => failure
                .with_remedy("the root file system is an initial ramdisk; run from a mounted one"),
            _ => failure,
        }
    })?;
    unmount(".", UnmountFlags::DETACH).map_err(failed("cannot leave", "the host's root"))?;
    std::env::set_current_dir("/").map_err(failed("cannot enter", "/"))
}

/// Brings the loopback device up.
pub(super) fn raise_loopback() -> Result<(), Failure> {
    let socket = rustix::net::socket(
        rustix::net::AddressFamily::INET,
        rustix::net::SocketType::DGRAM,
        None,
    )
    .map_err(failed("cannot make", "a socket"))?;
    set_up(socket.as_fd()).map_err(failed("cannot bring up", "lo"))
}

fn set_up(socket: BorrowedFd<'_>) -> io::Result<()> {
    use std::os::fd::AsRawFd;
    // SAFETY: an all-zero request is a valid one.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(b"lo\0") {
        *to = *from as libc::c_char;
    }
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
    // SAFETY: the request is complete and outlives the call.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw const request) };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
