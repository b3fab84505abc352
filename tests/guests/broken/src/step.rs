//! One step: from the cache or in a machine.

use hm_backend_sdk::vm::{self, ExecStatus, Machine, MachineOptions, Snapshot, VmError};
use hm_backend_sdk::{BackendError, EventSink, RunningStep, Step, StepId, Turn, clock};

use crate::{events, has_fault};

/// What a step leaves behind, if another starts from it.
type Left = Option<Snapshot>;

pub(crate) async fn run(
    turn: Turn<Left>,
    events: &EventSink,
    before: impl Iterator<Item = StepId>,
) -> Result<Left, BackendError> {
    let (id, planned, has_heirs) = (turn.id(), turn.step().clone(), turn.has_heirs());
    let parent = turn.parent().cloned();
    let parent = parent.as_deref().and_then(|left| left.as_ref());
    if has_fault("skips-dependents") {
        // Waits until they have ended, however.
        for before in before {
            while events.status(before).is_none() {
                clock::sleep(std::time::Duration::from_millis(5)).await;
            }
        }
    }
    if has_fault("takes-any-text") {
        std::hint::black_box(&planned.key[..planned.key.len().min(5)]);
    }
    events::before_start(id, events).await;
    if planned.cacheable
        && !has_fault("uses-the-cache")
        && let Some(found) = vm::cache_lookup(id, parent).await?
    {
        turn.into_step().cache_hit().await;
        return Ok(Some(found));
    }
    let (machine, status, step);
    if has_fault("starts-before-running") {
        machine = boot(id, &planned, parent).await?;
        status = machine.run(id).await?;
        step = turn.start("machine").await;
    } else {
        step = events::start(turn, events).await;
        events::while_running(id, events).await;
        machine = boot(id, &planned, parent).await?;
        status = match machine.run(id).await {
            Err(VmError::Gone(why)) if has_fault("survives-lost-machines") => panic!("{why}"),
            ran => ran?,
        };
    }
    end(step, &planned, status, events).await;
    let mut left = None;
    if status.is_success() && (has_heirs || planned.cacheable) {
        let snapshot = machine.snapshot().await?;
        if planned.cacheable {
            vm::cache_store(id, &snapshot).await?;
        }
        left = Some(snapshot);
    }
    if has_fault("gives-machines-back") {
        std::mem::forget(machine);
    }
    Ok(left)
}

async fn boot(id: StepId, planned: &Step, parent: Option<&Snapshot>) -> Result<Machine, VmError> {
    let options = MachineOptions::default();
    let booted = match parent {
        Some(snapshot) => Machine::boot_snapshot(id, snapshot, options).await,
        None => {
            let image = planned.image.clone().unwrap_or_default();
            Machine::boot_image(id, image, options).await
        }
    };
    match booted {
        Err(VmError::ImageNotFound(image)) if has_fault("tells-missing-images") => {
            panic!("{image}")
        }
        booted => booted,
    }
}

async fn end(step: RunningStep, planned: &Step, status: ExecStatus, events: &EventSink) {
    match status {
        ExecStatus::Exited(3) if has_fault("tells-exit-codes") => step.cancel("odd").await,
        ExecStatus::Signaled(_) if has_fault("tells-signals") => step.cancel("odd").await,
        ExecStatus::TimedOut if has_fault("tells-step-timeouts") => step.exit(124).await,
        ExecStatus::Exited(1..) if has_fault("claims-what-was-seen") => step.exit(77).await,
        status => events::end(step, planned, status, events).await,
    }
}
