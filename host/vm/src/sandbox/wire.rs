//! Messages between the process that wants machines, the spawner, and the machines.
//!
//! Sequenced packets keep message borders, tell the end of the other side, and carry
//! descriptors. A message too large for a packet travels in a memory file.

use std::collections::BTreeMap;
use std::io::{self, IoSlice, IoSliceMut, Read, Seek, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use rustix::fs::{MemfdFlags, memfd_create};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags,
    SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg,
    sendmsg, socketpair,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::cgroup::PerProcess;
use super::failure::Failure;
use super::network::Connection;

/// Largest payload that travels in the packet itself; far below the smallest send buffer.
const INLINE: usize = 32 << 10;
/// More descriptors than any message carries.
const FDS: usize = 6;

/// To the spawner.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum ToSpawner {
    /// First of all.
    Setup(Setup),
    /// Start a machine; its socket comes along.
    Boot(Boot),
    /// Put layers together; the socket to tell of it comes along.
    Flatten(Flatten),
}

/// What does not change between machines.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Setup {
    /// The process on which the spawner's life hangs.
    pub(super) host: i32,
    /// The state folder, in which all layers of machines lie.
    pub(super) state: PathBuf,
    /// Whether root inside shall not be root outside, where that can be had.
    pub(super) map_ids: bool,
    /// An empty folder to build in, seen by the spawner alone.
    pub(super) stage: PathBuf,
    /// Host folders that machines see, read-only, at their own path.
    pub(super) exposed: Vec<PathBuf>,
    /// Host folders that machines never see.
    pub(super) hidden: Vec<PathBuf>,
}

/// Layers to be put together into one that means the same.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Flatten {
    /// Topmost first.
    pub(super) layers: Vec<PathBuf>,
    /// The folder to make.
    pub(super) target: PathBuf,
    /// Another, for what the first needs below it.
    pub(super) floor: PathBuf,
}

/// From a process that puts layers together.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum FromFlattener {
    /// The layers are open, and may be moved.
    Opened,
    /// The target is whole, and so is what it needs below it, if anything.
    Done { has_floor: bool },
    /// It is not, and what there is of it is of no use.
    Failed(Failure),
}

/// What a machine is made of.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Boot {
    /// Empty; its layers go there.
    pub(super) dir: PathBuf,
    /// Layers above the host's file system, topmost first, or all of an image's.
    pub(super) layers: Vec<PathBuf>,
    /// The layers are an image: nothing of the host lies below.
    pub(super) image: bool,
    /// What its network is connected to.
    pub(super) network: Connection,
    /// Processes and threads at once.
    pub(super) processes: u32,
    /// Files that take the machine into its control groups.
    pub(super) cgroups: Vec<PathBuf>,
    /// What groups do not hold it to.
    pub(super) per_process: PerProcess,
}

/// From the spawner.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum FromSpawner {
    /// Machines can be had.
    Ready(Stage),
    /// They cannot.
    Refused(Failure),
}

/// What the spawner found to work here.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Stage {
    /// Runs in a user namespace itself, as an ordinary user's must.
    pub(super) user_namespace: bool,
    /// Who root inside is.
    pub(super) root: Root,
    /// The host's folders are lent read-only instead of lying under the machine's own
    /// layer.
    pub(super) bound: bool,
    /// Folders of [`Setup::exposed`] that are there.
    pub(super) exposed: Vec<PathBuf>,
    /// Those of them that machines write to, in layers of their own.
    pub(super) caches: Vec<PathBuf>,
    /// The kernel bounds process ids of a namespace, and with them processes.
    pub(super) pid_limit: bool,
}

/// Who root inside a machine is outside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Root {
    /// The user that runs this, and has no more rights than that.
    User,
    /// Nobody: a user namespace of its own over id-mapped layers.
    Nobody,
    /// Root of the host, and why.
    Host(String),
}

/// To a machine.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum ToMachine {
    /// Run a command; its standard output and error come along.
    Exec(Exec),
    /// Kill a command and all that stems from it.
    Kill(u64),
}

/// A command.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Exec {
    /// Unique for the machine.
    pub(super) job: u64,
    pub(super) command: String,
    /// All of it.
    pub(super) env: BTreeMap<String, String>,
    pub(super) working_dir: String,
    /// None is root, with the host's shell.
    pub(super) identity: Option<Identity>,
    pub(super) timeout_ms: Option<u64>,
    /// No other command is to follow.
    pub(super) is_last: bool,
}

/// As whom a command in an image runs; its shell is found on its own `PATH`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Identity {
    /// `USER[:GROUP]` of the image's own; none is root.
    pub(super) user: Option<String>,
}

/// From a machine, or from the spawner on its behalf.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum FromMachine {
    /// Its first process is there; a descriptor of it comes along.
    Spawned,
    /// Commands can be run.
    Ready,
    /// It could not be started.
    Failed(Failure),
    /// A command runs.
    Started(u64),
    /// A command could not be started.
    NotStarted(u64, Failure),
    /// A command and all that it started has ended.
    Ended(u64, End),
}

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum End {
    Exited(i32),
    /// With this code, or none after its timeout, when no further process could be started.
    Crowded(Option<i32>),
    Signaled(u32),
    TimedOut,
}

/// Returns both ends of a new connection; closed in children, blocking.
pub(super) fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(socketpair(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        SocketFlags::CLOEXEC,
        None,
    )?)
}

/// Sends a message with descriptors.
pub(super) fn send<T: Serialize>(
    socket: impl AsFd,
    message: &T,
    fds: &[BorrowedFd<'_>],
) -> io::Result<()> {
    let mut packet = vec![b'i'];
    serde_json::to_writer(&mut packet, message)?;
    let mut fds = fds.to_vec();
    let spilled;
    if packet.len() > INLINE {
        spilled = spill(&packet[1..])?;
        fds.push(spilled.as_fd());
        packet = vec![b'm'];
    }
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FDS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(&fds)) {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    }
    loop {
        match sendmsg(
            &socket,
            &[IoSlice::new(&packet)],
            &mut control,
            SendFlags::NOSIGNAL,
        ) {
            Err(rustix::io::Errno::INTR) => {}
            other => return Ok(other.map(drop)?),
        }
    }
}

fn spill(payload: &[u8]) -> io::Result<OwnedFd> {
    let mut file = std::fs::File::from(memfd_create("message", MemfdFlags::CLOEXEC)?);
    file.write_all(payload)?;
    file.rewind()?;
    Ok(file.into())
}

/// Receives a message and its descriptors; none at the end.
pub(super) fn receive<T: DeserializeOwned>(
    socket: impl AsFd,
) -> io::Result<Option<(T, Vec<OwnedFd>)>> {
    let mut packet = vec![0; INLINE + 16];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FDS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let received = loop {
        let mut parts = [IoSliceMut::new(&mut packet)];
        match recvmsg(&socket, &mut parts, &mut control, RecvFlags::CMSG_CLOEXEC) {
            Err(rustix::io::Errno::INTR) => {}
            other => break other?,
        }
    };
    let mut fds = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            fds.extend(rights);
        }
    }
    if received.bytes == 0 {
        return Ok(None);
    }
    let broken = ReturnFlags::TRUNC | ReturnFlags::CTRUNC;
    if received.flags.intersects(broken) {
        return Err(io::Error::from(io::ErrorKind::InvalidData));
    }
    let message = match packet[0] {
        b'm' => {
            let mut payload = Vec::new();
            let file = fds
                .pop()
                .ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))?;
            std::fs::File::from(file).read_to_end(&mut payload)?;
            serde_json::from_slice(&payload)?
        }
        _ => serde_json::from_slice(&packet[1..received.bytes])?,
    };
    Ok(Some((message, fds)))
}
