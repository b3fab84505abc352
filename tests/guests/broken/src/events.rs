//! Events that should not be, or should be others.

use hm_backend_sdk::vm::ExecStatus;
use hm_backend_sdk::{
    Accepted, BuildEvent, Custom, EventSink, LogChannel, Plan, RunningStep, Step, StepEnded,
    StepId, StepOutput, StepStarted, StepStatus, Turn,
};

use crate::has_fault;

async fn output(id: StepId, bytes: usize, events: &EventSink) {
    let output = StepOutput {
        step: id,
        channel: LogChannel::Stdout,
        data: vec![b'x'; bytes],
    };
    events.emit(BuildEvent::StepOutput(output)).await;
}

pub(crate) async fn before_start(id: StepId, events: &EventSink) {
    if has_fault("queues-once") {
        events.step_queued(id).await;
    }
    if has_fault("accepts-first") {
        let accepted = Accepted {
            number: None,
            organization: None,
            pipeline: "late".into(),
            watch_url: None,
        };
        events.emit(BuildEvent::Accepted(accepted)).await;
    }
    if has_fault("sends-output-while-running") {
        output(id, 1, events).await;
    }
    if has_fault("hits-what-the-cache-has") {
        events.step_cache_hit(id).await;
    }
    if has_fault("skips-with-a-reason") {
        events
            .step_ended(StepEnded::new(id, StepStatus::Skipped))
            .await;
    }
}

pub(crate) async fn start<S>(turn: Turn<S>, events: &EventSink) -> RunningStep {
    let id = turn.id();
    if has_fault("starts-on-the-planned-image") {
        return turn
            .into_step()
            .start_in("machine", Some("another:1".into()))
            .await;
    }
    let step = turn.start("machine").await;
    if has_fault("starts-once") {
        events.step_started(StepStarted::new(id, "machine")).await;
    }
    step
}

pub(crate) async fn while_running(id: StepId, events: &EventSink) {
    if has_fault("sends-small-chunks") {
        output(id, 20_000, events).await;
    }
    if has_fault("sends-sound-texts") {
        let (name, json) = ("odd".into(), "{".into());
        events.emit(BuildEvent::Custom(Custom { name, json })).await;
    }
    if has_fault("ends-as-it-went") {
        let ended = StepEnded::new(id, StepStatus::Skipped).detail("no mood");
        events.step_ended(ended).await;
    }
}

pub(crate) async fn end(step: RunningStep, planned: &Step, status: ExecStatus, events: &EventSink) {
    let id = step.id();
    if has_fault("leaves-output-to-machines") {
        output(id, 1, events).await;
    }
    if has_fault("fails-with-a-reason") && !status.is_success() {
        events
            .step_ended(StepEnded::new(id, StepStatus::Failed))
            .await;
    }
    if has_fault("ends-every-step") {
        return std::mem::forget(step);
    }
    step.end(planned, status).await;
    if has_fault("ends-once") {
        events.step_ended(StepEnded::of(id, planned, status)).await;
    }
}

/// Before any step is queued.
pub(crate) async fn before_all(events: &EventSink) {
    if has_fault("starts-after-queueing") {
        events.step_started(StepStarted::new(0, "machine")).await;
    }
}

/// After the last step.
pub(crate) async fn after_all(plan: &Plan, events: &EventSink) {
    let beyond = plan.steps.len() as StepId;
    if has_fault("names-steps-of-the-plan") {
        events.step_queued(beyond).await;
    }
}
