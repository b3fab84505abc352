use hm_plugin_protocol::{BuildEvent, BuildStatus, Level, LogStream, Plan, StepStatus};
use hm_render::{Detail, Human, Options, Renderer, Size};

use crate::script::*;

/// What is written where no frame is drawn.
fn lines_with(options: &Options, plan: &Plan, events: &[BuildEvent]) -> String {
    let written = Written::default();
    let mut human = Human::new(written.clone(), plan, options);
    for event in events {
        human.event(event).unwrap();
    }
    human.finish(None).unwrap();
    written.text()
}

fn lines(plan: &Plan, events: &[BuildEvent]) -> String {
    lines_with(
        &Options {
            command: "hm run ci".into(),
            ..Options::default()
        },
        plan,
        events,
    )
}

#[test]
fn a_build_with_something_of_everything() {
    let (plan, events) = everything();
    insta::assert_snapshot!(lines(&plan, &events), @"
    ci  5 steps on local
    ↺ base  cached
    ▸ build  started
    warning: build: the clock is off
    ✓ build  passed in 1.2s
    ▸ test  started
    ▸ slow  started
    ✗ test  failed: exit 2 after 1.5s
    ──── output of test, 2 lines ────
    1 of 2 failed
    100%
    ──── end of test: failed: exit 2 after 1.5s ────
    ⊘ slow  cancelled after 1.5s: `test` failed
    – deploy  skipped: needs `test`, which failed

    ↺ base      cached
    ✓   build   passed        1.2s  1 notice
    ✗     test  failed        1.5s  exit 2
    ⊘     slow  cancelled     1.5s  `test` failed
    – deploy    skipped             needs `test`, which failed

    ✗ build failed after 2.7s: 1 failed, 1 passed, 1 cached, 1 cancelled, 1 skipped
      ✗ test  failed: exit 2 after 1.5s
        │ 1 of 2 failed
        │ 100%
      critical path: 2.7s in 2 steps: build 1.2s → test 1.5s
      run it again: hm run ci
      go on past failures: hm run ci -k
      see all output: hm run ci -v
    ");
}

#[test]
fn a_build_that_passes() {
    let plan = plan(&[("base", ""), ("lint", "base"), ("test", "base")]);
    let mut events = vec![
        start(&plan),
        hit(0),
        ended(0, StepStatus::CacheHit, 0, 0, ""),
    ];
    events.extend([
        started(1, 0),
        started(2, 0),
        out(1, "ok\n"),
        passed(1, 800),
        passed(2, 65_000),
    ]);
    events.push(end(BuildStatus::Passed, 65_100, ""));
    insta::assert_snapshot!(lines(&plan, &events), @"
    ci  3 steps on local
    ↺ base  cached
    ▸ lint  started
    ▸ test  started
    ✓ lint  passed in 800ms
    ✓ test  passed in 1m 05s

    ↺ base    cached
    ✓   lint  passed       800ms
    ✓   test  passed      1m 05s

    ✓ build passed in 1m 05s: 2 passed, 1 cached
    ");
}

#[test]
fn plain_signs_where_only_ascii_may_be_written() {
    let (plan, events) = everything();
    let ascii = Options {
        unicode: false,
        ..Options::default()
    };
    let text = lines_with(&ascii, &plan, &events);
    assert!(text.is_ascii(), "{text}");
    assert!(!text.contains('\x1b'));
}

#[test]
fn going_on_past_failures() {
    let plan = plan(&[("a", ""), ("b", ""), ("c", "+a")]);
    let events = [
        start(&plan),
        started(0, 0),
        started(1, 0),
        ended(
            0,
            StepStatus::Failed,
            137,
            100,
            "out of memory (limit 512 MiB)",
        ),
        out(1, "one\n\ntwo\nthree\nfour\n"),
        ended(1, StepStatus::TimedOut, 124, 5000, "over its 5s"),
        ended(2, StepStatus::Skipped, None, 0, "needs `a`, which failed"),
        end(BuildStatus::Failed, 5000, ""),
    ];
    insta::assert_snapshot!(lines(&plan, &events), @"
    ci  3 steps on local
    ▸ a  started
    ▸ b  started
    ✗ a  failed: exit 137 (SIGKILL) after 100ms: out of memory (limit 512 MiB)
      it printed nothing
    ⏱ b  timed out after 5.0s: over its 5s
    ──── output of b, 5 lines ────
    one

    two
    three
    four
    ──── end of b: timed out after 5.0s: over its 5s ────
    – c  skipped: needs `a`, which failed

    ✗ a  failed       100ms  exit 137 (SIGKILL); out of memory (limit 512 MiB)
    ⏱ b  timed out     5.0s  over its 5s
    – c  skipped             needs `a`, which failed

    ✗ build failed after 5.0s: 1 failed, 1 timed out, 1 skipped
      ✗ a  failed: exit 137 (SIGKILL) after 100ms: out of memory (limit 512 MiB)
      ⏱ b  timed out after 5.0s: over its 5s
        │ two
        │ three
        │ four
      run it again: hm run ci
      go on past failures: hm run ci -k
    ");
}

#[test]
fn a_build_that_a_person_cancelled() {
    let plan = plan(&[("a", ""), ("b", "a")]);
    let events = [
        start(&plan),
        started(0, 0),
        out(0, "working\n"),
        ended(0, StepStatus::Cancelled, None, 300, ""),
        ended(1, StepStatus::Cancelled, None, 0, ""),
        end(BuildStatus::Cancelled, 300, "interrupted"),
    ];
    insta::assert_snapshot!(lines(&plan, &events), @"
    ci  2 steps on local
    ▸ a  started
    ⊘ a  cancelled after 300ms
    ⊘ b  cancelled before it started

    ⊘ a    cancelled    300ms
    ⊘   b  cancelled

    ⊘ build cancelled after 300ms: interrupted; 2 cancelled
    ");
}

#[test]
fn a_backend_that_broke() {
    let plan = plan(&[("a", "")]);
    let events = [
        start(&plan),
        started(0, 0),
        ended(0, StepStatus::Cancelled, None, 300, "the backend ended"),
        BuildEvent::BuildEnd {
            exit_code: 8,
            duration_ms: 320,
            status: BuildStatus::Failed,
            reason: Some("backend `x.wasm` trapped: unreachable".into()),
        },
    ];
    insta::assert_snapshot!(lines(&plan, &events), @"
    ci  1 step on local
    ▸ a  started
    ⊘ a  cancelled after 300ms: the backend ended

    ✗ build failed after 320ms, exit 8: backend `x.wasm` trapped: unreachable; 1 cancelled
    ");
    insta::assert_snapshot!(lines(&plan, &events[..2]), @"
    ci  1 step on local
    ▸ a  started

    ✗ build ended without a verdict
    ");
}

#[test]
fn notices_and_reported_results() {
    let plan = plan(&[("a", "")]);
    let mut reported = passed(0, 5);
    if let BuildEvent::StepEnd { observed, .. } = &mut reported {
        *observed = false;
    }
    let events = [
        notice(None, Level::Info, "using 2 slots"),
        started(0, 0),
        notice(Some(0), Level::Warning, "disk is almost full"),
        reported,
        notice(None, Level::Error, "cannot write the record"),
        end(BuildStatus::Passed, 5, ""),
    ];
    let options = Options {
        backend: "acme".into(),
        ..Options::default()
    };
    insta::assert_snapshot!(lines_with(&options, &plan, &events), @"
    note: using 2 slots
    ▸ a  started
    warning: a: disk is almost full
    ✓ a  passed in 5ms (reported by acme)
    error: cannot write the record

    ✓ build passed in 5ms: 1 passed
    ");
}

#[test]
fn quiet_and_verbose() {
    let (plan, events) = everything();
    let quiet = Options {
        detail: Detail::Quiet,
        ..Options::default()
    };
    insta::assert_snapshot!(lines_with(&quiet, &plan, &events), @"
    warning: build: the clock is off
    ✗ test  failed: exit 2 after 1.5s
    ──── output of test, 2 lines ────
    1 of 2 failed
    100%
    ──── end of test: failed: exit 2 after 1.5s ────

    ✗ build failed after 2.7s: 1 failed, 1 passed, 1 cached, 1 cancelled, 1 skipped
      ✗ test  failed: exit 2 after 1.5s
        │ 1 of 2 failed
        │ 100%
      run it again: hm run
      go on past failures: hm run -k
      see all output: hm run -v
    ");
    let verbose = Options {
        detail: Detail::Verbose,
        ..Options::default()
    };
    assert!(lines_with(&verbose, &plan, &events).contains("cc a.c\ncc b.c\nwarning: unused\n"));
}

#[test]
fn a_large_plan_has_a_short_summary() {
    let keys: Vec<String> = (0..2000).map(|n| format!("step-{n}")).collect();
    let steps: Vec<(&str, &str)> = (0..keys.len())
        .map(|n| {
            (
                keys[n].as_str(),
                if n == 0 { "" } else { keys[n - 1].as_str() },
            )
        })
        .collect();
    let plan = plan(&steps);
    let mut events = vec![started(0, 0), ended(0, StepStatus::Failed, 1, 10, "")];
    events
        .extend((1..2000).map(|step| ended(step, StepStatus::Skipped, None, 0, "`step-0` failed")));
    events.push(end(BuildStatus::Failed, 10, ""));
    let quiet = lines(&plan, &events);
    let summary = quiet.split("\n\n").nth(1).unwrap();
    assert_eq!(summary.lines().count(), 41);
    assert!(
        summary.ends_with("and 1960 more that did not pass"),
        "{summary}"
    );
}

#[test]
fn pieces_of_a_long_line_stay_together() {
    let plan = plan(&[("a", "")]);
    let events = [
        started(0, 0),
        piece(0, LogStream::Stdout, "one "),
        out(0, "line\n"),
        piece(0, LogStream::Stdout, "broken "),
        err(0, "oops\n"),
        out(0, "rest\n"),
        ended(0, StepStatus::Failed, 1, 10, ""),
    ];
    let text = lines(&plan, &events);
    assert!(
        text.contains("\none line\nbroken …\noops\n…rest\n"),
        "{text}"
    );
}

#[test]
fn a_closed_pipe_is_an_error_to_the_caller() {
    let (plan, events) = everything();
    let mut human = Human::new(Closed, &plan, &Options::default());
    human.event(&events[0]).unwrap();
    assert_eq!(
        human.finish(None).unwrap_err().kind(),
        std::io::ErrorKind::BrokenPipe
    );
}

#[test]
fn a_size_of_nothing_is_survived() {
    let (plan, events) = everything();
    for (columns, rows) in [(0, 0), (1, 1), (2, 1), (1, 50), (7, 2)] {
        let size = Size { columns, rows };
        let options = Options {
            interactive: true,
            color: true,
            size,
            ..Options::default()
        };
        let mut human = Human::new(std::io::sink(), &plan, &options);
        for (number, event) in (0..).zip(&events) {
            human.event(event).unwrap();
            human.tick(at(number * 100), size).unwrap();
        }
        human.finish(None).unwrap();
    }
}

#[test]
fn a_build_that_a_service_took() {
    let plan = plan(&[("a", "")]);
    let (accepted, outcome) = submitted();
    let written = Written::default();
    let options = Options {
        watch: Some("hm cloud build watch".into()),
        ..Options::default()
    };
    let mut human = Human::new(written.clone(), &plan, &options);
    human.event(&accepted).unwrap();
    human.finish(Some(&outcome)).unwrap();
    insta::assert_snapshot!(written.text(), @"
    accepted as #12: https://app.example.test/12
    submitted and left to run: https://app.example.test/12
      watch it from here: hm cloud build watch -p ci 12
    ");
}

#[test]
fn colours_of_a_failed_step_pass_only_where_they_may() {
    let (plan, events) = everything();
    assert!(!lines(&plan, &events).contains('\x1b'));
    let color = Options {
        color: true,
        ..Options::default()
    };
    assert!(lines_with(&color, &plan, &events).contains("\n\x1b[31m1 of 2 failed\x1b[0m\n"));
}
