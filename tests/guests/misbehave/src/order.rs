//! Events and calls that the order table does not allow. `case` may end in `:INDEX` where a
//! step outside the plan is meant.

use std::time::Duration;

use hm_backend_sdk::bindings::hm::backend::vm;
use hm_backend_sdk::{
    BuildEvent, BuildStatus, Level, Notice, StepId, StepStarted, StepStatus, clock,
};

use crate::stage::{OPTIONS, Stage};

pub(crate) async fn play(case: &str, mut stage: Stage) -> Option<Stage> {
    if let Some((case, index)) = case.split_once(':') {
        outside(case, index.parse().unwrap_or(u32::MAX), &mut stage).await;
    } else if !inside(case, &mut stage).await {
        return Some(stage);
    }
    stage.finish(Ok(BuildStatus::Passed)).await;
    None
}

/// Names a step that the plan does not have.
async fn outside(case: &str, step: StepId, stage: &mut Stage) {
    match case {
        "queued" => stage.queued(step).await,
        "started" => stage.started(step).await,
        "output" => stage.output(step, b"x\n").await,
        "cache-hit" => stage.emit(BuildEvent::StepCacheHit(step)).await,
        "ended" => stage.ended(step, StepStatus::Passed, Some(0)).await,
        "boot-image" => drop(stage.boot(step).await),
        "notice" => {
            let mut notice = Notice::new(Level::Info, "of nobody");
            notice.step = Some(step);
            stage.emit(BuildEvent::Notice(notice)).await;
        }
        "lookup" => drop(vm::cache_lookup(step, None).await),
        _ => {
            let Ok(machine) = stage.boot(0).await else {
                return;
            };
            match case {
                "run" => drop(machine.run(step).await),
                "boot-snapshot" => {
                    let Ok(snapshot) = machine.snapshot().await else {
                        return;
                    };
                    drop(vm::Machine::boot_snapshot(step, &snapshot, OPTIONS).await);
                }
                "store" => {
                    let Ok(snapshot) = machine.snapshot().await else {
                        return;
                    };
                    drop(vm::cache_store(step, &snapshot).await);
                }
                _ => {}
            }
        }
    }
}

/// Misuses the first step; false if there is no such case.
async fn inside(case: &str, stage: &mut Stage) -> bool {
    match case {
        "queued-twice" => {
            stage.queued(0).await;
            stage.queued(0).await;
        }
        "queued-after-end" => {
            stage.one(0).await;
            stage.queued(0).await;
        }
        "started-twice" => {
            stage.queued(0).await;
            stage.started(0).await;
            stage.started(0).await;
        }
        "started-after-end" => {
            stage.one(0).await;
            stage.started(0).await;
        }
        "hit-after-end" => {
            stage.one(0).await;
            stage.emit(BuildEvent::StepCacheHit(0)).await;
        }
        "ended-unqueued" => stage.ended(0, StepStatus::Passed, Some(0)).await,
        "ended-unstarted" => {
            stage.queued(0).await;
            stage.ended(0, StepStatus::Failed, Some(1)).await;
        }
        "failed-without-reason" => {
            stage.open(0).await;
            stage.ended(0, StepStatus::Failed, None).await;
        }
        "skipped-without-reason" => {
            stage.queued(0).await;
            stage.ended(0, StepStatus::Skipped, None).await;
        }
        "run-unstarted" => {
            stage.queued(0).await;
            drop(stage.run(0).await);
        }
        "run-after-end" => {
            stage.one(0).await;
            drop(stage.run(0).await);
        }
        "output-during-run" => {
            stage.queued(0).await;
            stage.started(0).await;
            if let Ok(machine) = stage.boot(0).await {
                let forged = stage.output(0, b"forged\n");
                let _ = futures::future::join(machine.run(0), forged).await;
            }
        }
        "failed-during-run" | "timed-out-during-run" | "cancelled-during-run" => {
            let (status, code) = match case {
                "failed-during-run" => (StepStatus::Failed, Some(77)),
                "timed-out-during-run" => (StepStatus::TimedOut, None),
                _ => (StepStatus::Cancelled, None),
            };
            stage.queued(0).await;
            stage.started(0).await;
            if let Ok(machine) = stage.boot(0).await {
                let early = async {
                    clock::sleep(Duration::from_millis(300)).await;
                    stage.ended(0, status, code).await;
                };
                let _ = futures::future::join(machine.run(0), early).await;
            }
        }
        "started-unqueued" => stage.started(0).await,
        // The second step waits for the first.
        "started-too-early" => {
            stage.queued(0).await;
            stage.queued(1).await;
            stage.started(1).await;
        }
        "started-elsewhere" => {
            stage.queued(0).await;
            let started = StepStarted::new(0, "misbehave").image(Some("another:1".into()));
            stage.emit(BuildEvent::StepStarted(started)).await;
        }
        "ended-twice" => {
            stage.one(0).await;
            stage.ended(0, StepStatus::Passed, Some(0)).await;
        }
        "output-before-start" => {
            stage.queued(0).await;
            stage.output(0, b"x\n").await;
        }
        "output-after-end" => {
            stage.one(0).await;
            stage.output(0, b"x\n").await;
        }
        "output-of-a-run" => {
            stage.open(0).await;
            stage.output(0, b"forged\n").await;
        }
        "passed-with-1" => {
            stage.open(0).await;
            stage.ended(0, StepStatus::Passed, Some(1)).await;
        }
        "failed-with-0" => {
            stage.open(0).await;
            stage.ended(0, StepStatus::Failed, Some(0)).await;
        }
        "another-code" => {
            stage.open(0).await;
            stage.ended(0, StepStatus::Failed, Some(77)).await;
        }
        "skipped-while-running" => {
            stage.open(0).await;
            stage.ended(0, StepStatus::Skipped, None).await;
        }
        "hit-after-start" => {
            stage.open(0).await;
            stage.emit(BuildEvent::StepCacheHit(0)).await;
        }
        _ => return false,
    }
    true
}
