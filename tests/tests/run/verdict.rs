//! Passing, failing, and what a failure does to the rest.

use hm_tests::Project;

use crate::build;

const FAILING: &str = r#"
image = "host"
[steps.bad]
run = "echo why >&2; exit 3"
[steps.child]
from = "bad"
run = "echo never"
[steps.behind]
needs = ["child"]
run = "echo never"
[steps.sibling]
run = "echo up; sleep 3; echo done"
[steps.late]
needs = ["sibling"]
run = "echo late"
"#;

#[test]
fn a_pipeline_passes() {
    let project = Project::toml(
        "[steps.a]\nimage = \"host\"\nrun = \"echo one\"\n\
         [steps.b]\nfrom = \"a\"\nrun = \"echo two\"\n[steps.c]\nimage = \"host\"\nneeds = [\"b\"]\nrun = \"echo three\"",
    );
    let build = build(&project, &[], 0);
    build.assert_ends(&[]);
    build.assert_order("a", "b");
    build.assert_order("b", "c");
    assert_eq!(build.status, "passed");
    assert_eq!(build.step("b").stdout(), ["two"]);
}

#[test]
fn a_failure_stops_the_rest() {
    let project = Project::toml(FAILING);
    // The failure waits for its sibling to be up, over a step of its own.
    let build = build(&project, &["-j", "4"], 1);
    assert_eq!(build.status, "failed");
    for (key, status) in [
        ("bad", "failed"),
        ("child", "skipped"),
        ("behind", "skipped"),
        ("sibling", "cancelled"),
    ] {
        assert_eq!(build.step(key).status, status, "{key}");
    }
    for key in ["child", "behind", "late"] {
        let step = build.step(key);
        assert_eq!((step.started, step.exit_code), (None, None), "{key}");
        assert!(step.reason.is_some(), "{key} tells why it never ran");
    }
    assert!(
        build
            .step("child")
            .reason
            .as_deref()
            .unwrap()
            .contains("bad")
    );
    assert!(!build.step("sibling").stdout().contains(&"done"));
}

#[test]
fn keep_going_runs_what_does_not_depend_on_the_failure() {
    let project = Project::toml(FAILING);
    let build = build(&project, &["--keep-going"], 1);
    let ends = [
        ("bad", "failed", Some(3)),
        ("child", "skipped", None),
        ("behind", "skipped", None),
    ];
    build.assert_ends(&ends);
    assert_eq!(build.step("late").stdout(), ["late"]);
}

#[test]
fn a_person_sees_the_log_of_what_failed() {
    let project = Project::toml(
        "[steps.noise]\nimage = \"host\"\nrun = \"printf 'qui%s\\\\n' et-please\"\n\
         [steps.bad]\nfrom = \"noise\"\nrun = \"echo first; echo second >&2; exit 9\"",
    );
    let finished = project
        .hm(["run", "--format", "human"])
        .run()
        .expect(1)
        .says(&["first", "second", "bad", "exit 9"]);
    assert_eq!(
        finished.text(),
        "",
        "the view for people is on standard error"
    );
    assert!(
        !finished.errors().contains("quiet-please"),
        "{}",
        finished.errors()
    );
}

#[test]
fn the_plain_format_has_every_line() {
    let project = Project::toml("[steps.a]\nimage = \"host\"\nrun = \"echo one; echo two >&2\"");
    let text = project
        .hm(["run", "--format", "plain"])
        .run()
        .expect(0)
        .text();
    assert!(
        text.contains("[a] one\n") && text.contains("[a]! two\n"),
        "{text}"
    );
}

#[test]
fn a_missing_command_and_a_signal_are_told() {
    let project = Project::toml(
        "image = \"host\"\n[steps.gone]\nrun = \"no-such-command-here\"\n[steps.killed]\nrun = \"kill -9 $$\"",
    );
    let build = build(&project, &["-k"], 1);
    build.assert_ends(&[
        ("gone", "failed", Some(127)),
        ("killed", "failed", Some(137)),
    ]);
    assert!(build.step("gone").stderr()[0].contains("not found"));
}

#[test]
fn the_order_of_ready_steps_needs_no_slots() {
    let project = Project::toml(
        "image = \"host\"\n[steps.a]\nrun = \"true\"\n[steps.b]\nrun = \"true\"\n[steps.c]\nneeds = [\"a\", \"b\"]\nrun = \"true\"",
    );
    let build = build(&project, &["-j", "1"], 0);
    build.assert_ends(&[]);
    build.assert_order("a", "c");
    build.assert_order("b", "c");
    let (a, b) = (build.step("a"), build.step("b"));
    let apart = a.ended < b.started.unwrap() || b.ended < a.started.unwrap();
    assert!(apart, "one slot runs one step at a time");
}
