//! Passes that the host did not see. The plan's first step fails, unless said otherwise.

use futures::future::join;
use hm_backend_sdk::bindings::hm::backend::vm::{self, ExecSpec, Machine};
use hm_backend_sdk::{BuildEvent, BuildStatus, StepStatus};

use crate::stage::{Stage, code};

pub(crate) async fn play(case: &str, mut stage: Stage) -> Option<Stage> {
    if !open(case, &mut stage).await {
        return Some(stage);
    }
    if case.starts_with("claims-hit") {
        stage.ended(0, StepStatus::CacheHit, None).await;
    } else {
        stage.ended(0, StepStatus::Passed, Some(0)).await;
    }
    stage.finish(Ok(BuildStatus::Passed)).await;
    None
}

/// Brings the first step to where it is claimed to have passed; false if there is no such
/// case.
async fn open(case: &str, stage: &mut Stage) -> bool {
    const CASES: [&str; 9] = [
        "pass-claimed",
        "pass-without-run",
        "pass-by-exec",
        "pass-by-exec-then-run",
        "pass-by-exec-beside-run",
        "pass-in-another-image",
        "pass-on-a-failed-state",
        "claims-hit",
        "claims-hit-of-nothing",
    ];
    if !CASES.contains(&case) {
        return false;
    }
    stage.queued(0).await;
    if case.starts_with("claims-hit") {
        if case == "claims-hit" {
            drop(vm::cache_lookup(0, None).await);
        }
        stage.emit(BuildEvent::StepCacheHit(0)).await;
        return true;
    }
    stage.started(0).await;
    if case == "pass-without-run" {
        return true;
    }
    if case == "pass-in-another-image" {
        let options = vm::MachineOptions {
            cpus: None,
            memory_mib: None,
        };
        if let Ok(machine) = Machine::boot_image(0, "another:1".into(), options).await {
            drop(machine.run(0).await);
        }
        return true;
    }
    let Ok(machine) = stage.boot(0).await else {
        return true;
    };
    match case {
        "pass-claimed" => drop(machine.run(0).await),
        "pass-by-exec" => {
            exec(&machine, "true").await;
        }
        // Plants a file that makes the command pass.
        "pass-by-exec-then-run" => {
            exec(&machine, "touch planted").await;
            drop(machine.run(0).await);
        }
        "pass-by-exec-beside-run" => {
            let _ = join(machine.run(0), exec(&machine, "touch planted")).await;
        }
        // What a failed run left behind is no step's base.
        _ => {
            drop(machine.run(0).await);
            drop(machine.run(0).await);
        }
    }
    true
}

async fn exec(machine: &Machine, command: &str) -> Option<i32> {
    let spec = ExecSpec {
        command: command.into(),
        env: Vec::new(),
        working_dir: None,
        timeout_ms: None,
    };
    let running = machine.exec(spec).await.ok()?;
    running.output.collect().await;
    running.status.await.ok().map(code)
}
