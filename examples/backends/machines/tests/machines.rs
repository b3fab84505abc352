//! In a simulated world: nothing is booted, and time is virtual.

use std::time::Duration;

use hm_backend_sdk::{BuildStatus, StepStatus};
use hm_backend_testkit::{Command, Pipeline, Simulation};
use machines::Machines;

fn pipeline() -> Pipeline {
    let pipeline = Pipeline::new().step("build").command("make");
    pipeline.step("test").from("build").step("lint")
}

#[test]
fn a_step_starts_from_what_its_parent_left() {
    let played = Simulation::of(pipeline()).run::<Machines>();
    assert_eq!(
        played.timeline(),
        "    0s  build  queued
    0s  test   queued
    0s  lint   queued
    0s  build  started on machine (host)
    0s  lint   started on machine (host)
    1s  build  passed (0)
    1s  test   started on machine
    1s  lint   passed (0)
    2s  test   passed (0)
    2s  build passed
"
    );
    assert_eq!(played.leaked, 0);
}

#[test]
fn a_failure_is_told() {
    let played = Simulation::of(pipeline())
        .command("build", Command::exits(2).after_secs(60))
        .run::<Machines>();
    assert_eq!(played.status(), BuildStatus::Failed);
    assert_eq!(played.step("build").unwrap().exit_code, Some(2));
    assert_eq!(played.step("test").unwrap().status, StepStatus::Skipped);
    assert_eq!(played.took, Duration::from_secs(60));
}

#[test]
fn a_build_can_be_stopped_at_any_await() {
    let make = || Simulation::of(pipeline());
    Simulation::each_cancellation::<Machines>(make, |call, played| {
        assert!(
            played.was_cancelled(),
            "at call {call}:\n{}",
            played.timeline()
        );
        assert_eq!(played.leaked, 0, "at call {call}");
    });
}
