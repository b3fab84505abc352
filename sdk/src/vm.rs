//! Machines, in which the plan's steps run. The user grants them as `vm`.
//!
//! A machine and a snapshot are gone when their values are dropped; nothing needs to be
//! destroyed by hand, and nothing stays behind after an early `?`.
//!
//! ```no_run
//! use hm_backend_sdk::vm::{self, Machine, MachineOptions, Snapshot};
//! use hm_backend_sdk::{BackendError, Step, StepId};
//!
//! /// Runs a root step, unless the cache has what it would leave behind.
//! async fn root(id: StepId, step: &Step) -> Result<Option<Snapshot>, BackendError> {
//!     if let Some(found) = vm::cache_lookup(id, None).await? {
//!         return Ok(Some(found));
//!     }
//!     let image = step.image.clone().unwrap_or_default();
//!     let machine = Machine::boot_image(id, image, MachineOptions::default()).await?;
//!     if !machine.run(id).await?.is_success() {
//!         return Ok(None);
//!     }
//!     let left = machine.snapshot().await?;
//!     vm::cache_store(id, &left).await?;
//!     Ok(Some(left))
//! }
//! ```

use std::fmt;

pub use crate::bindings::hm::backend::vm::{ExecSpec, ExecStatus, MachineOptions, VmError};
use crate::platform;
use crate::{BackendError, StepId};

/// A place that runs commands. Dropping it destroys it, without waiting for that.
///
/// Methods may run at the same time; dropping a pending call kills its command.
pub struct Machine(platform::Machine);

/// A machine's file system, frozen. Dropping it frees it, unless the cache or a machine
/// still holds it.
pub struct Snapshot(platform::Snapshot);

impl Machine {
    /// Boots from an image, with the source tree, copy-on-write, at `/workspace`. Fetching
    /// the image is shown under `step`.
    ///
    /// # Errors
    /// There is no such image, or no machine to be had.
    pub async fn boot_image(
        step: StepId,
        image: impl Into<String>,
        options: MachineOptions,
    ) -> Result<Self, VmError> {
        platform::Machine::boot_image(step, image.into(), options)
            .await
            .map(Self)
    }

    /// Boots from what another machine left behind, with this build's source below it.
    ///
    /// # Errors
    /// There is no machine to be had.
    pub async fn boot_snapshot(
        step: StepId,
        snapshot: &Snapshot,
        options: MachineOptions,
    ) -> Result<Self, VmError> {
        platform::Machine::boot_snapshot(step, &snapshot.0, options)
            .await
            .map(Self)
    }

    /// Returns an id for messages.
    pub fn id(&self) -> String {
        self.0.id()
    }

    /// Runs the step's own command, as the plan has it: its environment, its secrets, its
    /// timeout. The host shows the output under the step. It is the only way in which a
    /// step can pass, and only in the state from which the step starts: its image, or what
    /// its parent left behind, and no other command since.
    ///
    /// # Errors
    /// The command has no status: the machine was lost, a limit was hit, the build is
    /// being cancelled.
    pub async fn run(&self, step: StepId) -> Result<ExecStatus, VmError> {
        self.0.run(step).await
    }

    /// Begins any other command and hands its output to the backend, for which the user
    /// must have granted `source` too. The machine is no step's start any more.
    ///
    /// # Errors
    /// [`Denied`](VmError::Denied) without that grant, or the machine is gone.
    pub async fn exec(&self, spec: ExecSpec) -> Result<RunningExec, VmError> {
        self.0.exec(spec).await.map(RunningExec)
    }

    /// Freezes the file system. Processes still running in the machine are ended; the
    /// machine can go on running commands.
    ///
    /// # Errors
    /// The machine is gone, or its state cannot be kept.
    pub async fn snapshot(&self) -> Result<Snapshot, VmError> {
        self.0.snapshot().await.map(Snapshot)
    }
}

impl Snapshot {
    /// Returns an id for messages.
    pub fn id(&self) -> String {
        self.0.id()
    }
}

/// Asks for what `step` left behind when its command last passed on the same base (its
/// image, or `parent`), with everything else that the result depends on unchanged. The
/// host makes the key.
///
/// # Errors
/// The cache cannot be asked; the step can be run all the same.
pub async fn cache_lookup(
    step: StepId,
    parent: Option<&Snapshot>,
) -> Result<Option<Snapshot>, VmError> {
    let found = platform::cache_lookup(step, parent.map(|snapshot| &snapshot.0)).await?;
    Ok(found.map(Snapshot))
}

/// Keeps a snapshot for the next build. Only the state in which the host saw the step's
/// command succeed is taken.
///
/// # Errors
/// It is another state, or there is no room.
pub async fn cache_store(step: StepId, snapshot: &Snapshot) -> Result<(), VmError> {
    platform::cache_store(step, &snapshot.0).await
}

/// A command that runs. Dropping it kills the command.
pub struct RunningExec(platform::RunningExec);

impl RunningExec {
    /// Returns the next piece of its output, stdout and stderr merged, cut anywhere; none
    /// at its end. What is not read holds the command back.
    pub async fn chunk(&mut self) -> Option<Vec<u8>> {
        self.0.next().await
    }

    /// Waits for its end. Output that is not read by then is lost.
    ///
    /// # Errors
    /// The command has no status: the machine was lost, or the build is being cancelled.
    pub async fn status(self) -> Result<ExecStatus, VmError> {
        self.0.status().await
    }
}

impl ExecSpec {
    /// A command for `sh -c`, in `/workspace`, without a time of its own.
    pub fn new(command: impl Into<String>) -> Self {
        Self {
            command: command.into(),
            env: Vec::new(),
            working_dir: None,
            timeout_ms: None,
        }
    }
}

/// The engine's own defaults.
impl Default for MachineOptions {
    fn default() -> Self {
        Self {
            cpus: None,
            memory_mib: None,
        }
    }
}

impl ExecStatus {
    /// Returns true for the exit code 0.
    pub fn is_success(self) -> bool {
        matches!(self, Self::Exited(0))
    }

    /// Returns the exit code as a shell has it: 128 + n for a signal, 124 for a command
    /// whose time was over, 137 for one that the kernel killed for want of memory.
    pub fn code(self) -> i32 {
        match self {
            Self::Exited(code) => code,
            Self::Signaled(signal) => 128_i32.saturating_add_unsigned(signal),
            Self::TimedOut => 124,
            Self::OutOfMemory => 137,
        }
    }
}

/// Returns the host's text, which is a whole sentence.
pub(crate) fn explain(error: &VmError) -> &str {
    match error {
        VmError::ImageNotFound(text)
        | VmError::Limit(text)
        | VmError::Gone(text)
        | VmError::Denied(text)
        | VmError::Unavailable(text)
        | VmError::Other(text) => text,
        VmError::Cancelled => "the build is being cancelled",
    }
}

/// A machine that could not be had ends the build as unavailable.
impl From<VmError> for BackendError {
    fn from(error: VmError) -> Self {
        let text = explain(&error).to_owned();
        match error {
            VmError::Cancelled => Self::Cancelled,
            VmError::Denied(_) => Self::Denied(text),
            VmError::Other(_) => Self::Other(text),
            VmError::ImageNotFound(_)
            | VmError::Limit(_)
            | VmError::Gone(_)
            | VmError::Unavailable(_) => Self::Unavailable(text),
        }
    }
}

impl fmt::Debug for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Machine").finish_non_exhaustive()
    }
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot").finish_non_exhaustive()
    }
}

impl fmt::Debug for RunningExec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunningExec").finish_non_exhaustive()
    }
}
