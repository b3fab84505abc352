//! The largest and the smallest numbers that the interface takes. None of them is against the
//! rules.

use std::time::Duration;

use hm_backend_sdk::bindings::hm::backend::vm::{ExecSpec, Machine, MachineOptions};
use hm_backend_sdk::{Accepted, BuildEvent, StepEnded, StepStatus, clock};

use crate::stage::Stage;

pub(crate) async fn play(case: &str, mut stage: Stage) -> Option<Stage> {
    if case != "extremes" {
        return Some(stage);
    }
    let accepted = Accepted {
        number: Some(u64::MAX),
        organization: Some(String::new()),
        pipeline: String::new(),
        watch_url: None,
    };
    stage.emit(BuildEvent::Accepted(accepted)).await;
    let mut nap = Box::pin(clock::sleep(Duration::MAX));
    let _ = futures::poll!(nap.as_mut());
    for (cpus, memory_mib) in [(0, 0), (1, 1), (u32::MAX, u32::MAX)] {
        let options = MachineOptions {
            cpus: Some(cpus),
            memory_mib: Some(memory_mib),
        };
        let booted = Machine::boot_image(0, "host".into(), options).await;
        if let Ok(machine) = booted {
            for timeout in [0, 1, u64::MAX] {
                exec(&machine, timeout).await;
            }
        }
    }
    let mut passed = true;
    for step in stage.steps() {
        let code = stage.open(step).await;
        passed &= code == 0;
        let status = if code == 0 {
            StepStatus::Passed
        } else {
            StepStatus::Failed
        };
        let mut ended = StepEnded::new(step, status).exit_code(code);
        ended.duration_ms = Some(u64::MAX);
        stage.emit(BuildEvent::StepEnded(ended)).await;
    }
    drop(nap);
    stage.finish(Ok(crate::verdict(passed))).await;
    None
}

async fn exec(machine: &Machine, timeout: u64) {
    let spec = ExecSpec {
        command: "true".into(),
        env: Vec::new(),
        working_dir: None,
        timeout_ms: Some(timeout),
    };
    if let Ok(running) = machine.exec(spec).await {
        running.output.collect().await;
        let _ = running.status.await;
    }
}
