//! Limits of time, on a step and on the build.

use hm_tests::{Project, processes_with};

use crate::{build, marker};

#[test]
fn a_step_timeout_takes_the_whole_process_tree() {
    let marker = marker();
    let project = Project::toml(&format!(
        "[steps.slow]\nimage = \"host\"\ntimeout = \"4s\"\n\
         run = \"\"\"\nsetsid sh -c 'sleep {marker}' >/dev/null 2>&1 &\n(trap '' TERM INT HUP; sleep {marker}.5) &\necho up\nwait\n\"\"\"\n\
         [steps.after]\nfrom = \"slow\"\nrun = \"echo never\"",
    ));
    let running = project.run().start();
    running.wait_for("\"line\":\"up\"");
    assert!(
        !processes_with(&marker).is_empty(),
        "the test sees what runs"
    );
    let build = running.wait().expect(1).build();
    build.assert_ends(&[("slow", "timed_out", Some(124)), ("after", "skipped", None)]);
    assert_eq!(
        processes_with(&marker),
        [""; 0],
        "nothing of the step is left"
    );
}

#[test]
fn what_was_printed_before_is_shown_also_of_a_line_without_an_end() {
    let project = Project::toml(
        "[steps.a]\nimage = \"host\"\ntimeout = \"3s\"\nrun = \"seq -f %079.0f 1 5000; printf asking:; sleep 600\"",
    );
    let build = build(&project, &[], 1);
    build.assert_ends(&[("a", "timed_out", Some(124))]);
    let lines = build.step("a").stdout();
    assert_eq!((lines.len(), lines.last()), (5001, Some(&"asking:")));
}

#[test]
fn a_build_timeout_is_124() {
    let project = Project::toml(
        "[steps.a]\nimage = \"host\"\nrun = \"echo up; sleep 600\"\n[steps.b]\nfrom = \"a\"\nrun = \"true\"",
    );
    let build = build(&project, &["--timeout", "2s"], 124);
    assert_eq!(build.status, "timed_out");
    assert_eq!(build.step("a").status, "cancelled");
    assert_eq!(build.step("b").started, None);
    assert!(build.reason.is_some(), "the build tells why");
}

#[test]
fn a_timeout_of_the_pipeline_counts_too() {
    let project = Project::toml(
        "timeout = \"1s\"\n[steps.a]\nimage = \"host\"\nrun = \"trap '' TERM; sleep 600\"",
    );
    assert_eq!(build(&project, &[], 124).status, "timed_out");
}

#[test]
fn what_a_step_left_running_does_not_reach_the_next() {
    let marker = marker();
    let project = Project::toml(&format!(
        "[steps.a]\nimage = \"host\"\nrun = \"(sleep 1; touch late; sleep {marker}) & echo done\"\n\
         [steps.b]\nfrom = \"a\"\nrun = \"sleep 2; test ! -e late\"",
    ));
    build(&project, &[], 0).assert_ends(&[]);
    assert_eq!(processes_with(&marker), [""; 0]);
}
