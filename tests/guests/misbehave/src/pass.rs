//! Passes that the host did not see. The plan's first step fails, unless said otherwise.

use futures::future::join;
use hm_backend_sdk::bindings::hm::backend::vm::{self, ExecSpec, Machine};
use hm_backend_sdk::{BuildEvent, BuildStatus, StepStatus, log};

use crate::stage::{OPTIONS, Stage, code};

pub(crate) async fn play(case: &str, mut stage: Stage) -> Option<Stage> {
    if case.starts_with("cache-") {
        cache(case, stage).await;
        return None;
    }
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
    const CASES: [&str; 17] = [
        "pass-claimed",
        "pass-by-trying",
        "pass-by-trying-at-once",
        "pass-without-run",
        "pass-by-exec",
        "pass-by-exec-then-run",
        "pass-by-exec-beside-run",
        "pass-in-another-image",
        "pass-on-a-failed-state",
        "claims-hit",
        "claims-hit-of-nothing",
        "claims-hit-of-another",
        "pass-by-exec-of-command",
        "pass-by-exec-with-path",
        "pass-by-exec-before-run",
        "pass-on-a-sibling",
        "pass-on-a-changed-parent",
    ];
    if !CASES.contains(&case) {
        return false;
    }
    stage.queued(0).await;
    if case.starts_with("claims-hit") {
        match case {
            "claims-hit" => drop(vm::cache_lookup(0, None).await),
            "claims-hit-of-another" => {
                let hit = vm::cache_lookup(1, None).await;
                log::info(format!("the other: {:?}", hit.map(|hit| hit.is_some())));
            }
            _ => {}
        }
        stage.emit(BuildEvent::StepCacheHit(0)).await;
        return true;
    }
    stage.started(0).await;
    if case == "pass-without-run" {
        return true;
    }
    // From the step's own base each time: what is seen last stands.
    if case == "pass-by-trying" {
        for _ in 0..3 {
            if matches!(stage.run(0).await, Ok(0)) {
                break;
            }
        }
        return true;
    }
    // One fails and one passes, and which is seen last is chance.
    if case == "pass-by-trying-at-once" {
        let (first, second) = join(stage.run(0), stage.run(0)).await;
        log::info(format!("at once: {first:?} {second:?}"));
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
    if case == "pass-on-a-sibling" || case == "pass-on-a-changed-parent" {
        on_another(case, stage).await;
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
        "pass-by-exec-of-command" => {
            let command = stage.plan.steps[0].command.clone();
            exec(&machine, &command).await;
        }
        // A program of the backend's own, by the name of the step's.
        "pass-by-exec-with-path" => {
            exec(
                &machine,
                "mkdir fake; printf '#!/bin/sh\n' > fake/verify; chmod +x fake/verify",
            )
            .await;
            exec(
                &machine,
                &format!("PATH=$PWD/fake:$PATH; {}", stage.plan.steps[0].command),
            )
            .await;
            drop(machine.run(0).await);
        }
        "pass-by-exec-before-run" => {
            let begun = machine
                .exec(command("sleep 0.3; touch planted; sleep 600"))
                .await;
            drop(machine.run(0).await);
            drop(begun);
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

/// Runs the second step, and claims it, on what is not its base.
async fn on_another(case: &str, stage: &mut Stage) {
    let Ok(machine) = stage.boot(0).await else {
        return;
    };
    let Ok(status) = machine.run(0).await else {
        return;
    };
    if case == "pass-on-a-changed-parent" {
        exec(&machine, "touch planted").await;
    }
    let Ok(snapshot) = machine.snapshot().await else {
        return;
    };
    stage.ended(0, StepStatus::Passed, Some(code(status))).await;
    stage.queued(1).await;
    stage.started(1).await;
    if let Ok(machine) = Machine::boot_snapshot(1, &snapshot, OPTIONS).await {
        drop(machine.run(1).await);
    }
    stage.ended(1, StepStatus::Passed, Some(0)).await;
}

fn command(text: &str) -> ExecSpec {
    ExecSpec {
        command: text.into(),
        env: Vec::new(),
        working_dir: None,
        timeout_ms: None,
    }
}

async fn exec(machine: &Machine, text: &str) -> Option<i32> {
    let running = machine.exec(command(text)).await.ok()?;
    running.output.collect().await;
    running.status.await.ok().map(code)
}

/// Puts into the cache, by the rules or against them, and tells what is there.
async fn cache(case: &str, mut stage: Stage) {
    let hit = vm::cache_lookup(0, None).await;
    log::info(format!("the cache had: {:?}", hit.map(|hit| hit.is_some())));
    stage.queued(0).await;
    stage.started(0).await;
    if let Ok(machine) = stage.boot(0).await {
        drop(machine.run(0).await);
        if case == "cache-another-state" {
            exec(&machine, "touch planted").await;
        }
        if let Ok(snapshot) = machine.snapshot().await {
            let stored = vm::cache_store(0, &snapshot).await;
            log::info(format!("the cache took: {stored:?}"));
        }
    }
    stage.ended(0, StepStatus::Passed, Some(0)).await;
    stage.one(1).await;
    stage.finish(Ok(BuildStatus::Passed)).await;
}
