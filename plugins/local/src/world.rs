//! What the driver acts on. The component has the host's machines; tests and benches
//! bring their own.

use std::time::Duration;

use hm_backend_sdk::vm::{ExecStatus, VmError};
use hm_backend_sdk::{BuildEvent, StepId};

/// Machines, snapshots, the cache, time and the reader of events. The meaning of each
/// method is that of the `vm` interface.
#[expect(
    async_fn_in_trait,
    reason = "a component has one thread, so no caller needs the futures to be `Send`"
)]
pub trait World {
    /// A machine; dropping it destroys it.
    type Machine;
    /// A frozen file system; dropping it frees it.
    type Snapshot;

    /// Boots from an image, with the source.
    async fn boot_image(&self, step: StepId, image: &str) -> Result<Self::Machine, VmError>;
    /// Boots from what a step left behind.
    async fn boot_snapshot(
        &self,
        step: StepId,
        snapshot: &Self::Snapshot,
    ) -> Result<Self::Machine, VmError>;
    /// Runs the step's command to its end. Dropping the future kills the command.
    async fn run(&self, machine: &Self::Machine, step: StepId) -> Result<ExecStatus, VmError>;
    /// Freezes a machine's file system.
    async fn freeze(&self, machine: &Self::Machine) -> Result<Self::Snapshot, VmError>;
    /// Asks the cache for what the step left behind in an earlier build.
    async fn lookup(
        &self,
        step: StepId,
        parent: Option<&Self::Snapshot>,
    ) -> Result<Option<Self::Snapshot>, VmError>;
    /// Gives the cache what the step left behind.
    async fn store(&self, step: StepId, snapshot: &Self::Snapshot) -> Result<(), VmError>;
    /// Waits.
    async fn pause(&self, duration: Duration);
    /// Queues an event; it goes with the next [`flush`](Self::flush).
    fn queue(&self, event: BuildEvent);
    /// Returns when the host has all that was queued.
    async fn flush(&self);
}
