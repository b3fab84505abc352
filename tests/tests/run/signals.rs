//! Ctrl-C, once and twice, and being killed.

use hm_tests::{Project, Running, assert_nothing_left, processes_with};
use rustix::process::Signal;

use crate::{build, marker};

const LONG: &str = r#"
image = "host"
[steps.a]
run = "echo up; sleep 600; echo never"
[steps.b]
from = "a"
run = "echo never"
[steps.c]
run = "sleep 600"
"#;

fn started(project: &Project) -> Running {
    let running = project.run().args(["-j", "4"]).start();
    running.wait_for("\"line\":\"up\"");
    running
}

#[track_caller]
fn is_cancelled_by(signal: Signal) {
    let project = Project::toml(LONG);
    let running = started(&project);
    running.signal(signal);
    let build = running.wait().expect(130).build();
    assert_eq!(build.status, "cancelled");
    for key in ["a", "c"] {
        assert_eq!(build.step(key).status, "cancelled", "{key}");
    }
    assert_eq!(build.step("a").stdout(), ["up"]);
    assert_eq!(build.step("b").started, None);
    assert!(["cancelled", "skipped"].contains(&build.step("b").status.as_str()));
}

#[test]
fn an_interrupt_cancels() {
    is_cancelled_by(Signal::INT);
}

#[test]
fn a_request_to_end_cancels() {
    is_cancelled_by(Signal::TERM);
}

#[test]
fn a_lost_terminal_cancels() {
    is_cancelled_by(Signal::HUP);
}

#[test]
fn a_second_interrupt_ends_what_ignores_the_first() {
    let marker = marker();
    let project = Project::toml(&format!(
        "[steps.a]\nimage = \"host\"\nrun = \"trap '' INT TERM HUP; echo up; sleep {marker}; sleep {marker}\"",
    ));
    let running = started(&project);
    running.signal(Signal::INT);
    // Two of a kind that come together are one.
    running.wait_for_error("cancelling");
    running.signal(Signal::INT);
    let build = running.wait().expect(130).build();
    assert_eq!(build.step("a").status, "cancelled");
    assert_eq!(processes_with(&marker), [""; 0]);
}

/// Signals can come before anything has started.
#[test]
fn an_interrupt_while_it_starts_ends_it() {
    let project = Project::toml(LONG);
    let running = project.run().start();
    running.wait_for("build_start");
    running.signal(Signal::INT);
    assert_eq!(running.wait().code(), Some(130));
}

#[test]
fn after_a_kill_nothing_runs_on_and_the_next_run_cleans_up() {
    let marker = marker();
    let project = Project::toml(&format!(
        "[steps.a]\nimage = \"host\"\nrun = \"setsid sleep {marker} & echo up; sleep {marker}\"",
    ));
    let running = started(&project);
    assert!(
        !processes_with(&marker).is_empty(),
        "the test sees what runs"
    );
    running.signal(Signal::KILL);
    assert_eq!(running.wait().signal(), Some(9));
    let state = project.state().to_str().unwrap().to_owned();
    for _ in 0..500 {
        if processes_with(&marker).is_empty() && processes_with(&state).is_empty() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    assert_eq!(
        processes_with(&marker),
        [""; 0],
        "a dead hm leaves nothing running"
    );
    assert_eq!(
        processes_with(&state),
        [""; 0],
        "a dead hm leaves nothing mounted"
    );
    project.write(
        ".hm/ci.toml",
        "[steps.a]\nimage = \"host\"\nrun = \"echo again\"",
    );
    let build = build(&project, &[], 0);
    assert_eq!(build.step("a").stdout(), ["again"]);
    assert_nothing_left(project.state());
}

/// One that runs has machines of its own, which the start of another must not touch.
#[test]
fn two_runs_side_by_side_do_not_disturb_each_other() {
    let project = Project::toml(
        "[steps.a]\nimage = \"host\"\nrun = \"echo up; for i in 1 2 3 4 5 6; do sleep 0.5; echo $i; done\"",
    )
    .file(".hm/quick.toml", "[steps.q]\nimage = \"host\"\nrun = \"echo quick\"");
    let running = project.run().arg("ci").beside_others().start();
    running.wait_for("\"line\":\"up\"");
    for _ in 0..3 {
        let quick = project
            .run()
            .arg("quick")
            .beside_others()
            .run()
            .expect(0)
            .build();
        assert_eq!(quick.step("q").stdout(), ["quick"]);
    }
    let build = running.wait().expect(0).build();
    assert_eq!(build.step("a").stdout().len(), 7);
    assert_nothing_left(project.state());
}
