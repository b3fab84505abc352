//! One machine as the guest sees it: it can be frozen and go on.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hm_plugin_protocol::StepId;
use hm_vm::{Base, BootSpec, ExecSpec, Execution, Machine, MachineOptions, Snapshot};
use tokio::sync::{OwnedSemaphorePermit, RwLock};
use uuid::Uuid;

use super::{CallError, VmSession};

/// What is known of a machine's file system: from which state a step may run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum FileSystem {
    /// This image (by the plan's name) and the source; no command since.
    Image(String),
    /// What this step left behind when the host saw it pass on its own base.
    After(StepId),
    /// Anything else: no step's start.
    Other,
}

/// In the guest's table; dropping the last one destroys the machine, without waiting.
pub struct MachineEntry(pub(super) Arc<GuestMachine>);

/// In the guest's table; dropping the last one frees the snapshot.
pub struct SnapshotEntry(pub(super) Arc<GuestSnapshot>);

/// A frozen file system, and what it is.
pub(crate) struct GuestSnapshot {
    /// Ours, random: never the engine's.
    pub(super) id: String,
    pub(super) snapshot: Arc<dyn Snapshot>,
    pub(super) fs: FileSystem,
    /// Names of secrets that it may hold anywhere.
    pub(super) secrets: BTreeSet<String>,
}

impl GuestSnapshot {
    pub(super) fn new(
        snapshot: Arc<dyn Snapshot>,
        fs: FileSystem,
        secrets: BTreeSet<String>,
    ) -> Self {
        Self {
            secrets,
            id: Uuid::new_v4().to_string(),
            snapshot,
            fs,
        }
    }
}

/// A machine. Engines consume a machine when they freeze it; the guest's machine goes on:
/// a successor boots from the frozen layer at the next command, and not at all if none
/// comes.
pub(crate) struct GuestMachine {
    /// Ours, random: never the engine's.
    pub(super) id: String,
    slot: RwLock<Slot>,
    tracked: Mutex<Tracked>,
    pub(super) options: MachineOptions,
    /// Given back when the machine goes.
    _permit: OwnedSemaphorePermit,
}

enum Slot {
    Live(Box<dyn Machine>),
    Frozen(Arc<dyn Snapshot>),
    Gone,
}

/// What the host knows of the machine's state.
struct Tracked {
    fs: FileSystem,
    /// Names of secrets that commands here had: a file, a process, anything may hold them.
    secrets: BTreeSet<String>,
    /// Commands that run at this moment.
    running: u32,
    /// Counts commands begun, so that one that overlapped another is told from one that
    /// was alone.
    begun: u64,
}

/// A command on a machine, from before it starts until it has ended.
pub(super) struct Command {
    machine: Arc<GuestMachine>,
    number: u64,
    was_alone: bool,
}

impl GuestMachine {
    pub(super) fn new(
        machine: Box<dyn Machine>,
        fs: FileSystem,
        secrets: BTreeSet<String>,
        options: MachineOptions,
        permit: OwnedSemaphorePermit,
    ) -> Self {
        Self {
            id: Uuid::new_v4().to_string(),
            slot: RwLock::new(Slot::Live(machine)),
            tracked: Mutex::new(Tracked {
                fs,
                secrets,
                running: 0,
                begun: 0,
            }),
            options,
            _permit: permit,
        }
    }

    fn tracked(&self) -> MutexGuard<'_, Tracked> {
        self.tracked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that a step's own command begins, which gets `secrets`. From now on the file
    /// system is no known state, until [`Command::leaves`] says otherwise.
    ///
    /// # Errors
    /// The machine is not in the state from which the step starts, or another command runs.
    pub(super) fn begin_step(
        self: &Arc<Self>,
        wanted: &FileSystem,
        secrets: BTreeSet<String>,
    ) -> Result<Command, CallError> {
        let mut tracked = self.tracked();
        if tracked.running > 0 {
            return Err(CallError::denied("another command runs on the machine"));
        }
        if tracked.fs != *wanted {
            return Err(CallError::denied(
                "the machine is not in the state from which the step starts",
            ));
        }
        tracked.secrets.extend(secrets);
        Ok(self.begin(tracked))
    }

    /// Notes that another command begins, whose output the guest reads.
    ///
    /// # Errors
    /// A secret may be on the machine that the guest may not read.
    pub(super) fn begin_other(
        self: &Arc<Self>,
        may_read: &BTreeSet<String>,
    ) -> Result<Command, CallError> {
        let tracked = self.tracked();
        if let Some(secret) = tracked.secrets.difference(may_read).next() {
            return Err(CallError::denied(format!(
                "a step that has the secret `{secret}` ran here, and what it left may hold it"
            )));
        }
        Ok(self.begin(tracked))
    }

    fn begin(self: &Arc<Self>, mut tracked: MutexGuard<'_, Tracked>) -> Command {
        tracked.fs = FileSystem::Other;
        tracked.running += 1;
        tracked.begun += 1;
        Command {
            machine: self.clone(),
            number: tracked.begun,
            was_alone: tracked.running == 1,
        }
    }

    /// Starts a command on the live machine; boots the successor of a frozen one first.
    pub(super) async fn exec(
        &self,
        vm: &VmSession,
        spec: ExecSpec,
    ) -> Result<Execution, CallError> {
        {
            // Shared: commands start beside each other.
            let slot = self.slot.read().await;
            if let Slot::Live(machine) = &*slot {
                return machine
                    .exec(spec)
                    .await
                    .map_err(|error| vm.guest_error(error));
            }
        }
        let mut slot = self.slot.write().await;
        if let Slot::Frozen(snapshot) = &*slot {
            let boot = BootSpec {
                base: Base::Snapshot(snapshot.clone()),
                source: vm.source().await?,
                options: self.options.clone(),
            };
            *slot = Slot::Live(
                vm.engine()
                    .boot(boot)
                    .await
                    .map_err(|error| vm.guest_error(error))?,
            );
        }
        match &*slot {
            Slot::Live(machine) => machine
                .exec(spec)
                .await
                .map_err(|error| vm.guest_error(error)),
            _ => Err(vm.guest_error(hm_vm::VmError::Gone(self.id.clone()))),
        }
    }

    /// Freezes the file system; the machine itself goes on.
    pub(super) async fn freeze(&self, vm: &VmSession) -> Result<GuestSnapshot, CallError> {
        let (fs, secrets) = {
            let mut tracked = self.tracked();
            if tracked.running > 0 {
                // What a killed command leaves is no known state, now and afterwards.
                tracked.fs = FileSystem::Other;
                tracked.begun += 1;
            }
            (tracked.fs.clone(), tracked.secrets.clone())
        };
        let mut slot = self.slot.write().await;
        let snapshot = match std::mem::replace(&mut *slot, Slot::Gone) {
            Slot::Live(machine) => machine.snapshot().await.map_err(|e| vm.guest_error(e))?,
            Slot::Frozen(snapshot) => snapshot,
            Slot::Gone => return Err(vm.guest_error(hm_vm::VmError::Gone(self.id.clone()))),
        };
        *slot = Slot::Frozen(snapshot.clone());
        Ok(GuestSnapshot::new(snapshot, fs, secrets))
    }
}

impl Command {
    /// Notes what the command left behind, if it was alone on the machine all the time.
    /// Returns false if another command came between, so that its result counts for nothing.
    pub(super) fn leaves(self, fs: FileSystem) -> bool {
        let mut tracked = self.machine.tracked();
        let is_alone = self.was_alone && tracked.begun == self.number;
        if is_alone {
            tracked.fs = fs;
        }
        is_alone
    }
}

impl Drop for Command {
    fn drop(&mut self) {
        let mut tracked = self.machine.tracked();
        tracked.running = tracked.running.saturating_sub(1);
    }
}
