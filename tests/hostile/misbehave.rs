//! A backend that breaks every rule, one at a time: exhaustion (R), the protocol (P), passes
//! that nobody saw (P5).

mod describing;
mod exhaustion;
mod order;
mod passes;
mod strings;

use std::time::Duration;

use hm_tests::{Finished, Project, processes_with};
use rustix::process::Signal;

use crate::stage::{VM, by, endures, grant, misbehave, works};

/// Far more than any of it takes, unless it says otherwise.
const SOON: Duration = Duration::from_secs(60);

/// A project whose first step fails unless something planted a file, and whose backend is
/// allowed to misbehave as `case` says.
fn project(case: &str, command: &str) -> Project {
    let project = Project::toml(&format!(
        "image = \"host\"\nenv = {{ MISBEHAVE = \"{case}\" }}\n[steps.a]\nrun = \"{command}\"\n\
         [steps.b]\nneeds = [\"a\"]\nrun = \"true\"",
    ));
    grant(&project, misbehave(), VM);
    project
}

/// Checks that the backend is told off, that no build passed, and that a good run goes on
/// working in the same project.
#[track_caller]
fn is_broken(case: &str, command: &str, says: &[&str]) -> Finished {
    let project = project(case, command);
    let finished = broken_in(&project, case, says);
    works(&project);
    finished
}

/// As [`is_broken`], in a project that goes on.
#[track_caller]
fn broken_in(project: &Project, case: &str, says: &[&str]) -> Finished {
    let call = by(project, misbehave()).args(["-e", &format!("MISBEHAVE={case}")]);
    let finished = endures(call, &[8], SOON).says(&["misbehave"]).says(says);
    if !finished.stdout.is_empty() {
        assert!(finished.build().reason.is_some(), "the build tells why");
    }
    finished
}

macro_rules! broken {
    ($($name:ident: $case:expr, $command:expr, $says:expr;)*) => {
        $(
            #[test]
            fn $name() {
                is_broken($case, $command, &[$says]);
            }
        )*
    };
}

const PROTOCOL: &str = "broke the protocol";

broken! {
    queued_twice: "queued-twice", "true", PROTOCOL;
    started_unqueued: "started-unqueued", "true", PROTOCOL;
    started_too_early: "started-too-early", "true", PROTOCOL;
    started_elsewhere: "started-elsewhere", "true", PROTOCOL;
    ended_twice: "ended-twice", "true", PROTOCOL;
    output_before_start: "output-before-start", "true", PROTOCOL;
    output_after_end: "output-after-end", "true", PROTOCOL;
    output_of_a_run: "output-of-a-run", "true", PROTOCOL;
    passed_with_1: "passed-with-1", "true", PROTOCOL;
    failed_with_0: "failed-with-0", "exit 3", PROTOCOL;
    another_code: "another-code", "exit 3", PROTOCOL;
    skipped_while_running: "skipped-while-running", "true", PROTOCOL;
    failed_during_its_run: "failed-during-run", "sleep 600; exit 3", "ended as failed, but its command was running";
    timed_out_during_its_run: "timed-out-during-run", "sleep 600", "ended as timed_out, but its command was running";
    cancelled_during_its_run: "cancelled-during-run", "sleep 600", PROTOCOL;
    hit_after_start: "hit-after-start", "true", PROTOCOL;
    pass_on_a_failed_state: "pass-on-a-failed-state", "test -e again || { touch again; exit 1; }", PROTOCOL;
    a_hit_that_was_none: "claims-hit", "true", PROTOCOL;
    a_hit_that_nobody_asked_for: "claims-hit-of-nothing", "true", PROTOCOL;
    passed_over_failed: "passed-over-failed", "exit 3", PROTOCOL;
    passed_over_skipped: "passed-over-skipped", "true", PROTOCOL;
    passed_over_nothing: "passed-over-nothing", "true", PROTOCOL;
    failed_over_passes: "failed-over-passes", "true", PROTOCOL;
    cancelled_by_nobody: "cancelled-by-nobody", "true", PROTOCOL;
    timed_out_by_nobody: "timed-out-by-nobody", "true", PROTOCOL;
    a_step_left_open: "step-left-open", "true", PROTOCOL;
    an_outcome_before_the_events: "outcome-first", "true", PROTOCOL;
    accepted_twice: "accepted-twice", "true", PROTOCOL;
    accepted_late: "accepted-late", "true", PROTOCOL;
    a_panic: "panic", "true", "crashed";
    a_panic_in_start: "panic-in-start", "true", "crashed";
    a_panic_after_a_step: "panic-after-a-step", "true", "crashed";
    endless_recursion: "recursion", "true", "went over a limit: stack";
    too_much_memory: "grow-memory", "true", "memory 256 MiB";
    an_outcome_that_never_comes: "outcome-never", "true", "did not answer";
    nobody_left_to_answer: "exits", "true", "did not answer";
    too_many_streams: "streams", "true", "handles to tasks, streams and sets 32768";
    too_many_halves_of_streams: "half-streams", "true", "handles to tasks, streams and sets 32768";
    too_many_calls: "calls", "true", "calls in flight";
}

/// The SDK's own words for an outcome that was never written.
#[test]
fn both_ends_dropped() {
    let project = project("both-dropped", "true");
    by(&project, misbehave())
        .run()
        .expect(8)
        .says(&["the outcome was dropped"]);
}

#[test]
fn the_rules_kept() {
    let project = project("", "echo from-a-machine");
    let build = by(&project, misbehave()).run().expect(0).build();
    build.assert_ends(&[]);
    assert_eq!(build.step("a").stdout(), ["from-a-machine"]);
    let failing = by(&project, misbehave())
        .args(["-e", "MISBEHAVE=nothing"])
        .run()
        .expect(0)
        .build();
    assert_eq!(failing.status, "passed");
}

#[test]
fn a_plan_that_the_backend_refuses() {
    let project = project("refuse", "true");
    let finished = by(&project, misbehave())
        .run()
        .expect(7)
        .says(&["as asked"]);
    assert_eq!(finished.text(), "");
}

/// What loops or sleeps is ended by a limit of time, and by the person.
#[test]
fn loops_end_with_the_builds_time() {
    for case in [
        "loop",
        "sleeps",
        "loop-with-log",
        "loop-with-yield",
        "loop-with-task-yield",
    ] {
        let project = project(case, "true");
        let finished = by(&project, misbehave()).args(["--timeout", "2s"]).run();
        let code = finished.code();
        assert!(
            [Some(124), Some(8)].contains(&code),
            "{case}: {}",
            finished.said()
        );
        // Where the backend never took the build there is nothing to tell but that.
        if !finished.stdout.is_empty() {
            assert_ne!(finished.build().status, "passed", "{case}");
        }
    }
}

#[test]
fn floods_end() {
    for case in [
        "flood-of-notices",
        "flood-of-output",
        "bytes-of-output",
        "huge-output",
        "huge-log",
        "deep-json",
        "fill-memory",
    ] {
        let project = project(case, "true");
        let finished = by(&project, misbehave()).args(["--timeout", "3s"]).run();
        let code = finished.code();
        assert!(
            [Some(124), Some(8)].contains(&code),
            "{case}: {}",
            finished.said()
        );
        if !finished.stdout.is_empty() {
            assert_ne!(finished.build().status, "passed", "{case}");
        }
        assert!(
            finished.peak_kib() < 1 << 20,
            "{case}: {} KiB",
            finished.peak_kib()
        );
    }
}

/// Waits until the backend is about to be started, and lets it get there: nothing tells of a
/// backend that says nothing.
fn wait_for_record(project: &Project) {
    while project.records().is_empty() {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    std::thread::sleep(std::time::Duration::from_secs(1));
}

#[test]
fn a_build_without_an_end_ends_with_control_c() {
    let project = project("sleeps", "true");
    let running = by(&project, misbehave()).start();
    wait_for_record(&project);
    running.signal(Signal::INT);
    running.wait_for_error("cancelling");
    running.signal(Signal::INT);
    assert_eq!(running.wait().expect(130).build().status, "cancelled");
}

/// There is no build yet that could be cancelled in order: the process ends, and the next
/// one removes what it left.
#[test]
fn a_start_without_an_end_ends_with_control_c() {
    let project = project("loop-in-start", "true");
    let running = by(&project, misbehave()).beside_others().start();
    wait_for_record(&project);
    running.signal(Signal::INT);
    assert_eq!(running.wait().code(), Some(130));
    by(&project, misbehave())
        .args(["-e", "MISBEHAVE=nothing"])
        .run()
        .expect(0);
}

/// The canary of this file: a machine that a broken backend leaves is gone with it.
#[test]
fn machines_of_a_broken_backend_are_gone() {
    let marker = uuid::Uuid::new_v4().to_string();
    let project = project(
        "another-code",
        &format!("sh -c 'exec -a {marker} sleep 600' & exit 3"),
    );
    by(&project, misbehave()).run().expect(8);
    assert_eq!(processes_with(&marker), [""; 0]);
}

/// What waits for the rate is not lost, and the total ends it.
#[test]
fn notices_come_at_their_rate_and_end_with_their_total() {
    let project = project("flood-of-notices", "true");
    grant(&project, misbehave(), &["--limit", "notices=12000"]);
    let finished = endures(by(&project, misbehave()), &[8], Duration::from_secs(60)).says(&[
        "went over a limit: notices and custom events 12000",
        "--limit notices=24000",
    ]);
    let build = finished.build();
    let notices = build
        .events
        .iter()
        .filter(|event| event["kind"] == "notice");
    assert_eq!(notices.count(), 12_000);
    works(&project);
}

#[test]
fn processor_time_has_a_limit() {
    for case in ["loop", "fill-memory"] {
        let project = project(case, "true");
        grant(&project, misbehave(), &["--limit", "cpu=1s"]);
        endures(by(&project, misbehave()), &[8], Duration::from_secs(60))
            .says(&["went over a limit: CPU time 1 s"]);
        works(&project);
    }
}

#[test]
fn output_that_comes_as_events_has_a_limit() {
    let project = project("flood-of-output", "true");
    grant(&project, misbehave(), &["--limit", "output=1MiB"]);
    endures(by(&project, misbehave()), &[8], Duration::from_secs(60))
        .says(&["went over a limit: step-output 1 MiB"]);
}

#[test]
fn what_is_logged_too_fast_is_counted() {
    let project = project("loop-with-log", "true");
    let call = by(&project, misbehave()).args(["-v", "--timeout", "2s"]);
    let finished = endures(call, &[124, 8], Duration::from_secs(60)).says(&["lines dropped"]);
    let lines = finished
        .errors()
        .lines()
        .filter(|line| line.contains("again"))
        .count();
    assert!(lines < 1_000 + 100 * 60, "{lines} lines");
}

/// The times that the contract gives a backend, each with its name.
#[test]
fn silence_has_a_limit_and_a_name() {
    for (case, limit, says) in [
        (
            "loop-in-start",
            "start=1s",
            "`start` took longer than the limit start 1 s",
        ),
        (
            "outcome-never",
            "outcome=1s",
            "took longer than the limit outcome 1 s",
        ),
        (
            "stream-never-closed",
            "outcome=1s",
            "the end of the events, after that of the last step, took longer than the limit outcome 1 s",
        ),
        (
            "outcome-beside-stream",
            "outcome=1s",
            "the outcome came before the end of the events",
        ),
    ] {
        let project = project(case, "true");
        grant(&project, misbehave(), &["--limit", limit]);
        endures(by(&project, misbehave()), &[8], Duration::from_secs(60)).says(&[says]);
        works(&project);
    }
}

#[test]
fn machines_are_counted_and_measured() {
    let project = project("machines", "true");
    grant(&project, misbehave(), &["--limit", "machines=3"]);
    let finished = endures(by(&project, misbehave()), &[8], Duration::from_secs(60));
    assert!(
        finished.errors().contains("machines 3"),
        "{}",
        finished.errors()
    );
    works(&project);
}

/// Names that an engine could take for a flag, a path or a URL, and images that nobody granted.
#[test]
fn images_are_names_and_granted() {
    let project = project("images", "true");
    let finished = endures(by(&project, misbehave()), &[6], Duration::from_secs(60)).says(&[
        "was refused",
        "the image `another:1`: not granted",
        "--vm --vm-image another:1",
        "had []",
    ]);
    assert!(
        !finished.errors().contains("--privileged"),
        "{}",
        finished.errors()
    );
    works(&project);
}
