//! Against a scripted agent, in virtual time: no socket, no waiting.

use std::time::Duration;

use hm_backend_sdk::http::Failure;
use hm_backend_sdk::{BackendError, BuildStatus, StepStatus};
use hm_backend_testkit::{Answer, Outcome, Pipeline, ServerRequest, Simulation};
use remote::Remote;

const NOW: Duration = Duration::ZERO;
const SECOND: Duration = Duration::from_secs(1);

/// An agent on which every job prints its command and ends with `code` a second later.
fn agent(code: i32) -> impl FnMut(&ServerRequest) -> Answer {
    let mut commands = Vec::new();
    move |request| match (request.method.as_str(), request.path.as_str()) {
        ("POST", "/jobs") => {
            let job: serde_json::Value = request.json();
            commands.push(job["command"].as_str().unwrap().to_owned());
            Answer::json(&serde_json::json!({"id": commands.len().to_string()}))
        }
        ("GET", path) => {
            let id: usize = path.split('/').nth(2).unwrap().parse().unwrap();
            let printed = serde_json::json!({"stdout": commands[id - 1]});
            let exited = serde_json::json!({"exited": code});
            Answer::events()
                .event(NOW, "1", "", &printed.to_string())
                .event(SECOND, "2", "", &exited.to_string())
        }
        _ => Answer::status(204),
    }
}

fn pipeline() -> Pipeline {
    let pipeline = Pipeline::new()
        .step("build")
        .command("make")
        .env("LEVEL", "2");
    pipeline.step("test").needs("build")
}

#[test]
fn steps_are_run_by_the_agent() {
    let played = Simulation::of(pipeline()).server(agent(0)).run::<Remote>();
    assert_eq!(
        played.timeline(),
        "    0s  build  queued
    0s  test   queued
    0s  build  started on agent (host)
    0s  build  | make
    1s  build  passed (0)
    1s  test   started on agent (host)
    1s  test   | test
    2s  test   passed (0)
    2s  build passed
"
    );
    let job: serde_json::Value = played.requests[0].json();
    assert_eq!(job["env"]["LEVEL"], "2");
}

#[test]
fn a_failure_is_told() {
    let played = Simulation::of(pipeline()).server(agent(3)).run::<Remote>();
    assert_eq!(played.status(), BuildStatus::Failed);
    assert_eq!(played.step("build").unwrap().exit_code, Some(3));
    assert_eq!(played.step("test").unwrap().status, StepStatus::Skipped);
}

#[test]
fn a_log_that_breaks_off_is_taken_up_again() {
    let mut connections = 0;
    let played = Simulation::of(Pipeline::new().step("build"))
        .server(move |request| {
            if request.method == "POST" {
                return Answer::json(&serde_json::json!({"id": "1"}));
            }
            connections += 1;
            match (connections, request.header("last-event-id")) {
                (1, None) => Answer::events()
                    .event(NOW, "1", "", r#"{"stdout":"one "}"#)
                    .breaks_off(),
                (2, Some("1")) => Answer::status(503),
                (3, Some("1")) => Answer::events()
                    .event(NOW, "2", "", r#"{"stdout":"two"}"#)
                    .event(NOW, "3", "", r#"{"exited":0}"#),
                other => panic!("{other:?}"),
            }
        })
        .run::<Remote>();
    assert_eq!(played.status(), BuildStatus::Passed);
    assert_eq!(played.output("build"), "one two");
}

#[test]
fn a_job_that_nobody_waits_for_is_ended() {
    let played = Simulation::of(pipeline())
        .server(agent(0))
        .cancel_after(SECOND / 2)
        .run::<Remote>();
    assert!(played.was_cancelled());
    let last = played.requests.last().unwrap();
    assert_eq!(
        (last.method.as_str(), last.path.as_str()),
        ("DELETE", "/jobs/1")
    );
}

#[test]
fn a_step_over_its_time_has_its_job_ended() {
    let played = Simulation::of(pipeline().timeout_ms(500))
        .server(agent(0))
        .run::<Remote>();
    assert_eq!(played.status(), BuildStatus::Failed);
    assert_eq!(played.step("build").unwrap().status, StepStatus::Passed);
    let test = played.step("test").unwrap();
    assert_eq!(
        (test.status, test.exit_code),
        (StepStatus::TimedOut, Some(124))
    );
    assert_eq!(played.requests.last().unwrap().path, "/jobs/2");
}

#[test]
fn an_agent_that_is_not_there_ends_the_build() {
    let played = Simulation::of(pipeline())
        .server(|_| Answer::fails(Failure::Refused))
        .run::<Remote>();
    let Outcome::Error(BackendError::Transport(text)) = &played.outcome else {
        panic!("{:?}", played.outcome);
    };
    assert!(text.contains("nobody accepts connections there"), "{text}");
}
