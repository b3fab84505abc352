//! The host's machines.

use std::time::Duration;

use hm_backend_sdk::vm::{self, ExecStatus, Machine, MachineOptions, Snapshot, VmError};
use hm_backend_sdk::{BuildEvent, EventSink, StepId, clock};

use crate::world::World;

/// The host's side, and the stream of events.
#[derive(Debug)]
pub(crate) struct Machines {
    pub(crate) events: EventSink,
}

impl World for Machines {
    type Machine = Machine;
    type Snapshot = Snapshot;

    async fn boot_image(&self, step: StepId, image: &str) -> Result<Machine, VmError> {
        Machine::boot_image(step, image, MachineOptions::default()).await
    }

    async fn boot_snapshot(&self, step: StepId, snapshot: &Snapshot) -> Result<Machine, VmError> {
        Machine::boot_snapshot(step, snapshot, MachineOptions::default()).await
    }

    async fn run(&self, machine: &Machine, step: StepId) -> Result<ExecStatus, VmError> {
        machine.run(step).await
    }

    async fn freeze(&self, machine: &Machine) -> Result<Snapshot, VmError> {
        machine.snapshot().await
    }

    async fn lookup(
        &self,
        step: StepId,
        parent: Option<&Snapshot>,
    ) -> Result<Option<Snapshot>, VmError> {
        vm::cache_lookup(step, parent).await
    }

    async fn store(&self, step: StepId, snapshot: &Snapshot) -> Result<(), VmError> {
        vm::cache_store(step, snapshot).await
    }

    async fn pause(&self, duration: Duration) {
        clock::sleep(duration).await;
    }

    fn queue(&self, event: BuildEvent) {
        self.events.queue(event);
    }

    async fn flush(&self) {
        self.events.flush().await;
    }
}
