//! The interface between the subsystem and an engine.
//!
//! Life of a machine: [`VmBackend::boot`] → any number of [`Machine::exec`], which may
//! overlap → [`Machine::snapshot`] or [`Machine::destroy`], both of which consume it.
//! Whatever is dropped instead is destroyed in the background: dropping never blocks.
//!
//! # A further engine
//!
//! Implement [`VmBackend`], [`Machine`] and [`Snapshot`], give it a constructor in
//! `tests/conformance/lab.rs` and a line in its `main.rs`: the suite holds it to all that
//! is said here. What it has to know beyond the methods:
//!
//! - **File system of a machine**, from below: the image, the source layers of *this* boot
//!   ([`BootSpec::source`]), what earlier machines of the snapshot wrote, and an empty top. A
//!   snapshot holds what machines wrote and neither image nor source: booted over another
//!   source, what a step wrote or deleted wins, and the rest of `/workspace` is today's.
//! - **Commands** start as `sh -c COMMAND` in `/workspace`, with nothing to read, a umask of
//!   022, and the image's environment under their own. Whether a machine goes on or is
//!   frozen and booted again must not show: before a further command `/run` and `/dev/shm`
//!   are empty, and nothing of the one before still runs.
//! - **Ids** are never used twice, neither a machine's nor a snapshot's nor a layer's.
//! - **Whose something is**: take a share of the state folder (`layers/live/INSTANCE`, whose
//!   lock tells others that this process lives), and mark with its name all that is made
//!   elsewhere. [`VmBackend::reap`] removes what belongs to this state folder and to no
//!   living share, unless there is a folder of the layer's name among the kept layers
//!   ([`StateDir::kept_layers`](crate::StateDir::kept_layers)), which
//!   [`VmBackend::keep`] puts there and the registry takes away.
//! - **Errors** are [`VmError`]s that say what failed on what and why; where there is
//!   something to do about it, use a variant with a remedy. Cheap checks belong into `boot`,
//!   so that a step that cannot run fails before it has begun.

use std::any::Any;
use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::future::BoxFuture;
use tokio::io::AsyncRead;

use crate::error::VmError;
use crate::image::Flavour;

/// An engine: starts machines and freezes them.
///
/// All methods may be called concurrently, and every returned future may be dropped at
/// any await; what was half made is then removed by the engine.
#[async_trait]
pub trait VmBackend: Send + Sync {
    /// Returns the name that configuration, keys and events use: `sandbox`, `docker`.
    fn name(&self) -> &'static str;

    /// Returns what this engine isolates, limits and provides, for `hm doctor`.
    fn support(&self) -> Support;

    /// Returns the kind of the layers that this engine keeps as folders in
    /// [`StateDir::kept_layers`](crate::StateDir::kept_layers), so that they can be saved
    /// to files and restored; none where snapshots are something else.
    async fn flavour(&self) -> Result<Option<Flavour>, VmError> {
        Ok(None)
    }

    /// Makes an image available, which may mean to fetch it, and returns its identity:
    /// what a cache key must mix in so that another image under the same name is another
    /// key. Quick when the image is here. Callers ask before they boot it, so that the
    /// progress is shown; asking for the same image at the same time fetches it once.
    ///
    /// # Errors
    /// [`VmError::ImageNotFound`] with the name as asked for, where this engine cannot have
    /// such an image; [`VmError::ImageFetch`] where it could not be fetched.
    async fn image_id(&self, image: &str, progress: &Progress) -> Result<String, VmError>;

    /// Starts a machine. Nothing runs in it yet.
    async fn boot(&self, spec: BootSpec) -> Result<Box<dyn Machine>, VmError>;

    /// Lets a snapshot outlive its handles, and tells what the registry must remember to
    /// find it again.
    async fn keep(&self, snapshot: &Arc<dyn Snapshot>) -> Result<SnapshotRecord, VmError>;

    /// Reopens a kept snapshot; none if its files are gone or are not usable here.
    async fn open(&self, record: &SnapshotRecord) -> Result<Option<Arc<dyn Snapshot>>, VmError>;

    /// Removes layers that no kept snapshot needs any more. The caller has made sure that
    /// no process uses them.
    async fn remove_layers(&self, layers: &[String]) -> Result<(), VmError>;

    /// Removes images that no name stands for any more, and that are not among `keep`, the
    /// identities that kept snapshots name ([`SnapshotRecord::image`]). Never what a living
    /// process uses. Returns how many things went. Engines that leave images to somebody
    /// else do nothing.
    async fn remove_images(&self, _keep: &HashSet<String>) -> Result<usize, VmError> {
        Ok(0)
    }

    /// Finds what dead processes left (machines, mounts, folders, containers) and removes
    /// it. Never touches what a living process owns. Returns how many things went.
    async fn reap(&self) -> Result<usize, VmError>;

    /// Waits until everything that was dropped so far is really gone.
    async fn settle(&self);

    /// Ends what is kept ready for further machines, and waits until that is gone too, so
    /// that nothing is left when the process ends. There are no machines after it.
    async fn close(&self) {
        self.settle().await;
    }
}

/// Is told how far the fetching of an image is. Calls are cheap and may be frequent.
#[derive(Clone, Default)]
pub struct Progress(Option<Arc<dyn Fn(Fetching) + Send + Sync>>);

/// How far the fetching of an image is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetching {
    /// As it was asked for.
    pub image: String,
    /// Bytes that are here, of what is transferred.
    pub done: u64,
    /// Bytes to transfer, once that is known.
    pub total: Option<u64>,
}

impl Progress {
    /// Hands every report to a function.
    pub fn new(report: impl Fn(Fetching) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(report)))
    }

    /// Reports.
    pub fn report(&self, fetching: Fetching) {
        if let Some(report) = &self.0 {
            report(fetching);
        }
    }
}

impl fmt::Debug for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() {
            "Progress"
        } else {
            "Progress(none)"
        })
    }
}

/// What to start a machine from.
#[derive(Debug, Clone)]
pub struct BootSpec {
    /// Image or snapshot.
    pub base: Base,
    /// The frozen source tree, topmost layer first, below everything that steps wrote.
    /// Each holds one folder, `workspace`, laid out as a layer of the root file system.
    pub source: Arc<[PathBuf]>,
    /// Limits and network.
    pub options: MachineOptions,
}

/// What a machine's file system starts as.
#[derive(Debug, Clone)]
pub enum Base {
    /// An image by name, after `--image` was applied.
    Image(String),
    /// What a machine left behind.
    Snapshot(Arc<dyn Snapshot>),
}

/// Size and reach of a machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MachineOptions {
    /// Processors; none is no limit.
    pub cpus: Option<u32>,
    /// Memory in MiB; none is no limit.
    pub memory_mib: Option<u32>,
    /// Processes and threads at once.
    pub processes: u32,
    /// What it may write in MiB, files counting a block at least; none is no limit.
    pub disk_mib: Option<u64>,
    /// What it can reach.
    pub network: Network,
}

impl Default for MachineOptions {
    fn default() -> Self {
        Self {
            cpus: None,
            memory_mib: None,
            processes: 4096,
            disk_mib: None,
            network: Network::Host,
        }
    }
}

impl MachineOptions {
    /// Returns what a machine of somebody gets whom the user does not know: 4 processors,
    /// 8 GiB of memory, 4,096 processes, 20 GiB of disk, and no network (sandbox reference,
    /// section 6).
    pub fn for_strangers() -> Self {
        Self {
            cpus: Some(4),
            memory_mib: Some(8 << 10),
            processes: 4096,
            disk_mib: Some(20 << 10),
            network: Network::None,
        }
    }

    /// Returns these, and less where less is asked for.
    #[must_use]
    pub fn at_most(&self, cpus: Option<u32>, memory_mib: Option<u32>) -> Self {
        let least = |most: Option<u32>, asked: Option<u32>| match (most, asked) {
            (Some(most), Some(asked)) => Some(most.min(asked)),
            (most, asked) => most.or(asked),
        };
        Self {
            cpus: least(self.cpus, cpus),
            memory_mib: least(self.memory_mib, memory_mib),
            ..self.clone()
        }
    }
}

/// What a machine can reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Network {
    /// Loopback only.
    None,
    /// An own stack without private ranges.
    Public,
    /// The host's network.
    Host,
}

/// A frozen file system. The last handle that goes frees it, unless the registry keeps it.
pub trait Snapshot: fmt::Debug + Send + Sync {
    /// Returns the identity: random, never used twice.
    fn id(&self) -> &str;

    /// For the engine that made it.
    fn as_any(&self) -> &dyn Any;
}

/// What the registry remembers of a kept snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotRecord {
    /// Of [`Snapshot::id`].
    pub id: String,
    /// Which kind of layers: `trusted` and `user` (overlay attributes), `docker`. Layers
    /// of one flavour cannot be mounted as another (vm reference, section 2).
    pub flavour: String,
    /// Identity of the image below the layers ([`VmBackend::image_id`]), where the engine
    /// keeps images apart from layers and must not remove this one meanwhile.
    pub image: Option<String>,
    /// Topmost first. Layers are shared between snapshots.
    pub layers: Vec<LayerRecord>,
}

/// A layer of a kept snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerRecord {
    /// Identity, unique for the engine.
    pub id: String,
    /// Disk space, counting blocks.
    pub bytes: u64,
}

/// A running machine.
#[async_trait]
pub trait Machine: Send + Sync {
    /// Returns the identity: random, never used twice.
    fn id(&self) -> &str;

    /// Starts a command and returns at once.
    async fn exec(&self, spec: ExecSpec) -> Result<Execution, VmError>;

    /// Ends all processes, freezes the file system (without the source layers) and
    /// consumes the machine.
    async fn snapshot(self: Box<Self>) -> Result<Arc<dyn Snapshot>, VmError>;

    /// Ends all processes and removes the machine's files; returns when the processes
    /// are gone.
    async fn destroy(self: Box<Self>);
}

/// A command to run.
#[derive(Debug, Clone)]
pub struct ExecSpec {
    /// One argument to `sh -c`.
    pub command: String,
    /// On top of the machine's base environment (`HOME`, `PATH`, …).
    pub env: BTreeMap<String, String>,
    /// Inside the machine; none is `/workspace`.
    pub working_dir: Option<String>,
    /// After it the whole process tree of the command is killed: asked to end first, and
    /// made to two seconds later.
    pub timeout: Option<Duration>,
    /// True if no other command is expected on the machine, only its end or a snapshot. A
    /// hint: an engine to which the first command of a machine is cheaper when it is the
    /// only one takes it, and must run further ones all the same.
    pub is_last: bool,
}

/// What a command prints on one channel.
pub type Output = Box<dyn AsyncRead + Send + Unpin>;

/// A command that runs. Dropping it kills the command and all that it started.
///
/// What is not read holds the command back. `status` resolves when the command's own
/// process has ended, what it left running has been given 250 ms and then killed; both
/// outputs end at the latest then.
pub struct Execution {
    /// Standard output.
    pub stdout: Output,
    /// Standard error.
    pub stderr: Output,
    /// How the command ended. Owns what kills the command when dropped.
    pub status: BoxFuture<'static, Result<ExecStatus, VmError>>,
}

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExecStatus {
    /// By itself, with this code.
    Exited(i32),
    /// By this signal.
    Signaled(u32),
    /// Killed after its timeout.
    TimedOut,
    /// Killed because the machine's memory was used up.
    OutOfMemory,
    /// Killed because the machine's part of the disk was used up; the machine is gone.
    OutOfDisk,
    /// Failed with this exit code, 137 if it was killed for that, while the disk itself
    /// was full on which the engine keeps machines.
    DiskFull(i32),
    /// Failed with this exit code, or none if it was killed after its timeout, while as many
    /// processes ran as the machine may have, so that no further one could be started.
    OutOfProcesses(Option<i32>),
}

/// What an engine does here, in words for `hm doctor`.
#[derive(Debug, Clone, Default)]
pub struct Support {
    /// How machines are kept from the host and each other.
    pub isolation: String,
    /// Where images come from.
    pub images: String,
    /// Which limits hold, and by what.
    pub limits: String,
    /// Networks that work.
    pub networks: Vec<Network>,
    /// Where one of them holds less than its word says.
    pub network_note: Option<String>,
}
