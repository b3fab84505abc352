//! What the simulated world says of a backend that breaks the rules, hangs or panics.

use std::time::Duration;

use hm_backend_sdk::vm::{ExecSpec, Machine, MachineOptions, VmError};
use hm_backend_sdk::{
    BackendError, BuildEvent, BuildStatus, CancelReason, Cancellation, EventSink, RunRequest,
    StepEnded, StepId, StepStarted, StepStatus, clock, log,
};
use hm_backend_testkit::{Command, Outcome, Pipeline, Simulation};

fn broken(
    work: impl AsyncFnOnce(RunRequest, EventSink, Cancellation) -> Result<BuildStatus, BackendError>,
) -> String {
    let pipeline = Pipeline::new().step("a").step("b").needs("a");
    match Simulation::of(pipeline).run_with(work).outcome {
        Outcome::Broken(why) => why,
        other => panic!("{other:?}"),
    }
}

async fn started(events: &EventSink, step: StepId) {
    events.step_queued(step).await;
    events.step_started(StepStarted::new(step, "x")).await;
}

#[test]
fn the_order_of_events_is_held() {
    let why = broken(async |_, events, _| {
        events.step_started(StepStarted::new(0, "x")).await;
        Ok(BuildStatus::Passed)
    });
    assert_eq!(why, "step-started for step 0 (`a`), which was not queued");
    let why = broken(async |_, events, _| {
        events.step_queued(0).await;
        started(&events, 1).await;
        Ok(BuildStatus::Passed)
    });
    assert_eq!(
        why,
        "step-started for step 1 (`b`) before step 0 (`a`) has ended"
    );
    let why = broken(async |_, events, _| {
        events.step_queued(7).await;
        Ok(BuildStatus::Passed)
    });
    assert_eq!(why, "step-queued for step 7, and the plan has 2");
    let why = broken(async |_, events, _| {
        started(&events, 0).await;
        Ok(BuildStatus::Failed)
    });
    assert_eq!(why, "the events end, but step 0 (`a`) is open");
}

#[test]
fn a_verdict_follows_from_the_steps() {
    let why = broken(async |_, events, _| {
        started(&events, 0).await;
        let ended = StepEnded::new(0, StepStatus::Failed).exit_code(1);
        events.step_ended(ended).await;
        Ok(BuildStatus::Passed)
    });
    assert_eq!(
        why,
        "the outcome is passed, but step 0 (`a`) ended as failed"
    );
    let why = broken(async |_, _, _| Ok(BuildStatus::Failed));
    assert_eq!(why, "the outcome is failed, but no step ended so");
}

#[test]
fn a_pass_needs_a_run_that_was_seen() {
    struct Liar;
    impl hm_backend_sdk::Backend for Liar {
        fn describe() -> hm_backend_sdk::Description {
            hm_backend_sdk::Description {
                name: "liar".into(),
                version: "1".into(),
                capabilities: hm_backend_sdk::Capabilities::empty(),
            }
        }

        async fn run(
            _: RunRequest,
            events: EventSink,
            _: Cancellation,
        ) -> Result<BuildStatus, BackendError> {
            started(&events, 0).await;
            let machine = Machine::boot_image(0, "host", MachineOptions::default()).await?;
            let mut other = machine.exec(ExecSpec::new("plant")).await?;
            assert_eq!(other.chunk().await.as_deref(), Some(&b"planted"[..]));
            other.status().await?;
            let error = machine.run(0).await.unwrap_err();
            assert!(matches!(error, VmError::Denied(_)), "{error:?}");
            let ended = StepEnded::new(0, StepStatus::Passed).exit_code(0);
            events.step_ended(ended).await;
            Ok(BuildStatus::Passed)
        }
    }
    let played = Simulation::of(Pipeline::new().step("a"))
        .exec("plant", Command::exits(0).prints("planted"))
        .run::<Liar>();
    let why = "step 0 (`a`) claimed passed, the host saw no run of it";
    assert_eq!(played.outcome, Outcome::Broken(why.into()));
}

#[test]
fn a_build_that_does_not_stop_is_killed() {
    let deaf = async |_, _, _| {
        clock::sleep(Duration::from_secs(3600)).await;
        Ok(BuildStatus::Passed)
    };
    let simulation = Simulation::of(Pipeline::new());
    let played = simulation
        .cancel_after(Duration::from_secs(5))
        .run_with(deaf);
    assert_eq!(played.outcome, Outcome::Killed);
    assert_eq!(played.took, Duration::from_secs(15));
}

#[test]
fn a_build_that_waits_for_ever_is_told() {
    let why = broken(async |_, _, cancellation| {
        cancellation.requested().await;
        Ok(BuildStatus::Passed)
    });
    assert_eq!(why, "it waits for what never comes");
}

#[test]
fn a_guard_drops_its_work_when_the_build_is_to_stop() {
    let played = Simulation::of(Pipeline::new())
        .cancel_after(Duration::from_secs(5))
        .run_with(async |_, _, cancellation| {
            assert_eq!(
                cancellation
                    .guard(clock::sleep(Duration::from_secs(1)))
                    .await,
                Ok(())
            );
            cancellation
                .guard(clock::sleep(Duration::from_secs(60)))
                .await?;
            Ok(BuildStatus::Passed)
        });
    assert_eq!(
        played.outcome,
        Outcome::Cancelled(CancelReason::Interrupted)
    );
    assert_eq!(played.took, Duration::from_secs(5));
}

#[test]
fn what_is_logged_is_kept() {
    let played = Simulation::of(Pipeline::new()).run_with(async |_, events, _| {
        log::info("plain");
        let span = tracing::info_span!("job", id = 7, state = tracing::field::Empty);
        span.record("state", "queued");
        span.in_scope(|| tracing::warn!(code = 503, "asked again"));
        tracing::debug!("outside");
        let json = r#"{"a":1}"#.into();
        let name = "sample".into();
        events
            .emit(BuildEvent::Custom(hm_backend_sdk::Custom { name, json }))
            .await;
        Ok(BuildStatus::Passed)
    });
    let lines: Vec<_> = played.log.iter().map(|(_, line)| line.as_str()).collect();
    assert_eq!(
        lines,
        [
            "plain",
            "job{id=7 state=queued}: asked again code=503",
            "outside"
        ]
    );
    assert_eq!(
        played.timeline(),
        "    0s    sample {\"a\":1}\n    0s  build passed\n"
    );
}
