//! The smallest backend: it runs nothing, and reports each step as done elsewhere, with
//! the step's command as its output.

use hm_backend_sdk::{
    Backend, BackendError, BuildStatus, Cancellation, Capabilities, Description, EventSink,
    LogChannel, RunRequest, StepEnded, StepId, StepStarted, StepStatus,
};

struct Echo;

impl Backend for Echo {
    fn describe() -> Description {
        Description {
            name: "echo".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            capabilities: Capabilities::OBSERVER,
        }
    }

    async fn run(
        request: RunRequest,
        events: EventSink,
        _cancellation: Cancellation,
    ) -> Result<BuildStatus, BackendError> {
        let plan = request.plan;
        let mut waiting: Vec<StepId> = (0..plan.steps.len() as StepId).collect();
        for &step in &waiting {
            events.step_queued(step).await;
        }
        // A step may start when all before it have ended.
        while !waiting.is_empty() {
            let blocked = |step: &StepId| {
                plan.edges
                    .iter()
                    .any(|edge| edge.after == *step && waiting.contains(&edge.before))
            };
            let (later, now): (Vec<_>, Vec<_>) = waiting.iter().partition(|&step| blocked(step));
            for step in now {
                events.step_started(StepStarted::new(step, "echo")).await;
                let line = format!("{}\n", plan.steps[step as usize].command);
                events
                    .step_output(step, LogChannel::Stdout, line.as_bytes())
                    .await;
                let ended = StepEnded::new(step, StepStatus::Passed).exit_code(0);
                events.step_ended(ended).await;
            }
            waiting = later;
        }
        Ok(BuildStatus::Passed)
    }
}

hm_backend_sdk::export!(Echo);
