//! `walk` and the handles of steps: order, parallelism, failures, cancellation.

use std::time::Duration;

use hm_backend_sdk::vm::{Machine, MachineOptions, Snapshot, VmError};
use hm_backend_sdk::{
    Backend, BackendError, BuildStatus, CancelReason, Cancellation, Capabilities, Description,
    EventSink, RunRequest, StepStatus, Turn, clock, log, walk,
};
use hm_backend_testkit::{Command, Outcome, Pipeline, Played, Simulation};

/// Runs each step in a machine, on what its parent left behind.
struct Vm;

impl Backend for Vm {
    fn describe() -> Description {
        Description {
            name: "vm".into(),
            version: "1.0.0".into(),
            capabilities: Capabilities::HONORS_PARALLELISM,
        }
    }

    async fn run(
        request: RunRequest,
        events: EventSink,
        cancellation: Cancellation,
    ) -> Result<BuildStatus, BackendError> {
        walk(&request, &events, &cancellation, step).await
    }
}

async fn step(turn: Turn<Option<Snapshot>>) -> Result<Option<Snapshot>, BackendError> {
    let (id, has_heirs, plan) = (turn.id(), turn.has_heirs(), turn.plan().clone());
    let image = turn.step().image.clone().unwrap_or_default();
    let parent = turn.parent().cloned();
    let step = turn.start("vm").await;
    let options = MachineOptions::default();
    let machine = match parent.as_ref().and_then(|left| left.as_ref().as_ref()) {
        Some(snapshot) => Machine::boot_snapshot(id, snapshot, options).await?,
        None => Machine::boot_image(id, image, options).await?,
    };
    let status = machine.run(id).await?;
    step.end(&plan.steps[id as usize], status).await;
    Ok(match has_heirs && status.is_success() {
        true => Some(machine.snapshot().await?),
        false => None,
    })
}

fn statuses(played: &Played) -> Vec<StepStatus> {
    let statuses = played.statuses().into_iter();
    statuses
        .map(|status| status.expect("every step ends"))
        .collect()
}

fn diamond() -> Pipeline {
    Pipeline::new()
        .step("build")
        .step("unit")
        .from("build")
        .step("lint")
        .from("build")
        .step("package")
        .needs("unit")
        .needs("lint")
}

#[test]
fn steps_run_as_soon_and_as_many_as_they_may() {
    let played = Simulation::of(diamond()).run::<Vm>();
    assert_eq!(played.status(), BuildStatus::Passed);
    assert_eq!(
        played.timeline(),
        "    0s  build    queued
    0s  unit     queued
    0s  lint     queued
    0s  package  queued
    0s  build    started on vm (host)
    1s  build    passed (0)
    1s  unit     started on vm
    1s  lint     started on vm
    2s  unit     passed (0)
    2s  lint     passed (0)
    2s  package  started on vm (host)
    3s  package  passed (0)
    3s  build passed
"
    );
    assert_eq!((played.boots, played.freezes, played.leaked), (4, 1, 0));
    for (slots, seconds) in [(1, 12), (3, 4), (100, 1)] {
        let pipeline = Pipeline::new().steps(12);
        let played = Simulation::of(pipeline).parallelism(slots).run::<Vm>();
        assert_eq!(played.most_running, (slots as usize).min(12));
        assert_eq!(played.took, Duration::from_secs(seconds));
    }
}

#[test]
fn a_failure_ends_the_build_or_what_depends_on_it() {
    use StepStatus::{Cancelled, Failed, Passed, Skipped};
    let pipeline = || diamond().step("docs");
    let failing = || {
        let slow = Command::exits(0).after_secs(60);
        Simulation::of(pipeline())
            .parallelism(4)
            .command("unit", Command::exits(2))
            .command("docs", slow)
    };
    let played = failing().run::<Vm>();
    assert_eq!(played.status(), BuildStatus::Failed);
    // `lint` ends in the same second, and was told before the failure was.
    assert_eq!(statuses(&played)[..2], [Passed, Failed]);
    assert_eq!(statuses(&played)[3..], [Skipped, Cancelled]);
    let detail = |key: &str| played.step(key).and_then(|ended| ended.detail.as_deref());
    assert_eq!(detail("docs"), Some("because `unit` failed"));
    assert_eq!(detail("package"), Some("`unit` failed"));
    assert_eq!(played.took, Duration::from_secs(2));

    let played = failing().keep_going().run::<Vm>();
    assert_eq!(played.status(), BuildStatus::Failed);
    assert_eq!(statuses(&played), [Passed, Failed, Passed, Skipped, Passed]);
    assert_eq!(played.took, Duration::from_secs(60));
}

#[test]
fn every_way_in_which_a_command_ends_is_told() {
    let cases = [
        (Command::exits(7), StepStatus::Failed, Some(7), None),
        (
            Command::signaled(11),
            StepStatus::Failed,
            Some(139),
            Some("killed by signal 11"),
        ),
        (
            Command::out_of_memory(),
            StepStatus::Failed,
            Some(137),
            Some("out of memory"),
        ),
        (
            Command::hangs(),
            StepStatus::TimedOut,
            Some(124),
            Some("over its timeout of 90 s"),
        ),
    ];
    for (command, status, code, detail) in cases {
        let pipeline = Pipeline::new().step("a").timeout_ms(90_000);
        let played = Simulation::of(pipeline).command("a", command).run::<Vm>();
        assert_eq!(played.status(), BuildStatus::Failed);
        let ended = played.step("a").unwrap();
        assert_eq!((ended.status, ended.exit_code), (status, code));
        assert_eq!(ended.detail.as_deref(), detail);
    }
}

#[test]
fn what_cannot_be_run_ends_the_build_with_its_error() {
    let no_image = VmError::ImageNotFound("no image `ubuntu:99`".into());
    let played = Simulation::of(Pipeline::new().steps(3))
        .fail_boot("step-0", no_image)
        .run::<Vm>();
    let unavailable = BackendError::Unavailable("no image `ubuntu:99`".into());
    assert_eq!(played.outcome, Outcome::Error(unavailable));
    assert_eq!(played.leaked, 0);
    assert_eq!(statuses(&played)[2], StepStatus::Skipped);

    let played = Simulation::of(Pipeline::new().step("a"))
        .command("a", Command::lost())
        .run::<Vm>();
    let unavailable = BackendError::Unavailable("the machine was lost".into());
    assert_eq!(played.outcome, Outcome::Error(unavailable));
}

#[test]
fn a_build_can_be_stopped_at_any_await() {
    let make = || Simulation::of(diamond());
    let calls = Simulation::each_cancellation::<Vm>(make, |call, played| {
        let cancelled = Outcome::Cancelled(CancelReason::Interrupted);
        assert_eq!(played.outcome, cancelled, "{call}\n{}", played.timeline());
        assert_eq!(played.leaked, 0, "{call}");
        for status in statuses(played) {
            let fits = matches!(status, StepStatus::Passed | StepStatus::Cancelled);
            assert!(fits, "{call}\n{}", played.timeline());
        }
    });
    assert!(calls > 15, "{calls}");

    let slow = Command::exits(0).after_secs(3600);
    let played = Simulation::of(diamond())
        .command("build", slow)
        .time_out_after(Duration::from_secs(600))
        .run::<Vm>();
    assert_eq!(played.outcome, Outcome::Cancelled(CancelReason::TimedOut));
    assert_eq!(played.took, Duration::from_secs(600));
    let detail = played.step("build").unwrap().detail.as_deref();
    assert_eq!(detail, Some("the build timed out"));
}

#[test]
fn a_plan_of_thousands_of_steps_is_nothing_special() {
    let mut pipeline = Pipeline::new().step("s0");
    for index in 1..3000 {
        pipeline = pipeline.step(format!("s{index}"));
        pipeline = match index % 3 {
            0 => pipeline.from(&format!("s{}", index - 1)),
            _ => pipeline.needs(&format!("s{}", index / 2)),
        };
    }
    let played = Simulation::of(pipeline).parallelism(8).run::<Vm>();
    assert_eq!(played.status(), BuildStatus::Passed);
    assert_eq!(played.leaked, 0);
}

#[test]
fn a_step_that_cancels_itself_ends_the_build() {
    let odd = async |request: RunRequest, events: EventSink, cancellation: Cancellation| {
        walk(&request, &events, &cancellation, async |turn: Turn<()>| {
            drop(turn.start("odd").await);
            Err(BackendError::Cancelled)
        })
        .await
    };
    let played = Simulation::of(Pipeline::new().steps(2)).run_with(odd);
    assert_eq!(played.outcome, Outcome::Error(BackendError::Cancelled));
}

#[test]
fn a_dropped_handle_ends_its_step() {
    let played = Simulation::of(Pipeline::new().steps(2)).run_with(async |request, events, _| {
        let mut steps = events.queue_all(&request.plan).await.into_iter();
        let first = steps.next().unwrap().start("nowhere").await;
        first.stdout("half a line").await;
        drop(first);
        drop(steps);
        Ok(events.verdict())
    });
    assert_eq!(played.outcome, Outcome::Ended(BuildStatus::Cancelled));
    assert_eq!(statuses(&played), [StepStatus::Cancelled; 2]);
}

#[test]
fn a_step_that_asks_for_it_may_tidy_up() {
    let tidy = async |request: RunRequest, events: EventSink, cancellation: Cancellation| {
        walk(&request, &events, &cancellation, async |turn: Turn<()>| {
            let (key, stop) = (turn.step().key.clone(), turn.stop());
            let step = turn.start("far away").await;
            if key == "short" {
                step.exit(1).await;
                return Ok(());
            }
            let work = clock::sleep(Duration::from_secs(3600));
            if let Err(stopped) = stop.guard(work).await {
                clock::sleep(Duration::from_secs(2)).await;
                log::info("tidied up");
                return Err(stopped.into());
            }
            step.pass().await;
            Ok(())
        })
        .await
    };
    let pipeline = || Pipeline::new().step("long").step("short");
    let played = Simulation::of(pipeline()).run_with(tidy);
    assert_eq!(played.status(), BuildStatus::Failed);
    assert_eq!(played.took, Duration::from_secs(2));
    assert_eq!(played.log.len(), 1);
    let detail = played.step("long").unwrap().detail.as_deref();
    assert_eq!(detail, Some("because `short` failed"));

    let alone = Pipeline::new().step("long");
    let played = Simulation::of(alone)
        .cancel_after(Duration::from_secs(60))
        .run_with(tidy);
    assert_eq!(
        played.outcome,
        Outcome::Cancelled(CancelReason::Interrupted)
    );
    assert_eq!(played.took, Duration::from_secs(62));
}
