//! The host's ends of a build, without anything between.

use hm_backend_sdk::bindings::hm::backend::vm::{ExecStatus, Machine, MachineOptions, VmError};
use hm_backend_sdk::{
    BackendError, BuildEvent, BuildStatus, LogChannel, Plan, StepEnded, StepId, StepOutput,
    StepStarted, StepStatus, clock,
};
use wit_bindgen::{FutureWriter, StreamWriter};

pub(crate) struct Stage {
    pub(crate) plan: Plan,
    pub(crate) events: StreamWriter<BuildEvent>,
    pub(crate) outcome: FutureWriter<Result<BuildStatus, BackendError>>,
}

pub(crate) const OPTIONS: MachineOptions = MachineOptions {
    cpus: None,
    memory_mib: None,
};

impl Stage {
    pub(crate) async fn emit(&mut self, event: BuildEvent) {
        self.events.write_all(vec![event]).await;
    }

    pub(crate) async fn queued(&mut self, step: StepId) {
        self.emit(BuildEvent::StepQueued(step)).await;
    }

    pub(crate) async fn started(&mut self, step: StepId) {
        self.emit(BuildEvent::StepStarted(StepStarted::new(step, "misbehave")))
            .await;
    }

    pub(crate) async fn output(&mut self, step: StepId, data: &[u8]) {
        let output = StepOutput {
            step,
            channel: LogChannel::Stdout,
            data: data.to_vec(),
        };
        self.emit(BuildEvent::StepOutput(output)).await;
    }

    pub(crate) async fn ended(&mut self, step: StepId, status: StepStatus, code: Option<i32>) {
        let mut ended = StepEnded::new(step, status);
        ended.exit_code = code;
        self.emit(BuildEvent::StepEnded(ended)).await;
    }

    pub(crate) fn steps(&self) -> impl Iterator<Item = StepId> + use<> {
        0..self.plan.steps.len() as StepId
    }

    /// Boots the step's image; this backend knows root steps only.
    pub(crate) async fn boot(&self, step: StepId) -> Result<Machine, VmError> {
        let image = self
            .plan
            .steps
            .get(step as usize)
            .and_then(|step| step.image.clone());
        Machine::boot_image(step, image.unwrap_or_else(|| "host".into()), OPTIONS).await
    }

    /// Runs the step as it should be, and returns what it exited with.
    pub(crate) async fn run(&self, step: StepId) -> Result<i32, VmError> {
        Ok(code(self.boot(step).await?.run(step).await?))
    }

    /// Queues, starts and runs the step; its end is left to the caller.
    pub(crate) async fn open(&mut self, step: StepId) -> i32 {
        self.queued(step).await;
        self.started(step).await;
        self.run(step).await.unwrap_or(-1)
    }

    /// Queues, starts, runs and ends the step, and tells whether it passed.
    pub(crate) async fn one(&mut self, step: StepId) -> bool {
        let code = self.open(step).await;
        let status = if code == 0 {
            StepStatus::Passed
        } else {
            StepStatus::Failed
        };
        self.ended(step, status, Some(code)).await;
        code == 0
    }

    /// Does everything as it should be done, one step after the other.
    pub(crate) async fn honest(&mut self) -> BuildStatus {
        let mut passed = true;
        for step in self.steps() {
            passed &= self.one(step).await;
        }
        crate::verdict(passed)
    }

    /// Ends the stream and tells the outcome.
    pub(crate) async fn finish(self, outcome: Result<BuildStatus, BackendError>) {
        drop(self.events);
        let _ = self.outcome.write(outcome).await;
    }
}

pub(crate) fn code(status: ExecStatus) -> i32 {
    match status {
        ExecStatus::Exited(code) => code,
        ExecStatus::Signaled(signal) => 128 + signal as i32,
        ExecStatus::TimedOut => 124,
        ExecStatus::OutOfMemory => 137,
    }
}

/// Waits, with the host's clock, until the instance is gone.
pub(crate) async fn for_ever() -> ! {
    loop {
        clock::sleep(std::time::Duration::from_secs(3600)).await;
    }
}
