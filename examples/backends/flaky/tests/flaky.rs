use flaky::Flaky;
use hm_backend_sdk::{BackendError, BuildStatus};
use hm_backend_testkit::{Command, Outcome, Pipeline, Simulation};

fn one() -> Simulation {
    Simulation::of(Pipeline::new().step("test"))
}

#[test]
fn a_step_that_fails_once_is_run_again() {
    let played = one()
        .command("test", Command::exits(1))
        .command("test", Command::lost())
        .command("test", Command::exits(0))
        .run::<Flaky>();
    assert_eq!(played.status(), BuildStatus::Passed);
    assert_eq!(played.attempts("test"), 3);
    assert_eq!((played.boots, played.leaked), (3, 0));
}

#[test]
fn a_step_that_goes_on_failing_has_failed() {
    let played = one()
        .setting("attempts", "5")
        .command("test", Command::exits(7))
        .run::<Flaky>();
    assert_eq!(played.status(), BuildStatus::Failed);
    assert_eq!(played.attempts("test"), 5);
    assert_eq!(played.step("test").unwrap().exit_code, Some(7));
}

#[test]
fn wrong_settings_are_told_before_anything_starts() {
    let played = one().setting("attempts", "many").run::<Flaky>();
    let Outcome::Refused(BackendError::Rejected(rejection)) = played.outcome else {
        panic!("{:?}", played.outcome);
    };
    assert_eq!(
        rejection.message,
        "setting `attempts`: `many` is not a whole number, 0 or more"
    );
    assert_eq!(played.boots, 0);
}
