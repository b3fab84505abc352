use hm_plugin_protocol::{BuildEvent, BuildStatus, Level, LogStream, Plan, StepStatus};
use hm_render::{Options, Plain, Renderer};

use crate::script::*;

fn shown_with(options: &Options, plan: &Plan, events: &[BuildEvent]) -> String {
    let written = Written::default();
    let mut plain = Plain::new(written.clone(), plan, options);
    for event in events {
        plain.event(event).unwrap();
    }
    plain.finish(None).unwrap();
    written.text()
}

fn shown(plan: &Plan, events: &[BuildEvent]) -> String {
    shown_with(&Options::default(), plan, events)
}

#[test]
fn everything_is_told() {
    let (plan, events) = everything();
    insta::assert_snapshot!(shown(&plan, &events).replace('\r', "<CR>"), @"
    build: 5 steps in 4 chains
    [base] queued
    [base] cache hit (snap-9f2c)
    [base] end exit=0 duration=0ms cached
    [build] queued (builds in [base])
    [build] start (runner=sandbox)
    [build] warning: the clock is off
    [build] cc a.c
    [build] cc b.c
    [build]! warning: unused
    [build] end exit=0 duration=1200ms passed
    [test] queued (builds in [build])
    [test] start (runner=sandbox)
    [slow] queued (builds in [build])
    [slow] start (runner=sandbox)
    [slow] sleeping
    [test] 1 of 2 failed
    [test] 10%<CR>100%
    [test] end exit=2 duration=1500ms failed
    chain 1: FAILED at step test: step 'test' exited with code 2
    [slow] end exit=none duration=1500ms cancelled: `test` failed
    [deploy] queued
    [deploy] end exit=none duration=0ms skipped: needs `test`, which failed
    build: failed [test] exit=2
    build: 1 failed, 1 passed, 1 cached, 1 cancelled, 1 skipped
    build: end exit=1 duration=2700ms failed
    ");
}

#[test]
fn colours_pass_only_where_they_may() {
    let (plan, events) = everything();
    assert!(!shown(&plan, &events).contains('\x1b'));
    let color = Options {
        color: true,
        ..Options::default()
    };
    assert!(shown_with(&color, &plan, &events).contains("\x1b[31m1 of 2 failed\x1b[0m\n"));
}

#[test]
fn pieces_of_a_line_are_one_line() {
    let plan = plan(&[("a", ""), ("b", "")]);
    let pieces = [
        piece(0, LogStream::Stdout, "whole\none "),
        piece(0, LogStream::Stdout, "long "),
        out(0, "line\nnext\n"),
    ];
    assert_eq!(
        shown(&plan, &pieces),
        "[a] whole\n[a] one long line\n[a] next\n"
    );
}

#[test]
fn a_broken_line_says_so() {
    let plan = plan(&[("a", ""), ("b", "")]);
    let pieces = [
        piece(0, LogStream::Stdout, "one "),
        err(0, "oops\n"),
        out(1, "b\n"),
        out(0, "line\nnext\n"),
    ];
    insta::assert_snapshot!(shown(&plan, &pieces), @"
    [a] one …
    [a]! oops
    [b] b
    [a] …line
    [a] next
    ");
    let unfinished = [piece(0, LogStream::Stdout, "one "), passed(0, 1)];
    insta::assert_snapshot!(shown(&plan, &unfinished), @"
    [a] one …
    [a] end exit=0 duration=1ms passed
    ");
}

#[test]
fn a_broken_backend_and_a_reported_pass_are_named() {
    let plan = plan(&[("a", ""), ("b\n\x1b[2J", "")]);
    let mut reported = passed(0, 5);
    if let BuildEvent::StepEnd { observed, .. } = &mut reported {
        *observed = false;
    }
    let events = [
        reported,
        notice(None, Level::Error, "the component trapped"),
        BuildEvent::Custom {
            name: "cost".into(),
            data: serde_json::json!({"cents": 3}),
        },
        ended(1, StepStatus::TimedOut, 124, 5000, "over its 5s"),
        BuildEvent::BuildEnd {
            exit_code: 8,
            duration_ms: 10,
            status: BuildStatus::Failed,
            reason: Some("backend `x` trapped".into()),
        },
    ];
    insta::assert_snapshot!(shown(&plan, &events), @r#"
    [a] end exit=0 duration=5ms passed (reported by local)
    build: error: the component trapped
    build: custom cost {"cents":3}
    [b⏎\x1b[2J] end exit=124 duration=5000ms timed out: over its 5s
    build: timed out [b⏎\x1b[2J] exit=124
    build: 1 timed out, 1 passed
    build: end exit=8 duration=10ms failed: backend `x` trapped
    "#);
}

#[test]
fn a_closed_pipe_is_an_error_to_the_caller() {
    let (plan, events) = everything();
    let mut plain = Plain::new(Closed, &plan, &Options::default());
    plain.event(&events[0]).unwrap();
    assert_eq!(
        plain.flush().unwrap_err().kind(),
        std::io::ErrorKind::BrokenPipe
    );
}

#[test]
fn a_terminal_is_spared_the_segments_that_a_line_wrote_over() {
    let plan = plan(&[("a", "")]);
    let events = [out(0, "10%\r50%\r100%\nnext\n")];
    assert_eq!(shown(&plan, &events), "[a] 10%\r50%\r100%\n[a] next\n");
    let terminal = Options {
        interactive: true,
        ..Options::default()
    };
    assert_eq!(
        shown_with(&terminal, &plan, &events),
        "[a] 100%\n[a] next\n"
    );
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
    let mut plain = Plain::new(written.clone(), &plan, &options);
    plain.event(&accepted).unwrap();
    plain
        .event(&end(BuildStatus::Passed, 12, "submitted and left to run"))
        .unwrap();
    plain.finish(Some(&outcome)).unwrap();
    assert_eq!(
        written.text(),
        "build: accepted as #12 of acme/ci, watch https://app.example.test/12\n\
         build: end exit=0 duration=12ms submitted\n\
         build: submitted and left to run, watch https://app.example.test/12, \
         or `hm cloud build watch -p ci 12`\n"
    );
}
