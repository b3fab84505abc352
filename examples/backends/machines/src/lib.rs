//! Runs each step in a machine of its own, from what its parent left behind.

use hm_backend_sdk::vm::{Machine, MachineOptions, Snapshot};
use hm_backend_sdk::{
    Backend, BackendError, BuildStatus, Cancellation, Capabilities, Description, EventSink,
    RunRequest, Turn, walk,
};

/// A type to hang the two functions on; a backend keeps nothing between builds.
#[derive(Debug)]
pub struct Machines;

impl Backend for Machines {
    fn describe() -> Description {
        Description {
            name: env!("CARGO_PKG_NAME").into(),
            version: env!("CARGO_PKG_VERSION").into(),
            capabilities: Capabilities::HONORS_PARALLELISM | Capabilities::HONORS_KEEP_GOING,
        }
    }

    async fn run(
        request: RunRequest,
        events: EventSink,
        cancellation: Cancellation,
    ) -> Result<BuildStatus, BackendError> {
        // Order, `-j`, failures and a cancellation are looked after; here is one step.
        walk(&request, &events, &cancellation, run_step).await
    }
}

/// What a step leaves behind, if another starts from it.
type Left = Option<Snapshot>;

async fn run_step(turn: Turn<Left>) -> Result<Left, BackendError> {
    let (id, planned, has_heirs) = (turn.id(), turn.step().clone(), turn.has_heirs());
    let parent = turn.parent().cloned();
    let step = turn.start("machine").await;
    let machine = match parent.as_deref() {
        Some(Some(snapshot)) => {
            Machine::boot_snapshot(id, snapshot, MachineOptions::default()).await?
        }
        _ => {
            let image = planned.image.clone().unwrap_or_default();
            Machine::boot_image(id, image, MachineOptions::default()).await?
        }
    };
    // The host shows the output under the step, and sees for itself how it ends.
    let status = machine.run(id).await?;
    step.end(&planned, status).await;
    if status.is_success() && has_heirs {
        return Ok(Some(machine.snapshot().await?));
    }
    // The machine is dropped here, and gone.
    Ok(None)
}

hm_backend_sdk::export!(Machines);
